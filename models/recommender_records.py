"""What recommenders' artifacts have in common, read from records: id maps, sparse matrices, who saw what. Child only.

Covers: dicts id -> row (or row -> id), lists, arrays and LabelEncoders as ids of rows; scipy CSR, CSC and COO, dense arrays and
pivot tables as interactions; the id tables of a bundle. Does not cover: item columns (`models.frames`), what a family makes of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.ids import UnsupportedId, falls, pack_ids
from models.packing import PackError, numeric
from models.records import Array, Record, is_record

_COMPRESSED = ("csr_matrix", "csr_array", "csc_matrix", "csc_array")
_COORDINATES = ("coo_matrix", "coo_array")


def require(root: dict[Any, Any], keys: tuple[str, ...]) -> None:
    """Raises PackError(missing_keys), which lists every key that is not in `root`."""
    missing = [key for key in keys if key not in root]
    if missing:
        raise PackError(
            "missing_keys", f"the artifact lacks {', '.join(missing)}", missing=missing, found=sorted(str(key) for key in root)[:100]
        )


def first(root: dict[Any, Any], *keys: str) -> Any:
    """The value of the first of these keys that has one, else None."""
    return next((root[key] for key in keys if root.get(key) is not None), None)


# -- ids ----------------------------------------------------------------------------------------------------------------


def id_count(encoder: Any) -> int | None:
    """How many ids an encoder holds; None where that cannot be said."""
    if is_record(encoder, "LabelEncoder"):
        encoder = encoder.attributes.get("classes_")
    if isinstance(encoder, Array):
        return int(np.prod(encoder.shape))
    return len(encoder) if isinstance(encoder, (dict, list, tuple)) else None


def row_ids(encoder: Any, decoder: Any, rows: int, what: str) -> list[Any] | NDArray[Any] | None:
    """The id of each row, from a dict id -> row (or row -> id), a list or array in row order, or a LabelEncoder; None for no ids at all.

    Raises PackError(corrupt_artifact) where a row has no id.
    """
    if encoder is None and decoder is None:
        return None
    if is_record(encoder, "LabelEncoder"):
        encoder = encoder.attributes.get("classes_")
    if isinstance(encoder, Array):
        encoder = encoder.values if encoder.values is not None and encoder.values.dtype.kind in "iu" else encoder.to_list()
    if isinstance(encoder, (list, tuple, np.ndarray)):
        table: list[Any] | NDArray[Any] = list(encoder) if isinstance(encoder, tuple) else encoder
        if len(table) != rows:
            raise PackError("corrupt_artifact", f"{what} names {len(table)} ids for {rows} rows")
        return table
    if isinstance(encoder, dict) and _are_rows(encoder.values(), rows):
        return _by_row(zip(encoder.values(), encoder.keys(), strict=True), rows, what)
    for pairs in (decoder, encoder):
        if isinstance(pairs, dict) and _are_rows(pairs.keys(), rows):
            return _by_row(pairs.items(), rows, what)
        if isinstance(pairs, (list, tuple)) and len(pairs) == rows:
            return list(pairs)
    raise PackError("corrupt_artifact", f"{what} does not map ids to the {rows} rows of the model")


def _are_rows(values: Any, rows: int) -> bool:
    return all(isinstance(value, int) and not isinstance(value, bool) and 0 <= value < rows for value in values)


def _by_row(pairs: Any, rows: int, what: str) -> list[Any]:
    table: list[Any] = [None] * rows
    for row, id in pairs:
        table[row] = id
    missing = sum(id is None for id in table)
    if missing:
        raise PackError("corrupt_artifact", f"{what} leaves {missing} of {rows} rows without an id")
    return table


def pack_row_ids(name: str, ids: Any, rows: int) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """As `models.ids.pack_ids`; without ids the row numbers are the ids. Raises PackError (unknown_format, corrupt_artifact)."""
    try:
        return pack_ids(name, np.arange(rows) if ids is None else ids)
    except UnsupportedId as error:
        raise PackError("unknown_format", f"{name}: {error}") from error
    except ValueError as error:
        raise PackError("corrupt_artifact", f"{name}: {error}") from error


# -- matrices -----------------------------------------------------------------------------------------------------------


class Csr(NamedTuple):
    """A sparse matrix by rows, checked: `indptr` rises from 0 to len(indices), every index is a column."""

    indptr: NDArray[Any]
    indices: NDArray[Any]
    data: NDArray[Any] | None
    shape: tuple[int, int]

    @property
    def transposed(self) -> Csr:
        """The same cells by columns, each in the order of its rows. A stable sort: O(cells log cells), two integers a cell."""
        rows, columns = self.shape
        majors = np.repeat(np.arange(rows, dtype=np.int32 if rows < 1 << 31 else np.int64), np.diff(self.indptr))
        order = np.argsort(self.indices, kind="stable")
        indptr = np.concatenate(([0], np.cumsum(np.bincount(self.indices, minlength=columns)))).astype(np.int64)
        return Csr(indptr, majors[order], None if self.data is None else self.data[order], (columns, rows))

    @property
    def is_ascending(self) -> bool:
        """Whether the columns of each row ascend and are distinct. A slice at a time: the matrix may be larger than the memory cap."""
        is_start = np.zeros(len(self.indices) + 1, np.bool_)
        is_start[self.indptr] = True
        for begin in range(0, len(self.indices) - 1, 1 << 20):
            part = self.indices[begin : begin + (1 << 20) + 1]
            if not bool(((part[1:] > part[:-1]) | is_start[begin + 1 : begin + len(part)]).all()):
                return False
        return True

    def ascending(self) -> Csr:
        """With the columns of each row ascending and distinct (the last value of a repeated cell stays)."""
        if self.is_ascending:
            return self
        majors = np.repeat(np.arange(self.shape[0], dtype=np.int32 if self.shape[0] < 1 << 31 else np.int64), np.diff(self.indptr))
        order = np.lexsort((self.indices, majors))
        majors, indices = majors[order], self.indices[order]
        stays = np.append((indices[1:] != indices[:-1]) | (majors[1:] != majors[:-1]), True)
        indptr = np.concatenate(([0], np.cumsum(np.bincount(majors[stays], minlength=self.shape[0])))).astype(np.int64)
        return Csr(indptr, indices[stays], None if self.data is None else self.data[order][stays], self.shape)


def is_sparse(matrix: Any) -> bool:
    """Whether it is a record of a scipy CSR, CSC or COO matrix."""
    return isinstance(matrix, Record) and matrix.name in _COMPRESSED + _COORDINATES


def matrix_shape(matrix: Any) -> tuple[int, int] | None:
    """Rows and columns of a matrix whose filled cells can be read: scipy CSR, CSC or COO, dense, a DataFrame of numbers; else None."""
    if is_sparse(matrix):
        shape = matrix.attributes.get("_shape", matrix.attributes.get("shape"))
        is_shape = isinstance(shape, tuple) and len(shape) == 2 and all(type(n) is int and n >= 0 for n in shape)
        return shape if is_shape else None
    dense = dense_matrix(matrix)
    return None if dense is None else (dense.shape[0], dense.shape[1])


def dense_matrix(matrix: Any) -> NDArray[Any] | None:
    """The values of a dense matrix or of a DataFrame of one kind of number; None for anything else."""
    values = _frame_values(matrix) if is_record(matrix, "DataFrame") else matrix
    array = values.values if isinstance(values, Array) else None
    return array if array is not None and array.ndim == 2 and array.dtype.kind in "biuf" else None


def _frame_values(frame: Record) -> Array | None:
    """The values of a DataFrame of one kind of number, as a pivot table is (pandas 1.3 to 3); None for any other."""
    manager = frame.attributes.get("_mgr")
    blocks = manager.args[0] if isinstance(manager, Record) and manager.args else None
    if not (isinstance(blocks, tuple) and len(blocks) == 1 and isinstance(blocks[0], Record) and blocks[0].args):
        return None
    values = blocks[0].args[0]
    return Array(values.values.T) if isinstance(values, Array) and values.values is not None and values.values.ndim == 2 else None


def sparse_matrix(matrix: Record, what: str, *, with_data: bool) -> Csr:
    """A scipy CSR, CSC or COO record, by rows; its data only where asked for. Raises PackError(corrupt_artifact)."""
    found, by_row = _compressed(matrix, what, with_data)
    return found if by_row else found.transposed


def _compressed(matrix: Record, what: str, with_data: bool) -> tuple[Csr, bool]:
    """The cells along the axis they are compressed by, and whether that is the rows (CSR, COO); of CSC this is the transpose."""
    if matrix.name in _COORDINATES:
        return _coordinates(matrix, what, with_data), True
    state, shape = matrix.attributes, matrix_shape(matrix)
    if shape is None or not {"indptr", "indices"} <= set(state):
        raise PackError("corrupt_artifact", f"{what} is a sparse matrix without its indices")
    by_row = matrix.name.startswith("csr")
    major, minor = shape if by_row else shape[::-1]
    indptr, indices = numeric(state["indptr"], f"{what}.indptr", ndim=1), numeric(state["indices"], f"{what}.indices", ndim=1)
    if indptr.dtype.kind not in "iu" or indices.dtype.kind not in "iu":
        raise PackError("corrupt_artifact", f"{what} has indices that are no integers")
    if len(indptr) != major + 1 or int(indptr[0]) != 0 or int(indptr[-1]) > len(indices) or falls(indptr):
        raise PackError("corrupt_artifact", f"{what} has row bounds out of order")
    indices = indices[: int(indptr[-1])]
    if indices.dtype == np.uint64:  # numpy counts none of them
        indices = indices.astype(np.int64)
    if len(indices) and (int(indices.min()) < 0 or int(indices.max()) >= minor):
        raise PackError("corrupt_artifact", f"{what} points outside its columns")
    data = None
    if with_data:
        data = numeric(state.get("data"), f"{what}.data", ndim=1)[: len(indices)]
        if len(data) != len(indices):
            raise PackError("corrupt_artifact", f"{what} has {len(data)} values for {len(indices)} cells")
    return Csr(indptr, indices, data, (major, minor)), by_row


def _coordinates(matrix: Record, what: str, with_data: bool) -> Csr:
    """A COO record by rows, in a stable order. `coords` since scipy 1.13, `row` and `col` before."""
    state, shape = matrix.attributes, matrix_shape(matrix)
    coords = state.get("coords", (state.get("row"), state.get("col")))
    if shape is None or not (isinstance(coords, tuple) and len(coords) == 2):
        raise PackError("corrupt_artifact", f"{what} is a sparse matrix without its coordinates")
    rows, columns = (numeric(part, f"{what}.{name}", ndim=1) for part, name in zip(coords, ("row", "col"), strict=True))
    for part, most in ((rows, shape[0]), (columns, shape[1])):
        if part.dtype.kind not in "iu" or len(part) != len(rows):
            raise PackError("corrupt_artifact", f"{what} has coordinates that are no pairs of integers")
        if len(part) and (int(part.min()) < 0 or int(part.max()) >= most):
            raise PackError("corrupt_artifact", f"{what} points outside its {shape[0]} x {shape[1]} cells")
    rows = rows.astype(np.int64, copy=False)  # numpy counts no unsigned 64-bit numbers
    data = numeric(state.get("data"), f"{what}.data", ndim=1) if with_data else None
    if data is not None and len(data) != len(rows):
        raise PackError("corrupt_artifact", f"{what} has {len(data)} values for {len(rows)} cells")
    order = np.argsort(rows, kind="stable")
    indptr = np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=shape[0])))).astype(np.int64)
    return Csr(indptr, columns[order], None if data is None else data[order], shape)


def seen_items(matrix: Any, users: int, items: int, *, with_data: bool = False) -> Csr | None:
    """The filled cells of a matrix of users x items or of its transpose, ascending; None where it has another shape.

    A square matrix is users x items. Raises PackError(corrupt_artifact) for a sparse matrix that contradicts itself.
    """
    if matrix_shape(matrix) not in ((users, items), (items, users)):
        return None
    dense = dense_matrix(matrix)
    if dense is not None:
        return dense_cells(dense if dense.shape == (users, items) else dense.T, with_data=with_data)
    sparse, by_row = _compressed(matrix, "user_item_matrix", with_data)
    by_user = by_row == (matrix_shape(matrix) == (users, items))
    return (sparse if by_user else sparse.transposed).ascending()


def dense_cells(matrix: NDArray[Any], *, with_data: bool = False) -> Csr:
    """The cells of a dense matrix that are neither 0 nor NaN, a slice of rows at a time."""
    step = max(1, (8 << 20) // max(1, matrix.shape[1]))
    counts, columns, data = [np.zeros(1, np.int64)], [np.zeros(0, np.int32)], [np.zeros(0, matrix.dtype)]
    for begin in range(0, len(matrix), step):
        part = matrix[begin : begin + step]
        rows, cols = np.nonzero((part != 0) & (part == part))  # NaN is how a pivot table writes nothing
        counts.append(np.bincount(rows, minlength=len(part)))
        columns.append(cols.astype(np.int32))
        if with_data:
            data.append(part[rows, cols])
    shape = (matrix.shape[0], matrix.shape[1])
    return Csr(np.cumsum(np.concatenate(counts)), np.concatenate(columns), np.concatenate(data) if with_data else None, shape)
