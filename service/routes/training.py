"""Training: GET /api/ml/status, GET /training/runs, POST /api/ml/train-all, POST /models/{model}/train.

Covers: how trained what serves is; 501 for training itself, which this version does not do. Does not cover: models that are
trained elsewhere and come as artifacts, which is what every model here is.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from service.algorithms import KINDS, model_of
from service.errors import NotImplementedHere, UnknownRun
from service.keys import REGISTRY, SETTINGS
from service.lifecycle.state import Phase
from service.lifecycle.view import ModelView
from service.replies import reply
from service.routes.declared import Answer, Route, command, get, problem
from service.schemas.training import AlgorithmStatus, Runs

_ELSEWHERE = "This version does not train: train elsewhere, serve the artifact, and reload the model when there is a new one."


async def trained(request: web.Request) -> web.Response:
    """GET /api/ml/status: every model by its name, and each kind of them by the name that `algorithm` takes."""
    views = request.app[REGISTRY].snapshot()
    default = request.app[SETTINGS].server.default_model
    names = dict.fromkeys([*(view.name for view in views), *KINDS])
    return reply({name: _status(model_of(name, views, default)) for name in names})


async def list_runs(request: web.Request) -> web.Response:
    """GET /training/runs"""
    return reply({"runs": []})


async def show_run(request: web.Request) -> web.Response:
    """GET /training/runs/{id}"""
    raise UnknownRun(f"No training run has the id {request.match_info['id']!r}.")


async def train_all(request: web.Request) -> web.Response:
    """POST /api/ml/train-all"""
    raise NotImplementedHere(_ELSEWHERE)


async def train(request: web.Request) -> web.Response:
    """POST /models/{model}/train; an unknown model is 404."""
    name = request.app[REGISTRY].view(request.match_info["model"]).name
    raise NotImplementedHere(_ELSEWHERE, model=name)


def _status(view: ModelView | None) -> dict[str, Any]:
    if view is None:
        return {"status": "untrained", "trained_at": None, "model": None}
    if view.entry.attempt is not None and view.entry.attempt.phase is Phase.TRAINING:
        status = "training"
    else:
        status = "untrained" if view.loaded is None else "trained"
    trained_at = None if view.loaded is None else view.loaded.details.get("trained_at")
    return {"status": status, "trained_at": trained_at, "model": view.name}


_NOT_HERE = {501: problem("This version does not train")}

ROUTES: tuple[Route, ...] = (
    get(
        "/api/ml/status",
        trained,
        "How trained each algorithm is",
        tag="drop-in",
        description=f"Every model by its name, and each kind of models: {', '.join(KINDS)}.",
        answers={200: Answer("Algorithm to status", dict[str, AlgorithmStatus])},
    ),
    command("POST", "/api/ml/train-all", train_all, "Train every model", tag="drop-in", answers=_NOT_HERE),
    command("POST", "/models/{model}/train", train, "Train a model", tag="training", answers=_NOT_HERE),
    get("/training/runs", list_runs, "Training runs", tag="training", answers={200: Answer("Newest first", Runs)}),
    get(
        "/training/runs/{id}",
        show_run,
        "One training run",
        tag="training",
        answers={404: problem("No run has this id")},
    ),
)
