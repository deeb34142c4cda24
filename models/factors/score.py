"""Top-k by dot product over mapped factor matrices. numpy only; runs in the server.

Covers: ranking for one user and for many, excluding seen and named items. Does not cover: how the arrays came to be
(`models.factors.pack`), threads (the caller decides by `cost`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import InvalidQuery, Query, Ranking, UnknownEntity
from models.bundle import BadBundle, Bundle
from models.ids import IdTable, falls

_CHUNK_SCORES = 4 << 20
"""Scores computed at once for a batch: bounds its private memory to 16 MiB of float32."""
_PER_ID = 5_000
"""Multiply-adds that take as long as looking one id up, or naming one in an answer."""
_CHUNK_ROWS = 1 << 14
_MARGIN = 16
"""Candidates beyond k that are re-scored exactly, so that the order does not depend on how the product was blocked."""


class FactorScorer:
    """Answers from `user_factors` (users x f) and `item_factors` (items x f), float32 or float64. Thread-safe: only reads."""

    family = "factors"

    def __init__(self, bundle: Bundle) -> None:
        """Raises models.bundle.BadBundle where the arrays contradict each other."""
        self.details: Mapping[str, Any] = bundle.details
        self._users = bundle.array("user_factors", ndim=2, kinds="f")
        self._items = bundle.array("item_factors", ndim=2, kinds="f")
        if self._users.shape[1] != self._items.shape[1] or not self._users.shape[1]:
            raise BadBundle(f"user factors are {self._users.shape[1]} wide, item factors {self._items.shape[1]}")
        self._user_ids = IdTable("user_ids", bundle, len(self._users))
        self._item_ids = IdTable("item_ids", bundle, len(self._items))
        self._seen_starts = self._seen_items = None
        if "seen.indptr" in bundle.arrays:
            self._seen_starts = bundle.array("seen.indptr", ndim=1, kinds="i", rows=len(self._users) + 1)
            self._seen_items = bundle.array("seen.indices", ndim=1, kinds="iu")
            if not bundle.is_checked:
                check_csr(self._seen_starts, self._seen_items, len(self._items))

    def ids_in_words(self) -> Mapping[str, str]:
        return {"users": self._user_ids.in_words(), "items": self._item_ids.in_words()}

    def cost(self, query: Query) -> int:
        return len(query.users) * (int(self._items.size) + _PER_ID * min(query.k, len(self._items))) + _PER_ID * len(query.exclude)

    def recommend(self, query: Query) -> list[Ranking | UnknownEntity]:
        if query.fields:
            raise InvalidQuery("fields", "this model keeps no item columns")
        if query.exclude_seen and self._seen_starts is None:
            raise InvalidQuery("exclude_seen", "this model does not know which items a user has seen")
        is_batch = len(query.users) != 1
        rows = [self._user_ids.row(user) for user in query.users]
        known = [(at, row) for at, row in enumerate(rows) if row is not None]
        answers: list[Ranking | UnknownEntity] = [
            UnknownEntity(f"users[{at}]" if is_batch else "user_id", f"user {user!r} is not in the model")
            for at, user in enumerate(query.users)
        ]
        excluded = np.array(self._item_ids.rows(query.exclude), np.int64)
        step = max(1, _CHUNK_SCORES // max(1, len(self._items)))
        with np.errstate(all="ignore"):  # factors that are no numbers give scores that are none, and those are left out
            for begin in range(0, len(known), step):
                chunk = known[begin : begin + step]
                scores = self._scores([row for _, row in chunk])
                for (at, row), line in zip(chunk, scores, strict=True):
                    answers[at] = self._rank(query, at, row, line, excluded)
        return answers

    def _scores(self, rows: list[int]) -> NDArray[Any]:
        if len(rows) == 1:
            one: NDArray[Any] = self._items @ self._users[rows[0]]
            return one[np.newaxis, :]
        many: NDArray[Any] = self._users[rows] @ self._items.T
        return many

    def _rank(self, query: Query, at: int, row: int, scores: NDArray[Any], excluded: NDArray[Any]) -> Ranking:
        if query.exclude_seen is not False and self._seen_starts is not None and self._seen_items is not None:
            seen = self._seen_items[int(self._seen_starts[row]) : int(self._seen_starts[row + 1])]
            scores[seen] = -np.inf
        if len(excluded):
            scores[excluded] = -np.inf
        user = self._users[row].astype(np.float64)
        rows = self._contenders(scores, query.k, user)
        exact = exact_scores(self._items, rows, user)
        is_score = np.isfinite(exact)  # summed in another order, a sum at the edge of float64 may overflow after all
        rows, exact = rows[is_score], exact[is_score]
        order = np.argsort(-exact, kind="stable")[: query.k]
        return Ranking(query.users[at], self._item_ids.ids(rows[order]), exact[order].tolist())

    def _contenders(self, scores: NDArray[Any], k: int, user: NDArray[Any]) -> NDArray[Any]:
        """Rows, ascending, of the k best and of all that tie with them, for all that the product's rounding can tell."""
        scores[~np.isfinite(scores)] = -np.inf
        wanted = k + _MARGIN
        length = float(np.sqrt(user @ user))
        if wanted >= len(scores) or not length:
            # Every item ties for a user without a single factor (nobody interacted yet): the first ones win.
            return np.flatnonzero(scores > -np.inf)[: None if length else k]
        best = np.argpartition(scores, len(scores) - wanted)[len(scores) - wanted :]
        best = best[scores[best] > -np.inf]
        if len(best) < wanted:
            return np.sort(best)
        factors = self._items[best].astype(np.float64)
        slack = 2 * len(user) * np.finfo(scores.dtype).eps * length * float(np.sqrt((factors * factors).sum(axis=1).max()))
        lowest = scores[best].min() - (slack if np.isfinite(slack) else 0.0)
        return np.flatnonzero(scores >= lowest)


