"""The asyncio half: attempts, retries, drains and shutdown, on a clock that moves when told."""

from __future__ import annotations

import asyncio
import logging

import pytest

from config.schema import ModelSettings
from loaders.errors import AccessDenied, ChildCrashed, CorruptArtifact, NeverFits, SegmentInvalid, SourceUnavailable, TooLarge
from service.lifecycle.errors import SupervisorClosed
from service.lifecycle.registry import NotReady
from service.lifecycle.state import Phase
from tests.support import wait_until
from tests.unit.lifecycle.fakes import Bench, FakeArtifact, FakeLoaded, settle


async def test_from_start_to_ready() -> None:
    async with Bench() as bench:
        fetch = await bench.loader.next_fetch()
        assert fetch.known is None and bench.entry().attempt is not None
        fetch.on_progress(10, 100)
        fetch.finish(FakeArtifact("r1", 100))
        load = await bench.loader.next_load()
        seen = []
        for phase in (Phase.VERIFYING, Phase.LOADING, Phase.WARMING):
            load.on_phase(phase, f"now {phase}")
            attempt = bench.entry().attempt
            assert attempt is not None and attempt.bytes_done == attempt.bytes_total == 100
            seen.append((attempt.phase, attempt.reason))
        assert seen == [(phase, f"now {phase}") for phase in (Phase.VERIFYING, Phase.LOADING, Phase.WARMING)]
        load.finish(FakeLoaded("v1", "r1"))
        assert await bench.registry.wait_ready("als", 10.0)


async def test_retries_come_when_they_are_due() -> None:
    async with Bench() as bench:
        await bench.fail_fetch(SourceUnavailable("refused"))
        for delay_s in (1.0, 2.0, 4.0):
            assert bench.status() == "error" and bench.clock.pending() == [delay_s]
            await bench.clock.advance(delay_s - 0.001)
            assert bench.loader.fetches.empty()
            await bench.clock.advance(0.001)
            assert bench.status() == "loading"
            await bench.fail_fetch(SourceUnavailable("refused"))
        await bench.clock.advance(8.0)
        await bench.serve()
        assert bench.entry().failure is None


async def test_a_crashing_child_is_tried_three_times() -> None:
    async with Bench() as bench:
        for delay_s in (1.0, 2.0):
            await bench.fail_load(ChildCrashed("died"))
            await bench.clock.advance(delay_s)
        await bench.fail_load(ChildCrashed("died"))
        assert bench.clock.pending() == []
        failure = bench.entry().failure
        assert failure is not None and (failure.attempts, failure.retryable, failure.revision) == (3, False, "r1")


async def test_an_invalid_segment_is_tried_again_at_once() -> None:
    async with Bench() as bench:
        await bench.fail_load(SegmentInvalid("forged"))
        assert bench.status() == "loading" and bench.clock.pending() == []
        await bench.serve()


async def test_a_permanent_failure_waits_for_an_operator() -> None:
    async with Bench() as bench:
        await bench.fail_load(CorruptArtifact("bad"))
        assert bench.clock.pending() == [] and bench.status() == "error"
        bench.registry.load("als")
        await bench.serve()
        assert bench.status() == "ready"


async def test_a_fetch_may_name_the_revision_it_refused() -> None:
    async with Bench(ModelSettings("als", poll_s=60.0)) as bench:
        await bench.fail_fetch(TooLarge("20 GiB", revision="etag:big"))
        await bench.clock.advance(60.0)
        fetch = await bench.loader.next_fetch()
        assert fetch.known == "etag:big"
        fetch.finish(None)
        await settle()
        failure = bench.entry().failure
        assert bench.status() == "error" and failure is not None and failure.type == "too_large"


async def test_a_poll_finds_a_new_revision() -> None:
    async with Bench(ModelSettings("als", poll_s=60.0)) as bench:
        await bench.serve("v1", "r1")
        await bench.clock.advance(59.0)
        assert bench.loader.fetches.empty()
        await bench.clock.advance(1.0)
        fetch = await bench.loader.next_fetch()
        assert fetch.known == "r1"
        fetch.finish(None)
        await settle()
        assert bench.entry().attempt is None and bench.entry().story[-1].event == "unchanged"
        await bench.clock.advance(60.0)
        await bench.serve("v2", "r2")
        assert bench.registry.view("als").loaded is not None


