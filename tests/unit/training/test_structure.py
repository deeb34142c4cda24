"""The planted structure is there, hidden from a popularity list, and found by both models on interactions they never saw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from training.planted import FIRST_AT, SPAN_S, Planted, plant
from training.recommenders import als_regularization, fit_als, fit_bpr

K = 10


@pytest.fixture(scope="module")
def planted() -> Planted:
    return plant(users=800, items=400, likes_per_user=25, seed=3)


@pytest.fixture(scope="module")
def split(planted: Planted) -> tuple[Any, Any]:
    """Train and holdout matrices; the holdout is the last fifth of the time."""
    is_held_out = np.arange(len(planted.users)) >= len(planted.users) * 4 // 5

    def matrix(rows: Any) -> Any:
        cells = (planted.weights[rows], (planted.users[rows], planted.items[rows]))
        return scipy.sparse.csr_matrix(cells, shape=(800, 400))

    return matrix(~is_held_out), matrix(is_held_out)


def precision(top: Any, held_out: Any) -> float:
    return float(np.mean([np.isin(row, held_out[user].indices).mean() for user, row in enumerate(top)]))


def in_own_groups(top: Any, planted: Planted) -> float:
    return float((planted.item_group[top][:, :, None] == planted.user_groups[:, None, :]).any(axis=2).mean())


def popular(train: Any) -> Any:
    likes = np.asarray((train > 0).sum(axis=0)).ravel()
    return np.argsort(-np.where(train.toarray() > 0, -1, likes), axis=1, kind="stable")[:, :K]


@pytest.mark.parametrize("fit", [fit_als, fit_bpr])
def test_models_find_what_was_planted(planted: Planted, split: tuple[Any, Any], fit: Callable[..., Any]) -> None:
    train, held_out = split
    model = fit(train, lambda *_: None)
    top, _ = model.recommend(np.arange(800), train, N=K)
    assert precision(top, held_out) > 3 * precision(popular(train), held_out)
    assert in_own_groups(top, planted) > 0.9
    assert in_own_groups(popular(train), planted) < 0.2


def test_interactions_are_unique_in_time_order_and_repeatable(planted: Planted) -> None:
    pairs = planted.users * 400 + planted.items
    assert len(np.unique(pairs)) == len(pairs)
    assert (np.diff(planted.timestamps) >= 0).all()
    assert planted.timestamps.min() >= FIRST_AT
    assert planted.timestamps.max() < FIRST_AT + SPAN_S
    assert np.bincount(planted.users).min() >= 8
    assert len(set(planted.titles)) == 400
    assert all(category in title for title, category in zip(planted.titles, planted.categories, strict=True))
    again, other = plant(users=800, items=400, likes_per_user=25, seed=3), plant(users=800, items=400, likes_per_user=25, seed=4)
    assert (again.items == planted.items).all()
    assert (again.weights == planted.weights).all()
    assert not np.array_equal(other.items, planted.items)


def test_regularization_grows_with_the_data() -> None:
    sparse = scipy.sparse.csr_matrix(np.eye(10, dtype=np.float32))
    assert als_regularization(sparse) == 0.5
    assert als_regularization(scipy.sparse.csr_matrix(np.ones((10, 40), dtype=np.float32))) == 20.0
