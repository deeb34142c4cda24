"""What trainers make of arrays is what the families read: who saw what, what items are called, and nothing that contradicts itself."""

from __future__ import annotations

import numpy as np
import pytest

from models.base import InvalidQuery, Query
from models.opening import open_scorer_of
from training.dataset.base import Interactions, Items
from training.trainers.bundles import Cells, factors_bundle, neighbours_bundle

from .data import answered, dataset_of, grouped

MATRIX = np.array([[1, 1, 0, 0], [0, 3, 1, 0], [0, 0, 0, 0]], np.float32)
USERS = np.array([[1.0, 0.0], [0.5, 0.5], [0.1, 0.9]], np.float32)
ITEMS = np.array([[0.9, 0.0], [0.5, 0.1], [0.0, 0.7], [np.nan, np.nan]], np.float32)


def cells(matrix: np.ndarray = MATRIX) -> Cells:
    return Cells.of(dataset_of(matrix).interactions, *matrix.shape)


def test_a_pair_that_comes_again_is_one_cell_of_the_sum() -> None:
    users, items = np.array([[2, 0, 2, 2], [1, 3, 1, 0]], np.int32)
    pairs = Interactions(users, items, np.array([1, 2, 0.5, 4], np.float32))
    found = Cells.of(pairs, 4, 5)
    assert found.indptr.tolist() == [0, 1, 1, 3, 3] and found.indptr.dtype == np.int64
    assert found.indices.tolist() == [3, 0, 1] and found.indices.dtype == np.int32
    assert found.weights.tolist() == [2.0, 4.0, 1.5] and found.weights.dtype == np.float32


def test_no_interactions_are_empty_rows() -> None:
    empty = np.empty(0, np.int32)
    found = Cells.of(Interactions(empty, empty, np.empty(0, np.float32)), 2, 0)
    assert found.indptr.tolist() == [0, 0, 0] and not len(found.indices) and not len(found.weights)


def test_factors_answer_without_what_is_seen_and_without_what_has_no_score() -> None:
    bundle = factors_bundle(dataset_of(MATRIX), USERS, ITEMS, seen=cells(), algorithm="als")
    assert answered(bundle, Query(["u0"], 10)) == ([2], [0.0])
    rows, scores = answered(bundle, Query(["u0"], 10, exclude_seen=False))
    assert rows == [0, 1, 2] and scores == pytest.approx([0.9, 0.5, 0.0])
    assert answered(bundle, Query(["u2"], 10))[0] == [2, 1, 0]
    assert answered(bundle, Query(similar_to=1000, k=10))[0] == [1, 2]
    assert answered(bundle, Query(similar_to=1003, k=10)) == ([], [])
    assert bundle.details["algorithm"] == "als" and bundle.details["trained_at"].endswith("Z")
    assert (bundle.details["users"], bundle.details["items"], bundle.details["factors"]) == (3, 4, 2)


def test_weights_are_kept_where_they_are_not_all_one() -> None:
    weighted = factors_bundle(dataset_of(MATRIX), USERS, ITEMS, seen=cells(), algorithm="als")
    plain = factors_bundle(dataset_of(MATRIX), USERS, ITEMS, seen=cells(np.minimum(MATRIX, 1)), algorithm="als")
    assert weighted.arrays["seen.weights"].tolist() == [1, 1, 3, 1] and "seen.weights" not in plain.arrays


def test_items_that_are_not_compared_have_none_that_are_alike() -> None:
    bundle = factors_bundle(dataset_of(MATRIX), USERS, ITEMS, seen=cells(), algorithm="popular", embedding=1, compared=0)
    with pytest.raises(InvalidQuery, match="does not say how alike") as caught:
        answered(bundle, Query(similar_to=1000))
    assert caught.value.field == "item_id"


def test_factors_of_another_number_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 2\).*3 users and 4 items"):
        factors_bundle(dataset_of(MATRIX), USERS[:2], ITEMS, seen=cells(), algorithm="als")
    with pytest.raises(ValueError, match="2 users where there are 3"):
        factors_bundle(dataset_of(MATRIX), USERS, ITEMS, seen=cells(MATRIX[:2]), algorithm="als")


def test_what_is_told_of_items_comes_back_with_answers() -> None:
    items = Items(["a", "b", "c", "d"], [("x",), ("x", "y"), (), ("y",)], {"title": ["A", "B", "C", "D"]})
    bundle = factors_bundle(dataset_of(MATRIX, items), USERS, ITEMS, seen=cells(), algorithm="als")
    assert bundle.details["columns"] == ["title"] and bundle.details["categories"] == 2
    scorer = open_scorer_of(bundle)
    [answer] = scorer.recommend(Query(["u0"], 10, exclude_seen=False, fields=("title",), categories=("y",)))  # type: ignore[attr-defined]
    assert list(answer.columns["title"]) == ["B"]
    untold = factors_bundle(dataset_of(MATRIX, Items(["a"] * 4, [()] * 4)), USERS, ITEMS, seen=cells(), algorithm="als")
    assert "categories" not in untold.details


def test_neighbours_with_and_without_users() -> None:
    alike = grouped(4, 4, 2)
    known = neighbours_bundle(dataset_of(MATRIX), "similarity", {"similarity": alike}, liked="sum", seen=cells(), algorithm="ease")
    rows, scores = answered(known, Query(["u1"], 4, exclude_seen=False))
    assert scores == sorted(MATRIX[1] @ alike, reverse=True) and rows[0] == int(np.argmax(MATRIX[1] @ alike))
    unknown = neighbours_bundle(dataset_of(MATRIX), "similarity", {"similarity": alike}, liked="mean", seen=None, algorithm="x")
    assert "user_ids" not in unknown.meta and "users" not in unknown.details
    with pytest.raises(InvalidQuery):
        answered(unknown, Query(["u1"]))