async def test_polls_that_find_nothing_do_not_push_the_load_out_of_the_story(caplog: pytest.LogCaptureFixture) -> None:
    async with Bench(ModelSettings("als", poll_s=60.0)) as bench:
        await bench.serve("v1", "r1")
        loaded = bench.entry().story
        with caplog.at_level(logging.INFO, "holdfast.lifecycle"):
            for _ in range(3):
                await bench.clock.advance(60.0)
                (await bench.loader.next_fetch()).finish(None)
                await settle()
        assert [line.event for line in bench.entry().story[len(loaded) :]] == ["poll", "fetch_began", "unchanged"]
        assert [record.__dict__["action"] for record in caplog.records] == ["poll", "fetch_began", "unchanged"] * 3


async def test_a_source_that_tells_no_unchanged_is_compared_by_revision() -> None:
    async with Bench(ModelSettings("als", poll_s=60.0)) as bench:
        await bench.serve("v1", "r1")
        await bench.clock.advance(60.0)
        (await bench.loader.next_fetch()).finish(FakeArtifact("r1"))
        await settle()
        assert bench.loader.loads.empty() and bench.entry().attempt is None
        bench.registry.reload("als", force=True)
        await bench.serve("v1b", "r1")
        live = bench.entry().live
        assert live is not None and live.version == "v1b"


async def test_a_watch_reloads_and_survives_its_own_end() -> None:
    bench = Bench(ModelSettings("als", watch=True))
    touches: asyncio.Queue[Exception | None] = asyncio.Queue()
    bench.loader.touches["als"] = touches
    async with bench:
        await bench.serve("v1", "r1")
        touches.put_nowait(None)
        await bench.serve("v2", "r2")
        touches.put_nowait(OSError("no inotify left"))
        await settle()
        await bench.clock.advance(5.0)
        # What changed while nobody watched is asked for.
        await bench.serve("v3", "r3")
        touches.put_nowait(None)
        await bench.serve("v4", "r4")


async def test_a_source_that_cannot_be_watched_is_named(caplog: pytest.LogCaptureFixture) -> None:
    async with Bench(ModelSettings("als", watch=True)):
        await settle()
        assert "cannot be watched" in caplog.text


async def test_reload_under_leases() -> None:
    async with Bench() as bench:
        old = await bench.serve("v1", "r1")
        lease = bench.registry.acquire("als")
        bench.registry.reload("als")
        assert bench.registry.acquire("als").version == "v1"
        await bench.serve("v2", "r2")
        with bench.registry.acquire("als") as new:
            assert new.version == "v2"
        assert old.closed == 0 and lease.scorer == "scorer" and bench.entry().draining == ("v1",)


async def test_drain_ends_with_the_last_lease() -> None:
    async with Bench() as bench:
        old = await bench.serve("v1", "r1")
        first, second = bench.registry.acquire("als"), bench.registry.acquire("als")
        bench.registry.unload("als")
        with pytest.raises(NotReady):
            bench.registry.acquire("als")
        first.close()
        await settle()
        assert old.closed == 0
        second.close()
        await settle()
        assert old.closed == 1 and bench.entry().draining == ()
        assert bench.entry().story[-1].cause == "v1: no lease holds it"


async def test_the_drain_deadline_ends_the_waiting_but_not_the_mapping() -> None:
    async with Bench(drain_s=30.0) as bench:
        old = await bench.serve("v1", "r1")
        lease = bench.registry.acquire("als")
        bench.registry.unload("als")
        await bench.clock.advance(30.0)
        assert bench.entry().draining == () and old.closed == 0 and lease.scorer == "scorer"
        assert "drain deadline" in bench.entry().story[-1].cause
        lease.close()
        await settle()
        assert old.closed == 1


async def test_a_version_that_cannot_be_closed_is_logged_and_let_go(caplog: pytest.LogCaptureFixture) -> None:
    async with Bench() as bench:
        old = await bench.serve()
        old.close_error = OSError("munmap")
        bench.registry.unload("als")
        await settle()
        assert bench.entry().draining == () and "could not be closed" in caplog.text


async def test_a_failed_reload_keeps_serving() -> None:
    async with Bench() as bench:
        await bench.serve("v1", "r1")
        bench.registry.reload("als")
        await bench.fail_load(CorruptArtifact("bad"), "r2")
        shown = bench.registry.view("als").to_json(bench.clock())
        assert (shown["status"], shown["stale"], shown["failure"]["type"], shown["version"]) == ("ready", True, "corrupt_artifact", "v1")


async def test_unload_while_loading_cancels_and_discards_nothing_live() -> None:
    async with Bench() as bench:
        (await bench.loader.next_fetch()).finish(FakeArtifact("r1"))
        load = await bench.loader.next_load()
        bench.registry.unload("als")
        assert bench.status() == "unloaded"
        await settle()
        assert load.cancelled and bench.admission.free_bytes == 1_000_000


