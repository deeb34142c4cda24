"""GET /v2/models/stats, /v2/models/{model}/stats, with or without a version: what calls of models cost.

Covers: the extension, over calls of every route. Does not cover: counting (`service.telemetry.calls`).

Source: triton-inference-server/server, extension_statistics. That address means this also where a model is called stats.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiohttp import web

from service.keys import CALLS, REGISTRY
from service.lifecycle.view import ModelView
from service.replies import reply
from service.routes.declared import Answer, Route, get
from service.routes.v2.versions import UnknownVersion
from service.schemas.problems import InferenceError
from service.schemas.v2 import InferStatistics, MemoryUsage, ModelStatistics, StatisticDuration, Statistics
from service.telemetry import calls
from service.telemetry.durations import Duration

_NONE = StatisticDuration(count=0, ns=0)


async def all_statistics(request: web.Request) -> web.Response:
    """GET /v2/models/stats"""
    views = request.app[REGISTRY].snapshot()
    return reply(Statistics(model_stats=[each for view in views for each in _of_model(request.app, view)]))


async def model_statistics(request: web.Request) -> web.Response:
    """GET /v2/models/{model}/stats; a version that was never asked and does not serve is a 404."""
    name, version = request.match_info["model"], request.match_info.get("version")
    found = list(_of_model(request.app, request.app[REGISTRY].view(name)))
    if version is not None:
        found = [each for each in found if each.version == version]
        if not found:
            raise UnknownVersion(f"{name} does not serve version {version!r}")
    return reply(Statistics(model_stats=found))


def _of_model(app: web.Application, view: ModelView) -> Iterator[ModelStatistics]:
    """The version that serves, also one that was never asked, and those that still answer their last calls."""
    counted = dict(app[CALLS].statistics(view.name))
    live = view.loaded.version if view.loaded is not None else None
    if live is not None:
        counted.setdefault(live, calls.Statistics())
    for version, totals in counted.items():
        memory = [MemoryUsage(type="CPU", id=0, byte_size=view.loaded.segment_bytes)] if view.loaded is not None and version == live else []
        yield _told(view.name, version, totals, memory)


def _told(name: str, version: str, totals: calls.Statistics, memory: list[MemoryUsage]) -> ModelStatistics:
    return ModelStatistics(
        name=name,
        version=version,
        last_inference=0 if totals.last_inference_at is None else int(totals.last_inference_at * 1000),
        inference_count=totals.inferences,
        execution_count=totals.executions,
        inference_stats=InferStatistics(
            success=_duration(totals.success),
            fail=_duration(totals.fail),
            queue=_duration(totals.queue),
            compute_input=_duration(totals.compute_input),
            compute_infer=_duration(totals.compute_infer),
            compute_output=_duration(totals.compute_output),
            cache_hit=_NONE,
            cache_miss=_NONE,
        ),
        response_stats={},
        batch_stats=[],
        memory_usage=memory,
    )


def _duration(total: Duration) -> StatisticDuration:
    return StatisticDuration(count=total.count, ns=total.ns)


_TOTAL = {"count": 2, "ns": 840_000}
_NAMES = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss")
_SHOWN: dict[str, Any] = {
    "model_stats": [
        {
            "name": "als",
            "version": "20261121T101500-3fa9c1",
            "last_inference": 1_763_720_100_000,
            "inference_count": 2,
            "execution_count": 2,
            "inference_stats": {name: {"count": 0, "ns": 0} for name in _NAMES} | {"success": _TOTAL},
            "response_stats": {},
            "batch_stats": [],
            "memory_usage": [{"type": "CPU", "id": 0, "byte_size": 4_194_304}],
        }
    ]
}
_FOUND = Answer("The versions that serve, or still answer their last calls", Statistics, example=_SHOWN)
_UNKNOWN = Answer("No such model, or it does not serve this version", InferenceError)

ROUTES: tuple[Route, ...] = (
    get("/v2/models/stats", all_statistics, "Calls of every model: how many, how long", tag="v2", dialect="v2", answers={200: _FOUND}),
    *(
        get(path, model_statistics, summary, tag="v2", dialect="v2", answers={200: _FOUND, 404: _UNKNOWN})
        for path, summary in (
            ("/v2/models/{model}/stats", "Calls of one model: how many, how long"),
            ("/v2/models/{model}/versions/{version}/stats", "Calls of one version: how many, how long"),
        )
    ),
)
