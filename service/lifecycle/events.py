"""What can happen to a model (events) and what must be done about it (actions). Data only.

Covers: the closed sets that `machine.step` takes and returns. An event that belongs to an attempt carries its id, so
that a late word of an old attempt is recognised. Does not cover: which event is legal when (`transitions`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .state import Phase


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events; `kind` is its name in the story and the log."""

    kind: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class AttemptEvent(Event):
    """Base of the events of one attempt."""

    attempt: int


# From outside: the program's start, operators, requests, the source, timers.


@dataclass(frozen=True, slots=True)
class Started(Event):
    """The server starts and the model is to be loaded at once."""

    kind: ClassVar[str] = "start"


@dataclass(frozen=True, slots=True)
class Requested(Event):
    """A request asked for it (matters for a model that loads on demand)."""

    kind: ClassVar[str] = "request"


@dataclass(frozen=True, slots=True)
class LoadCommanded(Event):
    """An operator wants it loaded."""

    kind: ClassVar[str] = "load"


@dataclass(frozen=True, slots=True)
class ReloadCommanded(Event):
    """An operator wants the source asked again; `force` loads even what is unchanged."""

    kind: ClassVar[str] = "reload"
    force: bool = False


@dataclass(frozen=True, slots=True)
class UnloadCommanded(Event):
    """It is to serve no more, until a load or reload is commanded."""

    kind: ClassVar[str] = "unload"
    cause: str = "operator"


@dataclass(frozen=True, slots=True)
class PollDue(Event):
    """Time to ask the source whether it changed."""

    kind: ClassVar[str] = "poll"


@dataclass(frozen=True, slots=True)
class SourceTouched(Event):
    """The source may have changed just now (a watched file)."""

    kind: ClassVar[str] = "watch"


@dataclass(frozen=True, slots=True)
class FallbackTouched(Event):
    """What the model falls back to may have changed just now; matters while it has nothing better."""

    kind: ClassVar[str] = "fallback_watch"


@dataclass(frozen=True, slots=True)
class RetryDue(Event):
    """The retry timer of a failed attempt rang."""

    kind: ClassVar[str] = "retry"
    failed_attempt: int


@dataclass(frozen=True, slots=True)
class Released(Event):
    """A replaced or unloaded version is out of the model's life: no lease holds it, or the drain deadline passed."""

    kind: ClassVar[str] = "released"
    version: str
    cause: str


@dataclass(frozen=True, slots=True)
class Died(Event):
    """The process that a version lives in is gone. `type` and `jitter` as in Failed; of a version that serves no more it is no news."""

    kind: ClassVar[str] = "died"
    version: str
    type: str
    message: str
    jitter: float


# From the running attempt.


@dataclass(frozen=True, slots=True)
class Restored(AttemptEvent):
    """A kept version was mapped before the source was asked; the attempt goes on to ask it. `fallback` as in Live."""

    kind: ClassVar[str] = "restored"
    version: str
    revision: str
    fallback: str | None = None


@dataclass(frozen=True, slots=True)
class FetchBegan(AttemptEvent):
    """The source is being asked."""

    kind: ClassVar[str] = "fetch_began"


@dataclass(frozen=True, slots=True)
class Progressed(AttemptEvent):
    """Bytes arrived. Never in the story."""

    kind: ClassVar[str] = "progress"
    bytes_done: int
    bytes_total: int | None


@dataclass(frozen=True, slots=True)
class Fetched(AttemptEvent):
    """The artifact is here. Changes no phase."""

    kind: ClassVar[str] = "fetched"
    revision: str
    size: int


@dataclass(frozen=True, slots=True)
class Waiting(AttemptEvent):
    """The load must wait for memory or for a load slot."""

    kind: ClassVar[str] = "waiting"
    reason: str


@dataclass(frozen=True, slots=True)
class PhaseBegan(AttemptEvent):
    """Training begins, or the loader reports verifying, loading or warming."""

    kind: ClassVar[str] = "phase"
    phase: Phase
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Trained(AttemptEvent):
    """The training went on: a share of the whole (0..1), and what it does, in words. Never in the story."""

    kind: ClassVar[str] = "trained"
    progress: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class SourceFailed(AttemptEvent):
    """The source failed for good, and the attempt goes on with what the model falls back to. Members as in Failed.

    fallback: what that is; None where the source is a training itself, which then has to train.
    """

    kind: ClassVar[str] = "fallback"
    type: str
    message: str
    revision: str | None
    jitter: float
    fallback: str | None


@dataclass(frozen=True, slots=True)
class Withdrawn(AttemptEvent):
    """A published version proved unfit and was taken back; the attempt goes on with what is current now. Members as in Failed."""

    kind: ClassVar[str] = "withdrawn"
    type: str
    message: str
    revision: str
    jitter: float


@dataclass(frozen=True, slots=True)
class Unchanged(AttemptEvent):
    """The source still has this revision: the attempt ends without a new version."""

    kind: ClassVar[str] = "unchanged"
    revision: str


@dataclass(frozen=True, slots=True)
class Succeeded(AttemptEvent):
    """A new version is mapped and warm. `fallback` as in Live."""

    kind: ClassVar[str] = "published"
    version: str
    revision: str
    fallback: str | None = None


@dataclass(frozen=True, slots=True)
class Failed(AttemptEvent):
    """The attempt failed. `type` is a name of `loaders.errors.FAILURES`; `jitter` is a random number in [0, 1) (the machine has none)."""

    kind: ClassVar[str] = "failed"
    type: str
    message: str
    revision: str | None
    jitter: float


OUTSIDE_EVENTS: tuple[type[Event], ...] = (
    Started, Requested, LoadCommanded, ReloadCommanded, UnloadCommanded, PollDue, SourceTouched, FallbackTouched, RetryDue, Released, Died,
)  # fmt: skip
ATTEMPT_EVENTS: tuple[type[AttemptEvent], ...] = (
    Restored, FetchBegan, Progressed, Fetched, Waiting, PhaseBegan, Trained, SourceFailed, Withdrawn, Unchanged, Succeeded, Failed,
)  # fmt: skip
EVENTS: tuple[type[Event], ...] = OUTSIDE_EVENTS + ATTEMPT_EVENTS


@dataclass(frozen=True, slots=True)
class Action:
    """Base of all actions."""


@dataclass(frozen=True, slots=True)
class StartAttempt(Action):
    """Run the entry's attempt."""

    attempt: int


@dataclass(frozen=True, slots=True)
class CancelAttempt(Action):
    """Stop the run of this attempt; nothing it still says counts."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Publish(Action):
    """The version that came with the event serves from now on (in the same assignment as the new entry)."""

    version: str


@dataclass(frozen=True, slots=True)
class Drain(Action):
    """The version that served until now: close it when its last lease closes, wait for that no longer than the drain deadline."""

    version: str


@dataclass(frozen=True, slots=True)
class Discard(Action):
    """The version that came with the event is of an attempt that no longer counts: close it."""

    version: str


@dataclass(frozen=True, slots=True)
class ScheduleRetry(Action):
    """Send RetryDue(failed_attempt) after delay_s seconds."""

    failed_attempt: int
    delay_s: float


@dataclass(frozen=True, slots=True)
class CancelRetry(Action):
    """The retry timer, if one runs, is to be stopped."""
