"""What may be asked in a query string, and what it means in the models' words.

Covers: questions for similar items and for recommendations whose ids are text of an address. Does not cover: bodies
(`service.questions`), in which kind an id is read (`service.jobs`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from models.base import Query
from service.body import invalid_field
from service.errors import InvalidField
from service.questions import DEFAULT_K, TopK, unreserved

Parameters = Mapping[str, Sequence[str]]
"""All values of each query parameter."""
MAX_REPEATED = 100
"""Of one parameter: an address holds about 8 KB, which commas fill better."""


class SimilarQuestion(Struct, forbid_unknown_fields=True, kw_only=True):
    """The query string of a question for similar items, each parameter a list of what was given for it."""

    k: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    exclude: Annotated[list[str], Meta(max_length=MAX_REPEATED)] = []
    only: Annotated[list[str], Meta(max_length=MAX_REPEATED)] | None = None
    categories: Annotated[list[str], Meta(max_length=MAX_REPEATED)] = []
    fields: Annotated[list[str], Meta(max_length=MAX_REPEATED)] = []
    diversity: Annotated[float, Meta(ge=0.0, le=1.0)] | None = None


class RecommendationsQuestion(SimilarQuestion, forbid_unknown_fields=True, kw_only=True):
    """The query string of a question for recommendations; one of `user_id` and `liked`, a hybrid also takes both."""

    user_id: Annotated[str, Meta(min_length=1)] | UnsetType = UNSET
    algorithm: str = ""
    """Name of a model, or of a kind of them; "" is the default model."""
    liked: Annotated[list[str], Meta(max_length=MAX_REPEATED)] = []
    exclude_seen: bool | None = None
    explain: bool = False


_MANY = ("liked", "exclude", "only", "categories", "fields")
Q = TypeVar("Q", bound=SimilarQuestion)


def parameters_of(query: Mapping[str, str]) -> Parameters:
    """All values of each parameter of a query string that may name one more than once (a multidict)."""
    values: dict[str, list[str]] = {}
    for name, value in query.items():
        values.setdefault(name, []).append(value)
    return values


def asked_similar(item_id: str, parameters: Parameters) -> TopK:
    """Items like `item_id`.

    `exclude`, `only` and `fields` may be repeated or separated by commas, `categories` (whose names have commas) only
    repeated. Raises InvalidField.
    """
    question = _understood(parameters, SimilarQuestion)
    return TopK(_query(question, similar_to=item_id), "item_id", question.k is not UNSET, is_text=True)


def asked_recommendations(parameters: Parameters) -> tuple[str, TopK]:
    """The algorithm, "" where none is named, and the question put to it.

    As `asked_similar`; `liked` may be repeated or separated by commas too. Raises InvalidField.
    """
    question = _understood(parameters, RecommendationsQuestion)
    liked = [text for text in question.liked if text]
    if question.user_id is UNSET and not liked:
        raise InvalidField("user_id", "give user_id, or liked: the ids of items that somebody likes")
    users = () if question.user_id is UNSET else (question.user_id,)
    query = _query(question, users=users, liked=liked, exclude_seen=question.exclude_seen, explain=question.explain)
    return question.algorithm, TopK(query, "user_id" if users else "liked", question.k is not UNSET, is_text=True)


def _understood(parameters: Parameters, type: type[Q]) -> Q:
    told: dict[str, Any] = {}
    for name, values in parameters.items():
        if name not in _MANY and len(values) > 1:
            raise InvalidField(name, "give it once")
        told[name] = list(values) if name in _MANY else values[0]
    if "fields" in told:
        told["fields"] = [part for value in told["fields"] for part in value.split(",") if part]
    try:
        return msgspec.convert(told, type, strict=False)
    except msgspec.ValidationError as error:
        raise invalid_field(str(error)) from error


def _query(question: SimilarQuestion, **subject: Any) -> Query:
    return Query(
        **subject,
        k=DEFAULT_K if question.k is UNSET else question.k,
        exclude=question.exclude,
        only=question.only,
        categories=question.categories,
        fields=unreserved(question.fields),
        diversity=question.diversity,
    )
