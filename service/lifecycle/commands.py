"""Rules for what comes from outside an attempt: operators, requests, the source, timers, an old version's end. Pure."""

from __future__ import annotations

from dataclasses import replace

from .events import (
    Action,
    CancelAttempt,
    CancelRetry,
    FallbackTouched,
    LoadCommanded,
    PollDue,
    Released,
    ReloadCommanded,
    Requested,
    RetryDue,
    SourceTouched,
    Started,
    UnloadCommanded,
)
from .moves import Step, begin, remember, retire, tell, without_idle_poll
from .state import Cause, Entry, Phase, phase_of


def start(entry: Entry, event: Started, now: float) -> Step:
    return begin(entry, event.kind, now, Cause.START)


def requested(entry: Entry, event: Requested, now: float) -> Step:
    """Only the first request of a model that was never begun does anything."""
    if phase_of(entry) is not Phase.NOT_STARTED:
        return entry, ()
    return begin(entry, event.kind, now, Cause.REQUEST)


def load(entry: Entry, event: LoadCommanded, now: float) -> Step:
    """Joins a running attempt; nothing to do where a version serves and nothing failed since."""
    if entry.attempt is not None or (entry.live is not None and entry.failure is None):
        return entry, ()
    return begin(entry, event.kind, now, Cause.OPERATOR)


def reload(entry: Entry, event: ReloadCommanded, now: float) -> Step:
    """Joins an attempt that will ask the source anyway; else it is run after that attempt, once."""
    attempt = entry.attempt
    if attempt is None:
        return begin(entry, event.kind, now, Cause.RELOAD, event.force)
    if attempt.fetch_began_at is None and (attempt.force or not event.force):
        return entry, ()
    return remember(entry, Cause.RELOAD, event.force), ()


def touched(entry: Entry, event: SourceTouched, now: float) -> Step:
    """A change is never lost: what came after the source was asked is asked for again."""
    if entry.attempt is not None:
        return (entry if entry.attempt.fetch_began_at is None else remember(entry, Cause.WATCH, False)), ()
    if phase_of(entry) not in (Phase.LIVE, Phase.FAILED):
        return entry, ()
    return begin(entry, event.kind, now, Cause.WATCH)


def fallback_touched(entry: Entry, event: FallbackTouched, now: float) -> Step:
    """As `touched`, but for a model that serves from its own source: that one needs nothing to fall back to."""
    has_better = entry.live is not None and entry.live.fallback is None
    if has_better or phase_of(entry) not in (Phase.LIVE, Phase.FAILED):
        is_late = entry.attempt is not None and entry.attempt.because is not None and entry.attempt.fetch_began_at is not None
        return (remember(entry, Cause.WATCH, False) if is_late and not has_better else entry), ()
    return begin(entry, event.kind, now, Cause.WATCH)


def poll(entry: Entry, event: PollDue, now: float) -> Step:
    """A waiting retry asks the source anyway: a poll must not undercut its backoff."""
    if phase_of(entry) not in (Phase.LIVE, Phase.FAILED) or entry.retry_of is not None:
        return entry, ()
    return begin(replace(entry, story=without_idle_poll(entry.story)), event.kind, now, Cause.POLL)


def retry(entry: Entry, event: RetryDue, now: float) -> Step:
    return begin(replace(entry, retry_of=None), event.kind, now, Cause.RETRY)


def unload(entry: Entry, event: UnloadCommanded, now: float) -> Step:
    """Nothing of the model goes on: what serves drains, the attempt and its retries end."""
    if entry.unloaded:
        return entry, ()
    actions: list[Action] = []
    if entry.attempt is not None:
        actions.append(CancelAttempt(entry.attempt.id))
    if entry.retry_of is not None:
        actions.append(CancelRetry())
    entry = tell(entry, event, now, Phase.RELEASED, event.cause)
    entry, drained = retire(entry, now, event.cause)
    entry = replace(entry, attempt=None, failure=None, rejected=None, again=None, retry_of=None, owed=0, unloaded=True)
    return entry, (*actions, *drained)


def released(entry: Entry, event: Released, now: float) -> Step:
    entry = tell(entry, event, now, Phase.RELEASED, f"{event.version}: {event.cause}")
    left = list(entry.draining)
    left.remove(event.version)  # one of them: a forced reload may drain the same version twice
    return replace(entry, draining=tuple(left)), ()
