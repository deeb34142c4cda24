"""docs/reference/dropin.md and commands.md, compared with the code: fields, words, bounds."""

from __future__ import annotations

import json
import re
from typing import Any, get_args

import msgspec

from service.algorithms import KINDS
from service.query_string import RecommendationsQuestion
from service.schemas.legacy import LegacyStatus, Reason, Reloaded
from service.schemas.training import AlgorithmStatus
from service.wrong_tokens import ADDRESSES, FIRST_WAIT_S, FORGOTTEN_AFTER_S, FREE, LONGEST_WAIT_S
from tests.support import ROOT

DROPIN = (ROOT / "docs/reference/dropin.md").read_text()
COMMANDS = " ".join((ROOT / "docs/reference/commands.md").read_text().split())


def first_cells(head: str) -> list[str]:
    """The words of the first column of the table with this head."""
    table = DROPIN.partition(f"| {head} |")[2].partition("\n\n")[0].partition("|\n")[2]
    return [word for row in table.splitlines()[1:] for word in re.findall(r"`(\w+)`", row.split("|")[1])]


def examples() -> list[Any]:
    return [json.loads(text) for text in re.findall(r"^```json\n(.*?)^```$", DROPIN, re.MULTILINE | re.DOTALL)]


def test_every_parameter_field_and_reason_is_there() -> None:
    assert set(first_cells("parameter")) == set(RecommendationsQuestion.__struct_fields__)
    assert first_cells("field") == list(LegacyStatus.__struct_fields__)
    assert first_cells("`reason`") == list(get_args(Reason))
    kinds = DROPIN.partition("| `algorithm` | a model of the family |")[2].partition("\n\n")[0]
    assert dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|$", kinds, re.MULTILINE)) == dict(KINDS)


def test_the_examples_are_answers() -> None:
    reloaded, trained = examples()
    assert msgspec.convert(reloaded, Reloaded).details.reason in get_args(Reason)
    assert set(KINDS) <= set(msgspec.convert(trained, dict[str, AlgorithmStatus]))


def test_the_bounds_of_wrong_tokens_are_those_of_the_code() -> None:
    assert f"The first {FREE} from one address" in COMMANDS
    assert f"from {2 * FIRST_WAIT_S:g} seconds to {LONGEST_WAIT_S:g}" in COMMANDS
    assert f"After {FORGOTTEN_AFTER_S / 60:g} minutes" in COMMANDS
    assert f"The {ADDRESSES:,} last addresses" in COMMANDS
