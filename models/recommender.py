"""How scores become an answer: the same for every family that recommends. numpy only; runs in the server.

Covers: who is asked for, what may be returned (seen, exclude, only, categories), the k best with ties in the order of
rows, diversity, explanations, columns. Does not cover: scores (each family fills in the hooks of `Recommender`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .base import Id, InvalidQuery, Kind, Query, Ranking, UnknownEntity
from .catalogue import Items
from .forms import ItemForm
from .recent import Additions, Recent, is_among, learned_until
from .selection import contenders, diversify

Rows = NDArray[np.int64]
NO_ROWS: Rows = np.empty(0, np.int64)

_CHUNK_SCORES = 4 << 20
"""Scores computed at once for a batch: bounds its private memory to 16 MiB of float32."""
_PER_ID = 5_000
"""Multiply-adds that take as long as looking one id up, or naming one in an answer."""
_MMR_POOL = 5
"""Times k: how many of the best items MMR chooses from."""
_MMR_LEAST = 100
_MMR_MOST = 2_000
"""Items that MMR orders; what is asked for beyond them follows in plain order. Bounds its table of similarities to 32 MB."""
_CHUNK_PARTS = 1 << 20
_CHUNK_EXPLAINED = 1 << 13
"""Contributions, and items, that are explained at once: bounds the private memory."""
_REASONS = 3
"""Contributions named for an item."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a ranking is for, as its family sees it.

    state: the family's own (a factor vector, a profile ...). history: item rows the subject is known to have, ascending and
    distinct: what is seen, what explanations are made of. notes: go into the answer.
    """

    state: Any
    history: Rows = field(default_factory=lambda: NO_ROWS)
    notes: Mapping[str, Any] = field(default_factory=dict)


class Recommender(ABC):
    """A family fills in the hooks; callers use `recommend` and `cost`. Thread-safe: only reads."""

    family: ClassVar[str]
    kind: ClassVar[Kind] = "recommender"
    details: Mapping[str, Any]
    items: Items
    answers_from_history: ClassVar[bool] = False
    """Whether a user's history is all that their answers are made of, so that nothing in it is left to be learned from."""
    default_diversity: float | None = None
    """Lambda where the question names none; None is plain order."""

    # -- hooks --------------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def knows_seen(self) -> bool:
        """Whether a user's history is known."""

    @abstractmethod
    def knows_user(self, user: Id) -> bool:
        """Whether `user` gives a subject. Never raises."""

    @abstractmethod
    def user(self, user: Id) -> Subject | None:
        """A user of the model; None if unknown. Raises InvalidQuery where the model has no users at all (naming `liked`)."""

    @abstractmethod
    def liking(self, rows: Rows) -> Subject:
        """Someone who likes these items (ascending, distinct, not empty); `history` is these rows. Raises InvalidQuery."""

    @abstractmethod
    def joined(self, subject: Subject | None, new: Additions) -> Subject:
        """A user of the model with these items besides (not empty); None: someone who has only them. Raises InvalidQuery."""

    @abstractmethod
    def item(self, row: int) -> Subject:
        """Whoever looks for what is similar to this item; `history` is that row, so that it is not its own answer."""

    @abstractmethod
    def scores(self, subjects: Sequence[Subject]) -> NDArray[Any]:
        """(subjects, items) float32 or float64, writable, the caller's own; not finite where an item has no score."""

    @abstractmethod
    def exact(self, subject: Subject, rows: Rows) -> NDArray[np.float64]:
        """(rows,) the scores that are answered, the same whatever else is asked for in the same call."""

    @abstractmethod
    def slack(self, subject: Subject, rows: Rows) -> float | None:
        """How far `scores` may be from `exact` for these rows. None: all items tie for this subject (a user without any factor)."""

    @abstractmethod
    def similarities(self, rows: Rows) -> NDArray[np.float64]:
        """(rows, rows) how alike items are, 1 for the same; for diversity. Raises InvalidQuery("diversity") where unknown."""

    @abstractmethod
    def contributions(self, subject: Subject, rows: Rows) -> NDArray[np.float64]:
        """(rows, history) what each item of the history adds to each item's score. Raises InvalidQuery("explain") where unknown."""

    @abstractmethod
    def work(self) -> int:
        """Multiply-adds of scoring every item for one subject."""

    @abstractmethod
    def ids_in_words(self) -> Mapping[str, str]:
        """See models.base.Scorer."""

    @abstractmethod
    def form(self) -> ItemForm:
        """See models.base.RecommenderScorer."""

    # -- what callers use ---------------------------------------------------------------------------------------------

    def cost(self, query: Query) -> int:
        """Multiply-adds, roughly."""
        named = min(query.k, self.items.count)
        pool = self._pool(query.k) if self._diversity(query) is not None else 0
        each = self.work() + _PER_ID * named * (1 + query.explain + len(query.fields)) + 64 * pool * pool
        return query.subjects * each + _PER_ID * (len(query.exclude) + len(query.only or ()) + len(query.liked))

    def met(self, user: Id, recent: Sequence[Recent]) -> Subject | None:
        """A user with what they did lately, as far as the model has not learned from it; None if it knows neither.

        `notes["folded_in"]` is how many items count that the model had not learned from. Raises InvalidQuery where the model has
        no users at all and knows none of these items.
        """
        new = Additions.of(self.unlearned(user, recent), self.items.row)
        try:
            found = self.user(user)
        except InvalidQuery:
            if not new:
                raise
            found = None  # what they did says whom it is for
        if found is not None and (self.answers_from_history or learned_until(self.details) is None):
            new = new.take(~is_among(new.rows, found.history))
        if not new:
            return found
        joined = self.joined(found, new)
        return replace(joined, notes={**joined.notes, "folded_in": len(new.rows)})

    def unlearned(self, user: Id, recent: Sequence[Recent]) -> Sequence[Recent]:
        """Those that the model cannot have learned from by their time: of a user whom it does not know, all."""
        until = learned_until(self.details)
        return recent if until is None or not self.knows_user(user) else [each for each in recent if each.at > until]

    def recommend(self, query: Query) -> list[Ranking | UnknownEntity]:
        """One answer a subject, in order. Raises InvalidQuery, UnknownEntity for what no subject could be answered."""
        if query.exclude_seen and not self.knows_seen and query.users:
            raise InvalidQuery("exclude_seen", "this model does not know which items a user has seen")
        self.items.values(query.fields, NO_ROWS)
        with np.errstate(all="ignore"):  # arrays that hold no numbers give scores that are none, and those are left out
            return self._answers(query, self._allowed(query))

    def best(self, subject: Subject, scores: NDArray[Any], k: int, diversity: float | None = None) -> tuple[Rows, NDArray[np.float64]]:
        """The k best items in the order of an answer, and their exact scores; fewer where fewer have a score.

        `scores` (items,) are this subject's of `scores`, -inf where an item is not wanted; they are changed. diversity: lambda of
        MMR below 1, None is plain order.
        """
        wanted = k if diversity is None else max(k, self._pool(k))
        rows = contenders(scores, wanted, lambda best: self.slack(subject, best))
        exact = self.exact(subject, rows)
        is_score = np.isfinite(exact)  # summed in another order, a sum at the edge of float64 may overflow after all
        rows, exact = rows[is_score], exact[is_score]
        order = np.argsort(-exact, kind="stable")[:wanted]
        rows, exact = rows[order], exact[order]
        if diversity is not None and len(rows) > 1:
            chosen = self._diverse(rows, exact, diversity, k)
            rows, exact = rows[chosen], exact[chosen]
        return rows, exact

    # -- the steps ----------------------------------------------------------------------------------------------------

    def _answers(self, query: Query, allowed: NDArray[np.bool_] | None) -> list[Ranking | UnknownEntity]:
        answers: list[Ranking | UnknownEntity] = []
        asked: list[tuple[int, Subject]] = []
        for at, subject in enumerate(self._subjects(query)):
            if isinstance(subject, UnknownEntity):
                answers.append(subject)
            else:
                answers.append(UnknownEntity("", ""))  # its place; filled below
                asked.append((at, subject))
        step = max(1, _CHUNK_SCORES // max(1, self.items.count))
        for begin in range(0, len(asked), step):
            chunk = asked[begin : begin + step]
            scores = self.scores([subject for _, subject in chunk])
            for (at, subject), line in zip(chunk, scores, strict=True):
                answers[at] = self._rank(query, query.users[at] if query.users else None, subject, line, allowed)
        return answers

    def _subjects(self, query: Query) -> list[Subject | UnknownEntity]:
        if query.similar_to is not None:
            row = self.items.row(query.similar_to)
            if row is None:
                raise UnknownEntity("item_id", f"item {query.similar_to!r} is not in the model")
            return [self.item(row)]
        if query.users:
            fields = [f"users[{at}]" for at in range(len(query.users))] if len(query.users) != 1 else ["user_id"]
            return [
                self.met(user, query.recent.get(user, ())) or self._unknown_user(user, field)
                for user, field in zip(query.users, fields, strict=True)
            ]
        rows = self._rows(query.liked)
        if not len(rows):
            hint = _hint(query.liked[0], self.items.row) if query.liked else ""
            raise UnknownEntity("liked", f"none of these items is in the model{hint}")
        return [self.liking(rows)]

    def _unknown_user(self, user: Id, field: str) -> UnknownEntity:
        return UnknownEntity(field, f"user {user!r} is not in the model{_hint(user, self.user)}")

    def _rows(self, ids: Sequence[Id]) -> Rows:
        known = sorted({row for id in ids if (row := self.items.row(id)) is not None})
        return np.array(known, np.int64)

    def _allowed(self, query: Query) -> NDArray[np.bool_] | None:
        """(items,) what the question itself lets through; None: everything."""
        if query.only is None and not query.exclude and not query.categories:
            return None
        allowed = np.ones(self.items.count, np.bool_) if query.only is None else np.zeros(self.items.count, np.bool_)
        if query.only is not None:
            allowed[self._rows(query.only)] = True
        if query.categories:
            allowed &= self.items.in_categories(query.categories)
        allowed[self._rows(query.exclude)] = False
        return allowed

    def _rank(self, query: Query, user: Id | None, subject: Subject, scores: NDArray[Any], allowed: NDArray[np.bool_] | None) -> Ranking:
        if allowed is not None:
            scores[~allowed] = -np.inf
        if query.similar_to is not None or query.exclude_seen is not False:
            scores[subject.history] = -np.inf
        rows, exact = self.best(subject, scores, query.k, self._diversity(query))
        because = self._because(subject, rows) if query.explain else None
        columns = self.items.values(query.fields, rows) if query.fields else {}
        return Ranking(user, self.items.ids(rows), exact.tolist(), columns, because, subject.notes)

    def _diversity(self, query: Query) -> float | None:
        """Lambda below 1, else None: at 1 the order is the plain one."""
        asked = self.default_diversity if query.diversity is None else query.diversity
        return None if asked is None or asked >= 1.0 or (query.similar_to is not None and query.diversity is None) else asked

    def _pool(self, k: int) -> int:
        """How many of the best items MMR chooses k from."""
        return min(self.items.count, max(_MMR_LEAST, _MMR_POOL * k), _MMR_MOST)

    def _diverse(self, rows: Rows, exact: NDArray[np.float64], diversity: float, k: int) -> Rows:
        """Positions of k of these items, best first as they are."""
        pool = min(len(rows), _MMR_MOST)
        chosen = diversify(exact[:pool], self.similarities(rows[:pool]), diversity, k)
        return np.concatenate([chosen, np.arange(pool, min(len(rows), k))]) if k > pool else chosen

    def _because(self, subject: Subject, rows: Rows) -> list[list[tuple[Id, float]]]:
        if not len(subject.history):
            return [[] for _ in rows]
        named: list[list[tuple[Id, float]]] = []
        step = min(_CHUNK_EXPLAINED, max(1, _CHUNK_PARTS // len(subject.history)))
        names = None
        for begin in range(0, len(rows), step):
            parts = self.contributions(subject, rows[begin : begin + step])
            parts = np.where(np.isfinite(parts), parts, 0.0)
            best = np.argsort(-parts, axis=1, kind="stable")[:, :_REASONS]
            if names is None and len(subject.history) <= best.size:
                names = self.items.ids(subject.history)
            values = np.take_along_axis(parts, best, axis=1).tolist()
            for places, line in zip(best.tolist(), values, strict=True):
                ids = self.items.ids(subject.history[places]) if names is None else [names[place] for place in places]
                named.append([(id, part) for id, part in zip(ids, line, strict=True) if part > 0])
        return named


def _hint(unknown: Id, find: Callable[[Id], object]) -> str:
    """That the id is known in the other kind, if it is: the likeliest mistake in asking."""
    other: Id | None = str(unknown)
    if isinstance(unknown, str):
        other = int(unknown) if unknown.isascii() and unknown.isdecimal() and len(unknown) < 20 else None
    return "" if other is None or find(other) is None else f", but {other!r} is: ids keep their kind"