async def test_a_version_of_a_cancelled_attempt_is_closed() -> None:
    async with Bench() as bench:
        (await bench.loader.next_fetch()).finish(FakeArtifact("r1"))
        load = await bench.loader.next_load()
        late = FakeLoaded("v1", "r1")
        load.finish(late)
        bench.registry.unload("als")  # before the attempt's task could run on
        await settle()
        assert bench.status() == "unloaded"
        assert load.cancelled is False or late.closed == 0
        assert late.closed == (0 if load.cancelled else 1)


async def test_late_words_of_an_old_attempt_are_ignored() -> None:
    async with Bench() as bench:
        (await bench.loader.next_fetch()).finish(FakeArtifact("r1"))
        load = await bench.loader.next_load()
        bench.registry.unload("als")
        bench.registry.load("als")
        load.on_phase(Phase.WARMING, None)
        attempt = bench.entry().attempt
        assert attempt is not None and (attempt.id, attempt.phase) == (2, Phase.QUEUED)


async def test_a_new_attempt_waits_for_the_clean_up_of_the_old_ones() -> None:
    async with Bench() as bench:
        fetch = await bench.loader.next_fetch()
        fetch.cleanup = asyncio.get_running_loop().create_future()
        bench.registry.unload("als")
        await settle()
        for _ in range(2):  # the second waits for the first to be cleaned up, not only for the one before it
            bench.registry.load("als")
            await settle()
            assert fetch.cancelled and bench.loader.fetches.empty()
            bench.registry.unload("als")
            await settle()
        bench.registry.load("als")
        await settle()
        assert bench.loader.fetches.empty()
        fetch.cleanup.set_result(None)
        await bench.serve()


async def test_kept_versions_serve_before_anything_is_fetched() -> None:
    bench = Bench(ModelSettings("a"), ModelSettings("b"), ModelSettings("c", load="on_demand"))
    bench.loader.asks_restore = True
    bench.loader.kept = {"a": FakeLoaded("v1", "r1")}
    async with bench:
        first, second = await bench.loader.restores.get(), await bench.loader.restores.get()
        first.finish()
        await settle()
        assert bench.status("a") == "ready" and bench.loader.fetches.empty()
        second.finish()
        fetches = {call.model: call for call in (await bench.loader.next_fetch(), await bench.loader.next_fetch())}
        assert fetches["a"].known == "r1" and fetches["b"].known is None
        assert bench.loader.log[:2] == ["restore a", "restore b"] and sorted(bench.loader.log[2:]) == ["fetch a", "fetch b"]
        fetches["a"].finish(None)
        await settle()
        entry = bench.entry("a")
        assert entry.attempt is None and entry.failure is None and entry.live is not None and entry.live.version == "v1"


async def test_restored_stays_ready_when_the_source_is_down() -> None:
    bench = Bench()
    bench.loader.kept = {"als": FakeLoaded("v1", "r1")}
    async with bench:
        await bench.fail_fetch(SourceUnavailable("refused"))
        shown = bench.registry.view("als").to_json(bench.clock())
        assert (shown["status"], shown["stale"], shown["version"], shown["failure"]["type"]) == ("ready", True, "v1", "source_unavailable")
        await bench.clock.advance(1.0)
        fetch = await bench.loader.next_fetch()
        assert fetch.known == "r1"
        fetch.finish(None)
        await settle()
        assert bench.entry().failure is None


