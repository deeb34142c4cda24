"""What trains without being asked: the clock. And what follows from a run: models that serve what it published load it at once.

Covers: waiting for ticks, letting late ones go, jitter, one tick one run. Does not cover: when a tick is
(`training.running.schedule`), what a run is (`training.running.runner`), new interactions (counted there), models of other
processes, which watch what is published.
"""

from __future__ import annotations

import asyncio
import logging
import random as _random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, tzinfo

from config.schema import Settings
from service.lifecycle.clockwork import SideTasks, Sleep
from service.lifecycle.errors import SupervisorClosed
from service.lifecycle.registry import Registry
from training.running.arrangement import in_order, models_from
from training.running.local_zone import LocalZone
from training.running.refused import AlreadyRunning, TrainingUnavailable
from training.running.runner import Runner
from training.running.runs import Run, RunCause, RunStatus
from training.running.schedule import Late, Tick, due

LONGEST_SLEEP_S = 30.0
"""A clock that is set, or a host that slept, is noticed after this."""
SHORTEST_SLEEP_S = 0.05
_log = logging.getLogger("holdfast.training")


class TrainingClock:
    """Begins runs when their schedules say so. `clock` gives Unix seconds; all of these are arguments so that tests own time."""

    def __init__(
        self,
        settings: Settings,
        runner: Runner,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
        random: Callable[[], float] = _random.random,
        zone: tzinfo | None = None,
    ) -> None:
        self._settings = settings
        self._runner = runner
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._zone = zone or LocalZone()
        self._schedules = {name: training.schedule for name, training in settings.training.items() if training.schedule}
        self._since: dict[str, float] = {}

    @property
    def is_needed(self) -> bool:
        """Whether anything is scheduled."""
        return bool(self._schedules)

    async def run(self) -> None:
        """Until it is cancelled. Raises TrainingUnavailable."""
        beginning = SideTasks()
        try:
            for training in self._schedules:
                now = self._clock()
                self._since[training] = min(now, await self._runner.last_tick(training) or now)
            while True:
                await self._sleep(await self._look(beginning))
        finally:
            await beginning.aclose()

    async def _look(self, beginning: SideTasks) -> float:
        """Begin what is due; seconds until the next look."""
        now = self._clock()
        found = due(self._schedules, self._since, now, self._zone)
        # Where the clock was set back, its ticks come again: those that were run are known.
        self._since = dict.fromkeys(self._schedules, now)
        for late in found.late:
            await self._let_go(late)
        at_once = []
        for tick in found.ticks:
            jitter_s = self._settings.training[tick.training].jitter_s * self._random()
            if jitter_s:
                beginning.spawn(f"tick:{tick.training}", self._begin([tick], jitter_s))
            else:
                at_once.append(tick)
        if at_once:
            beginning.spawn("ticks", self._begin(at_once, 0.0))
        left_s = LONGEST_SLEEP_S if found.next_at is None else found.next_at - self._clock()
        return max(SHORTEST_SLEEP_S, min(LONGEST_SLEEP_S, left_s))

    async def _let_go(self, late: Late) -> None:
        if await self._runner.take_tick(late.training, late.last_at):
            last = datetime.fromtimestamp(late.last_at, self._zone).isoformat(timespec="minutes")
            told = {"action": "tick_missed", "training": late.training, "ticks": late.count, "last": last}
            _log.warning("scheduled runs are skipped: nothing looked at the clock in time", extra=told)

    async def _begin(self, ticks: Sequence[Tick], jitter_s: float) -> None:
        if jitter_s:
            await self._sleep(jitter_s)
        by_training = {tick.training: tick for tick in ticks}
        for training in in_order(self._settings, by_training):
            await self._begin_one(by_training[training])

    async def _begin_one(self, tick: Tick) -> None:
        schedule = self._schedules[tick.training]
        told = {"training": tick.training, "schedule": schedule}
        try:
            if await self._runner.take_tick(tick.training, tick.at):
                await self._runner.start(tick.training, cause=RunCause.SCHEDULE, requested_by=f"schedule {schedule}")
        except AlreadyRunning as error:
            _log.warning("a scheduled run is skipped", extra={"action": "tick_skipped", "cause": str(error), **told})
        except TrainingUnavailable as error:
            _log.error("a scheduled run could not begin", extra={"action": "tick_failed", "cause": str(error), **told})


def reload_models(registry: Registry, settings: Settings, run: Run) -> None:
    """Have the models that serve what a run has published load it now; the lifecycle knows which of them is wanted."""
    if run.status is not RunStatus.PUBLISHED:
        return
    for model in models_from(settings, run.training):
        with suppress(SupervisorClosed):  # the next start takes it
            # Not a reload, which is somebody's wish: what proves unfit is withdrawn, and not tried for ever.
            registry.source_changed(model)
