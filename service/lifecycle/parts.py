"""How a model that is made of others stands: its own state, overlaid with theirs. Pure.

Covers: what readers see of such a model. Does not cover: its own life, which is that of any model (`machine`), who its
parts are (`ports.Loaded.parts`). It is ready only while its parts are; no state of its own stands for that, so nothing has
to be kept in step with them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from .state import Attempt, Cause, Entry, Failure, Phase

PART_UNAVAILABLE = "part_unavailable"


@dataclass(frozen=True, slots=True)
class Part:
    """A model in its role. entry: its own, None where no model has the name. unfit: why it cannot play this role, in words."""

    role: str
    name: str
    entry: Entry | None
    unfit: str | None = None

    def __str__(self) -> str:
        return f"part {self.role} ({self.name})"


def effective_entry(entry: Entry, parts: Iterable[Part]) -> Entry:
    """The entry that clients see of a model with these parts: its own while it is not live itself, or while all parts are.

    Else it is `loading`, in the phase and with the progress of a part that is on its way, or `error`, for one that is not:
    retryable, and with the same next attempt, if that part's failure is. What waiting cannot mend comes first.
    """
    if entry.live is None:
        return entry
    lacking = [part for part in parts if part.unfit is not None or part.entry is None or part.entry.live is None]
    if not lacking:
        return entry
    failed = [(part, failure) for part in lacking if (failure := _failure_of(part, entry.live.since)) is not None]
    if failed:
        _, failure = min(failed, key=lambda found: found[1].retryable)
        return replace(entry, live=None, attempt=None, failure=failure, unloaded=False)
    return replace(entry, live=None, attempt=_attempt_of(lacking[0], entry), failure=None, unloaded=False)


def _failure_of(part: Part, since: float) -> Failure | None:
    """Why the part will not serve by itself, or not before its next attempt; None while it is on its way."""
    entry = part.entry
    if entry is None:
        return _hopeless(f"{part}: no model of this name is configured", since)
    if part.unfit is not None:
        return _hopeless(f"{part} {part.unfit}", entry.live.since if entry.live is not None else since)
    if entry.attempt is not None:
        return None
    if entry.unloaded:
        return _hopeless(f"{part} was unloaded: load it", entry.story[-1].at if entry.story else since)
    if entry.failure is None:
        return None
    said = f"{part} failed: {entry.failure.type}: {entry.failure.message}"
    return replace(entry.failure, type=PART_UNAVAILABLE, message=said)


def _hopeless(message: str, at: float) -> Failure:
    return Failure(PART_UNAVAILABLE, message, retryable=False, attempts=1, at=at)


def _attempt_of(part: Part, entry: Entry) -> Attempt:
    """The part's attempt as that of the model which waits for it."""
    theirs = part.entry.attempt if part.entry is not None else None
    if theirs is None:
        since = entry.live.since if entry.live is not None else 0.0
        return Attempt(entry.attempts_begun, Phase.QUEUED, Cause.REQUEST, since, reason=f"waits for {part}: not started")
    doing = theirs.phase.value + (f", {theirs.reason}" if theirs.reason else "")
    return replace(theirs, id=entry.attempts_begun, reason=f"waits for {part}: {doing}")
