"""The asyncio half of training: which run when, who may ask for it, and everything that switches what is published.

Covers: one run at a time in this process and one of a training in any, queueing, cancelling, looking, counting what came since
the last run. Does not cover: carrying one out (`training.running.carrying`), what begins one by the clock (`service.training`).
Event loop only; files and the journal are asked in threads.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

from config.schema import Settings
from loaders.process import to_the_end
from loaders.published import PublishedFolder, PublishedVersion
from training.running.arrangement import in_order
from training.running.carrying import STOPPED, ActiveRun, Carrier, switch
from training.running.journal import Journal, JournalUnavailable
from training.running.lock import LockBusy, RunLock
from training.running.recording import Recorder
from training.running.refused import AlreadyRunning, RunElsewhere, RunOver, TrainingUnavailable, UnknownRun, UnknownTraining
from training.running.runs import Run, RunCause, RunStatus, next_id
from training.running.tallies import Tally
from training.versions import publish

POLL_S = 0.5
"""How often a run of another process is looked at by who waits for it."""
_REMEMBERED = 100
_STOPS = "training does not run: the process stops"
P = ParamSpec("P")
T = TypeVar("T")
_log = logging.getLogger("holdfast.training")


class Runner:
    """Carries runs out and switches what trainings publish. `open` it first, `aclose` it last.

    on_change: called with a run whenever something of it changes. clock: Unix seconds. code_version: of the program, for records.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        on_change: Callable[[Run], None] = lambda run: None,
        clock: Callable[[], float] = time.time,
        code_version: str = "",
    ) -> None:
        self._settings = settings
        self._store = settings.store.path.absolute()
        self._on_change = on_change
        self._clock = clock
        self._recorder = Recorder(self._store, clock)
        self._carrier = Carrier(settings, self._store, self._recorder, on_change, clock, code_version)
        self._active: dict[str, ActiveRun] = {}
        self._remembered: dict[str, Run] = {}
        """How the last runs of this process ended, should the journal not have it."""
        self._starting = {name: asyncio.Lock() for name in settings.training}
        self._counting: set[asyncio.Task[None]] = set()
        self._is_open = self._is_closed = False

    def __repr__(self) -> str:
        words = " ".join(f"{name}={active.run.status}" for name, active in self._active.items())
        return f"<Runner {'open' if self._is_open else 'closed'} {words or 'idle'}>"

    async def open(self) -> None:
        """Begin; again where it failed. Without a training, and runs from before, there is nothing to do. Raises TrainingUnavailable."""
        if self._is_open or not (self._settings.training or self._recorder.path.exists()):
            return
        try:
            await self._recorder.open()
            self._is_open = True
            await self._recorder.buried(await self._recorder.ask(Journal.unfinished))
        except (JournalUnavailable, OSError) as error:
            raise TrainingUnavailable(f"the journal of runs cannot be used: {error}") from error

    async def aclose(self) -> None:
        """Runs are cancelled, their processes killed; what is being published is published."""
        if self._is_closed:
            return
        self._is_closed = True
        self._carrier.stop()
        await asyncio.gather(*self._counting)
        for starting in self._starting.values():
            async with starting:  # what is being begun is there, to be cancelled
                continue
        self._is_open = False
        for active in tuple(self._active.values()):
            active.cancel(STOPPED)
        await asyncio.gather(*(active.task for active in tuple(self._active.values()) if active.task is not None))
        await self._recorder.aclose()

    # -- runs ---------------------------------------------------------------------------------------------------------

    async def start(self, training: str, *, cause: RunCause, requested_by: str = "", force: bool = False) -> Run:
        """A new run, queued. Raises UnknownTraining, AlreadyRunning, TrainingUnavailable."""
        if training not in self._starting:
            raise UnknownTraining(training)
        if self._is_closed:
            raise TrainingUnavailable(_STOPS)
        await self.open()
        return await to_the_end(self._begin(training, cause, requested_by, force))

    async def start_all(self, *, cause: RunCause, requested_by: str = "", force: bool = False) -> tuple[list[Run], list[AlreadyRunning]]:
        """A run of every training, parts before what is made of them; and of which one waits or runs already."""
        started, running = [], []
        for training in in_order(self._settings, self._settings.training):
            try:
                started.append(await self.start(training, cause=cause, requested_by=requested_by, force=force))
            except AlreadyRunning as error:
                running.append(error)
        return started, running

    async def cancel(self, run_id: str, *, by: str = "") -> Run:
        """The run as it is now; it ends soon. Raises UnknownRun, RunOver, RunElsewhere, TrainingUnavailable."""
        active = self._of(run_id)
        if active is None:
            run = await self.run(run_id)
            if run is None:
                raise UnknownRun(run_id)
            if run.status.is_over:
                raise RunOver(f"the run is over already: {run.status}", run)
            raise RunElsewhere("the run is another process's: interrupt it there", run)
        if not active.cancel(f"cancelled by {by}" if by else "cancelled"):
            raise RunOver("the run is being published, or ends already", active.run)
        return active.run

    async def wait(self, run_id: str, timeout_s: float) -> Run:
        """The run when it is over, or as it is after so many seconds. Raises UnknownRun, TrainingUnavailable."""
        deadline = time.monotonic() + timeout_s
        while True:
            active = self._of(run_id)
            left_s = max(0.0, deadline - time.monotonic())
            if active is not None:
                await _within(left_s, active.over.wait())
            run = await self.run(run_id)
            if run is None:
                raise UnknownRun(run_id)
            if run.status.is_over or left_s <= 0:
                return run
            if active is None:
                await asyncio.sleep(min(POLL_S, left_s))

    async def runs(self, training: str | None = None, limit: int = 50) -> list[Run]:
        """The newest runs of any process, newest first. Raises TrainingUnavailable."""
        if not self._is_open:
            return []
        kept = await self._asked(Journal.runs, training, limit)
        return await self._known(kept)

    async def run(self, run_id: str) -> Run | None:
        """One run of any process. Raises TrainingUnavailable."""
        found = self._newest(run_id)
        if found is not None or not self._is_open:
            return found
        kept = await self._asked(Journal.run, run_id)
        return None if kept is None else (await self._known([kept]))[0]

    async def unfinished(self) -> list[Run]:
        """The runs of any process that wait or run, oldest first. Raises TrainingUnavailable."""
        if not self._is_open:
            return []
        return [run for run in await self._known(await self._asked(Journal.unfinished)) if not run.status.is_over]

    async def tallies(self) -> list[Tally]:
        """How often runs of each training ended how, of any process and before any restart. Raises TrainingUnavailable."""
        return await self._asked(Journal.tallies) if self._is_open else []

    # -- what begins runs by itself -------------------------------------------------------------------------------------

    async def take_tick(self, training: str, at: float) -> bool:
        """Whether this tick of a schedule is this process's to run. Raises TrainingUnavailable."""
        return await self._asked(Journal.take_tick, training, at)

    async def last_tick(self, training: str) -> float | None:
        """The last tick that anybody took, Unix seconds. Raises TrainingUnavailable."""
        return await self._asked(Journal.last_tick, training)

    def interactions_arrived(self, count: int) -> None:
        """So many new ones were posted: trainings that wait for that many are begun."""
        waiting = [name for name, training in self._settings.training.items() if training.after_interactions]
        if waiting and self._is_open:
            counting = asyncio.create_task(self._count(waiting, count), name="interactions")
            self._counting.add(counting)
            counting.add_done_callback(self._counting.discard)

    # -- what is published ------------------------------------------------------------------------------------------------

    async def roll_back(self, training: str, to: str | None = None, *, by: str = "") -> PublishedVersion:
        """See `training.versions.publish.roll_back`. These raise UnknownTraining, SwitchBusy and what those raise."""
        return await self._switched(training, partial(publish.roll_back, to=to, by=by))

    async def activate(self, training: str, version: str, *, by: str = "") -> PublishedVersion:
        """See `training.versions.publish.activate`."""
        return await self._switched(training, partial(publish.activate, version=version, by=by))

    async def unpin(self, training: str, *, by: str = "") -> str | None:
        """See `training.versions.publish.unpin`."""
        return await self._switched(training, partial(publish.unpin, by=by))

    async def withdraw(
        self, training: str, version: str, failure: Mapping[str, str], *, serving: str | None = None
    ) -> PublishedVersion | None:
        """See `training.versions.publish.withdraw`."""
        return await self._switched(training, partial(publish.withdraw, version=version, failure=failure, serving=serving))

    # -- one run --------------------------------------------------------------------------------------------------------

    async def _begin(self, training: str, cause: RunCause, requested_by: str, force: bool) -> Run:
        async with self._starting[training]:
            if self._is_closed:
                raise TrainingUnavailable(_STOPS)
            if training in self._active:
                raise AlreadyRunning(f"{training} is being trained already", self._active[training].run)
            now = self._clock()
            id = next_id(now, await self._newest_id(training), secrets.token_hex(3))
            settings = self._settings.training[training]
            run = Run(id, training, settings.algorithm, RunStatus.QUEUED, cause, now, requested_by, force)
            run = replace(run, parameters=dict(settings.parameters), cap_bytes=settings.memory_bytes)
            if self._carrier.is_busy:
                run = replace(run, reason=f"waits for {', '.join(self._active)}")
            active = ActiveRun(run, await self._locked(run))
            try:
                await self._recorder.buried([each for each in await self._asked(Journal.unfinished) if each.training == training])
                await self._asked(Journal.add, run)
            except BaseException:
                active.lock.release()
                raise
            self._active[training] = active
            self._on_change(run)
            active.task = asyncio.create_task(self._live(active), name=f"run:{training}")
            await asyncio.sleep(0)  # it has begun: cancelled before, it would never end
            return run

    async def _newest_id(self, training: str) -> str | None:
        """Of its runs and versions: either may have been deleted."""
        try:
            names = await asyncio.to_thread(PublishedFolder(self._store, training).names)
        except OSError as error:
            raise TrainingUnavailable(f"the store cannot be used: {error.strerror or error}") from error
        last = await self._asked(Journal.last_id, training)
        return max([*names[:1], *([] if last is None else [last])], default=None)

    async def _locked(self, run: Run) -> RunLock:
        try:
            return await asyncio.to_thread(RunLock.take, self._store, run.training, run.id)
        except LockBusy as busy:
            other = None if busy.run_id is None else await self.run(busy.run_id)
            raise AlreadyRunning(str(busy), other) from busy
        except OSError as error:
            raise TrainingUnavailable(f"the store cannot be used: {error.strerror or error}") from error

    async def _live(self, active: ActiveRun) -> None:
        training = active.run.training
        try:
            await self._carrier.carry_out(active)
        finally:
            del self._active[training]
            self._remembered[active.run.id] = active.run
            if len(self._remembered) > _REMEMBERED:
                del self._remembered[next(iter(self._remembered))]
            active.over.set()
            self._on_change(active.run)
        if self._settings.training[training].after_interactions and active.run.status is not RunStatus.CANCELLED:
            self.interactions_arrived(0)  # those that came meanwhile may be enough for the next

    async def _count(self, trainings: list[str], count: int) -> None:
        try:
            counted = await self._asked(Journal.count_interactions, trainings, count)
            for training in in_order(self._settings, counted):
                if counted[training] >= self._settings.training[training].after_interactions and training not in self._active:
                    await self._start_after(training, counted[training])
        except TrainingUnavailable as error:
            _log.error("new interactions are not counted", extra={"action": "count_failed", "cause": str(error)})

    async def _start_after(self, training: str, count: int) -> None:
        try:
            await self.start(training, cause=RunCause.INTERACTIONS, requested_by=f"{count} new interactions")
        except AlreadyRunning:
            # In another process: what is counted stays so, and the next interactions try again.
            _log.info("enough new interactions, but another process trains", extra={"action": "run_skipped", "training": training})

    # -- the rest -------------------------------------------------------------------------------------------------------

    def _of(self, run_id: str) -> ActiveRun | None:
        return next((active for active in self._active.values() if active.run.id == run_id), None)

    def _newest(self, run_id: str) -> Run | None:
        active = self._of(run_id)
        return self._remembered.get(run_id) if active is None else active.run

    async def _asked(self, method: Callable[Concatenate[Journal, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        if not self._is_open:
            raise TrainingUnavailable(_STOPS)
        try:
            return await self._recorder.ask(method, *args, **kwargs)
        except JournalUnavailable as error:
            raise TrainingUnavailable(f"the journal of runs cannot be used: {error}") from error

    async def _known(self, kept: list[Run]) -> list[Run]:
        """These runs as they are: what this process knows better, and of others whether they still live."""
        try:
            return [self._newest(run.id) or (await self._recorder.buried([run]))[0] for run in kept]
        except (JournalUnavailable, OSError) as error:
            raise TrainingUnavailable(f"the journal of runs cannot be used: {error}") from error

    async def _switched(self, training: str, work: Callable[[Any, str], T]) -> T:
        if training not in self._starting:
            raise UnknownTraining(training)
        return await switch(self._store, training, work)


async def _within(seconds: float, waiting: Coroutine[Any, Any, object]) -> None:
    try:
        async with asyncio.timeout(seconds):
            await waiting
    except TimeoutError:
        return  # the caller looks at the run as it is now
