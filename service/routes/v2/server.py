"""GET /v2, /v2/health/live, /v2/health/ready: who answers, that it lives, that it is ready.

Covers: the server as a whole. Does not cover: one model (`metadata`).

Source: kserve/open-inference-protocol, inference_rest.
"""

from __future__ import annotations

from aiohttp import web

from service.replies import reply
from service.routes import health
from service.routes.declared import Answer, Route, get
from service.schemas.problems import InferenceError
from service.schemas.v2 import ServerLive, ServerMetadata, ServerReady
from service.version import program_version

NAME = "holdfast"
EXTENSIONS = ("binary_tensor_data", "model_configuration", "model_repository", "statistics")


async def server(request: web.Request) -> web.Response:
    """GET /v2"""
    return reply({"name": NAME, "version": program_version(), "extensions": EXTENSIONS})


async def live(request: web.Request) -> web.Response:
    """GET /v2/health/live"""
    return reply({"live": True})


async def ready(request: web.Request) -> web.Response:
    """GET /v2/health/ready: as GET /health/ready, and as what that raises."""
    await health.ready(request)
    return reply({"ready": True})


_SHOWN = {"name": NAME, "version": "1.0.0", "extensions": list(EXTENSIONS)}

ROUTES: tuple[Route, ...] = (
    get(
        "/v2",
        server,
        "Name, version and extensions of the server",
        tag="v2",
        dialect="v2",
        answers={200: Answer("Who answers", ServerMetadata, example=_SHOWN)},
    ),
    get(
        "/v2/health/live",
        live,
        "200 while the process lives",
        tag="v2",
        dialect="v2",
        answers={200: Answer("It lives", ServerLive, example={"live": True})},
    ),
    get(
        "/v2/health/ready",
        ready,
        "200 when every required model is live, else 503",
        tag="v2",
        dialect="v2",
        answers={
            200: Answer("It is ready", ServerReady, example={"ready": True}),
            503: Answer("It is stopping, waits for models, or has none", InferenceError),
        },
    ),
)
