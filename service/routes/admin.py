"""Commands: load, unload, reload, roll back, clear. All of them are behind the admin token (`service.admin`).

Covers: which command is whose. Does not cover: what is answered (`service.routes.commanded`), what a command does to a model
(`service.lifecycle`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from aiohttp import web
from aiohttp.typedefs import Handler

from service.keys import REGISTRY
from service.prefer import query_flag
from service.replies import reply
from service.routes.commanded import ALL, FORCE, ONE, WAITING, outcome, outcomes, wait_s_of
from service.routes.declared import Answer, Parameter, Route, command, problem
from service.schemas.models import AllCleared, Cleared
from service.schemas.problems import NamedProblem, StoreProblem


async def load(request: web.Request) -> web.Response:
    """POST /models/{model}/load"""
    wait_s = wait_s_of(request)
    request.app[REGISTRY].load(request.match_info["model"])
    return await outcome(request, request.match_info["model"], wait_s)


async def unload(request: web.Request) -> web.Response:
    """POST /models/{model}/unload"""
    wait_s = wait_s_of(request)
    request.app[REGISTRY].unload(request.match_info["model"])
    return await outcome(request, request.match_info["model"], wait_s)


async def reload(request: web.Request) -> web.Response:
    """POST /models/{model}/reload; an unchanged revision makes no new version, unless `?force=true`."""
    wait_s, force = wait_s_of(request), query_flag(request, "force")
    request.app[REGISTRY].reload(request.match_info["model"], force=force)
    return await outcome(request, request.match_info["model"], wait_s)


async def rollback(request: web.Request) -> web.Response:
    """POST /models/{model}/rollback"""
    wait_s = wait_s_of(request)
    request.app[REGISTRY].rollback(request.match_info["model"])
    return await outcome(request, request.match_info["model"], wait_s)


async def reload_all(request: web.Request) -> web.Response:
    """POST /models/reload; always forced."""
    wait_s = wait_s_of(request)
    request.app[REGISTRY].reload_all(force=True)
    return await outcomes(request, wait_s)


async def clear(request: web.Request) -> web.Response:
    """DELETE /models/{model}/cache"""
    wait_s = wait_s_of(request)
    name = request.match_info["model"]
    freed = await request.app[REGISTRY].clear(name)
    body = request.app[REGISTRY].view(name).to_json(time.time())
    return reply({**body, "freed_bytes": freed}, _accepted(wait_s))


async def clear_all(request: web.Request) -> web.Response:
    """DELETE /models/clear"""
    wait_s = wait_s_of(request)
    freed = await request.app[REGISTRY].clear(None)
    now = time.time()
    return reply({"freed_bytes": freed, "models": [view.to_json(now) for view in request.app[REGISTRY].snapshot()]}, _accepted(wait_s))


def _accepted(wait_s: float | None) -> int:
    return 202 if wait_s is None else 200


_STOPPING = problem("The store cannot be used now, or the server is stopping", StoreProblem)
_ROLLED_BACK = {**ONE, 409: problem("No version but the one that serves is kept", NamedProblem)}


def _of_one(
    word: str, handler: Handler, summary: str, description: str, *parameters: Parameter, answers: Mapping[int, Answer] = ONE
) -> Route:
    said = {"description": description, "parameters": (*parameters, *WAITING), "answers": answers}
    return command("POST", f"/models/{{model}}/{word}", handler, summary, tag="admin", **said)


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
    _of_one(
        "rollback",
        rollback,
        "Serve the version before the one that serves",
        "So far no other version than the one that serves is kept, so there is none to go back to.",
        answers=_ROLLED_BACK,
    ),
    command(
        "POST",
        "/models/reload",
        reload_all,
        "Load every model again",
        tag="admin",
        description="Even where the source says that nothing changed; but for those that were unloaded or never begun.",
        parameters=WAITING,
        answers=ALL,
    ),
    command(
        "DELETE",
        "/models/clear",
        clear_all,
        "Delete fetched artifacts and unused segments of all models",
        tag="admin",
        description="What serves keeps serving.",
        parameters=WAITING,
        answers={200: Answer("With `wait`: done", AllCleared), 202: Answer("Done", AllCleared), 503: _STOPPING},
    ),
    command(
        "DELETE",
        "/models/{model}/cache",
        clear,
        "Delete fetched artifacts and unused segments of one model",
        tag="admin",
        description="If it serves, it keeps serving.",
        parameters=WAITING,
        answers={200: Answer("With `wait`: done", Cleared), 202: Answer("Done", Cleared), 503: _STOPPING},
    ),
)
