"""Sparse matrices by rows: as they are read from records and as they are scored, both compared with scipy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from models.bundle import BadBundle, Bundle
from models.recommender_records import Csr, seen_items, sparse_matrix
from models.sparse import Sparse, open_cells

from .in_memory import records_of


@st.composite
def matrices(draw: st.DrawFn) -> Any:
    """scipy CSR of any shape, many empty rows among them."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    shape = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    return scipy.sparse.csr_matrix(np.where(rng.random(shape) < draw(st.sampled_from([0.0, 0.1, 0.6])), rng.normal(size=shape), 0))


def opened(matrix: Any) -> Sparse:
    arrays = {"m.indptr": matrix.indptr, "m.indices": matrix.indices, "m.data": matrix.data}
    return Sparse.open(Bundle("neighbours", arrays), "m", rows=matrix.shape[0], columns=matrix.shape[1])


@given(matrix=matrices(), chunk=st.integers(1, 20), data=st.data())
@settings(deadline=None)
def test_products_and_chosen_rows(matrix: Any, chunk: int, data: st.DataObject) -> None:
    sparse, vector = opened(matrix), np.arange(1.0, matrix.shape[1] + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.sparse._CHUNK", chunk)
        found = sparse.dot(vector)
        np.testing.assert_allclose(found, matrix @ vector, atol=1e-12)
        vectors = np.random.default_rng(chunk).normal(size=(data.draw(st.integers(0, 5)), matrix.shape[1]))
        together = sparse.dots(vectors)
        assert together.shape == (len(vectors), matrix.shape[0])
        assert together.tolist() == [sparse.dot(each).tolist() for each in vectors]  # to the bit, too
        rows = np.array(data.draw(st.lists(st.integers(0, matrix.shape[0] - 1), max_size=9)), np.int64)
        some = sparse.take(rows)
        assert some.dot(vector).tolist() == found[rows].tolist()  # to the bit: a row is summed by itself
    for at, row in enumerate(rows.tolist()):
        columns, values = some.row(at)
        assert dict(zip(columns.tolist(), values.tolist(), strict=True)) == dict(
            zip(matrix[row].indices.tolist(), matrix[row].data.tolist(), strict=True)
        )


def cells_of(indptr: Any, indices: Any, *, is_checked: bool = False) -> Any:
    bundle = Bundle("factors", {"m.indptr": indptr, "m.indices": indices}, is_checked=is_checked)
    return open_cells(bundle, "m", rows=len(indptr) - 1, columns=5)


@pytest.mark.parametrize("bounds", [[0, 2, 1, 4], [1, 1, 2, 4], [0, 1, 2, 3], [0, 1, 2, 5]])
def test_row_bounds_out_of_order(bounds: list[int]) -> None:
    with pytest.raises(BadBundle, match="out of order"):
        cells_of(np.array(bounds), np.zeros(4, "i4"))


@pytest.mark.parametrize("dtype", ["i1", "i8"])
def test_row_bounds_that_fall_so_far_that_their_difference_wraps(dtype: str) -> None:
    bounds = {"i1": [0, 100, -100, 4], "i8": [0, 2**62, -(2**62) - 1, 4]}[dtype]
    with pytest.raises(BadBundle, match="out of order"):
        cells_of(np.array(bounds, dtype), np.zeros(4, "i4"))


@pytest.mark.parametrize("column", [-1, 5])
def test_a_column_that_is_not_there(column: int) -> None:
    with pytest.raises(BadBundle, match="outside its 5 columns"):
        cells_of(np.array([0, 1, 2]), np.array([4, column]))


def test_no_cells_at_all_and_cells_that_were_looked_through_before() -> None:
    assert len(cells_of(np.zeros(4, "i8"), np.zeros(0, "i4"))[1]) == 0
    with pytest.raises(BadBundle, match="out of order"):  # this much costs nothing
        cells_of(np.array([0, 1, 2]), np.zeros(1, "i4"), is_checked=True)


def scipy_of(csr: Csr) -> Any:
    assert csr.data is not None
    return scipy.sparse.csr_matrix((csr.data, csr.indices, csr.indptr), csr.shape)


@given(matrix=matrices(), seed=st.integers(0, 100))
@settings(deadline=None)
def test_forms_that_scipy_has(matrix: Any, seed: int) -> None:
    for form in (matrix, matrix.tocsc(), matrix.tocoo(), scipy.sparse.csc_array(matrix)):
        read = sparse_matrix(records_of(form), "m", with_data=True)
        assert (scipy_of(read) != matrix).nnz == 0 and (scipy_of(read.transposed) != matrix.T).nnz == 0
    shuffled = Csr(matrix.indptr, matrix.indices.copy(), matrix.data.copy(), matrix.shape)
    rng = np.random.default_rng(seed)
    for begin, end in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True):
        order = rng.permutation(end - begin)
        shuffled.indices[begin:end], shuffled.data[begin:end] = shuffled.indices[begin:end][order], shuffled.data[begin:end][order]  # type: ignore[index]
    again = shuffled.ascending()
    assert again.is_ascending and again.indices.tolist() == matrix.indices.tolist() and (scipy_of(again) != matrix).nnz == 0


def test_cells_that_repeat_stay_once() -> None:
    twice = Csr(np.array([0, 3, 3, 5]), np.array([2, 0, 2, 1, 1]), np.array([1.0, 2.0, 3.0, 4.0, 5.0]), (3, 3))
    assert not twice.is_ascending
    once = twice.ascending()
    assert (once.indptr.tolist(), once.indices.tolist()) == ([0, 2, 2, 3], [0, 2, 1])
    assert once.data is not None and once.data.tolist() == [2.0, 3.0, 5.0]


def test_a_square_matrix_is_users_by_items() -> None:
    square = scipy.sparse.csr_matrix(np.triu(np.ones((4, 4))))
    for form in (square, square.tocsc(), square.toarray()):
        found = seen_items(records_of(form), 4, 4)
        assert found is not None and found.indptr.tolist() == [0, 4, 7, 9, 10]
    assert seen_items(records_of(square), 4, 5) is None
    wide = scipy.sparse.csr_matrix(np.triu(np.ones((3, 5))))
    for form in (wide, wide.T.tocsr(), wide.tocsc(), wide.T.tocsc(), wide.toarray(), wide.T.toarray()):
        found = seen_items(records_of(form), 3, 5, with_data=True)
        assert found is not None and (scipy_of(found) != wide).nnz == 0 and found.is_ascending
