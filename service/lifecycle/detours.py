"""Rules for an attempt that does not get what it wanted: a source that gives way to a fallback, training, a version taken back. Pure.

Each may rely on `entry.attempt` being the event's attempt; `machine.step` saw to it. Does not cover: how such an attempt ends
(`outcomes`), when it takes these turns (`run`, `fallback`).
"""

from __future__ import annotations

from dataclasses import replace

from .events import SourceFailed, Trained, Withdrawn
from .fallback import NOT_PUBLISHED
from .moves import Step, failure_of, running, tell
from .policy import RetryPolicy
from .state import Attempt, Entry, Phase


def trained(entry: Entry, event: Trained, now: float) -> Step:
    """What is shown never falls: a run searches for parameters in many steps, each from 0 to 1."""
    attempt = running(entry)
    share = attempt.progress if event.progress is None else min(1.0, max(event.progress, attempt.progress or 0.0))
    return replace(entry, attempt=replace(attempt, progress=share, reason=event.reason)), ()


def source_failed(entry: Entry, event: SourceFailed, now: float, policy: RetryPolicy) -> Step:
    """The failure stands whatever the fallback brings. What was downloaded is of no use: the progress shown begins anew.

    That a model which is trained here was never published yet is why it is trained, and no failure.
    """
    failure, retry_s = failure_of(entry, event, now, policy)
    entry = tell(entry, event, now, Phase.QUEUED, f"to {event.fallback or 'training'}, because {event.type}: {event.message}")
    rejected = failure if retry_s is None and event.revision else entry.rejected
    if event.fallback is None or not retry_s:
        # A training that publishes is noticed by its watch: it is not asked in intervals whether it has.
        retry_s, failure = None, replace(failure, retryable=False)
    attempt = replace(_anew(running(entry)), because=failure, fallback=event.fallback, retry_s=retry_s)
    if event.fallback is None and event.type == NOT_PUBLISHED:
        return replace(entry, attempt=attempt), ()
    return replace(entry, attempt=attempt, failure=failure, rejected=rejected, tally=entry.tally.failed(event.type)), ()


def withdrawn(entry: Entry, event: Withdrawn, now: float, policy: RetryPolicy) -> Step:
    """The attempt looks for what is current now. In a fallback from another source it is that one's failure that stands."""
    failure = replace(failure_of(entry, event, now, policy)[0], retryable=False, is_withdrawn=True)
    entry = tell(entry, event, now, Phase.QUEUED, f"{event.revision}: {event.type}: {event.message}")
    attempt = running(entry)
    entry = replace(entry, attempt=replace(_anew(attempt), withdrawn=failure), tally=entry.tally.failed(event.type))
    return entry if attempt.fallback is not None else replace(entry, failure=failure, rejected=failure), ()


def _anew(attempt: Attempt) -> Attempt:
    """The attempt before it asked for anything."""
    return replace(
        attempt,
        phase=Phase.QUEUED,
        reason=None,
        revision=None,
        bytes_done=None,
        bytes_total=None,
        progress=None,
        baseline_at=None,
        baseline_bytes=0,
        reported_bytes=None,
    )
