"""The one place where the objects meet: settings in, application out.

Covers: what is built and what it is given. Does not cover: listening and signals (`service.server`), the order of
starting and stopping (`service.background`).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import NamedTuple, cast

import msgspec
from aiohttp import web

from config.schema import Settings
from loaders.loader import Loader
from loaders.memory import MemoryAdmission
from service import background, keys
from service.admin import configured_token
from service.background import Startable
from service.body import BODY_TIMEOUT_S
from service.canary import QuestionCanary, Questions
from service.errors import problems
from service.intake import Intake
from service.lifecycle import ports
from service.lifecycle.supervisor import Supervisor
from service.notify import Notifier
from service.openapi import openapi
from service.recent import RecentInteractions
from service.routes import ROUTES, add_routes
from service.scoring import Scoring
from service.telemetry.calls import Calls
from service.telemetry.events import EventLog
from service.telemetry.exposition import Exposition
from service.telemetry.lag import LoopLag
from service.telemetry.trainings import TrainingReader
from service.training import TrainingClock, reload_models
from service.version import program_version
from service.workshop import FallbackTrainer, NothingAsked, PublishedArchive
from service.wrong_tokens import WrongTokens
from training.running.runner import Runner
from training.running.runs import Run


class Loading(NamedTuple):
    """What brings models to serve; none of it is open yet: see `service.background.running`."""

    supervisor: Supervisor
    loader: Loader
    runner: Runner


def build_loading(settings: Settings, runner: Runner, canary: ports.Canary | None = None) -> Loading:
    """A loader and the supervisor that uses it. `canary` None: nobody is answered here, so there is nothing to put to a new version."""
    loader = Loader(settings)
    port = cast(ports.Loader, loader)  # the port does not know the loader's own kind of artifact
    store = settings.store.path
    workshop = ports.Workshop(PublishedArchive(store, runner), FallbackTrainer(settings, runner), canary or NothingAsked())
    supervisor = Supervisor(
        settings.models,
        port,
        MemoryAdmission(settings.loading.memory_reserve_bytes),
        concurrency=settings.loading.concurrency,
        drain_s=settings.server.drain_s,
        workshop=workshop,
    )
    return Loading(supervisor, loader, runner)


def build_runner(settings: Settings, on_change: Callable[[Run], None] = lambda run: None) -> Runner:
    """What carries trainings out, not yet open."""
    return Runner(settings, on_change=on_change, code_version=program_version())


def build_app(settings: Settings, *, supervisor: Startable | None = None, environ: Mapping[str, str] = os.environ) -> web.Application:
    """The application of these settings, with its own supervisor unless one is given."""
    app = web.Application(middlewares=[problems], client_max_size=settings.server.max_body_bytes)
    loader: Loader | None = None
    runner = build_runner(settings, lambda run: _tell_of_run(app, run))
    questions = Questions(settings)
    if supervisor is None:
        canary = QuestionCanary(questions, lambda name: app[keys.REGISTRY].acquire(name, demand=False))
        supervisor, loader, _ = build_loading(settings, runner, canary)
    app[keys.SETTINGS] = settings
    app[BODY_TIMEOUT_S] = settings.server.body_timeout_s
    app[keys.REGISTRY] = supervisor.registry
    app[keys.TRAINING] = runner
    app[keys.TRAINING_READER] = TrainingReader(settings, runner)
    app[keys.SCORING] = Scoring()
    app[keys.QUESTIONS] = questions
    app[keys.CALLS] = Calls()
    app[keys.EVENTS] = EventLog()
    app[keys.EXPOSITION] = Exposition(settings.store.path)
    app[keys.LOOP_LAG] = LoopLag()
    app[keys.ADMIN_TOKEN] = configured_token(settings.server)
    app[keys.INGEST_TOKEN] = settings.data.ingest_token.strip().encode()
    app[keys.WRONG_TOKENS] = WrongTokens()
    app[keys.RECENT] = RecentInteractions()
    app[keys.INTAKE] = Intake(settings, app[keys.RECENT], runner.interactions_arrived)
    app[keys.STARTED_AT] = time.time()
    app[keys.STOPPING] = asyncio.Event()
    app[keys.DESCRIPTION] = _description()
    add_routes(app)
    app.cleanup_ctx.append(background.telemetry)
    app.cleanup_ctx.append(background.lifecycle(supervisor, loader, runner))
    app.cleanup_ctx.append(background.schedules(TrainingClock(settings, runner)))
    app.cleanup_ctx.append(background.interactions)
    app.cleanup_ctx.append(background.scoring)
    app.cleanup_ctx.append(background.systemd(Notifier(environ)))
    app.on_shutdown.append(_stop_waiting)
    return app


@cache
def _description() -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(openapi(ROUTES)))


def _tell_of_run(app: web.Application, run: Run) -> None:
    app[keys.EVENTS].take_run(run)
    reload_models(app[keys.REGISTRY], app[keys.SETTINGS], run)


async def _stop_waiting(app: web.Application) -> None:
    app[keys.STOPPING].set()
    app[keys.EVENTS].close()
