"""The model repository: POST /v2/repository/index, /v2/repository/models/{model}/load and /unload.

Covers: the extension. `load` and `unload` are behind the admin token and answer when it is done; a model that serves is
reloaded, which asks its source and makes no new version of a revision that serves already. Does not cover: the same
commands without waiting (`service.routes.admin`), what they do to a model (`service.lifecycle`).

Source: triton-inference-server/server, extension_model_repository.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import msgspec
from aiohttp import web

from service.body import decode, read_body
from service.errors import InvalidField, NotServing, model_failed
from service.inference_errors import why_not_ready
from service.keys import REGISTRY, STOPPING
from service.lifecycle.state import Status
from service.lifecycle.view import ModelView
from service.prefer import ADMIN_WAIT_LIMIT_S
from service.replies import reply
from service.routes.commanded import has_failed, settled
from service.routes.declared import Answer, Body, Route, command
from service.routes.implied import RETRY_AFTER_IF_ANY
from service.schemas.problems import InferenceError
from service.schemas.v2 import IndexEntry, IndexRequest, LoadRequest, UnloadRequest

T = TypeVar("T")

_DEPENDENTS = "unload_dependents"
_decode_index = msgspec.json.Decoder(IndexRequest).decode
_decode_load = msgspec.json.Decoder(LoadRequest).decode
_decode_unload = msgspec.json.Decoder(UnloadRequest).decode


async def index(request: web.Request) -> web.Response:
    """POST /v2/repository/index: every configured model, in the order of the configuration."""
    asked = await _optional_body(request, _decode_index)
    views = request.app[REGISTRY].snapshot()
    return reply([_entry(view) for view in views if view.entry.live is not None or not asked.ready])


async def load(request: web.Request) -> web.Response:
    """POST /v2/repository/models/{model}/load"""
    name = request.match_info["model"]
    registry = request.app[REGISTRY]
    registry.view(name)  # one that nobody configured is a 404, whatever the body says
    asked = await _optional_body(request, _decode_load)
    for parameter in asked.parameters or {}:
        raise InvalidField(f"parameters.{parameter}", "a model is loaded as the server's configuration says, without parameters")
    if registry.view(name).entry.live is not None:
        registry.reload(name)
    else:
        registry.load(name)
    return await _done(request, name, is_wanted=True)


async def unload(request: web.Request) -> web.Response:
    """POST /v2/repository/models/{model}/unload"""
    name = request.match_info["model"]
    registry = request.app[REGISTRY]
    registry.view(name)
    asked = await _optional_body(request, _decode_unload)
    for parameter, value in (asked.parameters or {}).items():
        if parameter != _DEPENDENTS:
            raise InvalidField(f"parameters.{parameter}", f"unknown: there is {_DEPENDENTS}")
        if value is not False:
            raise InvalidField(f"parameters.{parameter}", "must be false: the parts of a hybrid are models of their own")
    registry.unload(name)
    return await _done(request, name, is_wanted=False)


async def _optional_body(request: web.Request, decode_json: Callable[[bytes], T]) -> T:
    def understand(raw: bytes) -> T:
        return decode(raw if raw.strip() else b"{}", decode_json)

    return await read_body(request, understand)


async def _done(request: web.Request, name: str, *, is_wanted: bool) -> web.Response:
    """200 once the command is done. Raises NotServing when the server stops before that."""
    view = await settled(request, name, ADMIN_WAIT_LIMIT_S)
    if request.app[STOPPING].is_set():
        raise NotServing("The server is stopping.")
    if is_wanted and (view.entry.live is None or has_failed(view)):
        return model_failed(view, time.time())
    return web.Response(headers={"Cache-Control": "no-store", "Server": "holdfast"})


def _entry(view: ModelView) -> IndexEntry:
    """READY, LOADING, UNLOADING while its last calls are answered, else UNAVAILABLE; the reason where there is one."""
    failure = view.entry.failure
    if view.loaded is not None and view.entry.live is not None:
        reason = f"the last reload failed: {failure.type}: {failure.message}" if failure is not None else ""
        return IndexEntry(name=view.name, version=view.loaded.version, state="READY", reason=reason)
    if view.status is Status.LOADING:
        return IndexEntry(name=view.name, state="LOADING", reason=why_not_ready(view))
    return IndexEntry(name=view.name, state="UNLOADING" if view.entry.draining else "UNAVAILABLE", reason=why_not_ready(view))


_INDEX = [
    {"name": "als", "version": "20261121T101500-3fa9c1", "state": "READY", "reason": ""},
    {"name": "iris", "state": "LOADING", "reason": "loading (downloading, 61%)"},
]
_FAILED = Answer("It could not be loaded, or the server is stopping", InferenceError, headers={"Retry-After": RETRY_AFTER_IF_ANY})

ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/v2/repository/index",
        index,
        "Every model with its state, also those that are not loaded",
        tag="v2",
        dialect="v2",
        body=Body(IndexRequest, {"all": {}, "ready": {"ready": True}}, required=False),
        answers={200: Answer("The models", list[IndexEntry], example=_INDEX)},
    ),
    command(
        "POST",
        "/v2/repository/models/{model}/load",
        load,
        "Load a model, or reload one that serves, and wait for it",
        tag="v2",
        dialect="v2",
        body=Body(LoadRequest, {"plain": {}}, required=False),
        answers={200: Answer("It serves", media_type=None), 503: _FAILED},
    ),
    command(
        "POST",
        "/v2/repository/models/{model}/unload",
        unload,
        "Unload a model",
        tag="v2",
        dialect="v2",
        body=Body(UnloadRequest, {"plain": {}, "as clients send it": {"parameters": {"unload_dependents": False}}}, required=False),
        answers={200: Answer("It serves no more", media_type=None), 503: Answer("The server is stopping", InferenceError)},
    ),
)
