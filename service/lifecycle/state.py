"""The data of a model's life: no behaviour, no clock. `machine.step` is the only writer.

An entry is (live version | none, running attempt | none, last failure | none), because a reload must not disturb what
serves. Times: `*_at` are Unix seconds given by the caller (the machine has no clock).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Phase(StrEnum):
    """Where an attempt is (queued .. warming), and the two ends of a version (draining, released)."""

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


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to bring a revision to ready."""

    id: int
    """Unique in the process: events of an older attempt are ignored by it."""
    phase: Phase
    cause: str
    """start, request, reload, retry, poll, watch, operator"""
    started_at: float
    force: bool = False
    reason: str | None = None
    """Why it waits, or what it does, in words."""
    bytes_done: int | None = None
    bytes_total: int | None = None
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class Live:
    """The version that serves."""

    version: str
    revision: str
    since: float


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
    story: tuple[StoryLine, ...] = field(default=())
