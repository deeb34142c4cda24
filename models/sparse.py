"""A sparse matrix by rows over mapped arrays: the checks, and the sums that scoring takes. numpy only; runs in the server.

Covers: reading `<name>.indptr`, `<name>.indices` and its values from a bundle, chosen rows, products with a vector. Does not
cover: reading scipy's matrices from an artifact (`models.recommender_records`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from .bundle import BadBundle, Bundle
from .ids import falls

_CHUNK = 1 << 20
"""Cells that are multiplied at once: bounds the private memory to 16 MiB."""


class Sparse(NamedTuple):
    """Rows of cells: those of row r stand at indptr[r]:indptr[r + 1]; columns of a row are distinct."""

    indptr: NDArray[np.signedinteger]
    indices: NDArray[np.integer]
    data: NDArray[np.number]

    @classmethod
    def open(cls, bundle: Bundle, name: str, *, rows: int, columns: int, data: str = "data", kinds: str = "f") -> Self:
        """The matrix `name` of a bundle. Raises models.bundle.BadBundle."""
        indptr, indices = open_cells(bundle, name, rows=rows, columns=columns)
        return cls(indptr, indices, bundle.array(f"{name}.{data}", ndim=1, kinds=kinds, rows=len(indices)))

    def row(self, row: int) -> tuple[NDArray[np.integer], NDArray[np.number]]:
        """Columns and values of a row."""
        begin, end = int(self.indptr[row]), int(self.indptr[row + 1])
        return self.indices[begin:end], self.data[begin:end]

    def take(self, rows: NDArray[np.integer]) -> Sparse:
        """A copy of some rows, in their order."""
        lengths = (self.indptr[rows + 1] - self.indptr[rows]).astype(np.int64)
        indptr = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))
        cells = np.repeat(self.indptr[rows] - indptr[:-1], lengths) + np.arange(indptr[-1])
        return Sparse(indptr, self.indices[cells], self.data[cells])

    def dot(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """(rows,) the product with a vector, in float64; each row is summed by itself, the same whatever stands beside it."""
        rows = len(self.indptr) - 1
        sums = np.zeros(rows)
        for begin, end in self._chunks():
            bounds = self.indptr[begin : end + 1]
            first, last = int(bounds[0]), int(bounds[-1])
            products = vector[self.indices[first:last]] * self.data[first:last]
            filled = np.flatnonzero(bounds[1:] > bounds[:-1])
            if len(filled):
                sums[begin + filled] = np.add.reduceat(products, bounds[filled] - first)
        return sums

    def dots(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """(vectors, rows) the products with several vectors (vectors, columns), each as by `dot`."""
        sums = np.zeros((len(vectors), len(self.indptr) - 1))
        filled = np.flatnonzero(self.indptr[1:] > self.indptr[:-1])
        step = max(1, _CHUNK // max(1, len(self.indices)))
        if step == 1:
            for line, vector in zip(sums, vectors, strict=True):
                line[:] = self.dot(vector)
            return sums
        for begin in range(0, len(vectors) if len(filled) else 0, step):
            products = np.take(vectors[begin : begin + step], self.indices, axis=1) * self.data  # brackets would be half as fast
            sums[begin : begin + step, filled] = np.add.reduceat(products, self.indptr[:-1][filled], axis=1)
        return sums

    def _chunks(self) -> Iterator[tuple[int, int]]:
        """Runs of rows with about _CHUNK cells, at least one row each."""
        rows, begin = len(self.indptr) - 1, 0
        while begin < rows:
            end = int(np.searchsorted(self.indptr, int(self.indptr[begin]) + _CHUNK, side="right")) - 1
            end = min(rows, max(begin + 1, end))
            yield begin, end
            begin = end


def open_cells(bundle: Bundle, name: str, *, rows: int, columns: int) -> tuple[NDArray[np.signedinteger], NDArray[np.integer]]:
    """`<name>.indptr` and `<name>.indices` of a bundle: where the cells of each row stand, and their columns.

    Raises models.bundle.BadBundle; the cells are looked through where they were not before.
    """
    indptr = bundle.array(f"{name}.indptr", ndim=1, kinds="i", rows=rows + 1)
    indices = bundle.array(f"{name}.indices", ndim=1, kinds="iu")
    if int(indptr[0]) != 0 or int(indptr[-1]) != len(indices) or (not bundle.is_checked and falls(indptr)):
        raise BadBundle(f"{name} has row bounds out of order")
    for begin in range(0, 0 if bundle.is_checked else len(indices), _CHUNK):
        part = indices[begin : begin + _CHUNK]
        if int(part.min()) < 0 or int(part.max()) >= columns:
            raise BadBundle(f"{name} points outside its {columns} columns")
    return indptr, indices
