"""GET /metrics for Prometheus, and GET /models/{model}/calls for a person's eye.

Covers: reading everything at one moment on the event loop. Does not cover: what there is to say (`service.telemetry.metrics`),
the text (`service.telemetry.exposition`).
"""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from service.keys import CALLS, EVENTS, EXPOSITION, INTAKE, LOOP_LAG, RECENT, REGISTRY, SCORING, SETTINGS, STARTED_AT, TRAINING_READER
from service.lifecycle.view import rfc3339
from service.replies import reply
from service.routes.declared import Answer, Route, get
from service.schemas.telemetry import ModelCalls
from service.telemetry.calls import Calls
from service.telemetry.exposition import OPENMETRICS, TEXT, is_openmetrics
from service.telemetry.readings import Readings, Traffic
from service.telemetry.recent import WINDOW_S, Second
from service.telemetry.trainings import TrainingFacts


async def metrics(request: web.Request) -> web.Response:
    """GET /metrics"""
    is_open = is_openmetrics(request.headers.get("Accept", ""))
    # A thousand lines are written in some milliseconds, and the store is looked at: not on the event loop.
    trainings = await request.app[TRAINING_READER].read()
    text = await asyncio.to_thread(request.app[EXPOSITION].written, readings(request.app, trainings), is_openmetrics=is_open)
    headers = {"Content-Type": OPENMETRICS if is_open else TEXT, "Cache-Control": "no-store", "Server": "holdfast"}
    return web.Response(body=text, headers=headers)


def readings(app: web.Application, trainings: tuple[TrainingFacts, ...]) -> Readings:
    """What there is to say now, of trainings what was read just before. Event loop only."""
    calls, views = app[CALLS], app[REGISTRY].snapshot()
    names = [view.name for view in views]
    return Readings(
        views=views,
        traffic={name: Traffic(calls.totals(name), calls.in_flight(name), app[SCORING].waiting(name)) for name in names},
        ended=tuple(calls.ended()),
        lag=app[LOOP_LAG].taken(),
        worst_lag_ns=app[LOOP_LAG].worst_ns,
        streams=app[EVENTS].readers,
        uptime_s=time.time() - app[STARTED_AT],
        interactions=app[INTAKE].taken,
        known_users=len(app[RECENT]),
        trainings=trainings,
        store_limit_bytes=app[SETTINGS].store.max_bytes,
    )


async def calls(request: web.Request) -> web.Response:
    """GET /models/{model}/calls"""
    name = request.app[REGISTRY].view(request.match_info["model"]).name
    return reply(calls_json(request.app[CALLS], name))


def calls_json(counted: Calls, model: str) -> dict[str, object]:
    """The document of one model; times RFC 3339 UTC."""
    return {
        "model": model,
        "window_s": WINDOW_S,
        "totals": counted.totals(model),
        "in_flight": counted.in_flight(model),
        "seconds": [_second_json(at, second) for at, second in counted.seconds(model)],
    }


def _second_json(at: int, second: Second) -> dict[str, object]:
    percentiles = {"p50_ms": second.latency.percentile_ns(0.5), "p99_ms": second.latency.percentile_ns(0.99)}
    told = {name: None if ns is None else round(ns / 1e6, 3) for name, ns in percentiles.items()}
    return {"at": rfc3339(at), "calls": second.calls, "failed": second.failed, **told}


_CALLS = {
    "model": "als",
    "window_s": WINDOW_S,
    "totals": {"ok": 1200, "refused": 3, "loading": 0, "unavailable": 0, "overloaded": 0, "deadline": 0, "failed": 0, "abandoned": 1},
    "in_flight": 2,
    "seconds": [{"at": "2026-11-21T10:15:00.000Z", "calls": 31, "failed": 0, "p50_ms": 0.82, "p99_ms": 2.6}],
}

ROUTES: tuple[Route, ...] = (
    get(
        "/metrics",
        metrics,
        "Metrics for Prometheus",
        tag="server",
        description="Prometheus' text format, or OpenMetrics for a client whose Accept header names it.",
        answers={200: Answer("The metrics", media_type="text/plain")},
    ),
    get(
        "/models/{model}/calls",
        calls,
        "How a model was called in the last two minutes",
        answers={200: Answer("Totals since the server started, and the last two minutes by the second", ModelCalls, example=_CALLS)},
    ),
)
