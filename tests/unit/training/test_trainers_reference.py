"""The page of the algorithms is that of the trainers as they are."""

from __future__ import annotations

from tests.support import ROOT
from training.trainers import TRAINERS, open_trainer
from training.trainers.reference import page


def test_the_page_is_current() -> None:
    assert (ROOT / "docs/reference/training.md").read_text() == page(), "make docs"


def test_every_algorithm_and_parameter_is_on_it() -> None:
    text = page()
    for algorithm in TRAINERS:
        section = text.partition(f"### `{algorithm}`\n")[2].partition("\n##")[0]
        assert section.count("\n| `") == len(open_trainer(algorithm).parameters)
        for name in open_trainer(algorithm).parameters:
            assert f"| `{name}` |" in section