@pytest.mark.parametrize("error", [SegmentInvalid("forged"), RuntimeError("defect")])
async def test_a_kept_version_that_cannot_be_used_is_fetched_anew(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.loader.kept = {"als": error}
    async with bench:
        await bench.serve()
        assert bench.status() == "ready" and "kept version cannot be used" in caplog.text


async def test_unload_before_the_first_step_does_not_hold_up_the_others() -> None:
    bench = Bench(ModelSettings("a"), ModelSettings("b"))
    async with bench:
        bench.registry.unload("a")  # its attempt has not run a single step yet
        await bench.serve(name="b")
        assert bench.status("b") == "ready"


async def test_no_more_loads_at_a_time_than_configured() -> None:
    async with Bench(*(ModelSettings(name) for name in "abc"), concurrency=2) as bench:
        for name in "abc":
            (await bench.loader.next_fetch(name)).finish(FakeArtifact("r1"))
            await settle()
        first, _ = await bench.loader.next_load(), await bench.loader.next_load()
        await settle()
        assert bench.loader.loads.empty()
        attempt = bench.entry("c").attempt
        assert attempt is not None and (attempt.phase, attempt.reason) == (Phase.QUEUED, "waiting for a load slot (2 at a time)")
        first.finish(FakeLoaded("v1", "r1"))
        assert (await bench.loader.next_load()).model == "c"
        attempt = bench.entry("c").attempt
        assert attempt is not None and (attempt.phase, attempt.reason) == (Phase.VERIFYING, None)


async def test_a_load_that_waits_for_memory_keeps_no_slot() -> None:
    async with Bench(ModelSettings("big"), ModelSettings("small"), concurrency=1) as bench:
        bench.admission.free_bytes = 5
        (await bench.loader.next_fetch("big")).finish(FakeArtifact("r1"))
        await settle()
        attempt = bench.entry("big").attempt
        assert attempt is not None and attempt.reason == "waiting for memory: needs 10, 5 free"
        bench.loader.need_bytes = 5
        (await bench.loader.next_fetch()).finish(FakeArtifact("r1"))
        load = await bench.loader.next_load()
        assert load.model == "small"
        bench.admission.free_bytes = 5
        load.finish(FakeLoaded("v1", "r1"))  # its memory comes back: the other one is looked at again, without its timer
        assert (await bench.loader.next_load()).model == "big"


async def test_memory_is_looked_at_again_after_a_while() -> None:
    async with Bench() as bench:
        bench.admission.free_bytes = 5
        (await bench.loader.next_fetch()).finish(FakeArtifact("r1"))
        await settle()
        assert bench.clock.pending() == [2.0]
        bench.admission.free_bytes = 10
        await bench.clock.advance(2.0)
        await bench.finish_load("v1", "r1")
        assert bench.status() == "ready" and bench.admission.free_bytes == 10


async def test_what_never_fits_fails_and_frees_its_slot() -> None:
    async with Bench(concurrency=1) as bench:
        bench.admission.error = NeverFits("needs 2 GiB")
        (await bench.loader.next_fetch()).finish(FakeArtifact("r1"))
        await settle()
        failure = bench.entry().failure
        assert failure is not None and (failure.type, failure.retryable) == ("never_fits", False)
        bench.admission.error = None
        bench.registry.load("als")
        await bench.serve()


async def test_a_defect_is_a_failure_with_its_traceback_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with Bench() as bench:
        await bench.fail_fetch(ZeroDivisionError("secret detail"))
        failure = bench.entry().failure
        assert failure is not None and failure.type == "internal_error" and failure.retryable
        assert "secret" not in failure.message and "secret detail" in caplog.text


async def test_a_phase_may_be_reported_again_and_as_a_plain_word() -> None:
    async with Bench() as bench:
        (await bench.loader.next_fetch()).finish(FakeArtifact("r1"))
        load = await bench.loader.next_load()
        load.on_phase("loading", None)
        told = bench.entry().transitions
        load.on_phase("loading", "half of it")
        attempt = bench.entry().attempt
        assert attempt is not None and attempt.phase is Phase.LOADING and attempt.reason == "half of it"
        assert bench.entry().transitions == told


async def test_a_backward_phase_is_a_defect() -> None:
    async with Bench() as bench:
        (await bench.loader.next_fetch()).finish(FakeArtifact("r1"))
        load = await bench.loader.next_load()
        load.on_phase(Phase.WARMING, None)
        with pytest.raises(Exception, match="illegal in phase warming"):
            load.on_phase(Phase.DOWNLOADING, None)


async def test_a_loader_that_cancels_itself_does_not_load_for_ever() -> None:
    async with Bench() as bench:
        (await bench.loader.next_fetch()).answer.cancel()
        await settle()
        failure = bench.entry().failure
        assert bench.status() == "error" and failure is not None and failure.type == "internal_error"


async def test_progress_of_a_fast_source_is_thinned_but_its_end_is_told() -> None:
    async with Bench() as bench:
        fetch = await bench.loader.next_fetch()
        before = bench.entry()
        for done in range(1, 10_001):
            fetch.on_progress(done, 10_000)
        attempt = bench.entry().attempt
        assert attempt is not None and attempt.bytes_done == 10_000 and bench.entry().story == before.story


async def test_progress_that_was_held_back_is_told_although_nothing_follows() -> None:
    async with Bench() as bench:
        fetch = await bench.loader.next_fetch()
        for done in (1, 2, 3):
            fetch.on_progress(done, 10)
        await wait_until(lambda: (attempt := bench.entry().attempt) is not None and attempt.bytes_done == 3)


async def test_what_is_fetched_but_never_loaded_is_let_go() -> None:
    async with Bench() as bench:
        bench.admission.error = NeverFits("needs 2 GiB")
        (await bench.loader.next_fetch()).finish(FakeArtifact("r1"))
        await bench.registry.wait_settled("als", 10.0)
        assert bench.loader.log.count("let_go als") == 1
        bench.admission.error = None
        bench.registry.reload("als")
        (await bench.loader.next_fetch()).finish(FakeArtifact("r2"))
        await bench.finish_load("v2", "r2")
        assert bench.loader.log.count("let_go als") == 1  # the loader owns what it was given to load
        bench.registry.reload("als")
        (await bench.loader.next_fetch()).finish(FakeArtifact("r2"))  # it came whole, and is what serves
        await bench.registry.wait_settled("als", 10.0)
        assert bench.loader.log.count("let_go als") == 2


async def test_two_models_do_not_touch_each_other() -> None:
    async with Bench(ModelSettings("a"), ModelSettings("b")) as bench:
        (await bench.loader.next_fetch("a")).fail(AccessDenied("403"))
        (await bench.loader.next_fetch("b")).finish(FakeArtifact("r1"))
        await bench.finish_load("v1", "r1")
        assert (bench.status("a"), bench.status("b")) == ("error", "ready")


async def test_closing_cancels_everything_and_leaves_nothing() -> None:
    bench = Bench(ModelSettings("a", poll_s=5.0), ModelSettings("b", watch=True), ModelSettings("c"), ModelSettings("d"))
    bench.loader.touches["b"] = asyncio.Queue()
    before = asyncio.all_tasks()
    async with bench:
        fetches = {call.model: call for call in [await bench.loader.next_fetch() for _ in range(4)]}
        fetches["a"].finish(FakeArtifact("r1"))
        served = await bench.finish_load("v1", "r1")
        fetches["b"].finish(FakeArtifact("r1"))
        load = await bench.loader.next_load()
        fetches["c"].fail(SourceUnavailable("refused"))
        await settle()
    assert served.closed == 1 and load.cancelled and fetches["d"].cancelled
    assert {bench.status(name) for name in "abcd"} == {"unloaded"}
    assert asyncio.all_tasks() == before
    assert repr(bench.supervisor) == "<Supervisor closed attempts=0 timers=0 drains=0>"


async def test_closing_lets_a_cancelled_attempt_clean_up() -> None:
    bench = Bench(ModelSettings("als", poll_s=5.0))  # its timer is waited for as well, in which time the attempt begins to clean up
    await bench.supervisor.start()
    fetch = await bench.loader.next_fetch()
    fetch.cleanup = asyncio.get_running_loop().create_future()
    closing = asyncio.ensure_future(bench.supervisor.aclose())
    await settle()
    assert fetch.cancelled and not closing.done() and not fetch.cleanup.cancelled()
    fetch.cleanup.set_result(None)
    await closing


async def test_closing_waits_for_leases_until_the_deadline(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(drain_s=30.0)
    await bench.supervisor.start()
    served = await bench.serve()
    lease = bench.registry.acquire("als")
    closing = asyncio.ensure_future(bench.supervisor.aclose())
    await bench.clock.advance(29.0)
    assert not closing.done()
    await bench.clock.advance(1.0)
    await closing
    assert served.closed == 0 and "stays mapped until the process ends" in caplog.text
    lease.close()


async def test_closing_twice_and_starting_twice() -> None:
    bench = Bench()
    async with bench:
        with pytest.raises(SupervisorClosed):
            await bench.supervisor.start()
    await bench.supervisor.aclose()
    with pytest.raises(SupervisorClosed):
        await bench.supervisor.start()


async def test_one_log_line_a_transition(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "holdfast.lifecycle")
    async with Bench() as bench:
        await bench.serve("v1", "r1")
        bench.registry.reload("als")
        await bench.fail_load(CorruptArtifact("bad"), "r2")
        records = [record for record in caplog.records if hasattr(record, "phase")]
        assert len(records) == bench.entry().transitions
        published = next(record for record in records if record.__dict__["action"] == "published")
        shown = {name: published.__dict__[name] for name in ("model", "attempt", "revision", "phase", "from_phase", "cause")}
        assert shown == {"model": "als", "attempt": 1, "revision": "r1", "phase": "live", "from_phase": "verifying", "cause": "v1"}
        assert records[-1].levelno == logging.ERROR
