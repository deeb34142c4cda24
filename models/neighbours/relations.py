"""How alike items are, from a similarity matrix or from features, dense or sparse. numpy only; runs in the server.

A relation gives s(l, i) for items l and i: the entry of the similarity matrix in row l and column i, or the cosine of their
features. Profiles are weighted sums over a few items l. Nothing here copies a whole matrix: of similarities only the rows of a
profile are read, features are read once a profile. Does not cover: who is asked for, ranking (`models.neighbours.score`).
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.bundle import BadBundle, Bundle
from models.recommender import Rows

from .features import DenseFeatures, SparseFeatures
from .similarity import DenseSimilarity, DenseWeights, SparseSimilarity

Weights = NDArray[np.float64]


class Relation(Protocol):
    """Read-only and thread-safe. `rows` (m,) int64 are the items of a profile, `weights` (m,) theirs."""

    count: int

    def sums(self, rows: Rows, weights: Weights) -> NDArray[Any]:
        """(count,) for each item i the sum over l of weights[l] * s(l, i), as fast as may be; NaN where no item is its neighbour."""
        ...

    def exact(self, rows: Rows, weights: Weights, at: Rows) -> NDArray[np.float64]:
        """(at,) the same for some items, whatever else is asked for."""
        ...

    def slack(self, rows: Rows, weights: Weights) -> float | None:
        """How far `sums` may be from `exact`; None where all items tie because nothing is known of the profile's."""
        ...

    def pairs(self, rows: Rows, at: Rows) -> NDArray[np.float64]:
        """(rows, at) s(l, i), 0 where i is no neighbour of l."""
        ...

    def alike(self, rows: Rows) -> NDArray[np.float64]:
        """(rows, rows) how alike items are on a scale where 1 is the same."""
        ...

    def work(self) -> int:
        """Multiply-adds of the sums for a profile of one item."""
        ...


def open_relation(bundle: Bundle, count: int) -> Relation:
    """The relation of a bundle. Raises models.bundle.BadBundle."""
    kind = bundle.meta.get("relation")
    if kind == "similarity":
        return DenseSimilarity(bundle, count)
    if kind == "weights":
        return DenseWeights(bundle, count)
    if kind in ("sparse similarity", "neighbours"):
        return SparseSimilarity(bundle, count, keeps_zeros=kind != "neighbours")
    if kind == "features":
        return DenseFeatures(bundle, count)
    if kind == "sparse features":
        return SparseFeatures(bundle, count)
    raise BadBundle("how alike items are is not said")
