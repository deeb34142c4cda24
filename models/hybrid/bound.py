"""Answers from both parts of a hybrid, blended. numpy only; runs in the server.

Covers: whom each part answers for, one scale for both, the blend, similarities and explanations. Does not cover: the
numbers (`models.hybrid.blending`), the union of the items (`models.hybrid.items`), ranking (`models.recommender`).

One scale: a part's score s becomes (s - min) / (max - min), with min and max of the score range sampled when that part was
loaded. It is not clipped: the order within a part stays whole, also beyond what the sample saw. An item that one part does
not know counts there as one that scores `min`, 0; an item that no answering part knows is no answer. Similar items are
compared by the parts' own similarities, which are on one scale already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.base import Id, InvalidQuery, Query, UnknownEntity
from models.forms import ItemForm, joint
from models.recent import Additions, Recent
from models.recommender import Recommender, Rows, Subject

from .blending import COLLABORATIVE, CONTENT, ROLES, Blending
from .items import Alignment, UnionItems

_PER_MATCH = 500
"""Multiply-adds that take as long as matching one id of one part with those of the other."""
_EPS = float(np.finfo(np.float64).eps)


class Scale(NamedTuple):
    """A part's score s as (s - low) * factor."""

    low: float = 0.0
    factor: float = 1.0

    @classmethod
    def of(cls, details: Mapping[str, Any]) -> Scale:
        """From the sampled score range; as it is where there is none, or no width to it."""
        sampled = details.get("score_range")
        low, high = (sampled.get("min"), sampled.get("max")) if isinstance(sampled, Mapping) else (None, None)
        if not all(isinstance(end, int | float) and isfinite(end) for end in (low, high)):
            return cls()
        width = float(high) - float(low)  # type: ignore[arg-type]
        return cls(float(low), 1.0 / width if width > 0 and isfinite(1.0 / width) else 1.0)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Term:
    """What one part adds: `weight` times its scaled score for `subject`, whose rows are the part's own."""

    role: str
    subject: Subject
    weight: float
    scale: Scale


