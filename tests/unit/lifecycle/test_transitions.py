"""Every pair of phase and event: legal ones lead where the table says, all others are refused."""

from __future__ import annotations

import pickle
from dataclasses import replace
from itertools import product

import pytest

from service.lifecycle.errors import InvalidTransition
from service.lifecycle.events import EVENTS, AttemptEvent, Event, Failed, PhaseBegan, Released, Restored, RetryDue, Succeeded, Unchanged
from service.lifecycle.machine import step
from service.lifecycle.policy import retry_table
from service.lifecycle.state import Attempt, Cause, Entry, Phase, phase_of
from service.lifecycle.transitions import ATTEMPT_PHASES, RESTING_PHASES, TRANSITIONS, diagram
from tests.support import ROOT
from tests.unit.lifecycle.entries import FAILURE, NOW, entry_in, events_of

PAIRS = sorted(product(Phase, EVENTS), key=lambda pair: (pair[0], pair[1].__name__))
LIFE = ROOT / "docs" / "life-of-a-model.md"


def prepared(phase: Phase, event: Event, has_live: bool) -> Entry:
    entry = entry_in(phase, has_live=has_live)
    if isinstance(event, RetryDue):
        entry = replace(entry, retry_of=event.failed_attempt)
    if isinstance(event, Unchanged) and event.revision == FAILURE.revision:
        entry = replace(entry, rejected=FAILURE)
    if isinstance(event, Restored) and entry.attempt is not None:
        entry = replace(entry, live=None)
    return entry


def expected_targets(phase: Phase, kind: type[Event], event: Event) -> frozenset[Phase]:
    targets = TRANSITIONS.get((phase, kind), frozenset())
    return targets & {event.phase} if isinstance(event, PhaseBegan) else targets


@pytest.mark.parametrize(("phase", "kind"), PAIRS, ids=lambda value: getattr(value, "__name__", str(value)))
@pytest.mark.parametrize("has_live", [False, True], ids=["alone", "serving"])
def test_every_pair(phase: Phase, kind: type[Event], has_live: bool) -> None:
    for event in events_of(kind, phase):
        entry = prepared(phase, event, has_live)
        if isinstance(event, Unchanged) and event.revision == "r1" and entry.live is None:
            continue  # a loader cannot say unchanged of what nobody has: tested apart
        if phase is Phase.DRAINING and kind is not Released:
            continue  # draining is a version's phase; the model around it is live, and has its own row
        if kind is Released and phase not in (Phase.DRAINING, Phase.RELEASED):
            continue  # whether a version drains does not depend on what else goes on
        targets = expected_targets(phase, kind, event)
        if not targets:
            with pytest.raises(InvalidTransition) as caught:
                step(entry, event, NOW)
            assert (caught.value.model, caught.value.phase) == ("als", phase)
            assert caught.value.event.startswith(event.kind)
            continue
        after, _ = step(entry, event, NOW)
        told = [line for line in after.story[len(entry.story) :] if line.event == event.kind]
        if told:
            assert told[0].from_ == phase and told[0].to in targets
        else:
            assert phase_of(after) == phase_of(entry) and phase in targets


def test_targets_of_the_table_are_all_reached() -> None:
    """No row is wishful: each promised phase comes out of some event in some entry."""
    reached: set[tuple[Phase, type[Event], Phase]] = set()
    for (phase, kind), has_live in product(TRANSITIONS, (False, True)):
        for event in events_of(kind, phase):
            for entry in _variants(prepared(phase, event, has_live)):
                try:
                    after, _ = step(entry, event, NOW)
                except InvalidTransition:
                    continue
                told = [line for line in after.story if line.event == event.kind]
                reached.add((phase, kind, Phase(told[0].to) if told else phase))
    promised = {(phase, kind, target) for (phase, kind), targets in TRANSITIONS.items() for target in targets}
    assert promised - reached == set()


def _variants(entry: Entry) -> list[Entry]:
    if phase_of(entry) not in (Phase.LIVE, Phase.FAILED):
        return [entry]
    failed = replace(entry, failure=FAILURE)
    stands_in = replace(entry, live=replace(entry.live, fallback="training:als")) if entry.live is not None else entry
    return [entry, failed, replace(failed, retry_of=entry.attempts_begun), stands_in]


def test_the_table_is_frozen() -> None:
    with pytest.raises(TypeError):
        TRANSITIONS[Phase.LIVE, Failed] = frozenset()  # type: ignore[index]


def test_every_phase_of_a_model_has_a_row_and_every_event_a_column() -> None:
    assert {phase for phase, _ in TRANSITIONS} == {*ATTEMPT_PHASES, *RESTING_PHASES, Phase.DRAINING}
    assert {kind for _, kind in TRANSITIONS} == set(EVENTS)


def test_kinds_are_distinct_and_not_empty() -> None:
    kinds = [kind.kind for kind in EVENTS]
    assert len(set(kinds)) == len(kinds) and all(kinds)


@pytest.mark.parametrize("kind", [kind for kind in EVENTS if issubclass(kind, AttemptEvent)], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("phase", [*ATTEMPT_PHASES, *RESTING_PHASES])
def test_an_older_attempt_is_ignored_in_every_phase(phase: Phase, kind: type[Event]) -> None:
    entry = replace(entry_in(phase), attempts_begun=9)
    if entry.attempt is not None:
        entry = replace(entry, attempt=replace(entry.attempt, id=9))
    for event in events_of(kind, phase):
        after, actions = step(entry, event, NOW)
        assert after is entry
        assert [type(action).__name__ for action in actions] == (["Discard"] if kind in (Restored, Succeeded) else [])


def test_an_attempt_that_never_was_is_a_defect() -> None:
    with pytest.raises(InvalidTransition):
        step(entry_in(Phase.LIVE), Succeeded(99, "v", "r"), NOW)


def test_a_second_restore_is_a_defect() -> None:
    entry = replace(entry_in(Phase.QUEUED, has_live=True))
    with pytest.raises(InvalidTransition, match="over a live version"):
        step(entry, Restored(entry.attempts_begun, "v2", "r2"), NOW)


def test_unchanged_from_what_nobody_has_is_a_defect() -> None:
    attempt = Attempt(1, Phase.DOWNLOADING, Cause.START, NOW)
    with pytest.raises(InvalidTransition, match="neither live nor rejected"):
        step(Entry("als", attempt=attempt, attempts_begun=1), Unchanged(1, "r1"), NOW)


def test_invalid_transition_tells_the_story_and_survives_pickling() -> None:
    entry, _ = step(Entry("als"), events_of(EVENTS[0], Phase.NOT_STARTED)[0], NOW)
    with pytest.raises(InvalidTransition) as caught:
        step(entry, Succeeded(1, "v", "r"), NOW)
    error = caught.value
    assert str(error) == "model 'als': event published is illegal in phase queued (before: start: not_started -> queued)"
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.story) == (str(error), error.story)


def test_the_diagram_in_the_docs_is_the_table() -> None:
    assert f"```mermaid\n{diagram()}\n```" in LIFE.read_text(encoding="utf-8")


def test_the_table_of_retries_in_the_docs_is_that_of_the_classes() -> None:
    assert f"\n{retry_table()}\n" in LIFE.read_text(encoding="utf-8")
