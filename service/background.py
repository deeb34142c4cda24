"""What runs beside the requests, from start-up to shutdown: cleanup contexts of the application.

Covers: order of starting and stopping. Does not cover: the work itself (`service.lifecycle`, `service.scoring`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Protocol

from aiohttp import web

from service.keys import CALLS, EVENTS, INTAKE, LOOP_LAG, REGISTRY, SCORING, STOPPING
from service.lifecycle.clockwork import SideTasks, keep_alive
from service.lifecycle.policy import status_of
from service.lifecycle.registry import Registry
from service.lifecycle.view import versions_in_use
from service.notify import Notifier
from service.training import TrainingClock
from training.running.refused import TrainingUnavailable

STATUS_INTERVAL_S = 1.0
RESTART_PAUSE_S = 1.0
"""Between a defect in following the models and going on with it."""
_log = logging.getLogger("holdfast.server")


class Startable(Protocol):
    """The supervisor, as far as start-up and shutdown know it."""

    @property
    def registry(self) -> Registry: ...

    async def start(self) -> None: ...

    async def aclose(self) -> None: ...


class Openable(Protocol):
    """The loader, or the runner of trainings, as far as start-up and shutdown know them."""

    async def open(self) -> None: ...

    async def aclose(self) -> None: ...


@asynccontextmanager
async def running(supervisor: Startable, loader: Openable | None, runner: Openable) -> AsyncIterator[None]:
    """Loader and runner open and the supervisor at work; all closed afterwards, in the opposite order, whatever happened.

    The store is the loader's before anything is trained into it, and a model may be trained as soon as the supervisor starts.
    """
    async with AsyncExitStack() as stack:
        if loader is not None:
            await loader.open()
            stack.push_async_callback(loader.aclose)
        stack.push_async_callback(runner.aclose)
        try:
            await runner.open()
        except TrainingUnavailable as error:  # what serves does not need it, and whoever asks for a run has it opened again
            _log.error("training does not run", extra={"action": "training_unavailable", "cause": str(error)})
        stack.push_async_callback(supervisor.aclose)
        await supervisor.start()
        yield


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


def lifecycle(supervisor: Startable, loader: Openable | None, runner: Openable) -> Callable[[web.Application], AsyncIterator[None]]:
    """Models load, and are trained, while the application runs."""

    async def context(app: web.Application) -> AsyncIterator[None]:
        async with running(supervisor, loader, runner):
            yield

    return context


def schedules(clock: TrainingClock) -> Callable[[web.Application], AsyncIterator[None]]:
    """Trainings begin when their schedules say so; none does any more once the server stops."""

    async def context(app: web.Application) -> AsyncIterator[None]:
        tasks = SideTasks()
        if clock.is_needed:
            tasks.spawn("schedules", keep_alive("schedules", clock.run, pause_s=RESTART_PAUSE_S, sleep=asyncio.sleep))
        yield
        await tasks.aclose()

    return context


async def interactions(app: web.Application) -> AsyncIterator[None]:
    """What users did before this start is known again, beside everything else; what is being appended is appended to the end."""
    tasks = SideTasks()
    tasks.spawn("interactions", app[INTAKE].fill())
    yield
    await tasks.aclose()
    await app[INTAKE].aclose()


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
