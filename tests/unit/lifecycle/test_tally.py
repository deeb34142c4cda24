"""The numbers of a model's life: what is counted, and that nothing of it is lost between two looks at the model."""

from __future__ import annotations

from typing import Any

from loaders.errors import CorruptArtifact, SourceUnavailable
from service.lifecycle.tally import Tally
from tests.unit.lifecycle.fakes import Bench, FakeArtifact, FakeLoaded, settle


def told(call: Any, *reports: tuple[int, int | None]) -> None:
    for done, total in reports:
        call.on_progress(done, total)


async def test_bytes_of_a_resumed_download_are_those_that_came_now() -> None:
    async with Bench() as bench:
        fetch = await bench.loader.next_fetch()
        told(fetch, (400, 1000), (1000, 1000))
        assert bench.entry().tally.received_bytes == 600


async def test_bytes_that_came_just_before_the_end_of_an_attempt_are_counted() -> None:
    """Without a word in between: the last ones are held back, and nobody looks at the model before the attempt is over."""
    async with Bench() as bench:
        fetch = await bench.loader.next_fetch()
        told(fetch, (0, 1000), (300, 1000), (700, 1000))
        fetch.fail(SourceUnavailable("cut"))
        await settle()
        assert bench.entry().attempt is None
        assert bench.entry().tally == Tally(received_bytes=700, failures={"source_unavailable": 1})


async def test_a_download_that_begins_anew_within_an_attempt_adds_up() -> None:
    async with Bench() as bench:
        fetch = await bench.loader.next_fetch()
        told(fetch, (0, None), (500, 500), (0, None), (900, 900))
        assert bench.entry().tally.received_bytes == 1400


async def test_what_was_there_already_was_not_received() -> None:
    async with Bench() as bench:
        fetch = await bench.loader.next_fetch()
        told(fetch, (1000, 1000))
        fetch.finish(FakeArtifact("r1", 1000))
        await bench.finish_load("v1", "r1")
        assert bench.entry().tally == Tally(loads=1)


async def test_retries_and_failures_are_counted_by_type_over_reloads() -> None:
    async with Bench() as bench:
        await bench.fail_fetch(SourceUnavailable("refused"))
        await bench.clock.advance(10)
        await bench.fail_fetch(SourceUnavailable("refused"))
        await bench.clock.advance(10)
        await bench.serve()
        bench.registry.reload("als", force=True)
        await bench.fail_load(CorruptArtifact("bad"), "r2")
        bench.registry.reload("als", force=True)
        await bench.serve("v3", "r3")
        expected = Tally(retries=2, loads=2, failures={"source_unavailable": 2, "corrupt_artifact": 1})
        assert bench.entry().tally == expected


async def test_a_death_is_a_failure_and_a_kept_version_no_load() -> None:
    bench = Bench()
    kept = FakeLoaded("v1", "r1")
    bench.loader.kept["als"] = kept
    async with bench:
        await settle()
        assert kept.tell_death is not None
        kept.tell_death("child_crashed", "killed")
        await settle()
        assert bench.entry().tally == Tally(restores=1, failures={"child_crashed": 1})
