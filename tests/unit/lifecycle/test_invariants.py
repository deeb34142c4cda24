"""Whatever happens in whatever order, some things hold. A state machine test that plays supervisor, operator and world at once."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from loaders.errors import FAILURES
from service.lifecycle.errors import InvalidTransition
from service.lifecycle.events import (
    Action,
    AttemptEvent,
    CancelAttempt,
    CancelRetry,
    Died,
    Discard,
    Drain,
    Event,
    Failed,
    FallbackTouched,
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
    SourceFailed,
    SourceTouched,
    StartAttempt,
    Started,
    Succeeded,
    Trained,
    Unchanged,
    UnloadCommanded,
    Waiting,
    Withdrawn,
)
from service.lifecycle.machine import step
from service.lifecycle.moves import STORY_LENGTH
from service.lifecycle.policy import retry_after_s, status_of
from service.lifecycle.state import Entry, Phase, Status
from service.lifecycle.transitions import ATTEMPT_PHASES

revisions = st.sampled_from(["r1", "r2", "r3"])
fallbacks = st.sampled_from([None, "training:als"])
operators = [LoadCommanded(), ReloadCommanded(), ReloadCommanded(True), UnloadCommanded()]
outside = st.sampled_from([Started(), Requested(), *operators, PollDue(), SourceTouched(), FallbackTouched()])
sizes = st.integers(0, 1000)
jitters = st.floats(0, 1, exclude_max=True)
failures = st.sampled_from(sorted(FAILURES))


def reports(attempt: int) -> st.SearchStrategy[AttemptEvent]:
    """Anything an attempt of that id may say."""
    return st.one_of(
        st.just(FetchBegan(attempt)),
        st.builds(Progressed, st.just(attempt), sizes, st.none() | sizes),
        st.builds(Fetched, st.just(attempt), revisions, sizes),
        st.just(Waiting(attempt, "memory")),
        st.builds(PhaseBegan, st.just(attempt), st.sampled_from(ATTEMPT_PHASES)),
        st.builds(Unchanged, st.just(attempt), revisions),
        st.builds(Trained, st.just(attempt), st.none() | st.floats(0, 1), st.just("fitting")),
        st.builds(SourceFailed, st.just(attempt), failures, st.just("m"), st.none() | revisions, jitters, fallbacks),
        st.builds(Withdrawn, st.just(attempt), st.sampled_from(["canary_failed", "corrupt_artifact"]), st.just("m"), revisions, jitters),
        st.builds(Restored, st.just(attempt), st.sampled_from(["v1", "v2"]), revisions, fallbacks),
        st.builds(Succeeded, st.just(attempt), st.sampled_from(["v1", "v2", "v3"]), revisions, fallbacks),
        st.builds(
            Failed,
            st.just(attempt),
            failures,
            st.just("m"),
            st.none() | revisions,
            st.floats(0, 1, exclude_max=True),
        ),
    )


class Life(RuleBasedStateMachine):
    """Keeps its own, simple account of what the actions did, and compares."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = Entry("als")
        self.now = 1000.0
        self.running: set[int] = set()
        self.serving: str | None = None
        self.draining: list[str] = []
        self.timer: int | None = None

    def feed(self, event: Event) -> None:
        before = self.entry
        try:
            self.entry, actions = step(before, event, self.now)
        except InvalidTransition:
            assert self.entry is before
            return
        self.check_step(before, event, actions)
        for action in actions:
            self.perform(action)
        if self.entry.attempt is None:
            self.running.clear()  # its task ends by itself after its last word

    def perform(self, action: Action) -> None:
        if isinstance(action, StartAttempt):
            assert action.attempt not in self.running
            self.running = {action.attempt}
        elif isinstance(action, CancelAttempt):
            self.running.remove(action.attempt)
        elif isinstance(action, Drain):
            self.draining.append(action.version)
        elif isinstance(action, ScheduleRetry):
            assert self.timer is None and action.delay_s > 0
            self.timer = action.failed_attempt
        elif isinstance(action, CancelRetry):
            assert self.timer is not None
            self.timer = None
        else:
            assert isinstance(action, (Publish, Discard))

    def check_step(self, before: Entry, event: Event, actions: tuple[Action, ...]) -> None:
        published = [action.version for action in actions if isinstance(action, Publish)]
        drained = [action.version for action in actions if isinstance(action, Drain)]
        if before.live is not None and self.entry.live != before.live:
            assert isinstance(event, (Succeeded, UnloadCommanded, Died)), "only a publish, an unload or its death takes a live version away"
            assert drained == [before.live.version]
        self.serving = published[0] if published else None if drained else self.serving
        begins_anew = isinstance(event, (SourceFailed, Withdrawn))  # what was downloaded is of no use
        is_same = before.attempt is not None and self.entry.attempt is not None and before.attempt.id == self.entry.attempt.id
        if is_same and not begins_anew:
            assert before.attempt is not None and self.entry.attempt is not None
            assert (self.entry.attempt.bytes_done or 0) >= (before.attempt.bytes_done or 0)
            assert (self.entry.attempt.bytes_total or 0) >= (before.attempt.bytes_total or 0)
            assert (self.entry.attempt.progress or 0.0) >= (before.attempt.progress or 0.0)
        if isinstance(event, Progressed):
            assert self.entry.story is before.story
        assert self.entry.transitions >= before.transitions
        assert self.entry.attempts_begun >= before.attempts_begun
        was, is_ = before.tally, self.entry.tally
        assert is_.received_bytes >= was.received_bytes and is_.retries >= was.retries
        assert is_.loads - was.loads == isinstance(event, Succeeded) * len(published)
        assert sum(is_.failures.values()) - sum(was.failures.values()) == (
            isinstance(event, (Failed, Died, SourceFailed, Withdrawn)) and self.entry is not before
        )

    @rule(event=outside)
    def something_from_outside(self, event: Event) -> None:
        self.feed(event)

    @rule(data=st.data())
    def the_attempt_reports(self, data: st.DataObject) -> None:
        if self.entry.attempt is not None:
            self.feed(data.draw(reports(self.entry.attempt.id)))

    @rule(data=st.data(), age=st.integers(1, 3))
    def an_old_attempt_reports(self, data: st.DataObject, age: int) -> None:
        old = self.entry.attempts_begun - age
        if old > 0:
            before = self.entry
            self.feed(data.draw(reports(old)))
            assert self.entry is before

    @rule(revision=revisions, version=st.sampled_from(["v1", "v2", "v3"]))
    def all_goes_well(self, revision: str, version: str) -> None:
        if self.entry.attempt is not None:
            attempt = self.entry.attempt.id
            for event in (
                FetchBegan(attempt),
                Fetched(attempt, revision, 5),
                PhaseBegan(attempt, Phase.LOADING),
                Succeeded(attempt, version, revision),
            ):
                self.feed(event)

    @rule(revision=revisions, version=st.sampled_from(["v1", "v2"]), type=failures, jitter=jitters)
    def the_source_gives_way(self, revision: str, version: str, type: str, jitter: float) -> None:
        running, published = self.entry.attempt, self.entry.tally.loads
        if running is None:
            return
        attempt = running.id
        for event in (
            FetchBegan(attempt),
            SourceFailed(attempt, type, "m", None, jitter, "training:als"),
            PhaseBegan(attempt, Phase.TRAINING),
            FetchBegan(attempt),
            Fetched(attempt, revision, 5),
            PhaseBegan(attempt, Phase.LOADING),
            Succeeded(attempt, version, revision, "training:als"),
        ):
            self.feed(event)
        if self.entry.tally.loads > published and self.entry.attempt is None:
            assert self.entry.live is not None and self.entry.failure is not None, "a fallback serves, and says why"
            assert self.entry.failure.retryable == (self.timer is not None), "a source that may come back is asked again"

    @rule()
    def the_timer_rings(self) -> None:
        if self.timer is not None:
            rung, self.timer = self.timer, None
            begun = self.entry.attempts_begun
            self.feed(RetryDue(rung))
            assert self.entry.attempts_begun == begun + 1

    @rule()
    def an_old_timer_rings(self) -> None:
        before = self.entry
        self.feed(RetryDue(-1))
        assert self.entry is before

    @rule()
    def a_version_is_released(self) -> None:
        if self.draining:
            self.feed(Released(self.draining.pop(0), "no lease holds it"))

    @rule(version=st.sampled_from(["v1", "v2", "v3"]), type=st.sampled_from(["child_crashed", "memory_cap_exceeded"]), jitter=jitters)
    def a_version_dies(self, version: str, type: str, jitter: float) -> None:
        before = self.entry
        self.feed(Died(version, type, "m", jitter))
        if before.live is None or before.live.version != version:
            assert self.entry is before
        else:
            assert self.entry.live is None and self.entry.failure is not None and self.entry.failure.retryable

    @rule(seconds=st.floats(0, 100))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def at_most_one_attempt_runs_and_it_is_the_entrys(self) -> None:
        assert self.running == ({self.entry.attempt.id} if self.entry.attempt is not None else set())

    @invariant()
    def what_serves_is_what_was_published(self) -> None:
        assert self.serving == (self.entry.live.version if self.entry.live is not None else None)
        assert sorted(self.entry.draining) == sorted(self.draining)

    @invariant()
    def a_retry_waits_only_while_nothing_runs(self) -> None:
        assert self.timer == self.entry.retry_of
        if self.timer is not None:
            assert self.entry.attempt is None and self.entry.failure is not None and self.entry.failure.retryable

    @invariant()
    def the_story_is_bounded_and_in_order(self) -> None:
        assert len(self.entry.story) == min(STORY_LENGTH, self.entry.transitions)
        assert [line.at for line in self.entry.story] == sorted(line.at for line in self.entry.story)

    @invariant()
    def an_error_that_is_retryable_says_when(self) -> None:
        if status_of(self.entry) is Status.ERROR:
            assert self.entry.failure is not None
            assert (
                self.entry.failure.retryable
                == (self.entry.failure.next_attempt_at is not None)
                == (retry_after_s(self.entry, self.now) is not None)
            )

    @invariant()
    def who_died_is_brought_back(self) -> None:
        if status_of(self.entry) is Status.ERROR and self.entry.owed:
            assert self.entry.retry_of is not None

    @invariant()
    def unloaded_means_that_nothing_goes_on(self) -> None:
        if self.entry.unloaded:
            assert (self.entry.live, self.entry.attempt, self.entry.retry_of, self.entry.again, self.entry.failure) == (None,) * 5


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)
