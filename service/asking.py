"""How a question comes to an answer: a place among the calls in flight, a version (perhaps after waiting), the answer, or why not.

Covers: what all routes that ask a model have in common. Does not cover: the fields of questions and answers
(`service.questions`, `service.answers`), what a model that is not ready answers (`service.status`, `service.errors`).
"""

from __future__ import annotations

import time
from functools import partial

from aiohttp import web

from models.base import AnswerFailed, RequestError
from service.answers import Answering, response_of, size_of
from service.errors import DeadlineExceeded, InvalidField, NothingConfigured, Overloaded, answer_failed, not_ready, request_problem
from service.keys import REGISTRY, SCORING, SETTINGS
from service.lifecycle.lease import Lease
from service.lifecycle.view import NotReady
from service.prefer import preferred_wait_s, unless_stopping
from service.questions import Asked
from service.scoring import TooManyInFlight

WRITTEN_INLINE = 1000
"""Values that the event loop itself writes as JSON, in a third of a millisecond; longer answers are written in a thread."""


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


async def ask(request: web.Request, name: str, asked: Asked) -> web.Response:
    """The response to one question to the model `name`, whatever state it is in. Raises UnknownModel, Problem."""
    app = request.app
    settings = app[REGISTRY].view(name).settings
    headers: dict[str, str] = {}
    try:
        with app[SCORING].enter(name, settings.max_in_flight) as place:
            lease = await _lease(request, name, settings.max_wait_s, headers)
            who = Answering(name, lease.version, {part.model: part.version for part in lease.parts.values()})
            answer = await app[SCORING].answer(place, lease, asked, settings.request_timeout_s)
            write = partial(response_of, who, asked, answer, headers)
            return write() if size_of(answer) <= WRITTEN_INLINE else await app[SCORING].aside(place, write)
    except NotReady as error:
        return not_ready(error.view, time.time(), headers=headers)
    except TooManyInFlight as error:
        detail = f"{name} has {error.limit} calls in flight, as many as it may."
        raise Overloaded(detail, headers={"Retry-After": "1"}, model=name, retry_after_s=1) from error
    except TimeoutError as error:
        raise DeadlineExceeded(f"{name} did not answer within {settings.request_timeout_s:g} s.", model=name) from error
    except AnswerFailed as error:
        return answer_failed(error, app[REGISTRY].view(name), time.time(), headers=headers)
    except RequestError as error:
        return request_problem(asked.as_written(error), model=name)


async def _lease(request: web.Request, name: str, max_wait_s: float, headers: dict[str, str]) -> Lease:
    """A hold on the version that serves; where there is none, after as long a wait as the client prefers. Raises NotReady."""
    registry = request.app[REGISTRY]
    try:
        return registry.acquire(name)
    except NotReady:
        preferred_s = preferred_wait_s(request.headers.getall("Prefer", ()))
        if preferred_s is None:
            raise
        wait_s = min(float(preferred_s), max_wait_s)
        headers["Preference-Applied"] = f"wait={wait_s:g}"
        await unless_stopping(request.app, registry.wait_ready(name, wait_s))
        return registry.acquire(name)
