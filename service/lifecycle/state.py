"""The data of a model's life: no behaviour, no clock. `machine.step` is the only writer.

An entry is (live version | none, running attempt | none, last failure | none), because a reload must not disturb what
serves. Times: `*_at` are Unix seconds given by the caller (the machine has no clock).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from .tally import Tally


class Phase(StrEnum):
    """Where an attempt is (queued .. warming), where a model rests (not_started, live, failed, released), how a version ends."""

    NOT_STARTED = "not_started"
    QUEUED = "queued"
    DOWNLOADING = "downloading"
    VERIFYING = "verifying"
    TRAINING = "training"
    LOADING = "loading"
    WARMING = "warming"
    LIVE = "live"
    DRAINING = "draining"
    RELEASED = "released"
    FAILED = "failed"


class Status(StrEnum):
    """What clients see: a word computed from the entry, never stored."""

    READY = "ready"
    LOADING = "loading"
    ERROR = "error"
    UNLOADED = "unloaded"
    NOT_STARTED = "not_started"


class Cause(StrEnum):
    """Why an attempt runs."""

    START = "start"
    REQUEST = "request"
    RELOAD = "reload"
    RETRY = "retry"
    POLL = "poll"
    WATCH = "watch"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the last attempt failed, and whether another follows."""

    type: str
    message: str
    retryable: bool
    attempts: int
    """Attempts in a row that failed for this revision."""
    at: float
    next_attempt_at: float | None = None
    revision: str | None = None
    limited: int = 0
    """How many of `attempts` were of a class that is tried only a few times for one revision."""
    is_withdrawn: bool = False
    """It is of a published version that was taken back for it: what serves is what is published, and still older than it might be."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to bring a revision to ready."""

    id: int
    """Counts up within the model: events of an older attempt are ignored by it."""
    phase: Phase
    cause: Cause
    started_at: float
    force: bool = False
    reason: str | None = None
    """Why it waits, or what it does, in words."""
    bytes_done: int | None = None
    bytes_total: int | None = None
    progress: float | None = None
    """0..1; kept apart because it must not fall when the source changes its mind about the total."""
    revision: str | None = None
    fetch_began_at: float | None = None
    """Set once the source was asked: what changes there afterwards needs another attempt."""
    baseline_at: float | None = None
    """When the first progress came, and with how many bytes: a resumed download must not count what it found as speed."""
    baseline_bytes: int = 0
    reported_bytes: int | None = None
    """As the source told last: it falls where a download begins anew. None before its first word."""
    because: Failure | None = None
    """Why the source failed for good, where the attempt goes on with what the model falls back to."""
    fallback: str | None = None
    """What that is, where it is another source than the model's own."""
    retry_s: float | None = None
    """In how many seconds the source of `because` is to be asked again; None for not by itself."""
    withdrawn: Failure | None = None
    """Why the newest version that was published is not the one this attempt brings."""


@dataclass(frozen=True, slots=True)
class Live:
    """The version that serves."""

    version: str
    revision: str
    since: float
    fallback: str | None = None
    """What it came from, where that is not the model's own source: "training:NAME"."""


@dataclass(frozen=True, slots=True)
class Again:
    """A reload that came too late to join the running attempt: run once, after it."""

    cause: Cause
    force: bool


@dataclass(frozen=True, slots=True)
class StoryLine:
    """One transition: what happened, from which phase to which, and why."""

    at: float
    event: str
    from_: str
    to: str
    cause: str


@dataclass(frozen=True, slots=True)
class Entry:
    """The whole state of one model."""

    name: str
    live: Live | None = None
    attempt: Attempt | None = None
    failure: Failure | None = None
    unloaded: bool = False
    on_demand: bool = False
    draining: tuple[str, ...] = ()
    again: Again | None = None
    rejected: Failure | None = None
    """The last permanent failure of a known revision: no automatic attempt tries that revision again."""
    retry_of: int | None = None
    """Id of the failed attempt whose retry timer runs; a timer of any other attempt is ignored."""
    attempts_begun: int = 0
    deaths: int = 0
    """Versions in a row that died soon after they began to serve."""
    owed: int = 0
    """How often a version that died is still tried to be brought back from what is kept, though what the source has now is rejected."""
    transitions: int = 0
    """Transitions ever; the story keeps the last of them."""
    story: tuple[StoryLine, ...] = field(default=())
    tally: Tally = field(default=Tally())

    def __repr__(self) -> str:
        live = self.live.version if self.live else None
        attempt = f"{self.attempt.id}:{self.attempt.phase}" if self.attempt else None
        failure = self.failure.type if self.failure else None
        flags = "".join(f" {word}" for word, is_set in (("unloaded", self.unloaded), ("again", self.again is not None)) if is_set)
        return f"<Entry {self.name} live={live} attempt={attempt} failure={failure} draining={len(self.draining)}{flags}>"


def phase_of(entry: Entry) -> Phase:
    """Where the model is: the phase of its attempt, else where it rests."""
    if entry.attempt is not None:
        return entry.attempt.phase
    if entry.live is not None:
        return Phase.LIVE
    if entry.unloaded:
        return Phase.RELEASED
    if entry.failure is not None:
        return Phase.FAILED
    return Phase.NOT_STARTED