def exact_scores(items: NDArray[Any], rows: NDArray[Any], user: NDArray[Any]) -> NDArray[Any]:
    """Scores of some rows in float64, each summed by itself: BLAS rounds a row by where it stands among the others."""
    exact = np.empty(len(rows))
    for begin in range(0, len(rows), _CHUNK_ROWS):
        some = rows[begin : begin + _CHUNK_ROWS]
        exact[begin : begin + _CHUNK_ROWS] = (items[some].astype(np.float64) * user).sum(axis=1)
    return exact


def check_csr(indptr: NDArray[Any], indices: NDArray[Any], columns: int) -> None:
    """Raises BadBundle unless indptr rises from 0 to len(indices) and every index is a column."""
    if int(indptr[0]) != 0 or int(indptr[-1]) != len(indices) or falls(indptr):
        raise BadBundle("seen items have row bounds out of order")
    for begin in range(0, len(indices), 1 << 20):
        part = indices[begin : begin + (1 << 20)]
        if int(part.min()) < 0 or int(part.max()) >= columns:
            raise BadBundle("seen items point outside the catalogue")


def open_scorer(bundle: Bundle) -> FactorScorer:
    """The scorer of a bundle of this family. Raises models.bundle.BadBundle."""
    return FactorScorer(bundle)


def warm(scorer: FactorScorer) -> dict[str, Any]:
    """Score 64 users x 4,096 items, evenly spread: {"score_range": {"min","p50","p99","max"}}. Raises BadBundle if none is finite."""
    users, items = scorer._users, scorer._items
    some_users, some_items = users[_spread(len(users), 64)], items[_spread(len(items), 4096)]
    scores = (some_users @ some_items.T).ravel()
    finite = scores[np.isfinite(scores)]
    if not len(finite):
        if len(scores):
            raise BadBundle("the factors give no finite score")
        return {"score_range": None}
    ranked = np.sort(finite)  # not np.percentile: it imports modules, and by now the child can open no file
    at = {"min": 0.0, "p50": 0.5, "p99": 0.99, "max": 1.0}
    return {"score_range": {name: float(ranked[round(share * (len(ranked) - 1))]) for name, share in at.items()}}


def _spread(rows: int, most: int) -> NDArray[Any]:
    """At most `most` row numbers, evenly spread over all."""
    return np.arange(0, rows, max(1, -(-rows // most)))
