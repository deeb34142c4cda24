"""docs/failures.md says of every failure what the code does: its class, its HTTP answers, when it is tried again."""

from __future__ import annotations

from itertools import dropwhile, takewhile

import pytest

from loaders.errors import FAILURES
from service.lifecycle.events import Died, Failed, FetchBegan, Fetched, PhaseBegan, RetryDue, Started, Succeeded
from service.lifecycle.machine import step
from service.lifecycle.policy import retry_table
from service.lifecycle.state import Entry, Phase
from service.status import answer_for
from tests.support import ROOT
from training.errors import TRAINING_FAILURES

PAGE = (ROOT / "docs" / "failures.md").read_text()
NOW = 1_000_000.0
FAILURES_IN_A_ROW = 4
AFTER_DEATH = "; after a death, backoff"
"""What the page adds for the types by which the process of a hosted model may end."""


def table(after: str) -> list[list[str]]:
    """The cells of the rows of the first table after a heading."""
    lines = dropwhile(lambda line: not line.startswith("|"), PAGE.partition(f"\n{after}\n")[2].splitlines())
    rows = list(takewhile(lambda line: line.startswith("|"), lines))[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


TYPES = {row[0].strip("`"): row for row in table("## The types")}


def http_in_words(type: str) -> str:
    """What requests get after each of several failures in a row, as the page writes it."""
    entry, words = Entry("als"), []
    event: Started | RetryDue = Started()
    for _ in range(FAILURES_IN_A_ROW):
        entry = step(entry, event, NOW)[0]
        while entry.attempt is not None:
            attempt = entry.attempt.id
            for happened in (FetchBegan(attempt), Fetched(attempt, "r1", 10), Failed(attempt, type, "broken", "r1", 0.5)):
                entry = step(entry, happened, NOW)[0]
            answer = answer_for(entry, NOW)
            words.append(f"{answer.http}{' + Retry-After' if answer.http == 503 and answer.retry_after_s is not None else ''}")
        if entry.retry_of is None:
            break
        event = RetryDue(entry.retry_of)
    if len(set(words)) == 1:
        return words[0]
    return f"{words[0]}; {words[-1]} after {len(words)} attempts"


def test_every_failure_has_one_row() -> None:
    assert sorted(row[0].strip("`") for row in table("## The types")) == sorted(FAILURES)
    assert all(len(row) == 5 and all(row) for row in TYPES.values())


def test_every_failure_of_a_run_has_one_row() -> None:
    rows = table("## When a run fails")
    assert sorted(row[0].strip("`") for row in rows) == sorted(TRAINING_FAILURES)
    assert all(len(row) == 3 and all(row) for row in rows)


@pytest.mark.parametrize("type", FAILURES)
def test_a_row_says_what_the_code_does(type: str) -> None:
    _, _, tried_again, http, _ = TYPES[type]
    assert tried_again.removesuffix(AFTER_DEATH) == FAILURES[type].retry.value
    assert http.partition("; after a death")[0] == http_in_words(type)


def test_after_a_death_every_type_is_tried_again() -> None:
    dying = [type for type, row in TYPES.items() if row[2].endswith(AFTER_DEATH)]
    assert sorted(dying) == ["child_crashed", "memory_cap_exceeded"]
    for type in dying:
        entry = step(Entry("svc"), Started(), NOW)[0]
        for event in (FetchBegan(1), Fetched(1, "r1", 10), PhaseBegan(1, Phase.LOADING), Succeeded(1, "v1", "r1")):
            entry = step(entry, event, NOW)[0]
        entry = step(entry, Died("v1", type, "it is gone", 0.5), NOW)[0]
        answer = answer_for(entry, NOW)
        assert (answer.http, answer.retry_after_s is not None) == (503, True)
        assert entry.retry_of is not None


def test_the_classes_are_those_of_the_policy() -> None:
    told = {row[0]: row[1] for row in table("## What ends a failure")[:5]}
    for line in retry_table().splitlines():
        name, when = (cell.strip() for cell in line.strip("|").split("|")[:2])
        # The page says a little more than the short table.
        assert told[name].startswith(when.partition(" the revision")[0]), name
