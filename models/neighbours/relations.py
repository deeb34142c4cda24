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
from models.sparse import Sparse

MOST_FEATURES = 1 << 24
"""Columns of sparse features: a profile is a dense vector of them."""
_CHUNK = 1 << 21
"""Numbers that are brought to float64 at once: bounds the private memory to some 32 MiB."""
_EPS = float(np.finfo(np.float64).eps)

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


class DenseSimilarity:
    """(n, n) float32 or float64."""

    def __init__(self, bundle: Bundle, count: int) -> None:
        self.count = count
        self._matrix: NDArray[np.floating] = bundle.array("similarity", ndim=2, kinds="f", rows=count)
        if self._matrix.shape[1] != count:
            raise BadBundle(f"similarities of shape {self._matrix.shape} for {count} items")

    def sums(self, rows: Rows, weights: Weights) -> NDArray[Any]:
        return self._sums(rows, weights, slice(None), self.count)

    def exact(self, rows: Rows, weights: Weights, at: Rows) -> NDArray[np.float64]:
        return self._sums(rows, weights, at, len(at))

    def _sums(self, rows: Rows, weights: Weights, at: Rows | slice, width: int) -> NDArray[np.float64]:
        total = np.zeros(width)
        for row, weight in zip(rows.tolist(), weights.tolist(), strict=True):
            total += self._matrix[row, at].astype(np.float64) * weight
        return total

    def slack(self, rows: Rows, weights: Weights) -> float | None:
        return 0.0  # the same sums in the same order

    def pairs(self, rows: Rows, at: Rows) -> NDArray[np.float64]:
        return self._matrix[np.ix_(rows, at)].astype(np.float64)

    def alike(self, rows: Rows) -> NDArray[np.float64]:
        return self.pairs(rows, rows)

    def work(self) -> int:
        return self.count


class SparseSimilarity:
    """(n, n) by rows. `keeps_zeros`: an absent entry is a similarity of 0, else it is none (a list of nearest neighbours)."""

    def __init__(self, bundle: Bundle, count: int, *, keeps_zeros: bool) -> None:
        self.count = count
        self._keeps_zeros = keeps_zeros
        self._matrix = Sparse.open(bundle, "similarity", rows=count, columns=count)

    def sums(self, rows: Rows, weights: Weights) -> NDArray[Any]:
        total = np.zeros(self.count)
        is_near = np.zeros(self.count, np.bool_)
        for row, weight in zip(rows.tolist(), weights.tolist(), strict=True):
            columns, values = self._matrix.row(row)
            total[columns] += values.astype(np.float64) * weight
            is_near[columns] = True
        return total if self._keeps_zeros else np.where(is_near, total, np.nan)

    def exact(self, rows: Rows, weights: Weights, at: Rows) -> NDArray[np.float64]:
        exact: NDArray[np.float64] = self.sums(rows, weights)[at]
        return exact

    def slack(self, rows: Rows, weights: Weights) -> float | None:
        return 0.0

    def pairs(self, rows: Rows, at: Rows) -> NDArray[np.float64]:
        places = np.full(self.count, -1, np.int64)
        places[at] = np.arange(len(at))
        found = np.zeros((len(rows), len(at)))
        for line, row in zip(found, rows.tolist(), strict=True):
            columns, values = self._matrix.row(row)
            place = places[columns]
            line[place[place >= 0]] = values[place >= 0]
        return found

    def alike(self, rows: Rows) -> NDArray[np.float64]:
        """Neighbours' weights are on no scale (BM25) and an item may be missing from the list of its neighbour: each is divided
        by the root of the greatest of either item, and the greater of both directions counts.
        """
        pairs = self.pairs(rows, rows)
        if self._keeps_zeros:
            return pairs
        peaks = np.array([np.abs(self._matrix.row(row)[1].astype(np.float64)).max(initial=0.0) for row in rows.tolist()])
        scale = np.divide(1.0, np.sqrt(peaks), out=np.zeros(len(rows)), where=peaks > 0)
        alike: NDArray[np.float64] = np.clip(np.maximum(pairs, pairs.T) * scale[:, np.newaxis] * scale, -1.0, 1.0)
        np.fill_diagonal(alike, 1.0)
        return alike

    def work(self) -> int:
        return 4 * self.count + len(self._matrix.indices) // max(1, self.count)


