"""The asyncio half: performs the machine's actions and feeds events back.

Covers: starting and stopping, publishing, attempts, retry timers, draining. Event loop only. Does not cover: decisions
(`machine`, `policy`), the steps of an attempt (`run`), polling and watching (`watching`).
"""

from __future__ import annotations

import asyncio
import logging
import random as _random
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from config.schema import ModelSettings

from .clockwork import Gate, SideTasks, Sleep, first_of
from .errors import SupervisorClosed
from .events import (
    Action,
    AttemptEvent,
    CancelAttempt,
    CancelRetry,
    Died,
    Discard,
    Drain,
    Event,
    Failed,
    FallbackTouched,
    Publish,
    Released,
    Requested,
    RetryDue,
    ScheduleRetry,
    SourceTouched,
    StartAttempt,
    Started,
    UnloadCommanded,
)
from .fallback import PUBLISHED, stand_in
from .journal import log_transitions
from .lease import Held
from .machine import step
from .policy import DEFAULT_RETRY, RetryPolicy
from .ports import Admission, Loaded, Loader, Workshop
from .registry import LocalRegistry
from .run import AttemptRun
from .slots import LoadSlots
from .watching import poll_source, watch_source

_log = logging.getLogger("holdfast.lifecycle")


class Supervisor:
    """Brings every model to where it is wanted and keeps it there; `registry` is what others read and command.

    `models` by name. `concurrency` loads run at a time. A replaced or unloaded version is waited for `drain_s` seconds.
    `workshop` is what stands behind models that are trained here; without it there is no fallback, and no version but what serves.
    `clock` gives Unix seconds; `clock`, `sleep` and `random` (in [0, 1)) are arguments so that tests own time.
    """

    def __init__(
        self,
        models: Mapping[str, ModelSettings],
        loader: Loader,
        admission: Admission,
        *,
        workshop: Workshop | None = None,
        concurrency: int = 2,
        drain_s: float = 30.0,
        clock: Callable[[], float] = time.time,
        random: Callable[[], float] = _random.random,
        sleep: Sleep = asyncio.sleep,
        policy: RetryPolicy = DEFAULT_RETRY,
    ) -> None:
        archive = workshop.archive if workshop is not None else None
        self.registry = LocalRegistry(models, dispatch=self._command, clear=loader.clear, archive=archive)
        self._workshop = workshop
        self._models = models
        self._loader = loader
        self._slots = LoadSlots(admission, concurrency=concurrency, sleep=sleep)
        self._drain_s = drain_s
        self._clock = clock
        self._random = random
        self._sleep = sleep
        self._policy = policy
        self._restored = Gate(())
        self._is_open = False
        self._closing = asyncio.Event()
        self._attempts: dict[str, dict[int, asyncio.Task[None]]] = {name: {} for name in models}
        self._retries: dict[str, asyncio.Task[None]] = {}
        self._attempt_tasks = SideTasks()
        self._timers = SideTasks()
        self._drains = SideTasks()

    def __repr__(self) -> str:
        state = "open" if self._is_open else "closed"
        return f"<Supervisor {state} attempts={len(self._attempt_tasks)} timers={len(self._timers)} drains={len(self._drains)}>"

    async def start(self) -> None:
        """Begin an attempt of every eager model, and poll and watch where configured. Waits for none of it.

        Raises SupervisorClosed when called twice.
        """
        if self._is_open or self._closing.is_set():
            raise SupervisorClosed("a supervisor starts once")
        self._is_open = True
        eager = [name for name, model in self._models.items() if model.load == "eager"]
        self._restored = Gate(eager)
        for name in eager:
            self._feed(name, Started())
        for name, model in self._models.items():
            if model.poll_s > 0:
                self._timers.spawn(f"poll:{name}", poll_source(model, self._feed, sleep=self._sleep, random=self._random))
            if model.watch:
                self._timers.spawn(f"watch:{name}", watch_source(model, self._loader, self._feed, SourceTouched(), sleep=self._sleep))
            if self._workshop is not None and model.fallback.startswith(PUBLISHED) and model.fallback != model.source:
                work = watch_source(stand_in(model), self._loader, self._feed, FallbackTouched(), sleep=self._sleep)
                self._timers.spawn(f"watch-fallback:{name}", work)

    async def aclose(self) -> None:
        """Cancel what runs, drain what serves, close every version that no lease holds. Takes up to `drain_s` seconds."""
        if self._closing.is_set():
            return
        self._is_open = False
        self._closing.set()
        try:
            for name in self._models:
                self._feed(name, UnloadCommanded("shutdown"))
            await self._timers.aclose()
            await self._attempt_tasks.wait()  # all are cancelled; doing so twice would cut their clean-up short
            await self._drains.wait()
        finally:
            await self._drains.aclose()
            await self.registry.aclose()

    def _command(self, name: str, event: Event) -> None:
        """An event from the registry. A request starts nothing while the server does not run; a command is refused."""
        if self._is_open:
            self._feed(name, event)
        elif not isinstance(event, Requested):
            raise SupervisorClosed(f"{event.kind} of {name!r}: the supervisor does not run")

    def _feed(self, name: str, event: Event, loaded: Loaded | None = None) -> None:
        """The only way a model changes. No await from the reading of the state to the publishing of the new one."""
        current = self.registry.current(name)
        entry, actions = step(current.entry, event, self._clock(), self._policy)
        held = self._served(name, current.held, actions, loaded)
        self.registry.commit(name, entry, held)
        log_transitions(current.entry, entry)
        if held is not None and held is not current.held:
            held.loaded.on_death(partial(self._died, name, held))
        for action in actions:
            self._perform(name, action, current.held, loaded)

    def _served(self, name: str, held: Held | None, actions: Iterable[Action], loaded: Loaded | None) -> Held | None:
        for action in actions:
            if isinstance(action, Publish):
                if loaded is None:
                    raise LookupError(f"model {name!r}: version {action.version} was announced, but did not come along")
                return Held(name, loaded)
            if isinstance(action, Drain):
                held = None
        return held

    def _perform(self, name: str, action: Action, served_before: Held | None, loaded: Loaded | None) -> None:
        if isinstance(action, StartAttempt):
            self._start_attempt(name, action.attempt)
        elif isinstance(action, CancelAttempt):
            # Only this one: an older one may be cleaning up, and a second cancellation would cut that short.
            self._attempts[name][action.attempt].cancel()
        elif isinstance(action, ScheduleRetry):
            self._retries[name] = self._timers.spawn(f"retry:{name}", self._retry(name, action))
        elif isinstance(action, CancelRetry):
            self._retries.pop(name).cancel()
        elif isinstance(action, Drain) and served_before is not None:
            self._drains.spawn(f"drain:{name}:{action.version}", self._drain(served_before))
        elif isinstance(action, Discard) and loaded is not None:
            self._drains.spawn(f"discard:{name}:{action.version}", self._close(name, loaded))

    def _died(self, name: str, held: Held, type: str, message: str) -> None:
        """By identity: a version that drains may have the name of the one that was restored after it."""
        if self.registry.current(name).held is held:
            self._feed(name, Died(held.facts.version, type, message, self._random()))

    def _start_attempt(self, name: str, attempt: int) -> None:
        def feed(event: AttemptEvent, loaded: Loaded | None = None) -> None:
            self._feed(name, event, loaded)

        run = AttemptRun(
            id=attempt,
            model=self._models[name],
            loader=self._loader,
            slots=self._slots,
            feed=feed,
            entry=lambda: self.registry.current(name).entry,
            random=self._random,
            predecessors=frozenset(self._attempts[name].values()),
            restored=self._restored,
            workshop=self._workshop,
            is_chosen=partial(self.registry.is_chosen, name),
        )
        task = self._attempt_tasks.spawn(f"attempt:{name}:{attempt}", run.run())
        self._attempts[name][attempt] = task
        task.add_done_callback(lambda _: self._attempt_ended(name, attempt))

    def _attempt_ended(self, name: str, attempt: int) -> None:
        """An attempt whose task is over without a verdict would be `loading` for ever: that is a failure too."""
        del self._attempts[name][attempt]
        self._restored.arrive(name)  # a task cancelled before its first step never came to say so itself
        running = self.registry.current(name).entry.attempt
        if running is not None and running.id == attempt:
            message = "internal error (the attempt ended without a verdict); see the log"
            self._feed(name, Failed(attempt, "internal_error", message, running.revision, self._random()))

    async def _retry(self, name: str, action: ScheduleRetry) -> None:
        await self._sleep(action.delay_s)
        self._feed(name, RetryDue(action.failed_attempt))

    async def _drain(self, held: Held) -> None:
        """Close the version after its last lease. The deadline ends the waiting, never a mapping that is being read."""
        name, version = held.model, held.facts.version
        await first_of(held.wait_idle(), self._pause(self._drain_s))
        if held.leases == 0:
            await self._close(name, held.loaded)
            self._feed(name, Released(version, "no lease holds it"))
            return
        fields = {"action": "drain_overdue", "model": name, "version": version, "leases": held.leases}
        _log.warning("%s: %s is still held by %d leases after %g s", name, version, held.leases, self._drain_s, extra=fields)
        self._feed(name, Released(version, f"drain deadline passed, unmapped when the last of {held.leases} leases closes"))
        await first_of(held.wait_idle(), self._closing.wait())
        if held.leases == 0:
            await self._close(name, held.loaded)
        else:
            _log.warning("%s: %s stays mapped until the process ends", name, version, extra=fields)

    async def _pause(self, delay_s: float) -> None:
        await self._sleep(delay_s)

    async def _close(self, name: str, loaded: Loaded) -> None:
        try:
            await loaded.close()
        except Exception:
            fields = {"action": "close_failed", "model": name, "version": loaded.version}
            _log.exception("%s: version %s could not be closed", name, loaded.version, extra=fields)
