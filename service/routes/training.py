"""Training: GET /training/runs, POST /models/{model}/train, POST /api/ml/train-all, and how trained what serves is.

Covers: asking for runs, looking at them, cancelling them. Does not cover: what a run is (`training.running.runs`), carrying it out
(`training.running.runner`), the versions that come of them (`service.routes.models`, `service.routes.admin`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

from aiohttp import web
from msgspec import Meta

from config.declared import MODEL_NAME
from loaders.published import BadRecord, PublishedFolder
from service.algorithms import KINDS, model_of
from service.errors import InvalidField, NotTrainedHere, RunsAlready
from service.keys import REGISTRY, SETTINGS, TRAINING
from service.lifecycle.state import Phase
from service.lifecycle.view import ModelView
from service.prefer import query_flag, unless_stopping
from service.replies import reply
from service.routes.commanded import MONITOR, WAITING, wait_s_of
from service.routes.declared import Answer, Parameter, Route, command, get, problem
from service.schemas.problems import StoreProblem
from service.schemas.training import AlgorithmStatus, Run, RunProblem, Runs, RunStarted, TrainingName
from training.running.arrangement import training_behind
from training.running.refused import UnknownRun
from training.running.runs import RunCause, rfc3339

MOST_RUNS = 1000
_USUAL = 50
_LONGEST_NAME = 200
_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*")
"""What ends no line and moves no cursor of who reads the record."""


async def trained(request: web.Request) -> web.Response:
    """GET /api/ml/status: every model by its name, and each kind of them by the name that `algorithm` takes."""
    views = request.app[REGISTRY].snapshot()
    default = request.app[SETTINGS].server.default_model
    running = {run.training for run in await request.app[TRAINING].unfinished()}
    told = {view.name: await _status(request.app, view, running) for view in views}
    meant = {kind: model_of(kind, views, default) for kind in KINDS if kind not in told}
    nothing = {"status": "untrained", "trained_at": None, "model": None}
    return reply(told | {kind: nothing if view is None else told[view.name] for kind, view in meant.items()})


async def _status(app: web.Application, view: ModelView, running: Collection[str]) -> dict[str, Any]:
    training = training_behind(app[SETTINGS], view.name)
    if view.loaded is not None:
        status, trained_at = "trained", view.loaded.details.get("trained_at")
    else:
        trained_at = None if training is None else await asyncio.to_thread(_trained_at, app[SETTINGS].store.path, training)
        status = "untrained" if trained_at is None else "trained"
    if training in running or (view.entry.attempt is not None and view.entry.attempt.phase is Phase.TRAINING):
        status = "training"
    behind = {} if training is None else {"training": training}
    return {"status": status, "trained_at": trained_at, "model": view.name, **behind}


def _trained_at(store: Path, training: str) -> str | None:
    """When the version was trained that is to serve, and is not loaded."""
    folder = PublishedFolder(store, training)
    version = folder.current()
    try:
        return None if version is None else rfc3339(folder.record(version).trained_at)
    except BadRecord:
        return None  # what cannot be read cannot serve either


async def list_runs(request: web.Request) -> web.Response:
    """GET /training/runs"""
    text = request.query.get("limit", str(_USUAL))
    limit = int(text) if text.isascii() and text.isdecimal() and len(text) <= 6 else 0
    if not 1 <= limit <= MOST_RUNS:
        raise InvalidField("limit", f"expected a whole number from 1 to {MOST_RUNS}, got {text!r}")
    training = request.query.get("training")
    if training is not None and not MODEL_NAME.fullmatch(training):
        raise InvalidField("training", "expected a name of small letters, digits, - and _")
    runs = await request.app[TRAINING].runs(training, limit)
    return reply({"runs": [run.to_json() for run in runs]})


async def show_run(request: web.Request) -> web.Response:
    """GET /training/runs/{id}"""
    run = await request.app[TRAINING].run(request.match_info["id"])
    if run is None:
        raise UnknownRun(request.match_info["id"])
    return reply(run.to_json())


async def cancel_run(request: web.Request) -> web.Response:
    """POST /training/runs/{id}/cancel"""
    run = await request.app[TRAINING].cancel(request.match_info["id"], by=_by(request))
    return reply(run.to_json(), 202, {"Location": f"/training/runs/{run.id}"})


async def train(request: web.Request) -> web.Response:
    """POST /models/{model}/train, of a model or of a training itself; an unknown one is 404."""
    settings, runner, name = request.app[SETTINGS], request.app[TRAINING], request.match_info["model"]
    wait_s, force, by = wait_s_of(request), query_flag(request, "force"), _by(request)
    if name in settings.models or name not in settings.training:
        name = request.app[REGISTRY].view(name).name
    training = training_behind(settings, name)
    if training is None:
        raise NotTrainedHere(f"No [training.NAME] stands behind {name}: train it where it comes from, and reload it.", model=name)
    run = await runner.start(training, cause=RunCause.COMMAND, requested_by=by, force=force)
    if wait_s is not None:
        run = await unless_stopping(request.app, runner.wait(run.id, wait_s)) or run
    return reply({"run": run.to_json()}, 200 if run.status.is_over else 202, {"Location": f"/training/runs/{run.id}"})


async def train_all(request: web.Request) -> web.Response:
    """POST /api/ml/train-all"""
    if not request.app[SETTINGS].training:
        raise NotTrainedHere("No [training.NAME] is configured: train elsewhere, serve the artifact, and reload the model.")
    force = query_flag(request, "force")
    started, running = await request.app[TRAINING].start_all(cause=RunCause.COMMAND, requested_by=_by(request), force=force)
    if not started:
        run = running[0].run
        raise RunsAlready("Every training runs already.", run=None if run is None else run.to_json())
    return reply({"runs": [run.to_json() for run in started]}, 202, {"Location": "/training/runs"})


def _by(request: web.Request) -> str:
    """Who asks, as far as that is known. Raises InvalidField."""
    name = request.query.get("by", "")
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        raise InvalidField("by", f"expected at most {_LONGEST_NAME} characters, none of which controls anything")
    return name or f"an operator ({request.remote})"


_BY = Parameter(
    "by",
    "query",
    Annotated[str, Meta(max_length=_LONGEST_NAME, pattern=f"^{_NAME.pattern}$")],
    "Who asks, for the record: also as whose word a forced version is published",
    example="ada@laptop",
)
_FORCE = Parameter("force", "query", bool, "Publish what comes of it whatever the gate says, and train even from unchanged data")
_STOPPING = problem("The store cannot be used now, or the server is stopping", StoreProblem)

ROUTES: tuple[Route, ...] = (
    get(
        "/api/ml/status",
        trained,
        "How trained each algorithm is",
        tag="drop-in",
        description=f"Every model by its name, and each kind of models: {', '.join(KINDS)}.",
        answers={200: Answer("Algorithm to status", dict[str, AlgorithmStatus]), 503: _STOPPING},
    ),
    command(
        "POST",
        "/api/ml/train-all",
        train_all,
        "Train every model that is trained here",
        tag="drop-in",
        description="One run after the other, parts before what is made of them; those that run already are not begun again.",
        parameters=(_FORCE, _BY),
        answers={
            202: Answer("The runs that were begun", Runs, headers={"Location": MONITOR}),
            409: problem("No training is configured, or every one runs already", RunProblem),
            503: _STOPPING,
        },
    ),
    command(
        "POST",
        "/models/{model}/train",
        train,
        "Train a model",
        tag="training",
        description="One that is served from a training or falls back to one; or a training, by its own name. What serves goes on"
        " unless the new version passes the gate.",
        parameters=(_FORCE, _BY, *WAITING),
        answers={
            200: Answer("With `wait`: the run, which is over", RunStarted, headers={"Location": MONITOR}),
            202: Answer("The run, which waits or runs", RunStarted, headers={"Location": MONITOR}),
            409: problem("No training stands behind the model, or a run of it waits or runs already", RunProblem),
            503: _STOPPING,
        },
    ),
    get(
        "/training/runs",
        list_runs,
        "Training runs",
        tag="training",
        parameters=(
            Parameter("training", "query", TrainingName, "Only those of this training", example="als"),
            Parameter("limit", "query", Annotated[int, Meta(ge=1, le=MOST_RUNS)], f"At most so many, else {_USUAL}", example=10),
        ),
        answers={200: Answer("Newest first", Runs), 503: _STOPPING},
    ),
    get(
        "/training/runs/{id}",
        show_run,
        "One training run",
        tag="training",
        answers={200: Answer("The run", Run), 404: problem("No run has this id"), 503: _STOPPING},
    ),
    command(
        "POST",
        "/training/runs/{id}/cancel",
        cancel_run,
        "Cancel a training run",
        tag="training",
        description="Its process is killed, nothing is published, and what serves goes on.",
        parameters=(_BY,),
        answers={
            202: Answer("The run as it is now; it ends soon", Run, headers={"Location": MONITOR}),
            404: problem("No run has this id"),
            409: problem("The run is over, is being published, or is another process's", RunProblem),
            503: _STOPPING,
        },
    ),
)