class DenseFeatures:
    """Cosines of features (n, f), float32 or float64; `features.scale` (n,) is 1 / length, 0 for an item without any."""

    def __init__(self, bundle: Bundle, count: int) -> None:
        self.count = count
        self._matrix: NDArray[np.floating] = bundle.array("features", ndim=2, kinds="f", rows=count)
        self._scale: NDArray[np.floating] = bundle.array("features.scale", ndim=1, kinds="f", rows=count)

    def sums(self, rows: Rows, weights: Weights) -> NDArray[Any]:
        profile = self._profile(rows, weights)
        product: NDArray[Any] = self._matrix @ profile.astype(self._matrix.dtype)
        product *= self._scale.astype(self._matrix.dtype, copy=False)
        return product

    def exact(self, rows: Rows, weights: Weights, at: Rows) -> NDArray[np.float64]:
        profile = self._profile(rows, weights)
        exact = np.empty(len(at))
        step = self._step()
        for begin in range(0, len(at), step):
            exact[begin : begin + step] = (self._some(at[begin : begin + step]) * profile).sum(axis=1)
        return exact * self._scale[at]

    def slack(self, rows: Rows, weights: Weights) -> float | None:
        """By the bound of a dot product of f terms (Higham, 2002, section 3.1), the items' lengths being 1."""
        profile = self._profile(rows, weights)
        length = float(np.linalg.norm(profile))
        eps = float(np.finfo(self._matrix.dtype).eps)
        return 4 * (self._matrix.shape[1] + 2) * eps * length if length else None

    def pairs(self, rows: Rows, at: Rows) -> NDArray[np.float64]:
        found = np.empty((len(rows), len(at)))
        step = self._step()
        for top in range(0, len(rows), step):
            some = self._some(rows[top : top + step])
            for left in range(0, len(at), step):
                found[top : top + step, left : left + step] = some @ self._some(at[left : left + step]).T
        found *= self._scale[rows][:, np.newaxis]
        found *= self._scale[at]
        return found

    def alike(self, rows: Rows) -> NDArray[np.float64]:
        return self.pairs(rows, rows)

    def work(self) -> int:
        return self.count * int(self._matrix.shape[1])

    def _profile(self, rows: Rows, weights: Weights) -> NDArray[np.float64]:
        profile = np.zeros(self._matrix.shape[1])
        for row, weight in zip(rows.tolist(), (weights * self._scale[rows]).tolist(), strict=True):
            profile += self._matrix[row].astype(np.float64) * weight
        return profile

    def _some(self, rows: Rows) -> NDArray[np.float64]:
        """Contiguous by rows, so that each row is summed in one way."""
        return np.ascontiguousarray(self._matrix[rows], dtype=np.float64)

    def _step(self) -> int:
        return max(1, _CHUNK // max(1, int(self._matrix.shape[1])))


class SparseFeatures:
    """Cosines of sparse features (n, f); `features.scale` as above."""

    def __init__(self, bundle: Bundle, count: int) -> None:
        self.count = count
        width = bundle.meta.get("features")
        if type(width) is not int or not 0 <= width <= MOST_FEATURES:
            raise BadBundle("sparse features without their number")
        self._width = width
        self._matrix = Sparse.open(bundle, "features", rows=count, columns=width)
        self._scale: NDArray[np.floating] = bundle.array("features.scale", ndim=1, kinds="f", rows=count)

    def sums(self, rows: Rows, weights: Weights) -> NDArray[Any]:
        return self._matrix.dot(self._profile(rows, weights)) * self._scale

    def exact(self, rows: Rows, weights: Weights, at: Rows) -> NDArray[np.float64]:
        return self._matrix.take(at).dot(self._profile(rows, weights)) * self._scale[at]

    def slack(self, rows: Rows, weights: Weights) -> float | None:
        profile = self._profile(rows, weights)
        length = float(np.linalg.norm(profile))
        return 4 * (self._width + 2) * _EPS * length if length else None

    def pairs(self, rows: Rows, at: Rows) -> NDArray[np.float64]:
        others = self._matrix.take(at)
        profile = np.zeros(self._width)
        found = np.empty((len(rows), len(at)))
        for line, row in zip(found, rows.tolist(), strict=True):
            columns, values = self._matrix.row(row)
            profile[columns] = values.astype(np.float64) * float(self._scale[row])
            line[:] = others.dot(profile)
            profile[columns] = 0.0
        found *= self._scale[at]
        return found

    def alike(self, rows: Rows) -> NDArray[np.float64]:
        return self.pairs(rows, rows)

    def work(self) -> int:
        return 4 * len(self._matrix.indices) + self._width

    def _profile(self, rows: Rows, weights: Weights) -> NDArray[np.float64]:
        profile = np.zeros(self._width)
        for row, weight in zip(rows.tolist(), (weights * self._scale[rows]).tolist(), strict=True):
            columns, values = self._matrix.row(row)
            profile[columns] += values.astype(np.float64) * weight
        return profile


def open_relation(bundle: Bundle, count: int) -> Relation:
    """The relation of a bundle. Raises models.bundle.BadBundle."""
    kind = bundle.meta.get("relation")
    if kind == "similarity":
        return DenseSimilarity(bundle, count)
    if kind in ("sparse similarity", "neighbours"):
        return SparseSimilarity(bundle, count, keeps_zeros=kind != "neighbours")
    if kind == "features":
        return DenseFeatures(bundle, count)
    if kind == "sparse features":
        return SparseFeatures(bundle, count)
    raise BadBundle("how alike items are is not said")
