"""A model made of others is ready only while they are, and says which one it waits for; a lease on it holds them.

Does not cover: what it answers (`tests/unit/models/test_hybrid.py`), over HTTP (`tests/acceptance/test_hybrid.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from config.schema import ModelSettings
from loaders.errors import CorruptArtifact, SourceUnavailable
from service.lifecycle.parts import Part, effective_entry
from service.lifecycle.policy import retry_after_s, status_of
from service.lifecycle.registry import NotReady
from service.lifecycle.state import Attempt, Cause, Entry, Failure, Live, Phase, Status
from tests.unit.lifecycle.entries import NOW, entry_in
from tests.unit.lifecycle.fakes import DEADLINE_S, Bench, FakeArtifact, FakeLoaded, settle

T = TypeVar("T")
PARTS = {"content": "texts", "collaborative": "als"}


# -- the overlay ----------------------------------------------------------------------------------------------------------


def live_entry(name: str = "mix", **other: Any) -> Entry:
    return Entry(name, live=Live("v1", "r1", NOW), attempts_begun=3, **other)


def seen(*parts: Part, own: Entry | None = None) -> Entry:
    return effective_entry(own or live_entry(), parts)


def part(entry: Entry | None, role: str = "content", name: str = "texts", unfit: str | None = None) -> Part:
    return Part(role, name, entry, unfit)


FAILED = Entry("texts", failure=Failure("corrupt_artifact", "truncated", False, 1, NOW))
WAITING = Entry("texts", failure=Failure("source_unavailable", "refused", True, 4, NOW, next_attempt_at=NOW + 8))
OTHER = part(live_entry("als"), "collaborative", "als")


def test_with_all_parts_live_it_is_its_own_entry() -> None:
    own = live_entry(failure=Failure("source_unavailable", "refused", True, 1, NOW))
    assert seen(part(live_entry("texts")), OTHER, own=own) is own


@pytest.mark.parametrize("phase", [Phase.QUEUED, Phase.DOWNLOADING, Phase.FAILED, Phase.RELEASED, Phase.NOT_STARTED])
def test_while_it_is_not_live_itself_its_parts_do_not_matter(phase: Phase) -> None:
    own = entry_in(phase)
    assert seen(part(FAILED), OTHER, own=own) is own


def test_it_waits_for_a_part_in_that_part_s_phase() -> None:
    attempt = Attempt(9, Phase.DOWNLOADING, Cause.START, NOW, bytes_done=40, bytes_total=100, progress=0.4)
    entry = seen(part(Entry("texts", attempt=attempt)), OTHER)
    assert status_of(entry) is Status.LOADING and entry.attempt is not None
    assert entry.attempt.reason == "waits for part content (texts): downloading"
    assert replace(entry.attempt, id=9, reason=None) == attempt and entry.attempt.id == 3
    queued = seen(part(Entry("texts", attempt=replace(attempt, phase=Phase.QUEUED, reason="waiting for memory"))), OTHER)
    assert queued.attempt is not None and queued.attempt.reason == "waits for part content (texts): queued, waiting for memory"
    idle = seen(part(Entry("texts", on_demand=True)), OTHER)
    assert idle.attempt is not None and idle.attempt.reason == "waits for part content (texts): not started"


def test_a_failed_part_is_a_failure_that_names_it() -> None:
    entry = seen(part(FAILED), OTHER)
    assert status_of(entry) is Status.ERROR and entry.failure is not None and retry_after_s(entry, NOW) is None
    assert (entry.failure.type, entry.failure.retryable) == ("part_unavailable", False)
    assert entry.failure.message == "part content (texts) failed: corrupt_artifact: truncated"
    again = seen(part(WAITING), OTHER)
    assert again.failure is not None and again.failure.retryable and again.failure.attempts == 4
    assert retry_after_s(again, NOW) == 8


def test_a_part_that_tries_again_is_waited_for() -> None:
    entry = seen(part(replace(WAITING, attempt=Attempt(5, Phase.QUEUED, Cause.RETRY, NOW))), OTHER)
    assert status_of(entry) is Status.LOADING and entry.failure is None


def test_what_waiting_cannot_mend_is_told_first() -> None:
    waiting = part(WAITING)
    hopeless = part(replace(FAILED, name="als"), "collaborative", "als")
    loading = part(entry_in(Phase.LOADING))
    for parts in ((waiting, hopeless), (loading, hopeless), (hopeless, loading)):
        failure = seen(*parts).failure
        assert failure is not None and failure.message.startswith("part collaborative (als) failed")
    assert status_of(seen(loading, part(WAITING, "collaborative", "als"))) is Status.ERROR


def test_unloaded_unknown_and_unfit_parts_are_failures() -> None:
    told = {
        "part content (texts) was unloaded: load it": part(entry_in(Phase.RELEASED)),
        "part content (texts): no model of this name is configured": part(None),
        "part content (texts) is a trees model": part(live_entry("texts"), unfit="is a trees model"),
    }
    for message, one in told.items():
        entry = seen(one, OTHER)
        assert entry.failure is not None and entry.failure.message == message and not entry.failure.retryable


def test_a_reload_of_its_own_does_not_hide_a_failed_part() -> None:
    own = live_entry(attempt=Attempt(3, Phase.LOADING, Cause.RELOAD, NOW))
    assert status_of(seen(part(FAILED), OTHER, own=own)) is Status.ERROR


# -- in the registry ------------------------------------------------------------------------------------------------------


def models(**different: Any) -> list[ModelSettings]:
    return [ModelSettings("mix"), ModelSettings("texts", **different), ModelSettings("als")]


async def serve(
    bench: Bench, name: str, version: str = "v1", parts: dict[str, str] | None = None, *, kind: str = "recommender"
) -> FakeLoaded:
    """Let the attempt of a model bring a version."""
    fetch = await bench.loader.next_fetch(name)
    fetch.finish(FakeArtifact(version))
    load = await bench.loader.next_load()
    assert load.model == name
    loaded = FakeLoaded(version, version, scorer=SimpleNamespace(kind=kind, of=f"{name} {version}"), parts=parts or {})
    load.finish(loaded)
    await settle()
    return loaded


async def soon(awaited: Awaitable[T]) -> T:
    """What is awaited, which must not take real time."""
    return await asyncio.wait_for(awaited, DEADLINE_S)


async def fail(bench: Bench, name: str, error: Exception) -> None:
    fetch = await bench.loader.next_fetch(name)
    fetch.fail(error)
    await settle()


def reason(bench: Bench) -> str | None:
    attempt = bench.entry("mix").attempt
    return None if attempt is None else attempt.reason


async def test_it_is_ready_when_its_parts_are_and_says_what_it_waits_for() -> None:
    async with Bench(*models()) as bench:
        await serve(bench, "mix", parts=PARTS)
        assert (bench.status("mix"), bench.status("texts")) == ("loading", "loading")
        assert reason(bench) == "waits for part content (texts): downloading"
        with pytest.raises(NotReady) as caught:
            bench.registry.acquire("mix")
        assert caught.value.view.entry == bench.entry("mix") and caught.value.view.status == "loading"
        await serve(bench, "texts")
        assert reason(bench) == "waits for part collaborative (als): downloading"
        assert repr(bench.registry) == "<LocalRegistry mix=loading texts=ready als=loading>"
        await serve(bench, "als")
        assert bench.status("mix") == "ready" and bench.entry("mix").live is not None
        assert {view.name: view.status for view in bench.registry.snapshot()} == dict.fromkeys(("mix", "texts", "als"), "ready")


async def test_a_lease_holds_the_parts_as_they_were_until_it_is_closed() -> None:
    async with Bench(*models()) as bench:
        await serve(bench, "mix", parts=PARTS)
        old = await serve(bench, "texts")
        await serve(bench, "als")
        with bench.registry.acquire("mix") as lease:
            assert {role: held.scorer.of for role, held in lease.parts.items()} == {"content": "texts v1", "collaborative": "als v1"}
            bench.registry.reload("texts")
            await serve(bench, "texts", "v2")
            assert lease.parts["content"].scorer.of == "texts v1" and old.closed == 0
            with bench.registry.acquire("mix") as newer:
                assert newer.parts["content"].scorer.of == "texts v2"
        lease.close()
        await settle()
        assert old.closed == 1
        with pytest.raises(RuntimeError):
            _ = lease.parts["content"].scorer
        with bench.registry.acquire("texts") as alone:
            assert alone.parts == {}


async def test_a_failed_part_fails_it_and_mending_the_part_mends_it() -> None:
    async with Bench(*models()) as bench:
        await serve(bench, "mix", parts=PARTS)
        await serve(bench, "als")
        await fail(bench, "texts", SourceUnavailable("refused"))
        failure = bench.entry("mix").failure
        assert bench.status("mix") == "error" and failure is not None
        theirs = bench.entry("texts").failure
        assert theirs is not None
        assert (failure.type, failure.retryable, failure.next_attempt_at) == ("part_unavailable", True, theirs.next_attempt_at)
        assert failure.message == "part content (texts) failed: source_unavailable: refused"
        await bench.clock.advance(1.0)
        assert bench.status("mix") == "loading"
        await fail(bench, "texts", CorruptArtifact("bad"))
        assert bench.status("mix") == "error"
        bench.registry.load("texts")
        await serve(bench, "texts")
        assert bench.status("mix") == "ready" and bench.entry("mix").failure is None


async def test_an_unloaded_part_makes_it_unready_and_loading_it_again_ready() -> None:
    async with Bench(*models()) as bench:
        for name, parts in {"mix": PARTS, "texts": None, "als": None}.items():
            await serve(bench, name, parts=parts)
        bench.registry.unload("als")
        failure = bench.entry("mix").failure
        assert failure is not None and failure.message == "part collaborative (als) was unloaded: load it"
        with pytest.raises(NotReady):
            bench.registry.acquire("mix")
        assert bench.status("als") == "unloaded"
        bench.registry.load("als")
        assert reason(bench) == "waits for part collaborative (als): queued"
        await serve(bench, "als")
        bench.registry.acquire("mix").close()


async def test_those_who_wait_are_woken_by_its_parts() -> None:
    async with Bench(*models()) as bench:
        await serve(bench, "mix", parts=PARTS)
        ready = asyncio.ensure_future(bench.registry.wait_ready("mix", 3600.0))
        settled = asyncio.ensure_future(bench.registry.wait_settled("mix", 3600.0))
        await serve(bench, "als")
        assert not ready.done() and not settled.done()
        await serve(bench, "texts")
        assert await soon(ready) is True and (await soon(settled)).status == "ready"
        bench.registry.unload("texts")
        assert await soon(bench.registry.wait_ready("mix", 3600.0)) is False


async def test_waiting_is_in_vain_once_a_part_has_failed_for_good() -> None:
    async with Bench(*models()) as bench:
        await serve(bench, "mix", parts=PARTS)
        await serve(bench, "als")
        waiting = asyncio.ensure_future(bench.registry.wait_ready("mix", 3600.0))
        await fail(bench, "texts", CorruptArtifact("bad"))
        assert await soon(waiting) is False
        view = await soon(bench.registry.wait_settled("mix", 3600.0))
        assert view.status == "error"


async def test_its_own_reload_is_waited_for_also_beside_a_failed_part() -> None:
    async with Bench(*models()) as bench:
        await serve(bench, "mix", parts=PARTS)
        await serve(bench, "als")
        await fail(bench, "texts", CorruptArtifact("bad"))
        bench.registry.reload("mix")
        waiting = asyncio.ensure_future(bench.registry.wait_settled("mix", 3600.0))
        await settle()
        assert not waiting.done()
        await serve(bench, "mix", "v2", PARTS)
        assert (await soon(waiting)).entry.failure is not None


async def test_subscribers_hear_of_it_when_a_part_changes() -> None:
    async with Bench(*models()) as bench:
        await serve(bench, "mix", parts=PARTS)
        await serve(bench, "als")
        async with bench.registry.subscribe() as changes:
            fetch = await bench.loader.next_fetch("texts")
            fetch.on_progress(30, 100)
            told = {view.name: view for view in [await soon(anext(changes)), await soon(anext(changes))]}
            attempt = told["mix"].entry.attempt
            assert attempt is not None and (attempt.bytes_done, attempt.bytes_total) == (30, 100)
            fetch.finish(FakeArtifact("r1"))


async def test_parts_on_demand_are_started_with_the_model_that_needs_them() -> None:
    async with Bench(*models(load="on_demand")) as bench:
        await settle()
        assert bench.status("texts") == "not_started"
        await serve(bench, "mix", parts=PARTS)
        await serve(bench, "texts")
        await serve(bench, "als")
        assert bench.status("mix") == "ready"


async def test_a_request_starts_it_and_its_parts() -> None:
    on_demand = [ModelSettings(name, load="on_demand") for name in ("mix", "texts", "als")]
    async with Bench(*on_demand) as bench:
        with pytest.raises(NotReady):
            bench.registry.acquire("mix")
        assert bench.status("texts") == "not_started"
        await serve(bench, "mix", parts=PARTS)
        assert [bench.status(name) for name in ("mix", "texts", "als")] == ["loading"] * 3


async def test_a_part_that_cannot_play_its_role_is_said_to() -> None:
    async with Bench(*models()) as bench:
        await serve(bench, "mix", parts=PARTS)
        await serve(bench, "als")
        await serve(bench, "texts", kind="estimator")
        failure = bench.entry("mix").failure
        assert failure is not None and "which recommends nothing" in failure.message
        bench.registry.reload("texts")
        await serve(bench, "texts", "v2", {"content": "als", "collaborative": "mix"})
        failure = bench.entry("mix").failure
        assert failure is not None and "cannot have parts" in failure.message
        bench.registry.reload("mix")
        await serve(bench, "mix", "v2", {"content": "nobody", "collaborative": "als"})
        failure = bench.entry("mix").failure
        assert failure is not None and "part content (nobody): no model of this name" in failure.message
