"""Commands: load, unload, reload, clear. All of them are behind the admin token (`service.admin`).

Covers: 202 at once with the model's status, or with `?wait=N` (or `Prefer: wait=N`) what came of it. Does not cover:
what a command does to a model (`service.lifecycle`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

from aiohttp import web

from service.errors import ModelsFailed, model_failed
from service.keys import REGISTRY
from service.lifecycle.view import ModelView
from service.prefer import ADMIN_WAIT_LIMIT_S, preferred_wait_s, query_flag, query_wait_s, unless_stopping
from service.replies import reply
from service.routes.declared import Route, command


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


ROUTES: tuple[Route, ...] = (
    command("POST", "/models/{model}/load", load, "Load a model", tag="admin"),
    command("POST", "/models/{model}/unload", unload, "Unload a model", tag="admin"),
    command("POST", "/models/{model}/reload", reload, "Ask the source again and load a new revision", tag="admin"),
    command("POST", "/models/reload", reload_all, "Load every model again", tag="admin"),
    command("DELETE", "/models/clear", clear_all, "Delete fetched artifacts and unused segments of all models", tag="admin"),
    command("DELETE", "/models/{model}/cache", clear, "Delete fetched artifacts and unused segments of one model", tag="admin"),
)
