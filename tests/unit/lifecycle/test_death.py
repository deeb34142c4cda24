"""A version whose process dies: what the machine makes of it, and that the supervisor brings it back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config.schema import ModelSettings
from loaders.errors import CorruptArtifact, LoadError, SourceNotFound, SourceUnavailable
from service.lifecycle.events import CancelRetry, Died, Drain, PollDue, ReloadCommanded, RetryDue, ScheduleRetry
from service.lifecycle.machine import step
from service.lifecycle.policy import LIMITED_TRIES, LONG_LIFE_S, retry_after_s
from service.lifecycle.state import Live, Phase, phase_of
from tests.unit.lifecycle.entries import NOW, entry_in
from tests.unit.lifecycle.fakes import Bench, FakeArtifact, FakeLoaded, settle


def died(version: str = "v1", type: str = "child_crashed") -> Died:
    return Died(version, type, "killed by SIGKILL", 0.0)


def test_what_lived_is_gone_and_a_retry_is_scheduled_whatever_it_died_of() -> None:
    for type in ("child_crashed", "memory_cap_exceeded"):
        entry, actions = step(entry_in(Phase.LIVE), died(type=type), NOW)
        assert entry.live is None and phase_of(entry) is Phase.FAILED and entry.rejected is None
        assert actions == (Drain("v1"), ScheduleRetry(entry.attempts_begun, 1.0))
        assert entry.failure is not None
        assert (entry.failure.type, entry.failure.retryable, entry.failure.attempts, entry.failure.revision) == (type, True, 1, "r1")
        assert retry_after_s(entry, NOW) == 1
        assert [(line.event, line.to) for line in entry.story] == [("died", Phase.FAILED), ("drain", Phase.DRAINING)]
        again, _ = step(entry, RetryDue(entry.attempts_begun), NOW + 1)
        assert phase_of(again) is Phase.QUEUED


def test_deaths_in_a_row_wait_longer_and_a_long_life_starts_anew() -> None:
    entry = entry_in(Phase.LIVE)
    waits = []
    for lived_s in (1.0, 1.0, 1.0, LONG_LIFE_S + 1, 1.0):
        entry = replace(entry, live=Live("v1", "r1", NOW), failure=None, retry_of=None)
        entry, actions = step(entry, died(), NOW + lived_s)
        waits += [action.delay_s for action in actions if isinstance(action, ScheduleRetry)]
        assert entry.failure is not None and entry.failure.attempts == entry.deaths
    assert waits == [1.0, 2.0, 4.0, 1.0, 2.0]


def test_a_retry_of_a_failed_reload_gives_way() -> None:
    entry = replace(entry_in(Phase.LIVE), retry_of=2)
    entry, actions = step(entry, died(), NOW)
    assert [type(action) for action in actions] == [CancelRetry, Drain, ScheduleRetry]
    assert entry.retry_of == entry.attempts_begun


@pytest.mark.parametrize("phase", [Phase.QUEUED, Phase.DOWNLOADING, Phase.LOADING])
def test_beside_an_attempt_only_the_live_version_goes(phase: Phase) -> None:
    entry, actions = step(entry_in(phase, has_live=True), died(), NOW)
    assert entry.live is None and phase_of(entry) is phase and actions == (Drain("v1"),)
    assert entry.failure is not None and entry.failure.next_attempt_at is None and entry.retry_of is None


def test_a_version_that_serves_no_more_dies_unheard() -> None:
    for phase in (Phase.LIVE, Phase.RELEASED, Phase.NOT_STARTED):
        entry = entry_in(phase)
        assert step(entry, died("v0"), NOW) == (entry, ())


async def kill(loaded: FakeLoaded) -> None:
    assert loaded.tell_death is not None
    loaded.tell_death("child_crashed", "killed")
    await settle()


async def test_it_is_brought_back_and_closed_once() -> None:
    bench = Bench()
    async with bench:
        loaded = await bench.serve()
        lease = bench.registry.acquire("als")
        await kill(loaded)
        shown = bench.registry.view("als").to_json(bench.clock())
        assert (shown["status"], shown["failure"]["type"], shown["failure"]["attempts"]) == ("error", "child_crashed", 1)
        assert loaded.closed == 0
        lease.close()
        await settle()
        assert loaded.closed == 1
        await bench.clock.advance(1.0)
        assert bench.loader.log[-2:] == ["restore als", "fetch als"]
        await bench.serve("v2")
        assert bench.status() == "ready" and bench.entry().failure is None
        await kill(loaded)
        assert bench.status() == "ready"


async def test_a_source_that_is_down_does_not_keep_it_down() -> None:
    bench = Bench()
    async with bench:
        await kill(await bench.serve())
        bench.loader.kept = {"als": FakeLoaded("v1", "r1")}
        await bench.clock.advance(1.0)
        assert bench.status() == "ready"
        await bench.fail_fetch(SourceUnavailable("refused"))
        shown = bench.registry.view("als").to_json(bench.clock())
        assert (shown["status"], shown["stale"]) == ("ready", True)


async def test_what_died_while_the_source_was_asked_is_fetched_after_all() -> None:
    bench = Bench()
    async with bench:
        loaded = await bench.serve()
        bench.registry.reload("als")
        fetch = await bench.loader.next_fetch()
        assert fetch.known == "r1"
        await kill(loaded)
        fetch.finish(None)
        second = await bench.loader.next_fetch()
        assert second.known is None
        second.finish(FakeArtifact("r1"))
        await bench.finish_load("v2", "r1")
        assert bench.status() == "ready" and bench.entry().attempt is None


async def test_a_namesake_that_drains_takes_nobody_along() -> None:
    bench = Bench(ModelSettings("als"))
    async with bench:
        first = await bench.serve("v1")
        lease = bench.registry.acquire("als")
        bench.supervisor._command("als", ReloadCommanded(force=True))
        await bench.serve("v1")
        await kill(first)
        assert bench.status() == "ready"
        lease.close()


# -- while what the source has is bad -----------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [CorruptArtifact("truncated"), SourceNotFound("gone")], ids=lambda error: error.type)
async def test_who_died_beside_a_bad_reload_comes_back_from_what_is_kept(error: LoadError) -> None:
    bench = Bench()
    async with bench:
        loaded = await bench.serve()
        bench.registry.reload("als")
        (await bench.loader.next_fetch()).finish(FakeArtifact("r2"))
        load = await bench.loader.next_load()
        await kill(loaded)
        assert bench.status() == "loading"
        load.fail(error)
        await settle()
        shown = bench.registry.view("als").to_json(bench.clock())
        assert (shown["status"], shown["failure"]["type"], shown["failure"]["retryable"]) == ("error", error.type, True)
        assert retry_after_s(bench.entry(), bench.clock()) == 1
        bench.loader.kept = {"als": FakeLoaded("v1", "r1")}
        await bench.clock.advance(1.0)
        assert bench.status() == "ready"
        fetch = await bench.loader.next_fetch()
        if error.type == "corrupt_artifact":
            assert fetch.known == "r2", "what is rejected is not fetched again"
            fetch.finish(None)
            await settle()
            failure = bench.entry().failure
            assert failure is not None and (failure.type, failure.retryable) == ("corrupt_artifact", False)
            assert bench.clock.pending() == []
        assert bench.registry.view("als").to_json(bench.clock())["stale"] or fetch.known == "r1"


async def test_who_died_while_a_poll_found_the_rejected_comes_back_too() -> None:
    bench = Bench()
    async with bench:
        loaded = await bench.serve()
        bench.registry.reload("als")
        await bench.fail_load(CorruptArtifact("truncated"), "r2")
        bench.supervisor._command("als", PollDue())
        fetch = await bench.loader.next_fetch()
        assert fetch.known == "r2"
        await kill(loaded)
        fetch.finish(None)
        await settle()
        assert (bench.status(), bench.clock.pending()) == ("error", [1.0])
        bench.loader.kept = {"als": FakeLoaded("v1", "r1")}
        await bench.clock.advance(1.0)
        assert bench.status() == "ready"


async def test_where_nothing_is_kept_that_ends() -> None:
    bench = Bench()
    async with bench:
        loaded = await bench.serve()
        bench.registry.reload("als")
        (await bench.loader.next_fetch()).finish(FakeArtifact("r2"))
        load = await bench.loader.next_load()
        await kill(loaded)
        load.fail(CorruptArtifact("truncated"))
        for _ in range(LIMITED_TRIES):
            await settle()
            await bench.clock.advance(1.0)
            (await bench.loader.next_fetch()).finish(None)
        await settle()
        failure = bench.entry().failure
        assert failure is not None and not failure.retryable and failure.next_attempt_at is None
        assert (bench.status(), bench.clock.pending()) == ("error", [])
