"""The one place where the objects meet: settings in, application out.

Covers: what is built and what it is given. Does not cover: listening and signals (`service.server`), the order of
starting and stopping (`service.background`).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from functools import cache
from typing import cast

import msgspec
from aiohttp import web

from config.schema import Settings
from loaders.loader import Loader
from loaders.memory import MemoryAdmission
from service import background, keys
from service.admin import configured_token
from service.background import Startable
from service.body import BODY_TIMEOUT_S
from service.errors import problems
from service.lifecycle import ports
from service.lifecycle.supervisor import Supervisor
from service.notify import Notifier
from service.openapi import openapi
from service.routes import ROUTES, add_routes
from service.scoring import Scoring
from service.telemetry.calls import Calls
from service.telemetry.events import EventLog
from service.telemetry.exposition import Exposition
from service.telemetry.lag import LoopLag
from service.wrong_tokens import WrongTokens


def build_loading(settings: Settings) -> tuple[Loader, Supervisor]:
    """A loader, not yet open, and the supervisor that uses it, not yet started: see `service.background.running`."""
    loader = Loader(settings)
    port = cast(ports.Loader, loader)  # the port does not know the loader's own kind of artifact
    admission = MemoryAdmission(settings.loading.memory_reserve_bytes)
    supervisor = Supervisor(settings.models, port, admission, concurrency=settings.loading.concurrency, drain_s=settings.server.drain_s)
    return loader, supervisor


def build_app(settings: Settings, *, supervisor: Startable | None = None, environ: Mapping[str, str] = os.environ) -> web.Application:
    """The application of these settings, with its own supervisor unless one is given."""
    app = web.Application(middlewares=[problems], client_max_size=settings.server.max_body_bytes)
    loader: Loader | None = None
    if supervisor is None:
        loader, supervisor = build_loading(settings)
    app[keys.SETTINGS] = settings
    app[BODY_TIMEOUT_S] = settings.server.body_timeout_s
    app[keys.REGISTRY] = supervisor.registry
    app[keys.SCORING] = Scoring()
    app[keys.CALLS] = Calls()
    app[keys.EVENTS] = EventLog()
    app[keys.EXPOSITION] = Exposition(settings.store.path)
    app[keys.LOOP_LAG] = LoopLag()
    app[keys.ADMIN_TOKEN] = configured_token(settings.server)
    app[keys.WRONG_TOKENS] = WrongTokens()
    app[keys.STARTED_AT] = time.time()
    app[keys.STOPPING] = asyncio.Event()
    app[keys.DESCRIPTION] = _description()
    add_routes(app)
    app.cleanup_ctx.append(background.telemetry)
    app.cleanup_ctx.append(background.lifecycle(supervisor, loader))
    app.cleanup_ctx.append(background.scoring)
    app.cleanup_ctx.append(background.systemd(Notifier(environ)))
    app.on_shutdown.append(_stop_waiting)
    return app


@cache
def _description() -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(openapi(ROUTES)))


async def _stop_waiting(app: web.Application) -> None:
    app[keys.STOPPING].set()
    app[keys.EVENTS].close()
