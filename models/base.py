"""The words between HTTP and the families: what is asked, what is answered, what can be wrong with it.

Covers: types only. Kinds of scorer: a recommender ranks items for users, liked items or an item (`models.recommender` is
its body), an estimator predicts rows of features (`models.estimator`), a hosted one does so in a process of its own. Does not cover: how a
family scores (its `score.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from .catalogue import Items
    from .forms import ItemForm, RowForm
    from .recent import Recent
    from .turn import Turn

Id = int | str
"""A user or item id; JSON keeps the kind: "1" is not 1."""

Kind = Literal["recommender", "estimator", "hosted"]


class RequestError(Exception):
    """The question is wrong, not the model. `field` is the JSON field at fault, as the caller wrote it ("users[3]")."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.field, self.message))


class InvalidQuery(RequestError):
    """A field has a value that this model cannot answer."""


class UnknownEntity(RequestError):
    """The user or item is not in the model."""


class AnswerFailed(Exception):
    """The process of a hosted model could not answer this call: it died, or did not come back. Not the question's fault.

    `type` is the public failure type (see loaders.errors.FAILURES).
    """

    def __init__(self, type: str, message: str) -> None:
        super().__init__(message)
        self.type = type
        self.message = message

    def __reduce__(self) -> tuple[object, ...]:
        return (self.__class__, (self.type, self.message))


@dataclass(frozen=True, slots=True)
class Query:
    """Top-k items. Exactly one of `users`, `liked` and `similar_to` says for whom.

    users: one ranking each. liked: item ids that a person without a row of their own likes; unknown ones are ignored.
    similar_to: an item id. exclude: never returned, unknown ones are ignored. only: nothing else is returned; None is no
    such limit. exclude_seen: leave out what the user has seen (for `liked`: those items); None means where that is known.
    categories: items of any of them, () is no such limit. fields: item columns to return. explain: name the items of the
    history that contributed most. diversity: lambda of MMR in 0..1, 1 is plain order; None is the model's default.
    recent: user -> what they did lately, of those among `users` of whom anything is known; what the model has not learned from
    counts in the answer.
    """

    users: Sequence[Id] = ()
    k: int = 10
    exclude: Sequence[Id] = ()
    exclude_seen: bool | None = None
    fields: Sequence[str] = ()
    liked: Sequence[Id] = ()
    similar_to: Id | None = None
    only: Sequence[Id] | None = None
    categories: Sequence[str] = ()
    explain: bool = False
    diversity: float | None = None
    recent: Mapping[Id, Sequence[Recent]] = field(default_factory=dict)

    @property
    def subjects(self) -> int:
        """How many rankings are asked for."""
        return len(self.users) or 1


@dataclass(frozen=True, slots=True)
class Ranking:
    """Items for one user (`user` is None for liked items or an item), best first; `scores[i]` belongs to `items[i]`.

    Ties are in the order of the model's rows. columns: for each asked field one JSON value an item. because: where it was
    asked, for each item the contributions of the history, greatest first. notes: what else is to be said of this answer
    ({"answered_by": [...]}), JSON.
    """

    user: Id | None
    items: Sequence[Id]
    scores: Sequence[float]
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    because: Sequence[Sequence[tuple[Id, float]]] | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Predictions:
    """An estimator's answer to rows, JSON-ready: one value a row in `predictions` (a list a row where there are several outputs).

    probabilities: a list over `classes` a row (with several outputs a list of those), None where the model gives none.
    classes: the labels in the order of the probabilities (with several outputs a list of lists), None for a regressor.
    """

    predictions: Sequence[Any]
    probabilities: Sequence[Any] | None = None
    classes: Sequence[Any] | None = None


class Scorer(Protocol):
    """A mapped model that answers. Thread-safe and read-only: several threads may ask at once."""

    family: str
    kind: Kind
    details: Mapping[str, Any]
    """What a status page shows. Recommenders: users, items, score_range {min,p50,p99,max}; estimators: features, classes ..."""

    def ids_in_words(self) -> Mapping[str, str]:
        """What the ids are, for a person: {"users": "str: 'u1', 'u2', ...", "items": ...}; {} for an estimator."""
        ...


class RecommenderScorer(Scorer, Protocol):
    """A scorer of kind "recommender"."""

    items: Items

    def recommend(self, query: Query) -> list[Ranking | UnknownEntity]:
        """One answer a subject, in order. Raises InvalidQuery, UnknownEntity for what no subject could be answered."""
        ...

    def knows_user(self, user: Id) -> bool:
        """Whether it has this user; an int is never found as a string, nor the reverse."""
        ...

    def cost(self, query: Query) -> int:
        """Multiply-adds the query needs: small ones are answered on the event loop, large ones in a thread."""
        ...

    def form(self) -> ItemForm:
        """Which ids it takes and gives."""
        ...


class EstimatorScorer(Scorer, Protocol):
    """A scorer of kind "estimator": it answers from arrays."""

    def predict(self, instances: Sequence[Any]) -> Predictions:
        """Predictions of rows: lists in the order of the features, or objects by feature name; null is NaN. Raises InvalidQuery."""
        ...

    def cost_of(self, instances: Sequence[Any]) -> int:
        """As `cost`."""
        ...

    def form(self) -> RowForm:
        """Which rows it takes, and what it gives for them."""
        ...


class HostedScorer(Scorer, Protocol):
    """A scorer of kind "hosted": its model lives in a capped child (`loaders.hosting`). Event loop only."""

    async def answer(self, instances: Sequence[Any], deadline_s: float, turn: Turn | None = None) -> Predictions:
        """As EstimatorScorer.predict. Raises InvalidQuery, AnswerFailed, TimeoutError after deadline_s seconds.

        `turn` is told when the model began with these rows and ended, and with how many it was asked at once.
        """
        ...

    def form(self) -> RowForm:
        """See EstimatorScorer."""
        ...
