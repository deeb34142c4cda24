"""Rules for what the running attempt reports (its progress, its phases, its end) and for the death of what serves. Pure.

Every rule but `died` may rely on `entry.attempt` being the event's attempt; `machine.step` saw to it. Does not cover: an attempt
that takes another way (`detours`).
"""

from __future__ import annotations

from dataclasses import replace

from .errors import InvalidTransition
from .events import (
    Action,
    CancelRetry,
    Died,
    Failed,
    FetchBegan,
    Fetched,
    PhaseBegan,
    Progressed,
    Publish,
    Restored,
    ScheduleRetry,
    Succeeded,
    Unchanged,
    Waiting,
)
from .moves import Step, begin, check, end, failure_of, retire, running, tell
from .policy import AUTOMATIC, LIMITED_TRIES, RetryPolicy, count_deaths
from .state import Attempt, Cause, Entry, Failure, Live, Phase


def restored(entry: Entry, event: Restored, now: float) -> Step:
    if entry.live is not None:
        raise InvalidTransition(entry.name, running(entry).phase, f"{event.kind} over a live version", entry.story)
    entry = tell(entry, event, now, Phase.LIVE, event.version)
    tally = replace(entry.tally, restores=entry.tally.restores + 1)
    live = Live(event.version, event.revision, now, event.fallback)
    return replace(entry, live=live, owed=0, tally=tally), (Publish(event.version),)


def fetch_began(entry: Entry, event: FetchBegan, now: float) -> Step:
    attempt = running(entry)
    entry = tell(entry, event, now, Phase.DOWNLOADING, attempt.cause)
    return replace(entry, attempt=replace(attempt, phase=Phase.DOWNLOADING, reason=None, fetch_began_at=now)), ()


def progressed(entry: Entry, event: Progressed, now: float) -> Step:
    """What is shown never falls, whatever the source says about itself midway."""
    attempt = running(entry)
    done = max(event.bytes_done, attempt.bytes_done or 0)
    total = attempt.bytes_total if event.bytes_total is None else max(event.bytes_total, attempt.bytes_total or 0, done)
    share = done / total if total else None
    if share is not None:
        share = min(1.0, max(share, attempt.progress or 0.0))
    baseline = (attempt.baseline_at, attempt.baseline_bytes) if attempt.baseline_at is not None else (now, event.bytes_done)
    tally = entry.tally.received(attempt.reported_bytes, event.bytes_done)
    attempt = replace(
        attempt,
        bytes_done=done,
        bytes_total=total,
        progress=share if share is not None else attempt.progress,
        baseline_at=baseline[0],
        baseline_bytes=baseline[1],
        reported_bytes=event.bytes_done,
    )
    return replace(entry, attempt=attempt, tally=tally), ()


def fetched(entry: Entry, event: Fetched, now: float) -> Step:
    attempt = running(entry)
    whole = max(event.size, attempt.bytes_done or 0, attempt.bytes_total or 0)
    attempt = replace(attempt, revision=event.revision, bytes_done=whole, bytes_total=whole, progress=1.0)
    return replace(entry, attempt=attempt), ()


def waiting(entry: Entry, event: Waiting, now: float) -> Step:
    """Only the beginning of the wait is a transition; a new reason for it is not."""
    attempt = running(entry)
    if attempt.phase is not Phase.QUEUED:
        entry = tell(entry, event, now, Phase.QUEUED, event.reason)
    return replace(entry, attempt=replace(attempt, phase=Phase.QUEUED, reason=event.reason)), ()


def phase_began(entry: Entry, event: PhaseBegan, now: float) -> Step:
    attempt = running(entry)
    if check(entry, event, event.phase) != event.phase:
        entry = tell(entry, event, now, event.phase, event.reason or attempt.cause)
    return replace(entry, attempt=replace(attempt, phase=event.phase, reason=event.reason)), ()


def unchanged(entry: Entry, event: Unchanged, now: float, policy: RetryPolicy) -> Step:
    """What serves is what the source has: all is well again. Or it is what was rejected: that failure stands.

    All is not well while the source of a fallback's version fails, or while what serves is an older version than the one that
    was withdrawn, until somebody asks or a newer one comes.
    """
    attempt = running(entry)
    if entry.live is not None and entry.live.revision == event.revision:
        entry = tell(entry, event, now, Phase.LIVE, event.revision)
        before = entry.failure if entry.failure is not None and entry.failure.is_withdrawn and attempt.cause in AUTOMATIC else None
        because = attempt.because if attempt.fallback is not None else None
        return _served(entry, now, because or attempt.withdrawn or before)
    rejected = entry.rejected
    if rejected is not None and rejected.revision == event.revision:
        entry = tell(entry, event, now, Phase.FAILED, event.revision)
        if _is_owed(entry):
            return _bring_back(entry, attempt, rejected, now, policy.backoff_s(entry.deaths, 0.0))
        return end(replace(entry, failure=rejected), now)
    raise InvalidTransition(entry.name, attempt.phase, f"{event.kind} ({event.revision}, which is neither live nor rejected)", entry.story)


