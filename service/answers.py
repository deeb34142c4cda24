"""From what a model answered to the JSON of a response.

Covers: the fields of an answer, in slices where it is long. Does not cover: errors (`service.errors`), but for those of single
users of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
from aiohttp import web
from msgspec import Struct

from models.base import Id, Predictions, Ranking, UnknownEntity
from service.errors import request_problem_document
from service.jobs import Answer
from service.questions import Asked, TopK
from service.replies import reply

WRITTEN_AT_ONCE = 1000
"""Values of one call of the encoder, which lets no other thread run meanwhile, the event loop's neither."""

_REASONS = 3
_encode = msgspec.json.Encoder().encode


class Item(Struct, gc=False):
    """One recommendation without anything else."""

    item_id: Id
    score: float


def size_of(answer: Answer) -> int:
    """How many values are to be written, roughly."""
    if isinstance(answer, Predictions):
        return len(answer.predictions) * _width(answer)
    return sum(len(ranking.items) * _breadth(ranking) for ranking in answer if isinstance(ranking, Ranking))


def _breadth(ranking: Ranking) -> int:
    return 1 + len(ranking.columns) + (_REASONS if ranking.because is not None else 0)


def _width(answer: Predictions) -> int:
    """Values a row, as the first one has them; with several outputs probabilities are a list a class list."""
    first = (*answer.predictions[:1], *(answer.probabilities or ())[:1])
    return max(1, sum(_count(each) for each in first))


def _count(value: Any) -> int:
    return sum(map(_count, value)) if isinstance(value, list | tuple) else 1


class Answering(NamedTuple):
    """Who answered. parts: model -> version of those that a hybrid asked."""

    model: str
    version: str
    parts: Mapping[str, str] = MappingProxyType({})


def response_of(who: Answering, asked: Asked, answer: Answer, headers: Mapping[str, str]) -> web.Response:
    """The response to one question. A single user who is not in the model was refused before (`service.asking`)."""
    body: dict[str, Any] = {"model": who.model, "version": who.version}
    if who.parts:
        body["parts"] = dict(who.parts)
    if isinstance(answer, Predictions):
        return reply(body | _predictions(answer), headers=headers)
    assert isinstance(asked, TopK)  # noqa: S101  what answers rankings was asked for them
    if asked.subject == "users":
        users = asked.query.users
        body["results"] = [_result(user, at, ranking) for at, (user, ranking) in enumerate(zip(users, answer, strict=True))]
        return reply(body, headers=headers)
    (ranking,) = answer
    assert isinstance(ranking, Ranking)  # noqa: S101
    if asked.subject == "user_id":
        body["user_id"] = ranking.user
    elif asked.subject == "item_id":
        body["item_id"] = ranking.user
    return reply(_with_notes(body, ranking), headers=headers)


def _result(user: Id, at: int, ranking: Ranking | UnknownEntity) -> dict[str, Any]:
    if isinstance(ranking, UnknownEntity):
        return {"user_id": user, "error": request_problem_document(UnknownEntity(f"users[{at}]", ranking.message))}
    return _with_notes({"user_id": user}, ranking)


def _with_notes(body: dict[str, Any], ranking: Ranking) -> dict[str, Any]:
    """The items, and what else the family has to say; it says nothing over what is there already."""
    body["items"] = _joined(_items(ranking))
    return body | {name: note for name, note in ranking.notes.items() if name not in body}


def _joined(slices: Iterator[bytes]) -> msgspec.Raw:
    """A JSON array of slices that are JSON arrays."""
    return msgspec.Raw(b"[" + b",".join(each[1:-1] for each in slices) + b"]")


def _items(ranking: Ranking) -> Iterator[bytes]:
    step = max(1, WRITTEN_AT_ONCE // _breadth(ranking))
    for start in range(0, len(ranking.items), step):
        yield _encode(_slice(ranking, slice(start, start + step)))


def _slice(ranking: Ranking, part: slice) -> Sequence[Any]:
    pairs = zip(ranking.items[part], ranking.scores[part], strict=True)
    if not ranking.columns and ranking.because is None:
        return [Item(item, score) for item, score in pairs]
    items: list[dict[str, Any]] = [{"item_id": item, "score": score} for item, score in pairs]
    for name, values in ranking.columns.items():
        for item, value in zip(items, values[part], strict=True):
            item[name] = value
    if ranking.because is not None:
        for item, reasons in zip(items, ranking.because[part], strict=True):
            item["because"] = [{"item_id": id, "contribution": contribution} for id, contribution in reasons]
    return items


def _predictions(answer: Predictions) -> dict[str, Any]:
    step = max(1, WRITTEN_AT_ONCE // _width(answer))
    told: dict[str, Any] = {"predictions": _joined(_sliced(answer.predictions, step))}
    if answer.probabilities is not None:
        told["probabilities"] = _joined(_sliced(answer.probabilities, step))
    if answer.classes is not None:
        told["classes"] = answer.classes
    return told


def _sliced(rows: Sequence[Any], step: int) -> Iterator[bytes]:
    for start in range(0, len(rows), step):
        yield _encode(rows[start : start + step])
