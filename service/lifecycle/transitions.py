"""The one table of what may happen when: (phase, event) -> the phases it may lead to.

Covers: legality and the diagram drawn from it (docs/life-of-a-model.md). Does not cover: which of the possible phases it
is, and what else changes (`machine`). A pair that is not in the table is a defect. The phase of an event about an old
version (Released) is draining; of all others it is `state.phase_of(entry)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from .events import (
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
from .state import Phase

ATTEMPT_PHASES = (Phase.QUEUED, Phase.DOWNLOADING, Phase.VERIFYING, Phase.TRAINING, Phase.LOADING, Phase.WARMING)
RESTING_PHASES = (Phase.NOT_STARTED, Phase.LIVE, Phase.FAILED, Phase.RELEASED)

_Rows = Iterable[tuple[Phase, type[Event], tuple[Phase, ...]]]


def _at_rest() -> _Rows:
    queued = (Phase.QUEUED,)
    yield Phase.NOT_STARTED, Started, queued
    for phase in RESTING_PHASES:
        stays = (phase,)
        yield phase, Requested, queued if phase is Phase.NOT_STARTED else stays
        yield phase, LoadCommanded, (Phase.LIVE, Phase.QUEUED) if phase is Phase.LIVE else queued
        yield phase, ReloadCommanded, queued
        yield phase, UnloadCommanded, (Phase.RELEASED,)
        # A live model with a retry pending does not poll: the retry asks the source anyway, and at the pace of the backoff.
        is_checked = phase in (Phase.LIVE, Phase.FAILED)
        yield phase, PollDue, (phase, Phase.QUEUED) if is_checked else stays
        yield phase, SourceTouched, queued if is_checked else stays
        # What serves from the model's own source is not disturbed by what it might fall back to.
        yield phase, FallbackTouched, (phase, Phase.QUEUED) if phase is Phase.LIVE else queued if phase is Phase.FAILED else stays
        if is_checked:
            yield phase, RetryDue, queued
        yield phase, Died, (Phase.LIVE, Phase.FAILED) if phase is Phase.LIVE else stays


def _during_an_attempt() -> _Rows:
    for phase in ATTEMPT_PHASES:
        for joins in (Requested, LoadCommanded, ReloadCommanded, PollDue, SourceTouched, FallbackTouched):
            yield phase, joins, (phase,)
        yield phase, UnloadCommanded, (Phase.RELEASED,)
        yield phase, Failed, (Phase.FAILED,)
        yield phase, Died, (phase,)
    yield Phase.QUEUED, Restored, (Phase.LIVE,)
    yield Phase.QUEUED, FetchBegan, (Phase.DOWNLOADING,)
    yield Phase.QUEUED, Waiting, (Phase.QUEUED,)
    yield Phase.QUEUED, PhaseBegan, (Phase.VERIFYING, Phase.TRAINING, Phase.LOADING)
    for phase in (Phase.DOWNLOADING, Phase.VERIFYING, Phase.LOADING, Phase.WARMING):
        yield phase, SourceFailed, (Phase.QUEUED,)
        yield phase, Withdrawn, (Phase.QUEUED,)
    yield Phase.DOWNLOADING, Progressed, (Phase.DOWNLOADING,)
    yield Phase.DOWNLOADING, Fetched, (Phase.DOWNLOADING,)
    yield Phase.DOWNLOADING, Unchanged, (Phase.LIVE, Phase.FAILED)
    yield Phase.DOWNLOADING, Waiting, (Phase.QUEUED,)
    yield Phase.DOWNLOADING, PhaseBegan, (Phase.VERIFYING, Phase.TRAINING, Phase.LOADING)
    yield Phase.VERIFYING, PhaseBegan, (Phase.VERIFYING, Phase.LOADING, Phase.WARMING)
    yield Phase.TRAINING, Trained, (Phase.TRAINING,)
    yield Phase.TRAINING, FetchBegan, (Phase.DOWNLOADING,)
    yield Phase.TRAINING, PhaseBegan, (Phase.TRAINING,)
    yield Phase.LOADING, PhaseBegan, (Phase.LOADING, Phase.WARMING)
    yield Phase.WARMING, PhaseBegan, (Phase.WARMING,)
    for phase in (Phase.VERIFYING, Phase.LOADING, Phase.WARMING):
        yield phase, Succeeded, (Phase.LIVE,)


def _of_an_old_version() -> _Rows:
    yield Phase.DRAINING, Released, (Phase.RELEASED,)


def _freeze() -> Mapping[tuple[Phase, type[Event]], frozenset[Phase]]:
    rows = (*_at_rest(), *_during_an_attempt(), *_of_an_old_version())
    table = {(phase, event): frozenset(targets) for phase, event, targets in rows}
    if len(table) != len(rows):
        raise ValueError("a pair of the transition table is given twice")
    return MappingProxyType(table)


TRANSITIONS: Mapping[tuple[Phase, type[Event]], frozenset[Phase]] = _freeze()


def diagram() -> str:
    """The table as a mermaid state diagram: one arrow a pair of phases, what changes no phase left out.

    Failed and UnloadCommanded, legal from every phase of an attempt, are drawn once, from a box around them.
    """
    labels: dict[tuple[str, str], list[str]] = {}
    for (phase, event), targets in TRANSITIONS.items():
        from_ = "attempt" if phase in ATTEMPT_PHASES and event in (Failed, UnloadCommanded) else phase.value
        for target in sorted(targets):
            if target is phase or event.kind in labels.setdefault((from_, target.value), []):
                continue
            labels[from_, target.value].append(event.kind)
    labels["live", "draining"] = ["replaced or unloaded"]
    inside = {phase.value for phase in ATTEMPT_PHASES}
    arrows = {pair: f"{pair[0]} --> {pair[1]}: {', '.join(kinds)}" for pair, kinds in labels.items() if kinds}
    lines = ["stateDiagram-v2", "    [*] --> not_started", "    state attempt {"]
    lines += [f"        {arrow}" for pair, arrow in arrows.items() if set(pair) <= inside]
    lines += ["    }"]
    lines += [f"    {arrow}" for pair, arrow in arrows.items() if not set(pair) <= inside]
    return "\n".join(lines)
