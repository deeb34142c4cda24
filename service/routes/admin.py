"""Commands: load, unload, reload, roll back, activate, clear. All of them are behind the admin token (`service.admin`).

Covers: which command is whose. Does not cover: what is answered (`service.routes.commanded`), what a command does to a model
(`service.lifecycle`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated

from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec import Meta

from service.errors import InvalidField, NoSuchVersion
from service.keys import REGISTRY
from service.lifecycle.errors import UnknownVersion
from service.prefer import query_flag
from service.replies import reply
from service.routes.commanded import ALL, FORCE, ONE, WAITING, outcome, outcomes, wait_s_of
from service.routes.declared import Answer, Parameter, Route, command, problem
from service.schemas.models import AllCleared, Cleared
from service.schemas.problems import NamedProblem, NotFoundProblem, StoreProblem
from service.schemas.versions import VersionName


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
    """POST /models/{model}/rollback; `?unpin=true` takes the pin away, and goes nowhere but to the version that is named."""
    wait_s, unpin, to = wait_s_of(request), query_flag(request, "unpin"), request.query.get("to")
    registry = request.app[REGISTRY]
    name = registry.view(request.match_info["model"]).name
    try:
        if unpin and to is not None:
            await registry.activate(name, to, by=_by(request))
        elif unpin:
            await registry.unpin(name, by=_by(request))
        else:
            await registry.rollback(name, to, by=_by(request))
    except UnknownVersion as error:
        raise NoSuchVersion(str(error), field="to", model=name) from error
    return await outcome(request, name, wait_s)


async def activate(request: web.Request) -> web.Response:
    """POST /models/{model}/activate?version=V"""
    wait_s, version = wait_s_of(request), request.query.get("version")
    registry = request.app[REGISTRY]
    name = registry.view(request.match_info["model"]).name
    if not version:
        raise InvalidField("version", "is missing: name the version that is to serve")
    try:
        await registry.activate(name, version, by=_by(request))
    except UnknownVersion as error:
        raise NoSuchVersion(str(error), field="version", model=name) from error
    return await outcome(request, name, wait_s)


def _by(request: web.Request) -> str:
    """Who commands it, as far as that is known."""
    return f"an operator ({request.remote})"


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
_SWITCHED = {
    **ONE,
    404: problem("No such model, or no such version of it", NotFoundProblem),
    409: problem("No version before the one that serves is kept, or none at all: the model is not trained here", NamedProblem),
}
_TO = Parameter("to", "query", VersionName, "The version to go back to; else the one before what is current, but none that was withdrawn")
_UNPIN = Parameter("unpin", "query", bool, "Pin nothing: training switches to new versions again. Without `to`, go nowhere", example=True)
_VERSION = Parameter("version", "query", Annotated[VersionName, Meta(min_length=1)], "The version that is to serve", required=True)


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
        "Of a model that is trained here. The version is pinned: training goes on, but nothing else takes its place before"
        " `unpin=true` or an activation. What serves goes on until the other version is ready.",
        _TO,
        _UNPIN,
        answers=_SWITCHED,
    ),
    _of_one(
        "activate",
        activate,
        "Serve a version that is kept",
        "Of a model that is trained here; also one that was withdrawn. Nothing is pinned afterwards, so the next new version follows it.",
        _VERSION,
        answers=_SWITCHED,
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
