"""The log of events: nothing of a story is lost, progress is thinned, and every reader knows where it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from config.schema import ModelSettings
from service.lifecycle.events import Event, FetchBegan, Fetched, PollDue, Started, Succeeded, Unchanged
from service.lifecycle.machine import step
from service.lifecycle.state import Attempt, Cause, Entry, Failure, Phase
from service.lifecycle.view import ModelView
from service.schemas.telemetry import Progress, Snapshot, Transition
from service.schemas.training import RunChanged
from service.telemetry.events import PROGRESS_INTERVAL_S, EventLog, Told, TooManyReaders
from tests.unit.lifecycle.fakes import Bench, FakeArtifact, settle
from tests.unit.service.fakes import LIVE, FakeLoaded, FakeRegistry, FakeScorer, live
from training.running.runs import Run, RunCause, RunStatus

SETTINGS = ModelSettings("als", source="/als.pkl")
SCHEMAS = {"snapshot": Snapshot, "transition": Transition, "progress": Progress, "run": RunChanged}
RUN = Run("20261121T101500-3fa9c1", "als", "als", RunStatus.RUNNING, RunCause.COMMAND, 1_700_000_000.0, phase="reading")


@dataclass
class PutOff:
    """A call that the test makes."""

    at: float
    call: Callable[[], None]
    is_cancelled: bool = False

    def cancel(self) -> None:
        self.is_cancelled = True


class Watched:
    """A log whose time the test moves, and what it told."""

    def __init__(self, **settings: Any) -> None:
        self.now = 100.0
        self.timers: list[PutOff] = []
        self.log = EventLog(boot="b0", clock=lambda: self.now, wall_s=lambda: 1_700_000_000.0, call_later=self._later, **settings)

    def _later(self, delay_s: float, call: Callable[[], None]) -> PutOff:
        self.timers.append(PutOff(self.now + delay_s, call))
        return self.timers[-1]

    def advance(self, delay_s: float) -> None:
        self.now += delay_s
        due = [timer for timer in self.timers if timer.at <= self.now and not timer.is_cancelled]
        self.timers = [timer for timer in self.timers if timer not in due]
        for timer in due:
            timer.call()

    def told(self, after: int = 0) -> list[tuple[str, dict[str, Any]]]:
        events = self.log.after(after)
        assert events is not None
        return [read(event) for event in events]

    def shown(self, kind: str, *fields: str) -> list[tuple[Any, ...]]:
        return [tuple(data[field] for field in fields) for told, data in self.told() if told == kind]


def read(event: Told) -> tuple[str, dict[str, Any]]:
    """What EventSource would make of it; it keeps to its schema."""
    id, kind, data, *rest = event.message.decode().split("\n")
    assert id == f"id: b0-{event.number}"
    assert rest == ["", ""]
    kind, data = kind.removeprefix("event: "), data.removeprefix("data: ")
    msgspec.json.decode(data, type=SCHEMAS[kind])
    loaded: dict[str, Any] = json.loads(data)
    return kind, loaded


def view_of(entry: Entry, loaded: FakeLoaded | None = None) -> ModelView:
    return ModelView(SETTINGS, entry, None if loaded is None else FakeRegistry(live(), scorer=FakeScorer()).held.facts)


def after(entry: Entry, *events: Event) -> Entry:
    for event in events:
        entry, _ = step(entry, event, 1_700_000_000.0)
    return entry


def downloading(done: int, *, entry: Entry | None = None, reason: str | None = None) -> Entry:
    entry = entry or after(Entry("als"), Started(), FetchBegan(1))
    assert entry.attempt is not None
    return replace(entry, attempt=replace(entry.attempt, bytes_done=done, bytes_total=100, progress=done / 100, reason=reason))


def test_each_line_of_a_story_is_told_once_however_many_came_between_two_looks() -> None:
    watched = Watched()
    entry = after(Entry("als"), Started())
    watched.log.take(view_of(entry))
    watched.log.take(view_of(entry))
    entry = after(entry, FetchBegan(1), Fetched(1, "r1", 5))
    watched.log.take(view_of(entry))
    lines = watched.shown("transition", "event", "from", "to", "cause")
    assert lines == [("start", "not_started", "queued", "start"), ("fetch_began", "queued", "downloading", "start")]


def test_a_transition_has_the_status_of_the_model_after_it() -> None:
    watched = Watched()
    watched.log.take(view_of(after(Entry("als"), Started(), FetchBegan(1))))
    ((_, first), (_, second)) = watched.told()
    assert first["status"] == second["status"]
    assert (second["model"], second["status"]["name"], second["status"]["phase"]) == ("als", "als", "downloading")
    assert {key: second[key] for key in ("at", "event", "from", "to", "cause")} == second["status"]["story"][-1]


def test_an_idle_poll_that_the_story_dropped_tells_no_older_line_again() -> None:
    """The poll before is taken out of the story when the next one begins: counting from its end would reach too far back."""
    watched = Watched()
    entry = replace(after(Entry("als"), Started(), FetchBegan(1)), attempt=None, live=LIVE)
    watched.log.take(view_of(entry, FakeLoaded(None)))
    told = watched.log.last
    for attempt in (2, 3, 4):
        entry = after(entry, PollDue(), FetchBegan(attempt), Unchanged(attempt, LIVE.revision))
    watched.log.take(view_of(entry, FakeLoaded(None)))
    assert [data["event"] for _, data in watched.told(told)] == ["poll", "fetch_began", "unchanged"]


async def test_nothing_is_lost_behind_the_real_registry() -> None:
    watched = Watched()
    async with Bench() as bench, bench.registry.subscribe() as changes:
        watched.log.catch_up(bench.registry.snapshot())
        await bench.serve()
        for version in ("v2", "v3"):
            bench.registry.reload("als", force=True)
            await bench.serve(version, f"r{version}")
        watched.log.take(await anext(aiter(changes)))
        entry = bench.entry()
        lines = watched.shown("transition", "event", "from", "to", "cause")
        assert lines == [(line.event, line.from_, line.to, line.cause) for line in entry.story]
        assert len(lines) == entry.transitions == 16


def test_progress_is_told_five_times_a_second_and_its_last_state_always() -> None:
    watched = Watched()
    watched.log.take(view_of(downloading(0)))
    at: list[float] = []
    for done in range(1, 100):
        before = watched.log.last
        watched.log.take(view_of(downloading(done)))
        at += [watched.now] * (watched.log.last - before)
        before = watched.log.last
        watched.advance(0.015625)
        at += [watched.now] * (watched.log.last - before)
    gaps = [later - earlier for earlier, later in pairwise(at)]
    assert min(gaps) >= PROGRESS_INTERVAL_S
    assert max(gaps) < PROGRESS_INTERVAL_S + 0.02
    watched.advance(PROGRESS_INTERVAL_S)
    assert watched.shown("progress", "bytes_done")[-1] == (99,)
    assert not watched.timers


def test_what_was_held_back_is_not_told_after_a_transition_that_says_more() -> None:
    watched = Watched()
    watched.log.take(view_of(downloading(1)))
    watched.log.take(view_of(downloading(2)))
    watched.log.take(view_of(downloading(3)))
    entry = after(downloading(4), Fetched(1, "r", 100))
    watched.log.take(view_of(replace(entry, live=LIVE, attempt=None, transitions=3, story=(*entry.story, entry.story[-1]))))
    last = watched.log.last
    watched.advance(10)
    assert watched.log.last == last


def test_the_same_progress_is_told_once_and_a_new_reason_is_progress() -> None:
    watched = Watched()
    for reason in ("waits", "waits", "waits for memory"):
        watched.log.take(view_of(downloading(5, reason=reason)))
        watched.advance(1)
    assert watched.shown("progress", "bytes_done", "reason") == [(5, "waits for memory")]


def test_models_are_thinned_each_by_itself() -> None:
    watched = Watched()
    for name in ("als", "trees"):
        entry = replace(downloading(5), name=name)
        watched.log.take(ModelView(replace(SETTINGS, name=name), entry, None))
        watched.log.take(ModelView(replace(SETTINGS, name=name), downloading(6, entry=entry), None))
    assert [model for (model,) in watched.shown("progress", "model")] == ["als", "trees"]


def waiting_for_its_part(phase: Phase = Phase.DOWNLOADING) -> Entry:
    attempt = Attempt(1, phase, Cause.START, 1_700_000_000.0, reason=f"waits for part factors (als): {phase}")
    return replace(live(), live=None, attempt=attempt)


def test_a_model_that_is_made_of_others_changes_with_them() -> None:
    watched = Watched()
    held = FakeLoaded(None)
    failed = replace(live(), live=None, failure=Failure("part_unavailable", "part factors (als) failed", False, 1, 1.0))
    for entry in (live(), waiting_for_its_part(), waiting_for_its_part(), waiting_for_its_part(Phase.LOADING), failed, live(), live()):
        watched.log.take(view_of(entry, held))
    assert watched.shown("transition", "event", "from", "to", "cause") == [
        ("part", "live", "downloading", "waits for part factors (als): downloading"),
        ("part", "downloading", "loading", "waits for part factors (als): loading"),
        ("part", "loading", "failed", "part factors (als) failed"),
        ("part", "failed", "live", "its parts serve"),
    ]


async def test_a_hybrid_behind_the_real_registry_tells_of_its_part() -> None:
    watched = Watched()
    part = ModelSettings("als", source="/als.pkl")
    whole = ModelSettings("both", source="/both.pkl", family="hybrid")
    async with Bench(part, whole) as bench:
        await bench.serve(name="als")
        fetch = await bench.loader.next_fetch("both")
        fetch.finish(FakeArtifact("h1"))
        load = await bench.loader.next_load()
        held = bench.registry.current("als").held
        assert held is not None
        held.loaded.scorer = FakeScorer()
        load.finish(FakeLoaded(None, "h", "h1", family="hybrid", parts={"factors": "als"}))
        await settle()
        watched.log.catch_up(bench.registry.snapshot())
        before = watched.log.last
        bench.registry.unload("als")
        watched.log.catch_up(bench.registry.snapshot())
        told = [(data["model"], data["event"], data["to"], data["status"]["status"]) for _, data in watched.told(before)]
        assert told == [
            ("als", "unload", "released", "unloaded"),
            ("als", "drain", "draining", "unloaded"),
            ("both", "part", "failed", "error"),
        ]


def test_a_snapshot_is_up_to_date_and_what_is_in_it_is_not_told_after_it() -> None:
    watched = Watched()
    view = view_of(after(Entry("als"), Started()))
    snapshot = watched.log.snapshot([view])
    kind, data = read(snapshot)
    assert kind == "snapshot"
    assert [model["phase"] for model in data["models"]] == ["queued"]
    assert snapshot.number == watched.log.last == 1
    watched.log.take(view)
    assert watched.log.after(snapshot.number) == []


def fill(watched: Watched, events: int) -> None:
    for number in range(events):
        watched.log.take(view_of(downloading(number + 1)))
        watched.advance(1)


def test_a_reader_goes_on_from_any_event_that_is_kept() -> None:
    watched = Watched(capacity=5)
    fill(watched, 18)
    last = watched.log.last
    assert last == 19
    for number in range(14, 20):
        assert watched.log.number_of(f"b0-{number}") == number
        events = watched.log.after(number)
        assert events is not None
        assert [event.number for event in events] == list(range(number + 1, 20))
    assert watched.log.number_of("b0-13") is None
    assert watched.log.after(13) is None


@pytest.mark.parametrize("id", ["", "b0", "b1-3", "b0-21", "b0--1", "b0-x", "b0-٣", "b0-" + "9" * 400, "-3", "3"])
def test_an_id_that_says_nothing_here_is_none(id: str) -> None:
    watched = Watched()
    fill(watched, 18)
    assert watched.log.number_of(id) is None


def test_an_empty_log_can_be_gone_on_with() -> None:
    watched = Watched()
    assert watched.log.number_of("b0-0") == 0
    assert watched.log.after(0) == []


def test_the_log_is_bounded_in_bytes_and_keeps_the_newest() -> None:
    watched = Watched(limit_bytes=2000)
    fill(watched, 100)
    events = watched.log.after(watched.log.last - 5)
    assert events is not None
    assert watched.log.after(watched.log.last - 50) is None
    watched = Watched(limit_bytes=1)
    fill(watched, 3)
    assert watched.log.after(watched.log.last - 1) is not None


async def test_waiting_ends_with_an_event_and_with_the_log() -> None:
    watched = Watched()
    assert await watched.log.wait(0.001) is False
    waiting = asyncio.create_task(watched.log.wait(60))
    await settle()
    watched.log.take(view_of(after(Entry("als"), Started())))
    assert await waiting
    waiting = asyncio.create_task(watched.log.wait(60))
    await settle()
    watched.log.close()
    assert await waiting
    assert watched.log.is_closed


def test_readers_are_counted_bounded_and_told_of_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.telemetry.events.MOST_READERS", 2)
    watched = Watched()
    ended: list[str] = []
    with watched.log.reading(lambda: ended.append("one")), watched.log.reading(lambda: ended.append("two")):
        assert watched.log.readers == 2
        with pytest.raises(TooManyReaders), watched.log.reading(lambda: None):
            pass
        watched.log.close()
    assert sorted(ended) == ["one", "two"]
    assert watched.log.readers == 0


def test_progress_that_is_held_back_dies_with_the_log() -> None:
    watched = Watched()
    watched.log.take(view_of(downloading(1)))
    watched.log.take(view_of(downloading(2)))
    watched.log.take(view_of(downloading(3)))
    watched.log.close()
    assert all(timer.is_cancelled for timer in watched.timers)


def test_names_that_no_utf_8_can_say_are_told() -> None:
    watched = Watched()
    watched.log.take(view_of(downloading(5, reason="\ud800")))
    watched.advance(1)
    watched.log.take(view_of(downloading(6, reason="a\udcff")))
    assert "�" in watched.told()[-1][1]["reason"]


def test_a_published_version_is_told_with_the_drain_of_the_one_before() -> None:
    watched = Watched()
    entry = replace(downloading(5), live=LIVE)
    watched.log.take(view_of(entry))
    entry = after(replace(entry, attempt=replace(entry.attempt, phase=Phase.LOADING)), Succeeded(1, "v2", "r2"))  # type: ignore[type-var]
    watched.log.take(view_of(entry, FakeLoaded(None)))
    assert [data["event"] for _, data in watched.told()][-2:] == ["published", "drain"]


def run_at(watched: Watched, **changes: Any) -> None:
    watched.log.take_run(replace(RUN, **changes))


def runs_told(watched: Watched) -> list[tuple[Any, ...]]:
    return watched.shown("run", "status", "phase", "step", "progress")


def test_a_run_is_told_with_every_change_of_its_place() -> None:
    watched = Watched()
    run_at(watched, status=RunStatus.QUEUED, phase=None)
    run_at(watched)
    run_at(watched, phase="fitting", step="fitting", progress=0.0)
    run_at(watched, phase="fitting", step="fitting", progress=0.0, status=RunStatus.PUBLISHED)
    assert runs_told(watched) == [
        ("queued", None, None, None),
        ("running", "reading", None, None),
        ("running", "fitting", "fitting", 0.0),
        ("published", "fitting", "fitting", 0.0),
    ]
    (_, last) = watched.told()[-1]
    assert "log" not in last
    assert last["id"] == RUN.id


def test_progress_of_a_run_is_thinned_and_the_last_of_it_told() -> None:
    watched = Watched()
    for done in range(10):
        run_at(watched, step="fitting", progress=done / 10)
    assert [told[3] for told in runs_told(watched)] == [0.0]
    watched.advance(PROGRESS_INTERVAL_S)
    assert [told[3] for told in runs_told(watched)] == [0.0, 0.9]
    watched.advance(PROGRESS_INTERVAL_S)
    run_at(watched, step="fitting", progress=1.0)
    assert [told[3] for told in runs_told(watched)] == [0.0, 0.9, 1.0]


def test_what_was_held_back_of_a_run_is_not_told_after_its_end() -> None:
    watched = Watched()
    run_at(watched, step="fitting", progress=0.1)
    run_at(watched, step="fitting", progress=0.2)
    run_at(watched, step="fitting", status=RunStatus.FAILED)
    watched.advance(PROGRESS_INTERVAL_S)
    assert [told[0] for told in runs_told(watched)] == ["running", "failed"]


def test_runs_do_not_thin_each_other_and_the_end_of_the_log_ends_them() -> None:
    watched = Watched()
    for id in ("20261121T101500-3fa9c1", "20261121T101501-3fa9c1"):
        run_at(watched, id=id, step="fitting", progress=0.1)
        run_at(watched, id=id, step="fitting", progress=0.2)
    assert len(runs_told(watched)) == 2
    watched.log.close()
    watched.advance(PROGRESS_INTERVAL_S)
    run_at(watched, status=RunStatus.CANCELLED)
    assert len(runs_told(watched)) == 2


def test_a_reader_goes_on_after_a_run() -> None:
    watched = Watched()
    run_at(watched)
    number = watched.log.number_of("b0-1")
    assert number == 1
    run_at(watched, phase="fitting")
    assert [kind for kind, _ in watched.told(after=number)] == ["run"]
