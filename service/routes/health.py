"""GET /health, /health/live, /health/ready, /status.

Covers: the truths that are about the whole server: it lives, it is ready, what it uses. Does not cover: one model
(`models`). Reading them costs no I/O but /proc, so they answer while models load.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from aiohttp import web

from service.errors import NotServing
from service.keys import REGISTRY, STARTED_AT, STOPPING
from service.lifecycle.policy import status_of
from service.lifecycle.state import Status
from service.lifecycle.view import ModelView
from service.replies import reply
from service.routes.declared import Answer, Route, get, problem
from service.schemas.problems import NotServingProblem
from service.schemas.server import Health, Live, Ready, ServerStatus
from service.usage import memory_usage, process_usage
from service.version import program_version


async def health(request: web.Request) -> web.Response:
    """GET /health"""
    views = request.app[REGISTRY].snapshot()
    return reply({"status": overall(views), "models": {view.settings.name: status_of(view.entry) for view in views}})


async def live(request: web.Request) -> web.Response:
    """GET /health/live"""
    return reply({"status": "ok"})


async def ready(request: web.Request) -> web.Response:
    """GET /health/ready"""
    views = request.app[REGISTRY].snapshot()
    if request.app[STOPPING].is_set():
        raise NotServing("The server is stopping.", waiting_for=[], models={})
    if not views:
        raise NotServing("No model is configured.", waiting_for=[], models={})
    statuses = {view.settings.name: status_of(view.entry) for view in views}
    waiting = [view.settings.name for view in views if view.settings.required and view.entry.live is None]
    if waiting:
        said = ", ".join(f"{name} ({statuses[name]})" for name in waiting)
        raise NotServing(f"Waiting for {said}.", waiting_for=waiting, models=statuses)
    return reply({"status": "ready", "models": statuses})


async def status(request: web.Request) -> web.Response:
    """GET /status"""
    now = time.time()
    started_at = request.app[STARTED_AT]
    body = {
        "version": program_version(),
        "uptime_s": round(now - started_at, 3),
        "memory": memory_usage(),
        "workers": [{"pid": os.getpid(), **process_usage(), "uptime_s": round(now - started_at, 3)}],
        "models": [view.to_json(now) for view in request.app[REGISTRY].snapshot()],
    }
    return reply(body)


def overall(views: Sequence[ModelView]) -> str:
    """ok: every model serves what it should. degraded: one cannot, serves an old version, or there is none at all. Else loading."""
    if not views:
        return "degraded"
    statuses = {status_of(view.entry) for view in views}
    is_stale = any(view.entry.live and view.entry.failure for view in views)
    is_missing = any(view.settings.required and status_of(view.entry) is Status.UNLOADED for view in views)
    if Status.ERROR in statuses or is_stale or is_missing:
        return "degraded"
    return "loading" if Status.LOADING in statuses else "ok"


ROUTES: tuple[Route, ...] = (
    get(
        "/health",
        health,
        "200 while the process lives, with every model's status",
        tag="server",
        answers={200: Answer("The process lives", Health, example={"status": "loading", "models": {"als": "loading", "churn": "ready"}})},
    ),
    get(
        "/health/live",
        live,
        "200 while the process lives",
        tag="server",
        answers={200: Answer("The process lives", Live, example={"status": "ok"})},
    ),
    get(
        "/health/ready",
        ready,
        "200 when every required model is live, else 503",
        tag="server",
        description="Nothing configured is not ready, and neither is a server that is stopping.",
        answers={
            200: Answer("Every required model is live", Ready, example={"status": "ready", "models": {"als": "ready"}}),
            503: problem("A required model is not live, none is configured, or the server is stopping", NotServingProblem),
        },
    ),
    get(
        "/status",
        status,
        "Version, uptime, memory, workers and models",
        tag="server",
        answers={200: Answer("What the server is and uses", ServerStatus)},
    ),
)
