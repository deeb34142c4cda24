"""Fitted implicit models, bare and in the ALS dict, and implicit's own answers.

Rows of users and items are 0..n-1; the dicts say which ids they are. Cached: do not change what is returned.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from tests.artifacts.ids import make_ids

USERS, ITEMS, FACTORS = 60, 45, 8
TRAINED_AT = "2026-03-04T05:06:07Z"

# Else tqdm, inside implicit, makes a semaphore shared between processes at its first bar and keeps it.
tqdm.set_lock(threading.RLock())


class Top(NamedTuple):
    """One user's answer, best first: rows of items and their scores."""

    items: list[int]
    scores: list[float]


@cache
def interactions(users: int = USERS, items: int = ITEMS, seed: int = 1) -> Any:
    """A CSR matrix, float32, of weights 1-5; one cell in six, every user and item has at least one."""
    rng = np.random.default_rng(seed)
    cells = rng.random((users, items)) < 1 / 6
    cells[np.arange(users), np.arange(users) % items] = True
    cells[np.arange(items) % users, np.arange(items)] = True
    return scipy.sparse.csr_matrix(np.where(cells, rng.integers(1, 6, (users, items)), 0).astype(np.float32))


@cache
def bare_als(users: int = USERS, items: int = ITEMS, factors: int = FACTORS, dtype: str = "float32") -> Any:
    """implicit.cpu.als.AlternatingLeastSquares, float32 or float64."""
    from implicit.cpu.als import AlternatingLeastSquares

    return _fit(AlternatingLeastSquares, users, items, factors=factors, regularization=2.0, alpha=8.0, iterations=4, dtype=np.dtype(dtype))


@cache
def bare_bpr(users: int = USERS, items: int = ITEMS, factors: int = FACTORS) -> Any:
    """implicit.cpu.bpr.BayesianPersonalizedRanking; its last column is the item bias."""
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    return _fit(BayesianPersonalizedRanking, users, items, factors=factors, iterations=20)


@cache
def bare_lmf(users: int = USERS, items: int = ITEMS, factors: int = FACTORS) -> Any:
    """implicit.cpu.lmf.LogisticMatrixFactorization; its last two columns are the biases."""
    from implicit.cpu.lmf import LogisticMatrixFactorization

    return _fit(LogisticMatrixFactorization, users, items, factors=factors, iterations=10)


BARE = {"als": bare_als, "bpr": bare_bpr, "lmf": bare_lmf}


def _fit(recommender: Any, users: int, items: int, **parameters: Any) -> Any:
    with threadpool_limits(1, "blas"):
        model = recommender(**parameters, num_threads=1, random_state=1)
        model.fit(interactions(users, items), show_progress=False)
    return model


def als_dict(
    ids: str = "int",
    *,
    model: Any = None,
    users: int = USERS,
    items: int = ITEMS,
    seen: bool = True,
    reverse_maps: bool = True,
    is_trained: bool | None = True,
) -> dict[str, Any]:
    """The ALS dict. `ids` is a kind of `make_ids`; `model` is any bare model of that many users and items, else ALS.

    Without `seen` it has no user_item_matrix, without `reverse_maps` no idx_to_*, with `is_trained=None` neither
    is_trained nor trained_at: what remains are the three keys every such dict has.
    """
    user_ids, item_ids = make_ids(ids, users), make_ids(ids, items, first=500)
    artifact: dict[str, Any] = {
        "model": bare_als(users, items) if model is None else model,
        "user_id_map": {id: row for row, id in enumerate(user_ids)},
        "item_id_map": {id: row for row, id in enumerate(item_ids)},
    }
    if reverse_maps:
        artifact |= {"idx_to_user": dict(enumerate(user_ids)), "idx_to_item": dict(enumerate(item_ids))}
    if seen:
        artifact["user_item_matrix"] = interactions(users, items)
    if is_trained is not None:
        artifact |= {"trained_at": TRAINED_AT, "is_trained": is_trained}
    return artifact


def factor_arrays(ids: str = "none", *, users: int = USERS, items: int = ITEMS, dtype: str = "float32") -> dict[str, Any]:
    """user_factors and item_factors of the ALS model as plain arrays; with int or str ids user_ids and item_ids too."""
    model = bare_als(users, items)
    arrays = {"user_factors": np.array(model.user_factors, dtype), "item_factors": np.array(model.item_factors, dtype)}
    if ids != "none":
        arrays |= {"user_ids": np.array(make_ids(ids, users)), "item_ids": np.array(make_ids(ids, items, first=500))}
    return arrays


def expected_recommend(model: Any, users: list[int], k: int, user_items: Any = None) -> list[Top]:
    """implicit's own `recommend` for rows `users`; with `user_items` (all users' rows) without what they have seen.

    implicit fills up with items at the lowest float when fewer than `k` remain; those are dropped.
    """
    rows = np.asarray(users)
    liked = None if user_items is None else user_items[rows]
    with threadpool_limits(1, "blas"):
        items, scores = model.recommend(rows, liked, N=k, filter_already_liked_items=liked is not None)
    keep = scores > -1e30
    return [Top(items[row][keep[row]].tolist(), scores[row][keep[row]].tolist()) for row in range(len(rows))]
