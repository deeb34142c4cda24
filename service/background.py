"""What runs beside the requests, from start-up to shutdown: cleanup contexts of the application.

Covers: order of starting and stopping. Does not cover: the work itself (`service.lifecycle`, `service.scoring`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from aiohttp import web

from service.keys import CALLS, EVENTS, LOOP_LAG, REGISTRY, SCORING, STOPPING
from service.lifecycle.clockwork import SideTasks, keep_alive
from service.lifecycle.policy import status_of
from service.lifecycle.registry import Registry
from service.lifecycle.view import versions_in_use
from service.notify import Notifier

STATUS_INTERVAL_S = 1.0
RESTART_PAUSE_S = 1.0
"""Between a defect in following the models and going on with it."""


class Startable(Protocol):
    """The supervisor, as far as start-up and shutdown know it."""

    @property
    def registry(self) -> Registry: ...

    async def start(self) -> None: ...

    async def aclose(self) -> None: ...


class Openable(Protocol):
    """The loader, as far as start-up and shutdown know it."""

    async def open(self) -> None: ...

    async def aclose(self) -> None: ...


@asynccontextmanager
async def running(supervisor: Startable, loader: Openable | None) -> AsyncIterator[None]:
    """The loader open and the supervisor at work; both closed afterwards, in the opposite order, whatever happened."""
    if loader is not None:
        await loader.open()
    try:
        try:
            await supervisor.start()
            yield
        finally:
            await supervisor.aclose()
    finally:
        if loader is not None:
            await loader.aclose()


async def telemetry(app: web.Application) -> AsyncIterator[None]:
    """What happens to the models becomes events, and the event loop is measured; from before the first model to after the last."""
    tasks = SideTasks()

    async def follow() -> None:
        async with app[REGISTRY].subscribe() as changes:
            app[EVENTS].catch_up(app[REGISTRY].snapshot())
            async for view in changes:
                app[EVENTS].take(view)
                app[CALLS].keep(view.name, versions_in_use(view))

    tasks.spawn("events", keep_alive("events", follow, pause_s=RESTART_PAUSE_S, sleep=asyncio.sleep))
    tasks.spawn("loop-lag", app[LOOP_LAG].run())
    yield
    await tasks.aclose()


def lifecycle(supervisor: Startable, loader: Openable | None) -> Callable[[web.Application], AsyncIterator[None]]:
    """Models load while the application runs."""

    async def context(app: web.Application) -> AsyncIterator[None]:
        async with running(supervisor, loader):
            yield

    return context


async def scoring(app: web.Application) -> AsyncIterator[None]:
    """Scoring threads end before the arrays they read are unmapped."""
    yield
    await app[SCORING].aclose()


def systemd(notifier: Notifier, interval_s: float = STATUS_INTERVAL_S) -> Callable[[web.Application], AsyncIterator[None]]:
    """Status lines and watchdog pings, sent from the event loop itself: a stalled loop misses its watchdog."""

    async def context(app: web.Application) -> AsyncIterator[None]:
        if not notifier.is_listening:
            yield
            return
        pulse = asyncio.create_task(_pulse(app, notifier, interval_s), name="systemd-pulse")
        yield
        pulse.cancel()
        with suppress(asyncio.CancelledError):
            await pulse

    return context


async def _pulse(app: web.Application, notifier: Notifier, interval_s: float) -> None:
    period_s = min(interval_s, notifier.watchdog_s / 2) if notifier.watchdog_s else interval_s
    told = ""
    while True:
        if notifier.watchdog_s:
            notifier.send(WATCHDOG=1)
        line = status_line(app)
        if line != told:
            told = line if notifier.send(STATUS=line) else told
        await asyncio.sleep(period_s)


def status_line(app: web.Application) -> str:
    """One line for `systemctl status`."""
    if app[STOPPING].is_set():
        return "stopping"
    views = app[REGISTRY].snapshot()
    return ", ".join(f"{view.settings.name} {status_of(view.entry)}" for view in views) or "no model is configured"
