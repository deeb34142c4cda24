"""The few moves that all rules of the machine are made of: tell, begin, end, remember, retire, judge a failure. Pure.

Covers: changes of an entry that keep it consistent. Does not cover: when to make them (`commands`, `outcomes`, `detours`).
"""

from __future__ import annotations

from dataclasses import replace

from .errors import InvalidTransition
from .events import (
    Action,
    CancelRetry,
    Drain,
    Event,
    Failed,
    FetchBegan,
    Fetched,
    PollDue,
    Released,
    SourceFailed,
    StartAttempt,
    Unchanged,
    Withdrawn,
)
from .policy import AUTOMATIC, RetryPolicy, count_failures, is_limited, plan_retry
from .state import Again, Attempt, Cause, Entry, Failure, Phase, StoryLine, phase_of
from .transitions import TRANSITIONS

STORY_LENGTH = 100

Step = tuple[Entry, tuple[Action, ...]]


def phase_for(entry: Entry, event: Event) -> Phase:
    """The phase that decides whether the event may happen."""
    if isinstance(event, Released):
        return Phase.DRAINING if event.version in entry.draining else Phase.RELEASED
    return phase_of(entry)


def check(entry: Entry, event: Event, to: Phase) -> Phase:
    """The phase before the event. Raises InvalidTransition if the table does not let `to` follow."""
    phase = phase_for(entry, event)
    if to not in TRANSITIONS.get((phase, type(event)), ()):
        raise InvalidTransition(entry.name, phase, f"{event.kind} (to {to})", entry.story)
    return phase


def tell(entry: Entry, event: Event, now: float, to: Phase, cause: str) -> Entry:
    """Add the event to the story. Raises InvalidTransition if the table does not let `to` follow."""
    return append(entry, StoryLine(now, event.kind, check(entry, event, to), to, cause))


def append(entry: Entry, line: StoryLine) -> Entry:
    """Add a line to the story, which keeps the last of them."""
    return replace(entry, story=(*entry.story, line)[-STORY_LENGTH:], transitions=entry.transitions + 1)


def without_idle_poll(story: tuple[StoryLine, ...]) -> tuple[StoryLine, ...]:
    """The story without the poll at its end, if that found nothing new: one every minute would push out what happened."""
    if not story or story[-1].event != Unchanged.kind:
        return story
    begun = next((at for at in range(len(story) - 1, -1, -1) if story[at].to == Phase.QUEUED), None)
    if begun is None or story[begun].event != PollDue.kind or any(line.event not in _IDLE for line in story[begun:]):
        return story
    return story[:begun]


_IDLE = frozenset(event.kind for event in (PollDue, FetchBegan, Fetched, Unchanged))


def begin(entry: Entry, kind: str, now: float, cause: Cause, force: bool = False) -> Step:
    """A new attempt. What failed stays shown until the attempt has an outcome, but nothing waits for a retry any more."""
    actions: tuple[Action, ...] = (CancelRetry(),) if entry.retry_of is not None else ()
    attempt = Attempt(id=entry.attempts_begun + 1, phase=Phase.QUEUED, cause=cause, started_at=now, force=force)
    entry = append(entry, StoryLine(now, kind, phase_of(entry), Phase.QUEUED, cause))
    entry = replace(
        entry,
        attempt=attempt,
        attempts_begun=attempt.id,
        failure=replace(entry.failure, next_attempt_at=None) if entry.failure is not None else None,
        rejected=entry.rejected if cause in AUTOMATIC else None,
        retry_of=None,
        unloaded=False,
        again=None,
        tally=replace(entry.tally, retries=entry.tally.retries + (cause is Cause.RETRY)),
    )
    return entry, (*actions, StartAttempt(attempt.id))


def end(entry: Entry, now: float, actions: tuple[Action, ...] = ()) -> Step:
    """The attempt is over; a reload that came too late for it runs now."""
    again = entry.again
    entry = replace(entry, attempt=None, again=None)
    if again is None:
        return entry, actions
    entry, more = begin(entry, again.cause, now, again.cause, again.force)
    return entry, (*actions, *more)


def remember(entry: Entry, cause: Cause, force: bool) -> Entry:
    """Run once more after this attempt: never stacked, forced if one of the reloads was, an operator's before a watch's."""
    if entry.again is not None:
        cause = Cause.RELOAD if Cause.RELOAD in (cause, entry.again.cause) else cause
        force = force or entry.again.force
    return replace(entry, again=Again(cause, force))


def retire(entry: Entry, now: float, cause: str) -> Step:
    """The live version, if there is one, starts to drain (told before it happens: nobody gets a new lease on it)."""
    if entry.live is None:
        return entry, ()
    version = entry.live.version
    entry = append(entry, StoryLine(now, "drain", Phase.LIVE, Phase.DRAINING, f"{version}: {cause}"))
    return replace(entry, live=None, draining=(*entry.draining, version)), (Drain(version),)


def running(entry: Entry) -> Attempt:
    """The attempt. Raises LookupError where there is none."""
    if entry.attempt is None:
        raise LookupError(f"model {entry.name!r} has no running attempt")
    return entry.attempt


def failure_of(entry: Entry, event: Failed | SourceFailed | Withdrawn, now: float, policy: RetryPolicy) -> tuple[Failure, float | None]:
    """The failure that the event tells of, and in how many seconds its class has it tried again."""
    attempts, limited = count_failures(entry, event.type, event.revision)
    delay_s = plan_retry(event.type, limited if is_limited(event.type) else attempts, event.jitter, policy)
    known = entry.failure.revision if entry.failure is not None else None
    rejected = entry.rejected
    failure = Failure(
        type=event.type,
        message=event.message,
        retryable=delay_s is not None,
        attempts=attempts,
        at=now,
        revision=event.revision or known,
        limited=limited,
        is_withdrawn=rejected is not None and rejected.is_withdrawn and rejected.revision == event.revision,
    )
    return failure, delay_s
