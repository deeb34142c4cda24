"""What happens to the models, in order: every line of their stories, and their progress as often as somebody looks. Runs likewise.

Covers: the ring of the last events, their ids, going on from one of them, thinning progress. Event loop only. Does not
cover: sending them (`service.routes.events`), what a transition is (`service.lifecycle`), what a run is (`training.running.runs`).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

import msgspec

from service.encoding import encoded
from service.lifecycle.changes import Bell
from service.lifecycle.state import Entry, Phase, StoryLine, phase_of
from service.lifecycle.view import ModelView, rfc3339
from training.running.runs import Run

CAPACITY = 1000
LIMIT_BYTES = 4 << 20
"""A status object with a long story has 15 KB: a thousand of them are more than an old event is worth."""
PROGRESS_INTERVAL_S = 0.2
MOST_READERS = 100

_PROGRESS = ("phase", "progress", "bytes_done", "bytes_total", "eta_s", "reason")


class TooManyReaders(Exception):
    """As many streams are open as there may be."""


class Timer(Protocol):
    """A call that was put off: `asyncio.TimerHandle`."""

    def cancel(self) -> None: ...


CallLater = Callable[[float, Callable[[], None]], Timer]


@dataclass(frozen=True, slots=True)
class Told:
    """One event. number: counts up from 1 within the process. message: as it goes over the wire."""

    number: int
    message: bytes


@dataclass(slots=True)
class _Seen:
    """How far one model was told. story: of the last look. waits_in: the phase of the part that it waits for."""

    transitions: int = 0
    story: tuple[StoryLine, ...] = ()
    waits_in: Phase | None = None
    progress: tuple[object, ...] = ()
    next_at: float = 0.0
    held: ModelView | None = None
    timer: Timer | None = field(default=None, repr=False)


@dataclass(slots=True)
class _SeenRun:
    """How far one run was told. place: its status, phase and step."""

    place: tuple[object, ...] = ()
    next_at: float = 0.0
    held: Run | None = None
    timer: Timer | None = field(default=None, repr=False)


class EventLog:
    """The last events of all models, for any number of readers who each know where they are.

    clock: monotonic seconds; wall_s: Unix seconds; call_later: of the event loop unless given.
    """

    def __init__(
        self,
        *,
        boot: str | None = None,
        capacity: int = CAPACITY,
        limit_bytes: int = LIMIT_BYTES,
        clock: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
        call_later: CallLater | None = None,
    ) -> None:
        self._boot = boot or secrets.token_hex(6)
        self._capacity = capacity
        self._limit_bytes = limit_bytes
        self._clock = clock
        self._wall_s = wall_s
        self._call_later = call_later
        self._ring: deque[Told] = deque()
        self._bytes = 0
        self._last = 0
        self._seen: dict[str, _Seen] = {}
        self._runs: dict[str, _SeenRun] = {}
        self._bell = Bell()
        self._readers: set[Callable[[], None]] = set()
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<EventLog boot={self._boot} last={self._last} kept={len(self._ring)} readers={len(self._readers)}>"

    @property
    def last(self) -> int:
        """The number of the newest event, 0 before the first."""
        return self._last

    @property
    def readers(self) -> int:
        """Streams that are open."""
        return len(self._readers)

    @property
    def is_closed(self) -> bool:
        """The server stops: nobody waits for events any more."""
        return self._is_closed

    def take(self, view: ModelView) -> None:
        """Tell what is new in this view of a model: nothing if it was seen already."""
        seen = self._seen.setdefault(view.name, _Seen())
        lines = _new_lines(seen, view.entry)
        waits_in = phase_of(view.entry) if view.entry.live is None and view.loaded is not None else None
        if lines or waits_in is not seen.waits_in:
            self._transitions(seen, view, lines, waits_in)
        elif view.entry.attempt is not None:
            self._progress(seen, view)

    def take_run(self, run: Run) -> None:
        """Tell how a run is: a change of status, phase or step at once, progress a few times a second."""
        if self._is_closed:
            return
        seen = self._runs.setdefault(run.id, _SeenRun())
        place = (run.status, run.phase, run.step)
        seen.held = run
        wait_s = 0.0 if place != seen.place else seen.next_at - self._clock()
        if wait_s <= 0:
            seen.place = place
            self._tell_held_run(seen)
        elif seen.timer is None:
            later = self._call_later or asyncio.get_running_loop().call_later
            seen.timer = later(wait_s, lambda: self._tell_held_run(seen))
        if run.status.is_over:
            del self._runs[run.id]

    def catch_up(self, views: Iterable[ModelView]) -> None:
        """`take` all of them."""
        for view in views:
            self.take(view)

    def snapshot(self, views: Iterable[ModelView]) -> Told:
        """How all models stand, with the number of the last event that is in it. Such an event is no part of the log."""
        views = tuple(views)
        self.catch_up(views)  # else what is in the snapshot would be told again after it
        now = self._wall_s()
        return Told(self._last, self._message(self._last, "snapshot", {"models": [view.to_json(now) for view in views]}))

    def number_of(self, id: str) -> int | None:
        """The number of the event with this id, None if it was not told by this process or what came after it is gone."""
        boot, _, text = id.rpartition("-")
        if boot != self._boot or not (text.isascii() and text.isdecimal()) or len(text) > 18:
            return None
        number = int(text)
        return number if self._first - 1 <= number <= self._last else None

    def after(self, number: int) -> list[Told] | None:
        """The events after that number, None where some of them are gone."""
        if number < self._first - 1:
            return None
        return list(islice(self._ring, number - self._first + 1, None))

    async def wait(self, timeout_s: float) -> bool:
        """Whether an event came, or the end, within `timeout_s` seconds. Look with no await in between, and none is missed."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._bell.wait()
        except TimeoutError:
            return False
        return True

    @contextmanager
    def reading(self, on_close: Callable[[], None]) -> Iterator[None]:
        """One more reader; `on_close` is called where the log ends before it. Raises TooManyReaders."""
        if len(self._readers) >= MOST_READERS:
            raise TooManyReaders
        self._readers.add(on_close)
        try:
            yield
        finally:
            self._readers.discard(on_close)

    def close(self) -> None:
        """Nobody is to wait for another event."""
        self._is_closed = True
        for seen in self._seen.values():
            self._let_go(seen)
        for run in self._runs.values():
            self._let_go(run)
        self._bell.ring()
        for on_close in tuple(self._readers):
            on_close()

    @property
    def _first(self) -> int:
        """The number of the oldest event that is kept, or of the next one."""
        return self._last - len(self._ring) + 1

    def _transitions(self, seen: _Seen, view: ModelView, lines: tuple[StoryLine, ...], waits_in: Phase | None) -> None:
        now = self._wall_s()
        status = view.to_json(now)
        told = [line for line, kept in zip(status["story"], view.entry.story, strict=True) if any(kept is new for new in lines)]
        if waits_in is not seen.waits_in and (waits_in is not None or view.entry.live is not None):
            before = seen.waits_in or Phase.LIVE
            told.append({"at": rfc3339(now), "event": "part", "from": before, "to": waits_in or Phase.LIVE, "cause": _why(view)})
        raw = msgspec.Raw(encoded(status))
        for line in told:
            self._tell("transition", {"model": view.name, **line, "status": raw})
        self._let_go(seen)
        seen.transitions, seen.story, seen.waits_in, seen.progress = view.entry.transitions, view.entry.story, waits_in, _shown(view)

    def _progress(self, seen: _Seen, view: ModelView) -> None:
        if _shown(view) == seen.progress:
            return
        seen.held = view
        wait_s = seen.next_at - self._clock()
        if wait_s <= 0:
            self._tell_held(seen)
        elif seen.timer is None:
            later = self._call_later or asyncio.get_running_loop().call_later
            seen.timer = later(wait_s, lambda: self._tell_held(seen))

    def _tell_held(self, seen: _Seen) -> None:
        view = seen.held
        self._let_go(seen)
        if view is not None:
            seen.progress, seen.next_at = _shown(view), self._clock() + PROGRESS_INTERVAL_S
            status = view.to_json(self._wall_s())
            self._tell("progress", {"model": view.name, **{key: status[key] for key in _PROGRESS}})

    def _tell_held_run(self, seen: _SeenRun) -> None:
        run = seen.held
        self._let_go(seen)
        if run is not None:
            seen.next_at = self._clock() + PROGRESS_INTERVAL_S
            told = run.to_json()
            del told["log"]
            self._tell("run", told)

    def _let_go(self, seen: _Seen | _SeenRun) -> None:
        """What was held back is told now, or told better."""
        if seen.timer is not None:
            seen.timer.cancel()
        seen.timer = seen.held = None

    def _tell(self, kind: str, data: dict[str, Any]) -> None:
        self._last += 1
        told = Told(self._last, self._message(self._last, kind, data))
        self._ring.append(told)
        self._bytes += len(told.message)
        while len(self._ring) > self._capacity or (self._bytes > self._limit_bytes and len(self._ring) > 1):
            self._bytes -= len(self._ring.popleft().message)
        self._bell.ring()

    def _message(self, number: int, kind: str, data: object) -> bytes:
        """Source: server-sent events, HTML Living Standard, 9.2. JSON has no line breaks."""
        return b"id: %b-%d\nevent: %b\ndata: %b\n\n" % (self._boot.encode(), number, kind.encode(), encoded(data))


def _new_lines(seen: _Seen, entry: Entry) -> tuple[StoryLine, ...]:
    """The lines since the last look. Counted, since the story drops lines; known ones left out, since it drops idle polls too."""
    new = entry.transitions - seen.transitions
    if new <= 0:
        return ()
    known = set(map(id, seen.story))
    return tuple(line for line in entry.story[-new:] if id(line) not in known)


def _shown(view: ModelView) -> tuple[object, ...]:
    attempt = view.entry.attempt
    return () if attempt is None else (attempt.phase, attempt.progress, attempt.bytes_done, attempt.bytes_total, attempt.reason)


def _why(view: ModelView) -> str:
    if view.entry.attempt is not None:
        return view.entry.attempt.reason or ""
    return view.entry.failure.message if view.entry.live is None and view.entry.failure is not None else "its parts serve"
