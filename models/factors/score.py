"""Top-k by dot product over mapped factor matrices. numpy only; runs in the server.

Covers: scores of users, of liked items (fold-in) and of similar items. Does not cover: ranking (`models.recommender`), how
the arrays came to be (`models.factors.pack`), threads (the caller decides by `cost`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import Id
from models.bundle import BadBundle, Bundle
from models.catalogue import Catalogue
from models.ids import IdTable, falls
from models.recommender import NO_ROWS, Recommender, Rows, Subject

_CHUNK_ROWS = 1 << 14


class FactorScorer(Recommender):
    """Answers from `user_factors` (users x f) and `item_factors` (items x f), float32 or float64. A subject's state is its vector."""

    family = "factors"

    def __init__(self, bundle: Bundle) -> None:
        """Raises models.bundle.BadBundle where the arrays contradict each other."""
        self.details: Mapping[str, Any] = bundle.details
        self._users = bundle.array("user_factors", ndim=2, kinds="f")
        self._items = bundle.array("item_factors", ndim=2, kinds="f")
        if self._users.shape[1] != self._items.shape[1] or not self._users.shape[1]:
            raise BadBundle(f"user factors are {self._users.shape[1]} wide, item factors {self._items.shape[1]}")
        self._user_ids = IdTable("user_ids", bundle, len(self._users))
        self.items: Catalogue = Catalogue(bundle, len(self._items))
        self._seen_starts = self._seen_items = None
        if "seen.indptr" in bundle.arrays:
            self._seen_starts = bundle.array("seen.indptr", ndim=1, kinds="i", rows=len(self._users) + 1)
            self._seen_items = bundle.array("seen.indices", ndim=1, kinds="iu")
            if not bundle.is_checked:
                check_csr(self._seen_starts, self._seen_items, len(self._items))

    def ids_in_words(self) -> Mapping[str, str]:
        return {"users": self._user_ids.in_words(), "items": self.items.in_words()}

    @property
    def knows_seen(self) -> bool:
        return self._seen_starts is not None

    def work(self) -> int:
        return int(self._items.size)

    def user(self, user: Id) -> Subject | None:
        row = self._user_ids.row(user)
        return None if row is None else Subject(self._users[row], self._seen(row))

    def _seen(self, row: int) -> Rows:
        if self._seen_starts is None or self._seen_items is None:
            return NO_ROWS
        seen: Rows = self._seen_items[int(self._seen_starts[row]) : int(self._seen_starts[row + 1])]
        return seen

    def liking(self, rows: Rows) -> Subject:
        raise NotImplementedError

    def item(self, row: int) -> Subject:
        raise NotImplementedError

    def similarities(self, rows: Rows) -> NDArray[np.float64]:
        raise NotImplementedError

    def contributions(self, subject: Subject, rows: Rows) -> NDArray[np.float64]:
        raise NotImplementedError

    def scores(self, subjects: Sequence[Subject]) -> NDArray[Any]:
        if len(subjects) == 1:
            one: NDArray[Any] = self._items @ subjects[0].state
            return one[np.newaxis, :]
        many: NDArray[Any] = np.stack([subject.state for subject in subjects]) @ self._items.T
        return many

    def exact(self, subject: Subject, rows: Rows) -> NDArray[np.float64]:
        return exact_scores(self._items, rows, subject.state.astype(np.float64))

    def slack(self, subject: Subject, rows: Rows) -> float | None:
        user = subject.state.astype(np.float64)
        length = float(np.sqrt(user @ user))
        if not length:
            return None  # nobody interacted yet: every item ties, and the first ones win
        factors = self._items[rows].astype(np.float64)
        return float(2 * len(user) * np.finfo(self._items.dtype).eps * length * np.sqrt((factors * factors).sum(axis=1).max()))


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