class BoundHybrid(Recommender):
    """A hybrid and its parts, for as long as one question holds them. A subject's state is a tuple of one or two terms."""

    family = "hybrid"
    items: UnionItems

    def __init__(
        self,
        blending: Blending,
        details: Mapping[str, Any],
        parts: Mapping[str, Recommender],
        items: UnionItems,
        alignment: Callable[[], Alignment],
        is_aligned: Callable[[], bool],
    ) -> None:
        self.details = details
        self.default_diversity = blending.default_lambda
        self.items = items
        self._blending = blending
        self._parts = {role: parts[role] for role in ROLES}
        self._scales = {role: Scale.of(part.details) for role, part in self._parts.items()}
        self._alignment = alignment
        self._is_aligned = is_aligned

    def ids_in_words(self) -> Mapping[str, str]:
        return self._parts[COLLABORATIVE].ids_in_words()

    def form(self) -> ItemForm:
        content, collaborative = self._parts[CONTENT].form(), self._parts[COLLABORATIVE].form()
        kind = joint(content.items, collaborative.items)
        return ItemForm(
            collaborative.users,
            kind,
            has_categories=content.has_categories or collaborative.has_categories,
            joins_liked=True,
            some_user=collaborative.some_user,
            some_item=collaborative.some_item,
        )

    @property
    def knows_seen(self) -> bool:
        return self._parts[COLLABORATIVE].knows_seen

    def work(self) -> int:
        known = sum(part.items.count for part in self._parts.values())
        return sum(part.work() for part in self._parts.values()) + 8 * known

    def cost(self, query: Query) -> int:
        """As what both parts and the diversity cost; with the matching of their items, where that is still to be done."""
        parts = sum(part.cost(query) for part in self._parts.values())
        if self._is_aligned():
            return parts + super().cost(query)
        return parts + _PER_MATCH * sum(part.items.count for part in self._parts.values())

    # -- for whom ------------------------------------------------------------------------------------------------------

    def _subjects(self, query: Query) -> list[Subject | UnknownEntity]:
        """Also `users` and `liked` together: what is liked joins a known user's history, and stands in for an unknown user."""
        subjects = super()._subjects(query)
        if not (query.users and query.liked):
            return subjects
        liked = self._rows(query.liked)
        if not len(liked):
            return subjects
        return [self.liking(liked) if isinstance(subject, UnknownEntity) else self._also_liking(subject, liked) for subject in subjects]

    def knows_user(self, user: Id) -> bool:
        return self._parts[COLLABORATIVE].knows_user(user)

    def user(self, user: Id) -> Subject | None:
        found = self._parts[COLLABORATIVE].user(user)
        return None if found is None else self._with_history(found, np.unique(found.history.astype(np.int64)))

    def met(self, user: Id, recent: Sequence[Recent]) -> Subject | None:
        """The collaborative part takes in what it knows of it; the content part answers for all of it, and for the history."""
        collaborative = self._parts[COLLABORATIVE]
        new = Additions.of(collaborative.unlearned(user, recent), self.items.row)
        if not new:
            return self.user(user)
        found = collaborative.met(user, recent) if collaborative.knows_user(user) else None
        if found is None:
            return self._noted(self.joined(None, new), len(new.rows))
        history = np.union1d(found.history.astype(np.int64), new.rows)
        beyond = int((new.rows >= self._alignment().collaborative).sum())
        return self._noted(self._with_history(found, history), found.notes.get("folded_in", 0) + beyond)

    def joined(self, subject: Subject | None, new: Additions) -> Subject:
        if subject is not None:
            return self._also_liking(subject, new.rows)
        alignment = self._alignment()
        theirs = alignment.content_of[new.rows].astype(np.int64)
        by_content = np.argsort(theirs, kind="stable")
        by_content = by_content[theirs[by_content] >= 0]
        shares = {
            CONTENT: Additions(theirs[by_content], new.weights[by_content]),
            COLLABORATIVE: new.take(new.rows < alignment.collaborative),
        }
        refusals: list[InvalidQuery] = []
        subjects = {role: self._try(partial(self._parts[role].joined, None, share), refusals) for role, share in shares.items() if share}
        return self._blend(self._answering(subjects, refusals), new.rows, self._scales)

    def _also_liking(self, subject: Subject, liked: Rows) -> Subject:
        """For a user with these items besides: the collaborative part answers as it would have done, content for all of them."""
        found = next((term.subject for term in subject.state if term.role == COLLABORATIVE), None)
        if found is None:
            return self.liking(np.union1d(subject.history, liked))
        joined = self._with_history(found, np.union1d(subject.history, liked))
        return self._noted(joined, subject.notes.get("folded_in", 0))

    def _with_history(self, found: Subject, history: Rows) -> Subject:
        """A user of the collaborative part; the content part answers for the items of the history."""
        subjects = {COLLABORATIVE: found}
        if len(history) and (profile := self._try(lambda: self._content_liking(history))) is not None:
            subjects[CONTENT] = profile
        return self._blend(subjects, history, self._scales)

    def _noted(self, subject: Subject, folded_in: int) -> Subject:
        return replace(subject, notes={**subject.notes, "folded_in": folded_in}) if folded_in else subject

    def liking(self, rows: Rows) -> Subject:
        refusals: list[InvalidQuery] = []
        collaborative = rows[rows < self._alignment().collaborative]
        subjects = {
            CONTENT: self._try(lambda: self._content_liking(rows), refusals),
            COLLABORATIVE: self._try(lambda: self._parts[COLLABORATIVE].liking(collaborative), refusals) if len(collaborative) else None,
        }
        return self._blend(self._answering(subjects, refusals), rows, self._scales)

    def item(self, row: int) -> Subject:
        refusals: list[InvalidQuery] = []
        alignment = self._alignment()
        content, is_collaborative = int(alignment.content_of[row]), row < alignment.collaborative
        subjects = {
            CONTENT: self._try(lambda: self._parts[CONTENT].item(content), refusals) if content >= 0 else None,
            COLLABORATIVE: self._try(lambda: self._parts[COLLABORATIVE].item(row), refusals) if is_collaborative else None,
        }
        history = np.array([row], np.int64)
        return self._blend(self._answering(subjects, refusals), history, {role: Scale() for role in self._parts})

    def _content_liking(self, rows: Rows) -> Subject | None:
        theirs = self._alignment().content_of[rows]
        known = np.sort(theirs[theirs >= 0]).astype(np.int64)
        return self._parts[CONTENT].liking(known) if len(known) else None

    def _try(self, subject: Callable[[], Subject | None], refusals: list[InvalidQuery] | None = None) -> Subject | None:
        """The subject, or None where that part cannot answer such a question."""
        try:
            return subject()
        except InvalidQuery as error:
            if refusals is not None:
                refusals.append(error)
            return None

    def _answering(self, subjects: Mapping[str, Subject | None], refusals: Sequence[InvalidQuery]) -> dict[str, Subject]:
        found = {role: subject for role, subject in subjects.items() if subject is not None}
        if not found and refusals:
            raise refusals[0]
        return found

    def _blend(self, subjects: Mapping[str, Subject], history: Rows, scales: Mapping[str, Scale]) -> Subject:
        share = self._blending.content_share(len(history)) if len(subjects) == 2 else float(CONTENT in subjects)
        weights = {CONTENT: share, COLLABORATIVE: 1.0 - share}
        terms = tuple(Term(role, subjects[role], weights[role], scales[role]) for role in self._parts if role in subjects)
        notes: dict[str, Any] = {"answered_by": [term.role for term in terms], "content_weight": round(share, 4)}
        if not self._alignment().shared:
            notes["warnings"] = [f"the parts have no item in common: {self.items.in_words()}"]
        return Subject(terms, history, notes)

    # -- scores --------------------------------------------------------------------------------------------------------

    def scores(self, subjects: Sequence[Subject]) -> NDArray[Any]:
        alignment = self._alignment()
        blended = np.zeros((len(subjects), alignment.count))
        is_known = np.zeros(blended.shape, np.bool_)
        for role, part in self._parts.items():
            asked = [(at, term) for at, subject in enumerate(subjects) for term in subject.state if term.role == role]
            if not asked:
                continue
            columns = alignment.union_of_content if role == CONTENT else slice(alignment.collaborative)
            for (at, term), line in zip(asked, part.scores([term.subject for _, term in asked]), strict=True):
                added = _scaled(line, term)
                is_score = np.isfinite(added)
                blended[at, columns] += np.where(is_score, added, 0.0)
                is_known[at, columns] |= is_score
        blended[~is_known] = -np.inf
        return blended

    def exact(self, subject: Subject, rows: Rows) -> NDArray[np.float64]:
        blended = np.zeros(len(rows))
        is_known = np.zeros(len(rows), np.bool_)
        for term in subject.state:
            places, theirs = self._rows_of(term.role, rows)
            added = _scaled(self._parts[term.role].exact(term.subject, theirs), term)
            is_score = np.isfinite(added)
            blended[places] += np.where(is_score, added, 0.0)
            is_known[places] |= is_score
        blended[~is_known] = -np.inf
        return blended

    def slack(self, subject: Subject, rows: Rows) -> float | None:
        exact = self.exact(subject, rows)
        sums = float(np.abs(exact[np.isfinite(exact)]).max(initial=0.0))
        for term in subject.state:
            sums += abs(term.weight * term.scale.factor * term.scale.low)
        slack = 16 * _EPS * sums
        for term in subject.state:
            _, theirs = self._rows_of(term.role, rows)
            # A part whose items all tie is as exact as can be: its scores are the same number each time.
            slack += term.weight * term.scale.factor * ((self._parts[term.role].slack(term.subject, theirs) or 0.0) if len(theirs) else 0.0)
        return slack

    def _rows_of(self, role: str, rows: Rows) -> tuple[Rows, Rows]:
        """Places among `rows` that the part knows, and its rows for them."""
        alignment = self._alignment()
        theirs = alignment.content_of[rows].astype(np.int64) if role == CONTENT else np.where(rows < alignment.collaborative, rows, -1)
        places = np.flatnonzero(theirs >= 0)
        return places, theirs[places]

    # -- besides scores ------------------------------------------------------------------------------------------------

    def similarities(self, rows: Rows) -> NDArray[np.float64]:
        """Content's where it has both items, else the collaborative part's, else 0: both are cosines."""
        found = np.eye(len(rows))
        refusals: list[InvalidQuery] = []
        for role in (COLLABORATIVE, CONTENT):  # content last: it has the last word
            places, theirs = self._rows_of(role, rows)
            if role == COLLABORATIVE and len(self._rows_of(CONTENT, rows)[0]) == len(rows):
                continue
            try:
                found[np.ix_(places, places)] = self._parts[role].similarities(theirs)
            except InvalidQuery as error:
                refusals.append(error)
        if len(refusals) == 2:
            raise refusals[1]
        return found

    def contributions(self, subject: Subject, rows: Rows) -> NDArray[np.float64]:
        """Each part's, weighted and scaled as its scores are; a part that cannot tell adds none."""
        blended = np.zeros((len(rows), len(subject.history)))
        refusals: list[InvalidQuery] = []
        for term in subject.state:
            places, theirs = self._rows_of(term.role, rows)
            history = term.subject.history
            in_union = self._alignment().union_of_content[history] if term.role == CONTENT else history
            columns = np.searchsorted(subject.history, in_union)
            if not len(history):
                continue
            try:
                added = self._parts[term.role].contributions(term.subject, theirs)
            except InvalidQuery as error:
                refusals.append(error)
                continue
            blended[np.ix_(places, columns)] += np.where(np.isfinite(added), added, 0.0) * (term.weight * term.scale.factor)
        if refusals and len(refusals) == len(subject.state):
            raise refusals[0]
        return blended


def _scaled(scores: NDArray[Any], term: Term) -> NDArray[np.float64]:
    scaled: NDArray[np.float64] = np.subtract(scores, term.scale.low, dtype=np.float64)
    scaled *= term.weight * term.scale.factor
    return scaled
