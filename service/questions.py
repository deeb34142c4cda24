"""What may be asked over HTTP in a body, and what it means in the models' words.

Covers: the fields, which of them go together, and the field that an error names. Does not cover: query strings
(`service.query_string`), what a model makes of a question (`service.jobs`), the body's size, time and media type
(`service.body`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from models.base import Query, RequestError
from service.body import decode
from service.errors import InvalidField
from service.schemas.values import Id

MAX_USERS = 1000
MAX_LIKED = 10_000
MAX_IDS = 100_000
"""Of `exclude` and of `only`."""
MAX_WORDS = 100
"""Of `fields` and of `categories`."""
MAX_INSTANCES = 100_000
RESERVED = ("item_id", "score", "because")
"""What an item of an answer has besides the fields that were asked for."""
DEFAULT_K = 10

SAID: Mapping[str, str] = MappingProxyType(
    {
        "liked": "Items that somebody likes whom the model does not know",
        "row": "Features: a list in their order or an object by their names, null for what is missing; for some models a text",
        "k": "How many items, at most as many as the model has; 10 without it",
        "exclude": "Items that are not to be returned",
        "only": "Items besides which nothing is to be returned",
        "exclude_seen": "Whether to leave out what the user has seen, or `liked`; true where that is known",
        "categories": "Items of any of these",
        "fields": "Columns of the items to return",
        "explain": "Whether to name the liked items that contributed most to each item",
        "diversity": "How much relevance counts against being unlike the items before, 1 is plain order; without it the model's own",
    }
)
"""What the API description says of a field, in a body and in a query string."""
_DECODED_AT_ONCE = 16 << 10
"""Bytes of rows of one call of the decoder, which lets no other thread run meanwhile."""

_ROW = re.compile(r"^instances\[(\d+)\]", re.ASCII)
Subject = Literal["user_id", "users", "liked", "item_id"]
_SUBJECTS = ("user_id", "users", "liked", "instances")


Row = Annotated[Raw, Meta(description=SAID["row"])]


class Question(Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of a predict call. One of `user_id`, `users`, `liked` and `instances`; a hybrid also takes `user_id` with `liked`."""

    user_id: Annotated[Id, Meta(description="The user the items are for")] | UnsetType = UNSET
    users: Annotated[list[Id], Meta(min_length=1, max_length=MAX_USERS, description="Several users: an answer each")] | UnsetType = UNSET
    liked: Annotated[list[Id], Meta(min_length=1, max_length=MAX_LIKED, description=SAID["liked"])] | UnsetType = UNSET
    instances: Annotated[list[Row], Meta(min_length=1, max_length=MAX_INSTANCES, description="Rows to predict")] | UnsetType = UNSET
    k: Annotated[int, Meta(ge=1, description=SAID["k"])] | UnsetType = UNSET
    exclude: Annotated[list[Id], Meta(max_length=MAX_IDS, description=SAID["exclude"])] | UnsetType = UNSET
    only: Annotated[list[Id], Meta(max_length=MAX_IDS, description=SAID["only"])] | UnsetType | None = UNSET
    exclude_seen: Annotated[bool, Meta(description=SAID["exclude_seen"])] | UnsetType | None = UNSET
    categories: Annotated[list[str], Meta(max_length=MAX_WORDS, description=SAID["categories"])] | UnsetType = UNSET
    fields: Annotated[list[str], Meta(max_length=MAX_WORDS, description=SAID["fields"])] | UnsetType = UNSET
    explain: Annotated[bool, Meta(description=SAID["explain"])] | UnsetType = UNSET
    diversity: Annotated[float, Meta(ge=0.0, le=1.0, description=SAID["diversity"])] | UnsetType | None = UNSET


