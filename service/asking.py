"""How a question comes to an answer: a place among the calls in flight, a version (perhaps after waiting), the answer, or why not.

Covers: what all routes that ask a model have in common (`put`), and how the native ones tell what came of it (`ask`). Does
not cover: the fields of questions and answers (`service.questions`, `service.answers`), what a model that is not ready
answers (`service.status`, `service.errors`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from aiohttp import web

from models.base import AnswerFailed, Predictions, RequestError, UnknownEntity
from service.answers import Answering, response_of, size_of
from service.errors import DeadlineExceeded, InvalidField, NothingConfigured, Overloaded, answer_failed, not_ready, request_problem
from service.jobs import Answer
from service.keys import CALLS, QUESTIONS, RECENT, REGISTRY, SCORING, SETTINGS
from service.lifecycle.lease import Lease
from service.lifecycle.view import NotReady
from service.prefer import preferred_wait_s, unless_stopping
from service.questions import Asked, TopK
from service.scoring import TooManyInFlight
from service.status import HTTP_OF
from service.telemetry.calls import Call, Outcome
from service.turns import Congested

WRITTEN_INLINE = 1000
"""Values that the event loop itself writes as JSON, in a third of a millisecond; longer answers are written in a thread."""

T = TypeVar("T")


@dataclass(slots=True)
class Patience:
    """How long a caller waits for a model that is not ready yet, None for not at all; `is_used` once it had to."""

    wait_s: float | None = None
    is_used: bool = False


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


async def put(
    app: web.Application,
    name: str,
    asked: Asked,
    write: Callable[[Answering, Answer], T],
    *,
    patience: Patience | None = None,
    input_ns: int = 0,
) -> T:
    """What `write` makes of the answer to one question, in a thread where that is long; counted, however it ends.

    Raises UnknownModel, NotReady, models.base.RequestError (its field as the caller wrote it), models.base.AnswerFailed,
    Overloaded, DeadlineExceeded.
    """
    settings = app[REGISTRY].view(name).settings
    asked = app[RECENT].joining(asked)
    call = app[CALLS].begin(name, subjects=_subjects(asked), input_ns=input_ns)
    outcome = Outcome.FAILED
    try:
        with app[SCORING].enter(name, settings.max_in_flight) as place:
            lease = await _lease(app, name, patience or Patience())
            call.version = lease.version
            who = Answering(name, lease.version, {part.model: part.version for part in lease.parts.values()})
            queue_s = settings.max_queue_s or None
            answer = await app[SCORING].answer(place, lease, asked, settings.request_timeout_s, call, queue_s=queue_s)
            _refuse_unknown(asked, answer)
            app[QUESTIONS].remember(name, asked, answer)
            work = partial(_written, write, who, answer, call)
            written = work() if size_of(answer) <= WRITTEN_INLINE else await app[SCORING].aside(place, work)
            outcome = Outcome.OK
            return written
    except NotReady as error:
        outcome = Outcome.LOADING if HTTP_OF[error.view.status] == 202 else Outcome.UNAVAILABLE
        raise
    except TooManyInFlight as error:
        outcome = Outcome.OVERLOADED
        detail = f"{name} has {error.limit} calls in flight, as many as it may."
        raise Overloaded(detail, headers={"Retry-After": "1"}, model=name, retry_after_s=1) from error
    except Congested as error:
        outcome = Outcome.OVERLOADED
        detail = f"{name} has as many calls waiting as it can answer soon: this one would wait for {error.wait_s * 1000:.0f} ms."
        sent = {"Retry-After": str(error.retry_after_s)}
        raise Overloaded(detail, headers=sent, model=name, retry_after_s=error.retry_after_s) from error
    except TimeoutError as error:
        outcome = Outcome.DEADLINE
        raise DeadlineExceeded(f"{name} did not answer within {settings.request_timeout_s:g} s.", model=name) from error
    except RequestError as error:
        outcome = Outcome.REFUSED
        raise asked.as_written(error) from error
    except asyncio.CancelledError:
        outcome = Outcome.ABANDONED
        raise
    finally:
        app[CALLS].end(call, outcome)


async def ask(request: web.Request, name: str, asked: Asked, *, input_ns: int = 0) -> web.Response:
    """The response to one question to the model `name`, whatever state it is in. Raises UnknownModel, Problem."""
    registry = request.app[REGISTRY]
    preferred_s = preferred_wait_s(request.headers.getall("Prefer", ()))
    patience = Patience(None if preferred_s is None else min(float(preferred_s), registry.view(name).settings.max_wait_s))

    def write(who: Answering, answer: Answer) -> web.Response:
        return response_of(who, asked, answer, _applied(patience))

    try:
        return await put(request.app, name, asked, write, patience=patience, input_ns=input_ns)
    except NotReady as error:
        return not_ready(error.view, time.time(), headers=_applied(patience))
    except AnswerFailed as error:
        return answer_failed(error, registry.view(name), time.time(), headers=_applied(patience))
    except RequestError as error:
        return request_problem(error, model=name)


def _applied(patience: Patience) -> dict[str, str]:
    return {"Preference-Applied": f"wait={patience.wait_s:g}"} if patience.is_used else {}


def _written(write: Callable[[Answering, Answer], T], who: Answering, answer: Answer, call: Call) -> T:
    began_ns = time.monotonic_ns()
    written = write(who, answer)
    call.output_ns = time.monotonic_ns() - began_ns
    return written


def _refuse_unknown(asked: Asked, answer: Answer) -> None:
    """The only user of a question is not in the model: the question was wrong, and is counted so. Raises UnknownEntity."""
    if isinstance(asked, TopK) and asked.subject != "users" and not isinstance(answer, Predictions):
        (ranking,) = answer
        if isinstance(ranking, UnknownEntity):
            raise ranking


def _subjects(asked: Asked) -> int:
    return asked.query.subjects if isinstance(asked, TopK) else len(asked.instances)


async def _lease(app: web.Application, name: str, patience: Patience) -> Lease:
    """A hold on the version that serves; where there is none, after as long a wait as the caller is willing to. Raises NotReady."""
    registry = app[REGISTRY]
    try:
        return registry.acquire(name)
    except NotReady:
        if patience.wait_s is None:
            raise
        patience.is_used = True
        await unless_stopping(app, registry.wait_ready(name, patience.wait_s))
        return registry.acquire(name)
