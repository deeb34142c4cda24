"""A search takes the best of a grid, goes on beyond its ends, and sees nothing but what it was given."""

from __future__ import annotations

import numpy as np
import pytest

from training.trainers import search as searching
from training.trainers.search import Trial, search

from .data import dataset_of, grouped


@pytest.mark.parametrize(
    ("peak", "best", "beyond"),
    [(12.0, 10.0, []), (120.0, 90.0, [90.0, 270.0]), (0.3, 0.333, [0.333, 0.111]), (9e9, 2430.0, [90, 270, 810, 2430])],
)
def test_the_grid_ends_where_it_is_no_better(peak: float, best: float, beyond: list[float]) -> None:
    steps: list[tuple[str, int, int]] = []
    found = search("x", (1.0, 3.0, 10.0, 30.0), lambda value: -abs(np.log(value / peak)), lambda *step: steps.append(step))
    assert found.value == best
    assert sorted(found.tried) == sorted([1.0, 3.0, 10.0, 30.0, *beyond])
    assert all(done <= total for _, done, total in steps) and steps[-1] == (
        f"searching x: {best:g} is best",
        len(found.tried),
        len(found.tried),
    )


def test_a_closed_grid_ends_at_its_ends() -> None:
    assert search("x", (1.0, 3.0), float, lambda *step: None, beyond=False).tried == {1.0: 1.0, 3.0: 3.0}


def test_the_smallest_of_equals_is_taken() -> None:
    assert search("x", (1.0, 3.0, 10.0), lambda value: float(value > 1.0), lambda *step: None).value == 3.0


def test_nothing_beyond_an_end_is_taken_for_being_as_good() -> None:
    """Few users, all of whom every value suits: the least penalty of all would be a choice that nothing speaks for."""
    found = search("x", (1.0, 3.0, 10.0), lambda value: 1.0, lambda *step: None)
    assert found.value == 1.0 and list(found.tried) == [0.333, 1.0, 3.0, 10.0]


def test_what_is_measured_was_not_learned_from() -> None:
    dataset = dataset_of(grouped())
    trial = Trial(dataset, 0)
    assert not trial.is_empty and trial.depth == 10
    assert len(trial.train.interactions) == len(dataset.interactions) - 60
    assert trial.measure(lambda users: np.zeros((len(users), 40))) < 1.0


def test_of_many_interactions_a_search_sees_those_of_some_users(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = dataset_of(grouped(400))
    monkeypatch.setattr(searching, "MOST_INTERACTIONS", 800)
    train = Trial(dataset, 0).train
    assert len(train.user_ids) == 400 and 400 < len(train.interactions) < 1200
    assert len(np.unique(train.interactions.users)) < 200
