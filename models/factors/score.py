"""Top-k by dot product over mapped factor matrices. numpy only; runs in the server.

Covers: scores of users, of liked items (`models.factors.fold_in` makes their vector) and of similar items, explanations.
Does not cover: ranking (`models.recommender`), how the arrays came to be (`models.factors.pack`), threads (the caller
decides by `cost`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import sampling
from models.base import Id, InvalidQuery, Query
from models.bundle import BadBundle, Bundle
from models.catalogue import Catalogue
from models.confidence import weighting_of
from models.ids import IdTable
from models.recent import Additions
from models.recommender import NO_ROWS, Rows, Subject
from models.sparse import open_cells
from models.tabled import TabledRecommender

from .fold_in import Known, open_fold_in, united
from .solving import unit

_CHUNK_ROWS = 1 << 14


@dataclass(frozen=True, slots=True)
class Aim:
    """A subject's state. vector: (f,) in the items' dtype, or of the columns that are compared where `is_cosine`.

    is_cosine: scores are divided by the items' lengths; the vector is of length 1 (or 0). weights: of the history, None: 1 each.
    """

    vector: NDArray[Any]
    is_cosine: bool = False
    weights: NDArray[Any] | None = None


class FactorScorer(TabledRecommender):
    """Answers from `item_factors` (items x f) and, where the model has users, `user_factors` (users x f), float32 or float64.

    `item_norms` (items,) are the lengths of the first `meta["widths"]["compared"]` columns, 1 for an item that is nowhere;
    with 0 of them items are not compared at all. The first `meta["widths"]["embedding"]` columns are no biases. `seen.*` is a CSR
    matrix of what users have, its weights (`seen.weights`) only where they are not all 1.
    """

    family = "factors"

    def __init__(self, bundle: Bundle) -> None:
        """Raises models.bundle.BadBundle where the arrays contradict each other."""
        self.details: Mapping[str, Any] = bundle.details
        self._items = bundle.array("item_factors", ndim=2, kinds="f")
        width = self._items.shape[1]
        if not width or not len(self._items):
            raise BadBundle(f"item factors of shape {self._items.shape}")
        self._users = bundle.array("user_factors", ndim=2, kinds="f") if "user_factors" in bundle.arrays else None
        if (self._users is None) != (bundle.meta.get("user_ids") is None):
            raise BadBundle("users without factors, or factors without users")
        if self._users is not None and self._users.shape[1] != width:
            raise BadBundle(f"user factors are {self._users.shape[1]} wide, item factors {width}")
        self._user_ids = None if self._users is None else IdTable("user_ids", bundle, len(self._users))
        self.items: Catalogue = Catalogue(bundle, len(self._items))
        widths = bundle.meta.get("widths")
        self._embedding, compared = _width(widths, "embedding", 1, width), _width(widths, "compared", 0, width)
        self._compared = self._items[:, :compared]
        self._norms = bundle.array("item_norms", ndim=1, kinds="f", rows=len(self._items))
        self._weighting = weighting_of(bundle)
        self._fold_in = open_fold_in(bundle, self._items, self._embedding)
        self._seen_starts = self._seen_items = self._seen_weights = None
        if "seen.indptr" in bundle.arrays and self._users is not None:
            self._seen_starts, self._seen_items = open_cells(bundle, "seen", rows=len(self._users), columns=len(self._items))
            if "seen.weights" in bundle.arrays:
                self._seen_weights = bundle.array("seen.weights", ndim=1, kinds="biuf", rows=len(self._seen_items))

    @property
    def knows_seen(self) -> bool:
        return self._seen_starts is not None

    def work(self) -> int:
        return int(self._items.size)

    def cost(self, query: Query) -> int:
        width = self._items.shape[1]
        extra = self._fold_in.work(len(query.liked)) if query.liked else 0
        extra += sum(self._fold_in.work(self._has(user) + len(recent)) for user, recent in query.recent.items())
        if query.explain:
            extra += query.subjects * (width + min(query.k, self.items.count)) * width * width
        if query.diversity is not None:
            extra += query.subjects * self._pool(query.k) ** 2 * width
        return super().cost(query) + extra

    def user(self, user: Id) -> Subject | None:
        if self._users is None or self._user_ids is None:
            raise InvalidQuery("user_id", "this model has no users of its own: ask with `liked`, the ids of items that are liked")
        row = self._user_ids.row(user)
        if row is None:
            return None
        history, weights = self._history(row)
        vector = self._users[row]
        if not len(history) or vector.any():
            return Subject(Aim(vector, weights=weights), history)
        # All they have is from after the model learned: it knows who they are, and nothing of them.
        vector = self._fold_in.vector(history, weights).astype(self._items.dtype)
        return Subject(Aim(vector, weights=weights), history, {"folded_in": len(history)})

    def joined(self, subject: Subject | None, new: Additions) -> Subject:
        new = new.counted(self._weighting)
        if subject is None:
            vector = self._fold_in.vector(new.rows, new.weights)
            return Subject(Aim(vector.astype(self._items.dtype), weights=new.weights), new.rows)
        known = Known(subject.state.vector, subject.history, subject.state.weights)
        rows, weights = united(known, new)
        return Subject(Aim(self._fold_in.joined(known, new).astype(self._items.dtype), weights=weights), rows)

    def _has(self, user: Id) -> int:
        """How many items a user is known to have."""
        row = None if self._user_ids is None else self._user_ids.row(user)
        return 0 if row is None or self._seen_starts is None else int(self._seen_starts[row + 1] - self._seen_starts[row])

    def _history(self, row: int) -> tuple[Rows, NDArray[Any] | None]:
        if self._seen_starts is None or self._seen_items is None:
            return NO_ROWS, None
        extent = slice(int(self._seen_starts[row]), int(self._seen_starts[row + 1]))
        return self._seen_items[extent].astype(np.int64, copy=False), None if self._seen_weights is None else self._seen_weights[extent]

    def liking(self, rows: Rows) -> Subject:
        return Subject(Aim(self._fold_in.vector(rows).astype(self._items.dtype)), rows)

    def item(self, row: int) -> Subject:
        if not self._compared.shape[1]:
            raise InvalidQuery("item_id", "this model does not say how alike items are: it ranks them the same for everybody")
        direction = unit(self._compared[row : row + 1])[0].astype(self._items.dtype)
        return Subject(Aim(direction, is_cosine=True), np.array([row], np.int64))

    def similarities(self, rows: Rows) -> NDArray[np.float64]:
        directions = unit(self._items[rows, : self._embedding])
        return directions @ directions.T

    def contributions(self, subject: Subject, rows: Rows) -> NDArray[np.float64]:
        if subject.state.is_cosine:
            return self.exact(subject, rows)[:, np.newaxis]
        return self._fold_in.contributions(rows, subject.history, subject.state.weights)

    def scores(self, subjects: Sequence[Subject]) -> NDArray[Any]:
        if len(subjects) == 1:
            aim: Aim = subjects[0].state
            one: NDArray[Any] = self._compared @ aim.vector / self._norms if aim.is_cosine else self._items @ aim.vector
            return one[np.newaxis, :]
        many: NDArray[Any] = np.stack([subject.state.vector for subject in subjects]) @ self._items.T
        return many

    def exact(self, subject: Subject, rows: Rows) -> NDArray[np.float64]:
        aim: Aim = subject.state
        vector = aim.vector.astype(np.float64)
        if aim.is_cosine:
            return exact_scores(self._compared, rows, vector, is_cosine=True)
        return exact_scores(self._items, rows, vector)

    def slack(self, subject: Subject, rows: Rows) -> float | None:
        aim: Aim = subject.state
        vector = aim.vector.astype(np.float64)
        length = float(np.sqrt(vector @ vector))
        if not length:
            return None  # nobody interacted yet: every item ties, and the first ones win
        rounding = 2 * (len(vector) + 2) * float(np.finfo(self._items.dtype).eps)
        if aim.is_cosine:
            return rounding
        factors = self._items[rows].astype(np.float64)
        return rounding * length * float(np.sqrt((factors * factors).sum(axis=1).max()))

    def sample(self) -> NDArray[Any]:
        """Scores of some users (or, where there are none, of people who like one item) for some items, evenly spread."""
        some_items = self._items[sampling.spread(len(self._items), sampling.ITEMS)]
        if self._users is not None:
            some_users = self._users[sampling.spread(len(self._users), sampling.SUBJECTS)]
        else:
            likers = [self._fold_in.vector(np.array([row])) for row in sampling.spread(len(self._items), sampling.SUBJECTS)]
            some_users = np.stack(likers).astype(self._items.dtype)
        found: NDArray[Any] = some_users @ some_items.T
        return found


def _width(widths: Any, name: str, least: int, most: int) -> int:
    found = widths.get(name) if isinstance(widths, dict) else None
    if type(found) is not int or not least <= found <= most:
        raise BadBundle(f"{found!r} of {most} columns are called {name}")
    return found


def exact_scores(items: NDArray[Any], rows: NDArray[Any], user: NDArray[Any], *, is_cosine: bool = False) -> NDArray[Any]:
    """Scores of some rows in float64, each summed by itself: BLAS rounds a row by where it stands among the others."""
    exact = np.empty(len(rows))
    for begin in range(0, len(rows), _CHUNK_ROWS):
        factors = items[rows[begin : begin + _CHUNK_ROWS]].astype(np.float64)
        exact[begin : begin + _CHUNK_ROWS] = ((unit(factors) if is_cosine else factors) * user).sum(axis=1)
    return exact


def open_scorer(bundle: Bundle) -> FactorScorer:
    """The scorer of a bundle of this family. Raises models.bundle.BadBundle."""
    return FactorScorer(bundle)


def warm(scorer: FactorScorer) -> dict[str, Any]:
    """Score a sample: {"score_range": {"min","p50","p99","max"}}. Raises BadBundle if no score is finite."""
    scores = scorer.sample()
    found = sampling.score_range(scores)
    if found is None and scores.size:
        raise BadBundle("the factors give no finite score")
    return {"score_range": found}
