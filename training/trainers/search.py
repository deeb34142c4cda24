"""Choosing a parameter on interactions held out of a run's own training data, where the operator did not.

Covers: the data a search is made on, walking along a grid and beyond its edges, measuring. Does not cover: which parameters are
searched (each trainer), the holdout that a model is judged on (`training.judging.split.split`), which no search ever sees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from training.dataset.base import Dataset
from training.judging.metrics import Score, mean_ndcg
from training.judging.split import Split, validation
from training.trainers.base import OnProgress

MOST_INTERACTIONS = 5_000_000
"""Above it a search sees some of the users only: the choice hardly differs, and it takes minutes, not hours."""
_LEAST_DEPTH = 10
_BEYOND = 4
"""Values that are tried beyond an edge of the grid."""


class Found(NamedTuple):
    """The best value, and mean NDCG by value, in the order of the values."""

    value: float
    tried: Mapping[float, float]

    def notes(self, name: str, depth: int) -> dict[str, Any]:
        """As it is recorded."""
        return {
            "search": {"parameter": name, "metric": f"ndcg@{depth}", "tried": {f"{at:g}": round(got, 6) for at, got in self.tried.items()}}
        }


class Trial:
    """One interaction held out of each of many users, and how a model does on it.

    What is measured is NDCG at a tenth of the catalogue, not at 10: on one item a user it differs less from sample to sample, and
    it prefers what ranks well also below the first ten, where filters, candidates of hybrids and diversity choose from.
    """

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self._split: Split = validation(_some_users(dataset, seed), seed)
        self.train = self._split.train
        self.depth = max(_LEAST_DEPTH, len(dataset.item_ids) // 10)

    @property
    def is_empty(self) -> bool:
        """Whether nothing can be measured: no user has two items that others have, too."""
        return not len(self._split.held.users)

    def measure(self, score: Score) -> float:
        """Mean NDCG of scores: a function of user rows."""
        return mean_ndcg(score, self._split.seen, self._split.held, k=self.depth)


def _some_users(dataset: Dataset, seed: int) -> Dataset:
    """All users, or a random share of them that has about MOST_INTERACTIONS; rows stay what they are."""
    share = MOST_INTERACTIONS / max(1, len(dataset.interactions))
    if share >= 1:
        return dataset
    is_taken = np.random.default_rng(seed).random(len(dataset.user_ids)) < share
    return replace(dataset, interactions=dataset.interactions.take(is_taken[dataset.interactions.users]))


def search(name: str, grid: Sequence[float], measure: Callable[[float], float], on_progress: OnProgress, *, beyond: bool = True) -> Found:
    """The value of an ascending grid with the greatest measure; of several the smallest of the grid.

    beyond: if it is the last value at an end, more are tried beyond that end, as far from each other as the two values there,
    in logarithms, until one is no better.
    """
    tried: dict[float, float] = {}

    def attempt(value: float) -> None:
        on_progress(f"searching {name}: {value:g}", len(tried), max(len(tried) + 1, len(grid)))
        tried[value] = measure(value)

    for value in grid:
        attempt(value)
    for _ in range(_BEYOND if beyond else 0):
        best = _best(tried)
        if best not in (min(tried), max(tried)):
            break
        low_end, high_end = grid[0] / grid[1], grid[-1] / grid[-2]
        attempt(float(f"{best * (high_end if best == max(tried) else low_end):.3g}"))
    best = _best(tried)
    on_progress(f"searching {name}: {best:g} is best", len(tried), len(tried))
    return Found(best, dict(sorted(tried.items())))


def _best(tried: Mapping[float, float]) -> float:
    return max(tried, key=tried.__getitem__)  # the first of several: what is beyond an end must be better than it
