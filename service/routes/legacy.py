"""Addresses by which teams call such a service already: /ml/load, /admin/reload-model, /admin/model-status.

Covers: these addresses and the fields that their callers read. Does not cover: those that Holdfast calls so itself
(`predict`, `models`, `admin`), recommendations by query string (`frontend`), training (`training`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from loaders.errors import LoadError
from loaders.fetching import LOCAL
from loaders.sources import open_source
from loaders.sources.address import redact, scheme_of
from service.asking import default_model
from service.errors import NothingConfigured, model_failed
from service.keys import REGISTRY, SETTINGS
from service.lifecycle.view import Facts, ModelView, rfc3339
from service.prefer import ADMIN_WAIT_LIMIT_S, query_flag
from service.replies import reply
from service.routes.commanded import FAILED, FORCE, MONITOR, ONE, WAITING, has_failed, is_running, outcome, settled, wait_s_of
from service.routes.declared import Answer, Parameter, Route, command, problem
from service.schemas.legacy import LegacyStatus, Reloaded
from service.schemas.problems import NotFoundProblem
from service.schemas.values import ModelName


async def load(request: web.Request) -> web.Response:
    """POST /ml/load"""
    return await _load(request, _named(request))


async def load_worker(request: web.Request) -> web.Response:
    """POST /ml/load/{model}-worker"""
    return await _load(request, request.match_info["model"])


async def reload_model(request: web.Request) -> web.Response:
    """POST /admin/reload-model: waits for what comes of it, unless told for how long."""
    asked_s, force = wait_s_of(request), query_flag(request, "force")
    name = _named(request)
    before = request.app[REGISTRY].view(name)
    request.app[REGISTRY].reload(name, force=force)
    view = await settled(request, name, ADMIN_WAIT_LIMIT_S if asked_s is None else asked_s)
    if is_running(view):
        return reply(_told(before, view, "running", f"{name} is still on its way"), 202, {"Location": f"/models/{name}"})
    if has_failed(view) or view.loaded is None:
        return model_failed(view, time.time())
    reason, message = _what_came(before, view)
    return reply(_told(before, view, reason, message))


async def model_status(request: web.Request) -> web.Response:
    """GET /admin/model-status"""
    try:
        name = _named(request)
    except NothingConfigured:
        return reply({**dict.fromkeys(LegacyStatus.__struct_fields__), "is_loaded": False, **_counts(None)})
    view = request.app[REGISTRY].view(name)
    loaded = view.loaded
    body = {
        "is_loaded": view.entry.live is not None,
        **_counts(None if loaded is None else loaded.details),
        "model_type": None if loaded is None else _type_of(loaded),
        "model_path": redact(view.settings.source),
        "last_reload_time": None if loaded is None else rfc3339(loaded.loaded_at),
        "file_updated": await _is_file_updated(request, view),
    }
    return reply(body)


async def _load(request: web.Request, name: str) -> web.Response:
    wait_s = wait_s_of(request)
    request.app[REGISTRY].load(name)
    return await outcome(request, name, wait_s)


def _named(request: web.Request) -> str:
    return request.query["model"] if "model" in request.query else default_model(request.app)


def _what_came(before: ModelView, after: ModelView) -> tuple[str, str]:
    """The reason, and the message."""
    old, new = before.loaded, after.loaded
    if old is None or new is None:
        return "loaded", f"{after.name} is loaded"
    if old.version == new.version:
        return "unchanged", f"{after.name} is as its source is: nothing changed"
    if old.revision == new.revision:
        return "forced", f"{after.name} is loaded again, though nothing changed"
    return "changed", f"{after.name} is reloaded"


def _told(before: ModelView, after: ModelView, reason: str, message: str) -> dict[str, Any]:
    old, new = (None if view.loaded is None else view.loaded.version for view in (before, after))
    details = {"reloaded": old != new, "reason": reason, "model": after.name, "version": new, "previous_version": old}
    return {"success": reason != "running", "message": message, "details": details}


def _type_of(loaded: Facts) -> str:
    """The name of the class that the artifact holds; the family, where it holds no single one."""
    name = loaded.details.get("model")
    return name.rpartition(".")[2] if isinstance(name, str) else loaded.family


def _counts(details: Mapping[str, Any] | None) -> dict[str, int | None]:
    """0 where nothing is loaded, None of a model that is not made of users and items, or does not say how many."""
    if details is None:
        return {"num_users": 0, "num_items": 0, "num_posts_metadata": 0}
    if "items" not in details:
        return {"num_users": None, "num_items": None, "num_posts_metadata": None}
    metadata = details.get("metadata") or {}
    return {"num_users": details.get("users", 0), "num_items": details["items"], "num_posts_metadata": metadata.get("entries", 0)}


async def _is_file_updated(request: web.Request, view: ModelView) -> bool | None:
    """Whether another file, or published version, is there than what serves; None where that is on no disk here, or cannot be seen."""
    if view.loaded is None or scheme_of(view.settings.source) not in LOCAL:
        return None
    try:
        found = await open_source(view.settings, request.app[SETTINGS]).probe()
    except LoadError:
        return None
    return found.token != view.loaded.revision


_MODEL = Parameter("model", "query", ModelName, "The model that is meant; without it, the default one", "als")
_UNKNOWN = problem("No such model", NotFoundProblem)

ROUTES: tuple[Route, ...] = (
    command(
        "POST",
        "/ml/load",
        load,
        "Load a model",
        tag="drop-in",
        description="As POST /models/{model}/load.",
        parameters=(_MODEL, *WAITING),
        answers={**ONE, 404: _UNKNOWN},
    ),
    command(
        "POST",
        "/ml/load/{model}-worker",
        load_worker,
        "Load a model",
        tag="drop-in",
        description="As POST /models/{model}/load.",
        parameters=WAITING,
        answers=ONE,
    ),
    command(
        "POST",
        "/admin/reload-model",
        reload_model,
        "Reload a model if its source changed, and wait for it",
        tag="drop-in",
        description="What serves goes on until the new version is ready, and also when the reload fails.",
        parameters=(_MODEL, FORCE, *WAITING),
        answers={
            200: Answer("It is as its source is", Reloaded),
            202: Answer("It runs on: `wait` is over, or the server is stopping", Reloaded, headers={"Location": MONITOR}),
            404: _UNKNOWN,
            503: FAILED,
        },
    ),
    Route(
        "GET",
        "/admin/model-status",
        model_status,
        "A model in the words of such services",
        admin=True,
        tag="drop-in",
        parameters=(_MODEL,),
        answers={200: Answer("The model", LegacyStatus), 404: _UNKNOWN},
    ),
)
