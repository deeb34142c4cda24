"""The only writer of an entry: `step(entry, event, now) -> (entry, actions)`, pure.

Covers: which events count, which are illegal, and where the rule of each is. Does not cover: the rules (`commands` for
what comes from outside, `outcomes` and `detours` for what an attempt reports), doing what the actions say (`supervisor`). No clock, no
await, no randomness: time and jitter come in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from . import commands, detours, outcomes
from .errors import InvalidTransition
from .events import (
    AttemptEvent,
    Died,
    Discard,
    Event,
    Failed,
    FallbackTouched,
    FetchBegan,
    Fetched,
    LoadCommanded,
    PhaseBegan,
    PollDue,
    Progressed,
    Released,
    ReloadCommanded,
    Requested,
    Restored,
    RetryDue,
    SourceFailed,
    SourceTouched,
    Started,
    Succeeded,
    Trained,
    Unchanged,
    UnloadCommanded,
    Waiting,
    Withdrawn,
)
from .moves import Step, phase_for
from .policy import DEFAULT_RETRY, RetryPolicy
from .state import Entry, phase_of
from .transitions import TRANSITIONS

_WITH_POLICY: Mapping[type[Event], Callable[[Entry, Any, float, RetryPolicy], Step]] = MappingProxyType(
    {
        SourceFailed: detours.source_failed,
        Withdrawn: detours.withdrawn,
        Failed: outcomes.failed,
        Unchanged: outcomes.unchanged,
        Died: outcomes.died,
    }
)
_RULES: Mapping[type[Event], Callable[[Entry, Any, float], Step]] = MappingProxyType(
    {
        Started: commands.start,
        Requested: commands.requested,
        LoadCommanded: commands.load,
        ReloadCommanded: commands.reload,
        UnloadCommanded: commands.unload,
        PollDue: commands.poll,
        SourceTouched: commands.touched,
        FallbackTouched: commands.fallback_touched,
        RetryDue: commands.retry,
        Released: commands.released,
        Restored: outcomes.restored,
        FetchBegan: outcomes.fetch_began,
        Progressed: outcomes.progressed,
        Fetched: outcomes.fetched,
        Waiting: outcomes.waiting,
        PhaseBegan: outcomes.phase_began,
        Trained: detours.trained,
        Succeeded: outcomes.succeeded,
    }
)


def step(entry: Entry, event: Event, now: float, policy: RetryPolicy = DEFAULT_RETRY) -> Step:
    """The entry after the event, and what must be done about it. `now` is in Unix seconds.

    An event of an attempt that is over changes nothing (a version it brings is discarded), nor does the timer of a retry
    that is no longer wanted. Raises InvalidTransition for an event that cannot happen in the entry's phase.
    """
    if isinstance(event, AttemptEvent) and (entry.attempt is None or event.attempt != entry.attempt.id):
        if event.attempt > entry.attempts_begun:
            raise InvalidTransition(entry.name, phase_of(entry), event.kind, entry.story)
        return entry, (Discard(event.version),) if isinstance(event, (Restored, Succeeded)) else ()
    if isinstance(event, RetryDue) and event.failed_attempt != entry.retry_of:
        return entry, ()
    phase = phase_for(entry, event)
    if (phase, type(event)) not in TRANSITIONS:
        raise InvalidTransition(entry.name, phase, event.kind, entry.story)
    if (rule := _WITH_POLICY.get(type(event))) is not None:
        return rule(entry, event, now, policy)
    return _RULES[type(event)](entry, event, now)
