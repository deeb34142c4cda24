"""Commands: load, unload, reload, clear. All of them are behind the admin token (`service.admin`).

Covers: 202 at once with the model's status, or with `?wait=N` (or `Prefer: wait=N`) what came of it. Does not cover:
what a command does to a model (`service.lifecycle`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import replace

from aiohttp import web
from aiohttp.typedefs import Handler

from service.errors import ModelsFailed, model_failed
from service.keys import REGISTRY
from service.lifecycle.view import ModelView
from service.prefer import ADMIN_WAIT_LIMIT_S, preferred_wait_s, query_flag, query_wait_s, unless_stopping
from service.replies import reply
from service.routes.declared import Answer, Parameter, Route, command, problem
from service.routes.implied import PREFER, RETRY_AFTER_IF_ANY
from service.schemas.models import AllCleared, Cleared, Models, ModelStatus
from service.schemas.problems import ModelsFailedProblem, StoreProblem, UnavailableProblem
from service.schemas.values import Seconds


async def load(request: web.Request) -> web.Response:
    """POST /models/{model}/load"""
    wait_s = _wait_s(request)
    request.app[REGISTRY].load(request.match_info["model"])
    return await _outcome(request, wait_s)


async def unload(request: web.Request) -> web.Response:
    """POST /models/{model}/unload"""
    wait_s = _wait_s(request)
    request.app[REGISTRY].unload(request.match_info["model"])
    return await _outcome(request, wait_s)


async def reload(request: web.Request) -> web.Response:
    """POST /models/{model}/reload; an unchanged revision makes no new version, unless `?force=true`."""
    wait_s, force = _wait_s(request), query_flag(request, "force")
    request.app[REGISTRY].reload(request.match_info["model"], force=force)
    return await _outcome(request, wait_s)


async def reload_all(request: web.Request) -> web.Response:
    """POST /models/reload; always forced."""
    wait_s = _wait_s(request)
    request.app[REGISTRY].reload_all(force=True)
    return await _outcomes(request, wait_s)


async def clear(request: web.Request) -> web.Response:
    """DELETE /models/{model}/cache"""
    wait_s = _wait_s(request)
    name = request.match_info["model"]
    freed = await request.app[REGISTRY].clear(name)
    body = request.app[REGISTRY].view(name).to_json(time.time())
    return reply({**body, "freed_bytes": freed}, _accepted(wait_s))


async def clear_all(request: web.Request) -> web.Response:
    """DELETE /models/clear"""
    wait_s = _wait_s(request)
    freed = await request.app[REGISTRY].clear(None)
    now = time.time()
    return reply({"freed_bytes": freed, "models": [view.to_json(now) for view in request.app[REGISTRY].snapshot()]}, _accepted(wait_s))


def _wait_s(request: web.Request) -> float | None:
    in_query = query_wait_s(request)
    if in_query is not None:
        return in_query
    preferred = preferred_wait_s(request.headers.getall("Prefer", ()))
    return None if preferred is None else min(float(preferred), ADMIN_WAIT_LIMIT_S)


def _accepted(wait_s: float | None) -> int:
    return 202 if wait_s is None else 200


async def _outcome(request: web.Request, wait_s: float | None) -> web.Response:
    registry = request.app[REGISTRY]
    name = request.match_info["model"]
    if wait_s is not None:
        await unless_stopping(request.app, registry.wait_settled(name, wait_s))
    view = registry.view(name)
    now = time.time()
    if wait_s is None or _is_running(view):
        return reply(view.to_json(now), 202)
    if has_failed(view):
        return model_failed(view, now)
    return reply(view.to_json(now))


async def _outcomes(request: web.Request, wait_s: float | None) -> web.Response:
    registry = request.app[REGISTRY]
    if wait_s is not None:
        waits = (registry.wait_settled(view.settings.name, wait_s) for view in registry.snapshot())
        await unless_stopping(request.app, _all(*waits))
    views = registry.snapshot()
    now = time.time()
    models = [view.to_json(now) for view in views]
    body = {"models": models}
    if wait_s is None or any(map(_is_running, views)):
        return reply(body, 202)
    failed = [view.settings.name for view in views if has_failed(view)]
    if failed:
        raise ModelsFailed(f"Failed: {', '.join(failed)}.", failed=failed, models=models)
    return reply(body)


async def _all(*waits: Awaitable[ModelView]) -> None:
    await asyncio.gather(*waits)


def _is_running(view: ModelView) -> bool:
    return view.entry.attempt is not None


def has_failed(view: ModelView) -> bool:
    """Whether the last attempt failed, even where an older version still serves."""
    return view.entry.failure is not None and not view.entry.unloaded


WAIT = Parameter("wait", "query", Seconds, "Wait for what comes of it, for at most so many seconds (an hour at most)", example=10)
FORCE = Parameter("force", "query", bool, "Load again even if the source says that nothing changed", example=True)
_PREFERRED = replace(PREFER, summary="`wait=N`: as the parameter `wait`, which counts more (RFC 7240)")
_WAITING = (WAIT, _PREFERRED)
_STOPPING = problem("The store cannot be used now, or the server is stopping", StoreProblem)
_ONE = {
    200: Answer("With `wait`: what came of it", ModelStatus),
    202: Answer("It was begun; or, with `wait`, it runs on", ModelStatus),
    503: problem("With `wait`: it failed; or the server is stopping", UnavailableProblem, headers={"Retry-After": RETRY_AFTER_IF_ANY}),
}
_ALL = {
    200: Answer("With `wait`: what came of it", Models),
    202: Answer("It was begun; or, with `wait`, some run on", Models),
    503: problem("With `wait`: some failed; or the server is stopping", ModelsFailedProblem),
}


def _of_one(word: str, handler: Handler, summary: str, description: str, *parameters: Parameter) -> Route:
    path = f"/models/{{model}}/{word}"
    return command("POST", path, handler, summary, tag="admin", description=description, parameters=(*parameters, *_WAITING), answers=_ONE)


ROUTES: tuple[Route, ...] = (
    _of_one("load", load, "Load a model", "Nothing happens to one that serves; a running attempt is joined."),
    _of_one("unload", unload, "Unload a model", "It serves no more, until it is loaded or reloaded."),
    _of_one(
        "reload",
        reload,
        "Ask the source again and load a new revision",
        "What serves goes on until the new version is ready; a reload that fails does not disturb it.",
        FORCE,
    ),
    command(
        "POST",
        "/models/reload",
        reload_all,
        "Load every model again",
        tag="admin",
        description="Even where the source says that nothing changed; but for those that were unloaded or never begun.",
        parameters=_WAITING,
        answers=_ALL,
    ),
    command(
        "DELETE",
        "/models/clear",
        clear_all,
        "Delete fetched artifacts and unused segments of all models",
        tag="admin",
        description="What serves keeps serving.",
        parameters=_WAITING,
        answers={200: Answer("With `wait`: done", AllCleared), 202: Answer("Done", AllCleared), 503: _STOPPING},
    ),
    command(
        "DELETE",
        "/models/{model}/cache",
        clear,
        "Delete fetched artifacts and unused segments of one model",
        tag="admin",
        description="If it serves, it keeps serving.",
        parameters=_WAITING,
        answers={200: Answer("With `wait`: done", Cleared), 202: Answer("Done", Cleared), 503: _STOPPING},
    ),
)
