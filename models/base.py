"""The words between HTTP and the families: what is asked, what is answered, what can be wrong with it.

Covers: types only, numpy-free. Does not cover: how a family scores (its `score.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Id = int | str
"""A user or item id; JSON keeps the kind: "1" is not 1."""


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


@dataclass(frozen=True, slots=True)
class Query:
    """Top-k for users. `exclude_seen=None` means: where seen items are known. Unknown ids in `exclude` are ignored."""

    users: Sequence[Id]
    k: int = 10
    exclude: Sequence[Id] = ()
    exclude_seen: bool | None = None
    fields: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Ranking:
    """Items of one user, best first; `scores[i]` belongs to `items[i]`; ties are in the order of the model's rows."""

    user: Id
    items: Sequence[Id]
    scores: Sequence[float]


class Scorer(Protocol):
    """A mapped model that answers. Thread-safe and read-only: several threads may ask at once."""

    family: str
    details: Mapping[str, Any]
    """What a status page shows: users, items, factors, score_range {min,p50,p99,max}."""

    def recommend(self, query: Query) -> list[Ranking | UnknownEntity]:
        """One answer a user, in order. Raises InvalidQuery for what no user could be answered."""
        ...

    def ids_in_words(self) -> Mapping[str, str]:
        """What the ids are, for a person: {"users": "str: 'u1', 'u2', ...", "items": ...}."""
        ...

    def cost(self, query: Query) -> int:
        """Multiply-adds the query needs: small ones are answered on the event loop, large ones in a thread."""
        ...
