"""Entries in each phase, and an event of each kind that fits them.

Covers: the rows and columns of the transition table. Does not cover: what must come out (the tests).
"""

from __future__ import annotations

from service.lifecycle.events import (
    Died,
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
from service.lifecycle.state import Attempt, Cause, Entry, Failure, Live, Phase
from service.lifecycle.transitions import ATTEMPT_PHASES

NOW = 1_000_000.0
LIVE = Live("v1", "r1", NOW)
FAILURE = Failure("corrupt_artifact", "broken", retryable=False, attempts=1, at=NOW, revision="r9")
ATTEMPT = 3


def entry_in(phase: Phase, *, has_live: bool = False) -> Entry:
    """An entry whose phase is `phase`; with `has_live`, a version serves while the attempt runs."""
    if phase in ATTEMPT_PHASES:
        began_at = NOW if phase is not Phase.QUEUED else None
        attempt = Attempt(ATTEMPT, phase, Cause.RELOAD if has_live else Cause.START, NOW, fetch_began_at=began_at)
        return Entry("als", live=LIVE if has_live else None, attempt=attempt, attempts_begun=ATTEMPT)
    resting = Entry("als", attempts_begun=ATTEMPT)
    changes: dict[Phase, Entry] = {
        Phase.NOT_STARTED: Entry("als"),
        Phase.LIVE: Entry("als", live=LIVE, attempts_begun=ATTEMPT),
        Phase.FAILED: Entry("als", failure=FAILURE, rejected=FAILURE, attempts_begun=ATTEMPT),
        Phase.RELEASED: Entry("als", unloaded=True, attempts_begun=ATTEMPT),
        Phase.DRAINING: Entry("als", live=LIVE, draining=("v0",), attempts_begun=ATTEMPT),
    }
    return changes.get(phase, resting)


def events_of(kind: type[Event], phase: Phase) -> list[Event]:
    """Events of that kind that reach the table in that phase (not ignored as belonging to an old attempt or timer)."""
    # Where no attempt runs, only an attempt that never was is not simply an old one.
    attempt = ATTEMPT if phase in ATTEMPT_PHASES else ATTEMPT + 1
    events: dict[type[Event], list[Event]] = {
        Started: [Started()],
        Requested: [Requested()],
        LoadCommanded: [LoadCommanded()],
        ReloadCommanded: [ReloadCommanded(), ReloadCommanded(force=True)],
        UnloadCommanded: [UnloadCommanded()],
        PollDue: [PollDue()],
        SourceTouched: [SourceTouched()],
        FallbackTouched: [FallbackTouched()],
        RetryDue: [RetryDue(ATTEMPT)],
        Released: [Released("v0", "no lease holds it")],
        Died: [Died("v1", "child_crashed", "killed", 0.5), Died("v0", "child_crashed", "killed", 0.5)],
        Restored: [Restored(attempt, "v2", "r2")],
        FetchBegan: [FetchBegan(attempt)],
        Progressed: [Progressed(attempt, 5, 10)],
        Fetched: [Fetched(attempt, "r2", 10)],
        Waiting: [Waiting(attempt, "memory")],
        PhaseBegan: [PhaseBegan(attempt, to) for to in ATTEMPT_PHASES],
        Trained: [Trained(attempt, 0.5, "fitting")],
        SourceFailed: [
            SourceFailed(attempt, "source_not_found", "gone", None, 0.5, "training:als"),
            SourceFailed(attempt, "corrupt_artifact", "bad", "r2", 0.5, "training:als"),
        ],
        Withdrawn: [Withdrawn(attempt, "canary_failed", "no answer", "training:v2", 0.5)],
        Unchanged: [Unchanged(attempt, "r1"), Unchanged(attempt, "r9")],
        Succeeded: [Succeeded(attempt, "v2", "r2")],
        Failed: [
            Failed(attempt, "source_unavailable", "refused", None, 0.5),
            Failed(attempt, "corrupt_artifact", "bad", "r2", 0.5),
            Failed(attempt, "segment_invalid", "bad", "r2", 0.5),
        ],
    }
    return events[kind]
