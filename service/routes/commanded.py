"""What every command has in common: whether to wait for what comes of it, and what is answered.

Covers: 202 at once with the model's status, or with `?wait=N` (or `Prefer: wait=N`) what came of it; what routes declare of
that. Does not cover: the commands (`service.routes.admin`, `service.routes.legacy`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping
from dataclasses import replace

from aiohttp import web

from service.errors import ModelsFailed, model_failed
from service.keys import REGISTRY
from service.lifecycle.view import ModelView
from service.prefer import ADMIN_WAIT_LIMIT_S, preferred_wait_s, query_wait_s, unless_stopping
from service.replies import reply
from service.routes.declared import Answer, Header, Parameter, problem
from service.routes.implied import PREFER, RETRY_AFTER_IF_ANY
from service.schemas.models import Models, ModelStatus
from service.schemas.problems import ModelsFailedProblem, UnavailableProblem
from service.schemas.values import Seconds

WAIT = Parameter("wait", "query", Seconds, "Wait for what comes of it, for at most so many seconds (an hour at most)", example=10)
FORCE = Parameter("force", "query", bool, "Load again even if the source says that nothing changed", example=True)
PREFERRED = replace(PREFER, summary="`wait=N`: as the parameter `wait`, which counts more (RFC 7240)")
WAITING = (WAIT, PREFERRED)
MONITOR = Header("Where to see what comes of it")
FAILED = problem("With `wait`: it failed; or the server is stopping", UnavailableProblem, headers={"Retry-After": RETRY_AFTER_IF_ANY})
ONE: Mapping[int, Answer] = {
    200: Answer("With `wait`: what came of it", ModelStatus),
    202: Answer("It was begun; or, with `wait`, it runs on", ModelStatus, headers={"Location": MONITOR}),
    503: FAILED,
}
ALL: Mapping[int, Answer] = {
    200: Answer("With `wait`: what came of it", Models),
    202: Answer("It was begun; or, with `wait`, some run on", Models, headers={"Location": MONITOR}),
    503: problem("With `wait`: some failed; or the server is stopping", ModelsFailedProblem),
}


def wait_s_of(request: web.Request) -> float | None:
    """For how long the caller wants to wait; None for not at all. Raises InvalidField."""
    in_query = query_wait_s(request)
    if in_query is not None:
        return in_query
    preferred = preferred_wait_s(request.headers.getall("Prefer", ()))
    return None if preferred is None else min(float(preferred), ADMIN_WAIT_LIMIT_S)


async def settled(request: web.Request, name: str, wait_s: float) -> ModelView:
    """The model once nothing runs for it any more; as it is after `wait_s` seconds, or when the server stops."""
    registry = request.app[REGISTRY]
    await unless_stopping(request.app, registry.wait_settled(name, wait_s))
    return registry.view(name)


async def outcome(request: web.Request, name: str, wait_s: float | None) -> web.Response:
    """What a command to one model is answered. Raises UnknownModel."""
    view = request.app[REGISTRY].view(name) if wait_s is None else await settled(request, name, wait_s)
    now = time.time()
    if wait_s is None or is_running(view):
        return reply(view.to_json(now), 202, {"Location": f"/models/{name}"})
    if has_failed(view):
        return model_failed(view, now)
    return reply(view.to_json(now))


async def outcomes(request: web.Request, wait_s: float | None) -> web.Response:
    """What a command to every model is answered. Raises ModelsFailed."""
    registry = request.app[REGISTRY]
    if wait_s is not None:
        waits = (registry.wait_settled(view.settings.name, wait_s) for view in registry.snapshot())
        await unless_stopping(request.app, _all(*waits))
    views = registry.snapshot()
    now = time.time()
    models = [view.to_json(now) for view in views]
    body = {"models": models}
    if wait_s is None or any(map(is_running, views)):
        return reply(body, 202, {"Location": "/models"})
    failed = [view.settings.name for view in views if has_failed(view)]
    if failed:
        raise ModelsFailed(f"Failed: {', '.join(failed)}.", failed=failed, models=models)
    return reply(body)


async def _all(*waits: Awaitable[ModelView]) -> None:
    await asyncio.gather(*waits)


def is_running(view: ModelView) -> bool:
    """Whether an attempt runs, or waits to."""
    return view.entry.attempt is not None


def has_failed(view: ModelView) -> bool:
    """Whether the last attempt failed, even where an older version still serves."""
    return view.entry.failure is not None and not view.entry.unloaded
