"""GET /models, /models/status, /models/{model}, /models/{model}/status: the status object, everywhere the same; and
GET /models/{model}/versions, the versions that are kept.
"""

from __future__ import annotations

import time

from aiohttp import web

from service.keys import REGISTRY
from service.replies import reply
from service.routes.declared import Answer, Route, get, problem
from service.schemas.models import Models, ModelStatus
from service.schemas.problems import StoreProblem
from service.schemas.versions import KeptVersions


async def list_models(request: web.Request) -> web.Response:
    """GET /models"""
    now = time.time()
    return reply({"models": [view.to_json(now) for view in request.app[REGISTRY].snapshot()]})


async def show_model(request: web.Request) -> web.Response:
    """GET /models/{model}; an unknown one is 404."""
    return reply(request.app[REGISTRY].view(request.match_info["model"]).to_json(time.time()))


async def list_versions(request: web.Request) -> web.Response:
    """GET /models/{model}/versions; an unknown one is 404."""
    return reply((await request.app[REGISTRY].versions(request.match_info["model"])).to_json())


_ALL = {200: Answer("Every model, in the order of the configuration", Models)}
_ONE = {200: Answer("The status object", ModelStatus)}

ROUTES: tuple[Route, ...] = (
    get("/models", list_models, "Every model's status", answers=_ALL),
    get("/models/status", list_models, "Every model's status", answers=_ALL),
    get("/models/{model}", show_model, "One model's status", answers=_ONE),
    get("/models/{model}/status", show_model, "One model's status", answers=_ONE),
    get(
        "/models/{model}/versions",
        list_versions,
        "The versions of a model that are kept, and which of them serves",
        description="Of a model that is trained here every version that is kept to go back to; of any other the one that serves.",
        answers={200: Answer("Newest first", KeptVersions), 503: problem("The store cannot be read now", StoreProblem)},
    ),
)
