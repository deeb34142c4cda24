"""The rules of a model's life, one by one. Pure: no event loop, no clock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from service.lifecycle.events import (
    Action,
    CancelAttempt,
    CancelRetry,
    Discard,
    Drain,
    Event,
    Failed,
    FetchBegan,
    Fetched,
    LoadCommanded,
    PhaseBegan,
    PollDue,
    Progressed,
    Publish,
    Released,
    ReloadCommanded,
    Requested,
    Restored,
    RetryDue,
    ScheduleRetry,
    SourceTouched,
    StartAttempt,
    Started,
    Succeeded,
    Unchanged,
    UnloadCommanded,
    Waiting,
)
from service.lifecycle.machine import step
from service.lifecycle.moves import STORY_LENGTH
from service.lifecycle.policy import known_revision, status_of
from service.lifecycle.state import Entry, Phase, Status, phase_of
from tests.unit.lifecycle.entries import NOW


def play(entry: Entry, *events: Event, now: float = NOW) -> tuple[Entry, list[Action]]:
    actions: list[Action] = []
    for event in events:
        entry, more = step(entry, event, now)
        actions += more
    return entry, actions


def lines(entry: Entry) -> list[tuple[str, str, str]]:
    return [(line.event, line.from_, line.to) for line in entry.story]


def to_live(attempt: int, version: str, revision: str) -> Iterable[Event]:
    yield FetchBegan(attempt)
    yield Fetched(attempt, revision, 10)
    yield PhaseBegan(attempt, Phase.VERIFYING)
    yield Succeeded(attempt, version, revision)


def live_entry() -> Entry:
    entry, _ = play(Entry("als"), Started(), *to_live(1, "v1", "r1"))
    return entry


def crash(attempt: int, revision: str | None = "r1") -> Failed:
    return Failed(attempt, "child_crashed", "died", revision, 0.0)


def refuse(attempt: int) -> Failed:
    return Failed(attempt, "source_unavailable", "refused", None, 0.0)


def reject(attempt: int, revision: str | None) -> Failed:
    return Failed(attempt, "corrupt_artifact", "broken", revision, 0.0)


def test_the_whole_way() -> None:
    entry, actions = play(
        Entry("als"),
        Started(),
        FetchBegan(1),
        Fetched(1, "r1", 10),
        Waiting(1, "memory"),
        PhaseBegan(1, Phase.VERIFYING),
        PhaseBegan(1, Phase.LOADING, "child"),
        PhaseBegan(1, Phase.WARMING),
        Succeeded(1, "v1", "r1"),
    )
    assert lines(entry) == [
        ("start", "not_started", "queued"),
        ("fetch_began", "queued", "downloading"),
        ("waiting", "downloading", "queued"),
        ("phase", "queued", "verifying"),
        ("phase", "verifying", "loading"),
        ("phase", "loading", "warming"),
        ("published", "warming", "live"),
    ]
    assert actions == [StartAttempt(1), Publish("v1")]
    assert status_of(entry) is Status.READY and entry.live is not None and entry.live.revision == "r1"


def test_a_reload_replaces_and_drains() -> None:
    entry, actions = play(live_entry(), ReloadCommanded(), *to_live(2, "v2", "r2"))
    assert actions == [StartAttempt(2), Publish("v2"), Drain("v1")]
    assert entry.draining == ("v1",) and entry.live is not None and entry.live.version == "v2"
    entry, _ = play(entry, Released("v1", "no lease holds it"))
    assert entry.draining == () and lines(entry)[-2:] == [("drain", "live", "draining"), ("released", "draining", "released")]


def test_the_same_version_may_drain_twice() -> None:
    entry, _ = play(live_entry(), ReloadCommanded(True), *to_live(2, "v1", "r1"), ReloadCommanded(True), *to_live(3, "v1", "r1"))
    assert entry.draining == ("v1", "v1")
    entry, _ = play(entry, Released("v1", ""))
    assert entry.draining == ("v1",)


def test_a_failed_reload_leaves_what_serves() -> None:
    before = live_entry()
    entry, actions = play(before, ReloadCommanded(), FetchBegan(2), refuse(2))
    assert entry.live == before.live and status_of(entry) is Status.READY
    assert entry.failure is not None and entry.failure.retryable
    assert actions == [StartAttempt(2), ScheduleRetry(2, 1.0)]
    assert lines(entry)[-1] == ("failed", "downloading", "failed")


def test_unchanged_clears_the_failure_and_makes_no_version() -> None:
    entry, _ = play(live_entry(), ReloadCommanded(), FetchBegan(2), refuse(2))
    entry, actions = play(entry, RetryDue(2), FetchBegan(3), Unchanged(3, "r1"))
    assert entry.failure is None and entry.retry_of is None and actions == [StartAttempt(3)]
    assert lines(entry)[-1] == ("unchanged", "downloading", "live")


def test_load_joins_and_does_nothing_where_all_is_well() -> None:
    loading, _ = play(Entry("als"), Started())
    for entry in (loading, live_entry()):
        assert step(entry, LoadCommanded(), NOW) == (entry, ())


def test_load_of_a_stale_model_tries_again() -> None:
    entry, _ = play(live_entry(), ReloadCommanded(), reject(2, "r2"))
    _, actions = play(entry, LoadCommanded())
    assert actions == [StartAttempt(3)]


def test_reload_joins_an_attempt_that_has_not_asked_yet() -> None:
    entry, _ = play(Entry("als"), Started())
    assert step(entry, ReloadCommanded(), NOW) == (entry, ())


@pytest.mark.parametrize("ending", [Succeeded(1, "v1", "r1"), refuse(1), reject(1, "r1")], ids=["published", "retryable", "permanent"])
def test_reload_after_the_source_was_asked_runs_once_afterwards(ending: Event) -> None:
    entry, actions = play(Entry("als"), Started(), FetchBegan(1), PhaseBegan(1, Phase.LOADING))
    entry, actions = play(entry, ReloadCommanded(), ReloadCommanded(True), ReloadCommanded(), ending)
    assert entry.attempt is not None and (entry.attempt.id, entry.attempt.cause, entry.attempt.force) == (2, "reload", True)
    assert [action for action in actions if isinstance(action, (StartAttempt, ScheduleRetry))] == [StartAttempt(2)]
    assert entry.again is None and entry.retry_of is None


def test_a_forced_reload_does_not_join_one_that_is_not() -> None:
    entry, _ = play(live_entry(), ReloadCommanded(), ReloadCommanded(True))
    assert entry.again is not None and entry.again.force
    entry, _ = play(live_entry(), ReloadCommanded(True), ReloadCommanded(True))
    assert entry.again is None


def test_force_wants_whatever_the_source_has() -> None:
    entry, _ = play(live_entry(), ReloadCommanded())
    assert known_revision(entry) == "r1"
    entry, _ = play(live_entry(), ReloadCommanded(True))
    assert known_revision(entry) is None


def test_a_touch_during_an_attempt_is_not_lost() -> None:
    entry, _ = play(Entry("als"), Started(), SourceTouched())
    assert entry.again is None
    entry, _ = play(
        entry, FetchBegan(1), SourceTouched(), SourceTouched(), PollDue(), PhaseBegan(1, Phase.LOADING), Succeeded(1, "v1", "r1")
    )
    assert entry.attempt is not None and entry.attempt.cause == "watch"


def test_an_operators_reload_is_remembered_before_a_touch() -> None:
    entry, _ = play(Entry("als"), Started(), FetchBegan(1), ReloadCommanded(True), SourceTouched())
    assert entry.again is not None and (entry.again.cause, entry.again.force) == ("reload", True)


def test_unload_ends_everything() -> None:
    entry, _ = play(live_entry(), ReloadCommanded(), FetchBegan(2), ReloadCommanded(True))
    entry, actions = play(entry, UnloadCommanded())
    assert actions == [CancelAttempt(2), Drain("v1")]
    assert status_of(entry) is Status.UNLOADED and phase_of(entry) is Phase.RELEASED and entry.again is None
    for event in (PollDue(), SourceTouched(), Requested(), UnloadCommanded()):
        assert step(entry, event, NOW) == (entry, ())
    late, actions = play(entry, Succeeded(2, "v2", "r2"))
    assert late is entry and actions == [Discard("v2")]


def test_unload_while_a_retry_waits() -> None:
    entry, _ = play(Entry("als"), Started(), FetchBegan(1), refuse(1))
    entry, actions = play(entry, UnloadCommanded())
    assert actions == [CancelRetry()] and entry.failure is None
    assert step(entry, RetryDue(1), NOW) == (entry, ())


@pytest.mark.parametrize("command", [LoadCommanded(), ReloadCommanded()])
def test_after_unload_a_command_brings_it_back(command: Event) -> None:
    entry, actions = play(live_entry(), UnloadCommanded(), command)
    assert status_of(entry) is Status.LOADING and not entry.unloaded and StartAttempt(2) in actions


def test_on_demand_waits_for_a_request() -> None:
    entry = Entry("als", on_demand=True)
    assert status_of(entry) is Status.NOT_STARTED
    for event in (PollDue(), SourceTouched()):
        assert step(entry, event, NOW) == (entry, ())
    entry, actions = play(entry, Requested(), Requested())
    assert actions == [StartAttempt(1)] and entry.attempt is not None and entry.attempt.cause == "request"


def test_restored_serves_while_the_source_is_asked() -> None:
    entry, actions = play(Entry("als"), Started(), Restored(1, "v1", "r1"))
    assert status_of(entry) is Status.READY and phase_of(entry) is Phase.QUEUED and known_revision(entry) == "r1"
    assert actions == [StartAttempt(1), Publish("v1")]
    stale, _ = play(entry, FetchBegan(1), refuse(1))
    assert status_of(stale) is Status.READY and stale.failure is not None
    same, _ = play(entry, FetchBegan(1), Unchanged(1, "r1"))
    assert status_of(same) is Status.READY and same.failure is None


def test_backoff_grows_and_an_operator_starts_it_anew() -> None:
    entry, _ = play(Entry("als"), Started(), refuse(1))
    delays = []
    for failed in range(1, 5):
        assert entry.failure is not None and entry.failure.next_attempt_at is not None
        delays.append(entry.failure.next_attempt_at - NOW)
        entry, _ = play(entry, RetryDue(failed), refuse(failed + 1))
    assert delays == [1.0, 2.0, 4.0, 8.0]
    assert entry.failure is not None and entry.failure.attempts == 5
    entry, actions = play(entry, LoadCommanded())
    assert actions == [CancelRetry(), StartAttempt(6)] and entry.failure is not None and entry.failure.next_attempt_at is None
    entry, _ = play(entry, refuse(6))
    assert entry.failure is not None and entry.failure.attempts == 1


def test_a_crash_is_tried_three_times_for_one_revision() -> None:
    entry, _ = play(Entry("als"), Started(), crash(1), RetryDue(1), crash(2), RetryDue(2), crash(3))
    assert entry.failure is not None and (entry.failure.retryable, entry.failure.attempts) == (False, 3)
    assert entry.retry_of is None and entry.rejected == entry.failure


def test_a_source_that_is_down_in_between_gives_no_more_tries() -> None:
    entry, _ = play(
        Entry("als"), Started(), crash(1), RetryDue(1), refuse(2), RetryDue(2), crash(3), RetryDue(3), refuse(4), RetryDue(4), crash(5)
    )
    assert entry.failure is not None and not entry.failure.retryable


def test_many_refusals_do_not_use_up_the_tries_of_a_crash() -> None:
    entry, _ = play(Entry("als"), Started(), refuse(1), RetryDue(1), refuse(2), RetryDue(2), refuse(3), RetryDue(3), crash(4))
    assert entry.failure is not None and entry.failure.retryable


def test_another_revision_has_tries_of_its_own() -> None:
    entry, _ = play(Entry("als"), Started(), crash(1), RetryDue(1), crash(2), RetryDue(2), crash(3, "r2"))
    assert entry.failure is not None and (entry.failure.retryable, entry.failure.attempts) == (True, 1)


def test_an_invalid_segment_is_tried_once_more_at_once() -> None:
    invalid = Failed(1, "segment_invalid", "forged", "r1", 0.9)
    entry, actions = play(Entry("als"), Started(), invalid)
    assert actions == [StartAttempt(1), StartAttempt(2)] and entry.attempt is not None and entry.attempt.cause == "retry"
    entry, actions = play(entry, replace(invalid, attempt=2))
    assert actions == [] and entry.failure is not None and not entry.failure.retryable


def test_slow_classes_come_back_at_their_own_pace() -> None:
    _, actions = play(Entry("als"), Started(), Failed(1, "access_denied", "403", None, 0.0))
    assert actions[-1] == ScheduleRetry(1, 300.0)


def test_a_permanent_failure_is_not_tried_again_by_a_poll_of_the_same_revision() -> None:
    entry, _ = play(live_entry(), PollDue(), FetchBegan(2), Fetched(2, "r2", 1), reject(2, "r2"))
    rejected = entry.failure
    entry, _ = play(entry, PollDue())
    assert known_revision(entry) == "r2"
    entry, actions = play(entry, FetchBegan(3), Unchanged(3, "r2"))
    assert actions == [] and entry.failure == rejected and status_of(entry) is Status.READY


def test_a_poll_that_fails_does_not_forget_what_was_rejected() -> None:
    entry, _ = play(Entry("als"), Started(), reject(1, "r1"), PollDue(), FetchBegan(2), refuse(2))
    assert entry.failure is not None and entry.failure.type == "source_unavailable"
    entry, _ = play(entry, RetryDue(2))
    assert known_revision(entry) == "r1"
    entry, _ = play(entry, FetchBegan(3), Unchanged(3, "r1"))
    assert entry.failure is not None and (entry.failure.type, entry.failure.retryable) == ("corrupt_artifact", False)


def test_an_operator_tries_a_rejected_revision_again() -> None:
    entry, _ = play(Entry("als"), Started(), reject(1, "r1"), ReloadCommanded())
    assert known_revision(entry) is None
    entry, _ = play(live_entry(), PollDue(), FetchBegan(2), reject(2, "r2"), ReloadCommanded())
    assert known_revision(entry) == "r1"


def test_an_operators_wish_outlives_a_source_that_is_down() -> None:
    entry, _ = play(Entry("als"), Started(), reject(1, "r1"), LoadCommanded(), FetchBegan(2), refuse(2), RetryDue(2))
    assert entry.attempt is not None and entry.attempt.cause == "retry" and known_revision(entry) is None


def test_the_source_coming_back_to_what_serves_clears_a_rejection() -> None:
    entry, _ = play(live_entry(), PollDue(), FetchBegan(2), reject(2, "r2"), PollDue(), FetchBegan(3), Unchanged(3, "r1"))
    assert entry.failure is None and entry.rejected is None


def test_a_poll_does_not_undercut_the_backoff() -> None:
    entry, _ = play(live_entry(), PollDue(), FetchBegan(2), refuse(2))
    assert step(entry, PollDue(), NOW) == (entry, ())
    _, actions = play(entry, SourceTouched())
    assert actions == [CancelRetry(), StartAttempt(3)]


def test_progress_never_falls_and_tells_no_story() -> None:
    entry, _ = play(Entry("als"), Started(), FetchBegan(1))
    before = entry.story
    entry, _ = play(entry, Progressed(1, 50, 100), Progressed(1, 10, 400))
    assert entry.attempt is not None
    assert (entry.attempt.bytes_done, entry.attempt.bytes_total, entry.attempt.progress) == (50, 400, 0.5)
    entry, _ = play(entry, Progressed(1, 300, None), Progressed(1, 500, 400))
    assert entry.attempt is not None
    assert (entry.attempt.bytes_done, entry.attempt.bytes_total, entry.attempt.progress) == (500, 500, 1.0)
    assert entry.story is before
    entry, _ = play(entry, Fetched(1, "r1", 450), PhaseBegan(1, Phase.LOADING))
    assert entry.attempt is not None and (entry.attempt.bytes_done, entry.attempt.bytes_total) == (500, 500)


def test_an_unknown_total_shows_no_share() -> None:
    entry, _ = play(Entry("als"), Started(), FetchBegan(1), Progressed(1, 50, None))
    assert entry.attempt is not None and (entry.attempt.bytes_done, entry.attempt.bytes_total, entry.attempt.progress) == (50, None, None)


def test_a_new_reason_to_wait_is_no_transition() -> None:
    entry, _ = play(Entry("als"), Started(), FetchBegan(1), Waiting(1, "slot"))
    told = entry.transitions
    entry, _ = play(entry, Waiting(1, "memory"))
    assert entry.transitions == told and entry.attempt is not None and entry.attempt.reason == "memory"


def test_the_story_keeps_the_last_lines_and_counts_all() -> None:
    entry = live_entry()
    first = entry.transitions
    for attempt in range(2, 202):
        entry, _ = play(entry, ReloadCommanded(), FetchBegan(attempt), Unchanged(attempt, "r1"))
    assert len(entry.story) == STORY_LENGTH == 100
    assert entry.transitions == first + 600 and lines(entry)[-1] == ("unchanged", "downloading", "live")


def test_an_unknown_failure_type_is_refused() -> None:
    with pytest.raises(KeyError):
        play(Entry("als"), Started(), Failed(1, "nonsense", "", None, 0.0))


def test_repr_tells_the_state_in_one_line() -> None:
    entry, _ = play(live_entry(), ReloadCommanded(), FetchBegan(2), ReloadCommanded())
    assert repr(entry) == "<Entry als live=v1 attempt=2:downloading failure=None draining=0 again>"
