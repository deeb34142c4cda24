"""Recommendations: POST /models/{model}/predict, POST /predict, GET /predict/status.

Covers: the question's fields, waiting for a model, the answer's fields. Does not cover: scores (`models`), what a model
that is not ready answers (`service.status`, `service.errors`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, Struct, UnsetType

from models.base import Id, Query, Ranking, RequestError, UnknownEntity
from service.body import read_body
from service.errors import (
    DeadlineExceeded,
    InvalidField,
    NothingConfigured,
    Overloaded,
    not_ready,
    request_problem,
    request_problem_document,
)
from service.keys import REGISTRY, SCORING, SETTINGS
from service.lifecycle.view import NotReady
from service.prefer import preferred_wait_s, unless_stopping
from service.replies import reply
from service.scoring import Rankings, TooManyInFlight
from service.status import answer_for

MAX_USERS = 1000
MAX_EXCLUDED = 100_000
WRITTEN_INLINE = 1000
"""Items that the event loop itself writes as JSON, in a third of a millisecond; longer answers are written in a thread."""
WRITTEN_AT_ONCE = 1000
"""Items of one call of the encoder, which lets no other thread run meanwhile, the event loop's neither."""


class Question(Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of a predict call. Exactly one of `user_id` and `users`."""

    user_id: Id | UnsetType = UNSET
    users: Annotated[list[Id], Meta(min_length=1, max_length=MAX_USERS)] | UnsetType = UNSET
    k: Annotated[int, Meta(ge=1)] = 10
    exclude: Annotated[list[Id], Meta(max_length=MAX_EXCLUDED)] = []
    exclude_seen: bool | None = None


class NamedQuestion(Question, forbid_unknown_fields=True, kw_only=True):
    """The body of POST /predict, which may name the model."""

    model: str | UnsetType = UNSET


class Item(Struct, gc=False):
    """One recommendation."""

    item_id: Id
    score: float


_question = msgspec.json.Decoder(Question)
_named_question = msgspec.json.Decoder(NamedQuestion)
_encoder = msgspec.json.Encoder()


async def predict(request: web.Request) -> web.Response:
    """POST /models/{model}/predict"""
    name = request.match_info["model"]
    request.app[REGISTRY].view(name)  # a model nobody configured is 404, whatever the body says
    return await _answer(request, name, await read_body(request, _question))


async def predict_default(request: web.Request) -> web.Response:
    """POST /predict"""
    question = await read_body(request, _named_question)
    name = default_model(request.app) if question.model is UNSET else question.model
    return await _answer(request, name, question)


async def predict_status(request: web.Request) -> web.Response:
    """GET /predict/status: whether POST /predict would be answered now."""
    now = time.time()
    try:
        name = request.query.get("model") or default_model(request.app)
    except NothingConfigured as error:
        body: dict[str, Any] = {"status": "not_started", "model": None, "reason": error.detail}
    else:
        view = request.app[REGISTRY].view(name)
        body = {"model": name, "retry_after_s": answer_for(view.entry, now).retry_after_s, **view.to_json(now)}
    return reply(body)


def default_model(app: web.Application) -> str:
    """The model that is meant when none is named. Raises NothingConfigured, InvalidField when there are several and none is the default."""
    configured = app[SETTINGS].server.default_model
    if configured:
        return configured
    names = [view.settings.name for view in app[REGISTRY].snapshot()]
    if len(names) == 1:
        return names[0]
    if not names:
        raise NothingConfigured("No model is configured: add one to the configuration file or set MODEL_<NAME>_URL.")
    raise InvalidField("model", f"several models are configured and none is the default: name one of {', '.join(sorted(names))}")


async def _answer(request: web.Request, name: str, question: Question) -> web.Response:
    query = as_query(question)
    app = request.app
    settings = app[REGISTRY].view(name).settings
    headers: dict[str, str] = {}
    try:
        with app[SCORING].enter(name, settings.max_in_flight) as place:
            try:
                lease = app[REGISTRY].acquire(name)
            except NotReady:
                wait_s = _wait_s(request, settings.max_wait_s)
                if wait_s is None:
                    raise
                headers["Preference-Applied"] = f"wait={wait_s:g}"
                await unless_stopping(app, app[REGISTRY].wait_ready(name, wait_s))
                lease = app[REGISTRY].acquire(name)
            version = lease.version
            rankings = await app[SCORING].recommend(place, lease, query, settings.request_timeout_s)
            write = partial(_rendered, name, version, question, rankings, headers)
            length = sum(len(ranking.items) for ranking in rankings if isinstance(ranking, Ranking))
            return write() if length <= WRITTEN_INLINE else await app[SCORING].aside(place, write)
    except NotReady as error:
        return not_ready(error.view, time.time(), headers=headers)
    except TooManyInFlight as error:
        detail = f"{name} has {error.limit} calls in flight, as many as it may."
        raise Overloaded(detail, headers={"Retry-After": "1"}, model=name, retry_after_s=1) from error
    except TimeoutError as error:
        raise DeadlineExceeded(f"{name} did not answer within {settings.request_timeout_s:g} s.", model=name) from error
    except RequestError as error:
        return request_problem(_as_asked(error, question), model=name)


def _wait_s(request: web.Request, limit_s: float) -> float | None:
    preferred = preferred_wait_s(request.headers.getall("Prefer", ()))
    return None if preferred is None else min(float(preferred), limit_s)


def as_query(question: Question) -> Query:
    """The question in the models' words. Raises InvalidField unless it has exactly one of user_id and users."""
    if question.user_id is not UNSET:
        if question.users is not UNSET:
            raise InvalidField("users", "give user_id or users, not both")
        users = [question.user_id]
    elif question.users is not UNSET:
        users = question.users
    else:
        raise InvalidField("user_id", "give user_id or users")
    return Query(users=users, k=question.k, exclude=question.exclude, exclude_seen=question.exclude_seen)


def _as_asked(error: RequestError, question: Question) -> RequestError:
    """The error with the field as this caller wrote it: models see one user as a list of one."""
    if question.user_id is not UNSET and error.field in ("users", "users[0]"):
        return type(error)("user_id", error.message)
    return error


def _rendered(name: str, version: str, question: Question, rankings: Rankings, headers: dict[str, str]) -> web.Response:
    body: dict[str, Any] = {"model": name, "version": version}
    if question.users is not UNSET:
        body["results"] = [_result(user, at, ranking) for at, (user, ranking) in enumerate(zip(question.users, rankings, strict=True))]
    else:
        (ranking,) = rankings
        if isinstance(ranking, UnknownEntity):
            return request_problem(_as_asked(UnknownEntity("user_id", ranking.message), question), model=name)
        body["user_id"] = question.user_id
        body["items"] = _items(ranking)
    return reply(body, headers=headers)


def _result(user: Id, at: int, ranking: Ranking | UnknownEntity) -> dict[str, Any]:
    if isinstance(ranking, UnknownEntity):
        return {"user_id": user, "error": request_problem_document(UnknownEntity(f"users[{at}]", ranking.message))}
    return {"user_id": user, "items": _items(ranking)}


def _items(ranking: Ranking) -> msgspec.Raw:
    return msgspec.Raw(b"[" + b",".join(_slices(ranking)) + b"]")


def _slices(ranking: Ranking) -> Iterator[bytes]:
    for start in range(0, len(ranking.items), WRITTEN_AT_ONCE):
        end = start + WRITTEN_AT_ONCE
        items = [Item(item, score) for item, score in zip(ranking.items[start:end], ranking.scores[start:end], strict=True)]
        yield _encoder.encode(items)[1:-1]
