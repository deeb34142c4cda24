"""Relations by a similarity matrix, dense or sparse. numpy only; runs in the server.

Only the rows of a profile are read: a dense matrix may have gigabytes. Does not cover: features (`models.neighbours.features`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle import BadBundle, Bundle
from models.recommender import Rows
from models.sparse import Sparse

Weights = NDArray[np.float64]


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


class DenseWeights(DenseSimilarity):
    """(n, n) what having the item of a row says for that of a column, on no scale and not symmetric (EASE).

    An item of which nothing is known is NaN in its column, its own row included: it has no score, and adds nothing to a profile.
    """

    def _sums(self, rows: Rows, weights: Weights, at: Rows | slice, width: int) -> NDArray[np.float64]:
        is_known = np.isfinite(self._matrix[rows, rows])
        if not is_known.any():
            return np.full(width, np.nan)
        return super()._sums(rows[is_known], weights[is_known], at, width)

    def alike(self, rows: Rows) -> NDArray[np.float64]:
        return scaled_by_peaks(self.pairs(rows, rows), np.array([np.nanmax(np.abs(self._matrix[row])) for row in rows.tolist()]))


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
        pairs = self.pairs(rows, rows)
        if self._keeps_zeros:
            return pairs
        return scaled_by_peaks(
            pairs, np.array([np.abs(self._matrix.row(row)[1].astype(np.float64)).max(initial=0.0) for row in rows.tolist()])
        )

    def work(self) -> int:
        return 4 * self.count + len(self._matrix.indices) // max(1, self.count)


def scaled_by_peaks(pairs: NDArray[np.float64], peaks: NDArray[np.floating]) -> NDArray[np.float64]:
    """(n, n) weights on a scale where 1 is the same, by the (n,) greatest weight of each item.

    Neighbours' weights are on no scale (BM25), and an item may be missing from the list of its neighbour: each is divided by the
    root of the greatest of either item, and the greater of both directions counts.
    """
    scale = np.divide(1.0, np.sqrt(peaks), out=np.zeros(len(peaks)), where=peaks > 0)
    alike: NDArray[np.float64] = np.clip(np.maximum(pairs, pairs.T) * scale[:, np.newaxis] * scale, -1.0, 1.0)
    np.fill_diagonal(alike, 1.0)
    return alike