def succeeded(entry: Entry, event: Succeeded, now: float) -> Step:
    """The new version replaces the live one in one step; the old one drains."""
    entry = tell(entry, event, now, Phase.LIVE, event.version)
    entry, drained = retire(entry, now, f"replaced by {event.version}")
    tally = replace(entry.tally, loads=entry.tally.loads + 1)
    attempt = running(entry)
    entry = replace(entry, live=Live(event.version, event.revision, now, event.fallback), owed=0, tally=tally)
    stands = attempt.because if event.fallback is not None else _newer(attempt.withdrawn, event.revision)
    return _served(entry, now, stands, (Publish(event.version), *drained))


def _newer(withdrawn: Failure | None, revision: str) -> Failure | None:
    """What was withdrawn, if that version is newer than the one of this revision: names of versions sort by age."""
    return withdrawn if withdrawn is not None and (withdrawn.revision or "") > revision else None


def _served(entry: Entry, now: float, stands: Failure | None, actions: tuple[Action, ...] = ()) -> Step:
    """The attempt ends with a version that serves. `stands` is what is amiss all the same; a source is asked again if waiting may help."""
    if stands is None:
        return end(replace(entry, failure=None, rejected=None), now, actions)
    attempt = running(entry)
    rejected = entry.rejected if stands.retryable else stands if stands.revision else entry.rejected
    entry = replace(entry, failure=stands, rejected=rejected)
    if stands.is_withdrawn or attempt.retry_s is None or entry.again is not None:
        return end(entry, now, actions)
    failure = replace(stands, next_attempt_at=now + attempt.retry_s)
    entry = replace(entry, attempt=None, failure=failure, retry_of=attempt.id)
    return entry, (*actions, ScheduleRetry(attempt.id, attempt.retry_s))


def failed(entry: Entry, event: Failed, now: float, policy: RetryPolicy) -> Step:
    """What serves goes on serving. The failure's class decides whether and when another attempt follows.

    While nothing serves since a death, one follows soon, whatever the class (see `_bring_back`), a few times. Where a fallback
    failed for good, the source behind it is asked again as its own failure has it.
    """
    attempt = running(entry)
    failure, delay_s = failure_of(entry, event, now, policy)
    entry = tell(entry, event, now, Phase.FAILED, f"{event.type}: {event.message}")
    # Only what this attempt itself saw is rejected: a failure before the revision is known says nothing about any revision.
    rejected = failure if delay_s is None and event.revision and attempt.fallback is None else entry.rejected
    if delay_s is None and attempt.retry_s is not None:
        delay_s = attempt.retry_s
        failure = replace(failure, retryable=True)
    entry = replace(entry, failure=failure, rejected=rejected, tally=entry.tally.failed(event.type))
    if entry.again is not None:
        return end(entry, now)
    if delay_s == 0:
        return begin(replace(entry, attempt=None), Cause.RETRY, now, Cause.RETRY)
    if _is_owed(entry):
        return _bring_back(entry, attempt, failure, now, policy.backoff_s(entry.deaths, event.jitter))
    if delay_s is None:
        return end(entry, now)
    actions: tuple[Action, ...] = (ScheduleRetry(attempt.id, delay_s),)
    failure = replace(failure, next_attempt_at=now + delay_s)
    return replace(entry, attempt=None, failure=failure, retry_of=attempt.id), actions


def _is_owed(entry: Entry) -> bool:
    return entry.live is None and entry.again is None and entry.owed > 0


def _bring_back(entry: Entry, attempt: Attempt, failure: Failure, now: float, delay_s: float) -> Step:
    """An attempt follows soon, whatever failed: not for that, but for the version that died and is kept. What is rejected stays so."""
    failure = replace(failure, retryable=True, next_attempt_at=now + delay_s)
    entry = replace(entry, attempt=None, failure=failure, retry_of=attempt.id, owed=entry.owed - 1)
    return entry, (ScheduleRetry(attempt.id, delay_s),)


def died(entry: Entry, event: Died, now: float, policy: RetryPolicy) -> Step:
    """The version serves no more; it is loaded again after a backoff, whatever it died of. A running attempt brings the next one anyway."""
    live = entry.live
    if live is None or live.version != event.version:
        return entry, ()
    deaths = count_deaths(entry.deaths, now - live.since)
    delay_s = policy.backoff_s(deaths, event.jitter)
    is_alone = entry.attempt is None
    failure = Failure(
        type=event.type,
        message=event.message,
        retryable=True,
        attempts=deaths,
        at=now,
        next_attempt_at=now + delay_s if is_alone else None,
        revision=live.revision or None,
    )
    entry = tell(entry, event, now, Phase.FAILED if entry.attempt is None else entry.attempt.phase, f"{event.type}: {event.message}")
    entry, drained = retire(entry, now, event.kind)
    entry = replace(entry, failure=failure, deaths=deaths, owed=LIMITED_TRIES, tally=entry.tally.failed(event.type))
    if not is_alone:
        return entry, drained
    # A retry that waits is one of a reload that failed beside the version: now there is nothing to fall back on.
    cancelled: tuple[Action, ...] = (CancelRetry(),) if entry.retry_of is not None else ()
    entry = replace(entry, retry_of=entry.attempts_begun)
    return entry, (*cancelled, *drained, ScheduleRetry(entry.attempts_begun, delay_s))
