"""Relations by the cosine of items' features, dense or sparse. numpy only; runs in the server.

Features are read once a profile, and never copied whole. Does not cover: similarity matrices (`models.neighbours.similarity`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle import BadBundle, Bundle
from models.recommender import Rows
from models.sparse import Sparse

MOST_FEATURES = 1 << 24
"""Columns of sparse features: a profile is a dense vector of them."""
_CHUNK = 1 << 21
"""Numbers that are brought to float64 at once: bounds the private memory to some 32 MiB."""
_BLOCK = 1 << 16
"""Numbers of a block of pairs: what is worked on at once stays in the cache."""
_EPS = float(np.finfo(np.float64).eps)

Weights = NDArray[np.float64]


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
        columns, places = np.unique(others.indices, return_inverse=True)  # what the others do not have adds nothing
        others = others._replace(indices=places.astype(np.int64))
        found = np.empty((len(rows), len(at)))
        step = max(1, _BLOCK // max(1, len(columns), len(places)))
        for begin in range(0, len(rows), step):
            some = rows[begin : begin + step]
            found[begin : begin + step] = others.dots(self._profiles(some, columns))
        found *= self._scale[at]
        return found

    def _profiles(self, rows: Rows, columns: NDArray[np.integer]) -> NDArray[np.float64]:
        """(rows, columns) the items of length 1, of some ascending columns."""
        mine = self._matrix.take(rows)
        owners = np.repeat(np.arange(len(rows)), np.diff(mine.indptr))
        places = np.searchsorted(columns, mine.indices)
        is_there = np.isin(mine.indices, columns)
        values = mine.data.astype(np.float64) * self._scale[rows].astype(np.float64)[owners]
        profiles = np.zeros((len(rows), len(columns)))
        profiles[owners[is_there], places[is_there]] = values[is_there]
        return profiles

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