class NamedQuestion(Question, forbid_unknown_fields=True, kw_only=True):
    """The body of POST /predict, which may name the model."""

    model: Annotated[str, Meta(description="The model that is asked; without it, the default one")] | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class TopK:
    """A question for items.

    query: as far as it can be said before a model is there. subject: the field that says for whom. names_k: whether `k` was
    given, or is the default. is_text: the ids are text of an address, to be read in the kind that the model's ids have.
    """

    query: Query
    subject: Subject
    names_k: bool = False
    is_text: bool = False

    def as_written(self, error: RequestError) -> RequestError:
        """The error with its field as this caller wrote it: models see one user as a list of one."""
        field = error.field
        if self.subject == "user_id" and field in ("users", "users[0]"):
            field = "user_id"
        elif self.subject == "users" and field == "user_id":
            field = "users[0]" if len(self.query.users) == 1 else "users"
        return error if field == error.field else type(error)(field, error.message)


@dataclass(frozen=True, slots=True)
class Rows:
    """A question for predictions: rows of features, JSON values."""

    instances: Sequence[Any]

    def as_written(self, error: RequestError) -> RequestError:
        return error


Asked = TopK | Rows

decode_question: Callable[[bytes], Question] = msgspec.json.Decoder(Question).decode
decode_named_question: Callable[[bytes], NamedQuestion] = msgspec.json.Decoder(NamedQuestion).decode
_decode_rows: Callable[[bytes], list[Any]] = msgspec.json.Decoder(list[Any]).decode


def asked(question: Question) -> Asked:
    """What the question means. Raises InvalidField for fields that do not go together, MalformedBody for rows that are not JSON."""
    given = [name for name in _SUBJECTS if getattr(question, name) is not UNSET]
    if not given:
        raise InvalidField("user_id", "give user_id, users, liked or instances")
    if question.instances is not UNSET:
        if len(given) > 1:
            raise InvalidField("instances", f"give {given[0]} or instances, not both")
        return _rows(question, question.instances)
    if len(given) > 1 and given != ["user_id", "liked"]:
        raise InvalidField(given[1], f"give {given[0]} or {given[1]}, not both")
    query = Query(
        users=[question.user_id] if question.user_id is not UNSET else _given(question.users, ()),
        liked=_given(question.liked, ()),
        k=_given(question.k, DEFAULT_K),
        exclude=_given(question.exclude, ()),
        only=_given(question.only, None),
        exclude_seen=_given(question.exclude_seen, None),
        categories=_given(question.categories, ()),
        fields=unreserved(_given(question.fields, ())),
        explain=_given(question.explain, False),
        diversity=_given(question.diversity, None),
    )
    return TopK(query, given[0], question.k is not UNSET)  # type: ignore[arg-type]


def _given(value: Any, default: Any) -> Any:
    return default if value is UNSET else value


def _rows(question: Question, rows: Sequence[Raw]) -> Rows:
    for name in Question.__struct_fields__:
        if name != "instances" and getattr(question, name) is not UNSET:
            raise InvalidField(name, "this is for recommendations: it has no meaning beside instances")
    decoded: list[Any] = []
    for part in _parts(rows):
        try:
            decoded += decode(b"[" + b",".join(part) + b"]", _decode_rows)
        except InvalidField as error:
            raise InvalidField(moved(f"instances{error.field}", by=len(decoded)), error.detail) from error
    return Rows(decoded)


def moved(field: str, *, by: int) -> str:
    """ "instances[3].age" of rows that are not the first of all; any other field as it is."""
    match = _ROW.match(field)
    return field if match is None else f"instances[{by + int(match[1])}]{field[match.end() :]}"


def _parts(rows: Sequence[Raw]) -> list[list[Raw]]:
    """The rows in runs of _DECODED_AT_ONCE bytes, a longer row alone."""
    parts: list[list[Raw]] = [[]]
    nbytes = 0
    for row in rows:
        length = memoryview(row).nbytes
        if parts[-1] and nbytes + length > _DECODED_AT_ONCE:
            parts.append([])
            nbytes = 0
        parts[-1].append(row)
        nbytes += length
    return parts


def unreserved(fields: Sequence[str]) -> Sequence[str]:
    """The columns that were asked for. Raises InvalidField for one that an item of an answer has anyway."""
    for at, name in enumerate(fields):
        if name in RESERVED:
            raise InvalidField(f"fields[{at}]", f"an item of an answer has {name!r} of its own")
    return fields
