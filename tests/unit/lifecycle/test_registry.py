"""Leases, waiting and subscriptions, over a supervisor whose loader the test answers."""

from __future__ import annotations

import asyncio
import pickle

import pytest

from config.schema import ModelSettings
from loaders.errors import CorruptArtifact, SourceUnavailable
from service.lifecycle.errors import NoEarlierVersion, SupervisorClosed
from service.lifecycle.registry import NotReady, UnknownModel
from service.lifecycle.state import Phase
from service.lifecycle.versions import KeptVersions
from tests.unit.lifecycle.fakes import Bench, FakeArtifact, settle

ON_DEMAND = ModelSettings("als", source="/als.pkl", load="on_demand")


async def test_a_lease_tells_what_it_holds() -> None:
    async with Bench() as bench:
        await bench.serve("v1", "r1")
        with bench.registry.acquire("als") as lease:
            assert (lease.model, lease.version, lease.revision, lease.family, lease.scorer) == ("als", "v1", "r1", "factors", "scorer")
            assert repr(lease) == "<Lease als v1 open>"
        assert repr(lease) == "<Lease als v1 closed>"
        with pytest.raises(RuntimeError, match="closed"):
            _ = lease.scorer


async def test_closing_a_lease_twice_gives_back_one_hold() -> None:
    async with Bench() as bench:
        old = await bench.serve("v1", "r1")
        first, second = bench.registry.acquire("als"), bench.registry.acquire("als")
        first.close()
        first.close()
        bench.registry.reload("als")
        await bench.serve("v2", "r2")
        assert old.closed == 0
        second.close()
        await settle()
        assert old.closed == 1


async def test_unknown_names_are_refused_everywhere() -> None:
    async with Bench() as bench:
        registry = bench.registry
        for call in (
            registry.acquire,
            registry.view,
            registry.load,
            registry.unload,
            registry.reload,
        ):
            with pytest.raises(UnknownModel, match="no model is named 'nope'"):
                call("nope")
        for wait in (
            registry.wait_ready("nope", 1.0),
            registry.wait_settled("nope", 1.0),
            registry.clear("nope"),
            registry.versions("nope"),
            registry.rollback("nope"),
            registry.activate("nope", "v1"),
            registry.unpin("nope"),
        ):
            with pytest.raises(UnknownModel):
                await wait


async def test_not_ready_carries_the_view() -> None:
    async with Bench() as bench:
        with pytest.raises(NotReady) as caught:
            bench.registry.acquire("als")
        assert caught.value.view.status == "loading" and caught.value.view.name == "als"


async def test_the_first_request_starts_a_model_on_demand() -> None:
    async with Bench(ON_DEMAND) as bench:
        await settle()
        assert bench.status() == "not_started" and bench.loader.log == []
        with pytest.raises(NotReady):
            bench.registry.acquire("als", demand=False)
        assert bench.status() == "not_started"
        with pytest.raises(NotReady) as caught:
            bench.registry.acquire("als")
        assert caught.value.view.status == "loading"
        await bench.serve()
        bench.registry.acquire("als").close()


async def test_wait_ready_waits_it_out() -> None:
    async with Bench() as bench:
        waiting = asyncio.ensure_future(bench.registry.wait_ready("als", 10.0))
        await bench.serve()
        assert await waiting is True
        assert await bench.registry.wait_ready("als", 0.0) is True


async def test_wait_ready_gives_up_at_once_when_it_is_hopeless() -> None:
    async with Bench() as bench:
        waiting = asyncio.ensure_future(bench.registry.wait_ready("als", 3600.0))
        await bench.fail_load(CorruptArtifact("bad"))
        assert await waiting is False
        bench.registry.load("als")
        waiting = asyncio.ensure_future(bench.registry.wait_ready("als", 3600.0))
        await settle()
        bench.registry.unload("als")
        assert await waiting is False


async def test_wait_ready_outlives_a_failure_that_is_retried() -> None:
    async with Bench() as bench:
        waiting = asyncio.ensure_future(bench.registry.wait_ready("als", 3600.0))
        await bench.fail_fetch(SourceUnavailable("refused"))
        assert not waiting.done()
        await bench.clock.advance(1.0)
        await bench.serve()
        assert await waiting is True


async def test_wait_ready_ends_with_its_time() -> None:
    async with Bench() as bench:
        assert await bench.registry.wait_ready("als", 0.01) is False


async def test_wait_settled_covers_a_remembered_reload() -> None:
    async with Bench() as bench:
        fetch = await bench.loader.next_fetch()
        bench.registry.reload("als")
        waiting = asyncio.ensure_future(bench.registry.wait_settled("als", 3600.0))
        fetch.finish(FakeArtifact("r1"))
        await bench.finish_load("v1", "r1")
        assert not waiting.done()
        await bench.serve("v2", "r2")
        view = await waiting
        assert view.loaded is not None and view.loaded.version == "v2"


async def test_wait_settled_ends_with_a_failure_and_with_its_time() -> None:
    async with Bench() as bench:
        assert (await bench.registry.wait_settled("als", 0.01)).status == "loading"
        await bench.fail_fetch(SourceUnavailable("refused"))
        assert (await bench.registry.wait_settled("als", 3600.0)).status == "error"


async def test_reload_all_leaves_alone_what_was_not_begun_or_is_unloaded() -> None:
    models = [ModelSettings("a"), ModelSettings("b"), ModelSettings("c", load="on_demand")]
    async with Bench(*models) as bench:
        await bench.serve(name="a")
        await bench.serve(name="b")
        bench.registry.unload("b")
        bench.registry.reload_all()
        fetch = await bench.loader.next_fetch()
        assert (fetch.model, fetch.known) == ("a", None)
        assert [bench.status(name) for name in "abc"] == ["ready", "unloaded", "not_started"]


async def test_the_version_that_serves_is_the_one_that_is_kept() -> None:
    async with Bench() as bench:
        assert await bench.registry.versions("als") == KeptVersions("als")
        await bench.serve("v1", "r1")
        bench.registry.reload("als")
        await bench.serve("v2", "r2")
        kept = await bench.registry.versions("als")
        assert (kept.model, kept.live, kept.pinned, [each.version for each in kept.versions]) == ("als", "v2", None, ["v2"])
        facts = bench.registry.view("als").loaded
        assert [each.facts for each in kept.versions] == [facts]
        bench.registry.unload("als")
        assert (await bench.registry.versions("als")).versions == ()


async def test_there_is_no_version_to_go_back_to() -> None:
    async with Bench() as bench:
        await bench.serve("v1", "r1")
        for command in (bench.registry.rollback("als"), bench.registry.activate("als", "v1"), bench.registry.unpin("als")):
            with pytest.raises(NoEarlierVersion, match="no version of als before the one that serves") as caught:
                await command
        assert caught.value.model == "als"
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
        assert bench.status() == "ready"


async def test_clear_is_the_loaders() -> None:
    async with Bench() as bench:
        assert await bench.registry.clear("als") == await bench.registry.clear() == 7
        assert bench.loader.cleared == ["als", None]


async def test_snapshot_keeps_the_order_of_the_configuration() -> None:
    async with Bench(ModelSettings("z"), ModelSettings("a")) as bench:
        assert [view.name for view in bench.registry.snapshot()] == ["z", "a"]
        assert repr(bench.registry) == "<LocalRegistry z=loading a=loading>"


async def test_a_subscription_gives_the_newest_view_and_stays_small() -> None:
    async with Bench() as bench:
        async with bench.registry.subscribe() as changes:
            fetch = await bench.loader.next_fetch()
            for done in range(1, 100):
                fetch.on_progress(done, 100)
            fetch.on_progress(100, 100)
            assert repr(changes) == "<Subscription open pending=1>"
            view = await anext(changes)
            assert view.entry.attempt is not None and view.entry.attempt.bytes_done == 100
            fetch.finish(FakeArtifact("r1"))
            assert (await anext(changes)).entry.attempt is not None
        with pytest.raises(StopAsyncIteration):
            await anext(changes)


async def test_closing_ends_subscriptions() -> None:
    async with Bench() as bench:
        changes = bench.registry.subscribe()
        seen = asyncio.ensure_future(_phases(changes))
    assert "released" in await seen


async def _phases(changes: object) -> list[str]:
    return [view.entry.story[-1].to async for view in changes]  # type: ignore[attr-defined]


async def test_commands_need_a_supervisor_that_runs() -> None:
    bench = Bench(ON_DEMAND)
    with pytest.raises(SupervisorClosed):
        bench.registry.load("als")
    with pytest.raises(NotReady):
        bench.registry.acquire("als")
    async with bench:
        pass
    with pytest.raises(SupervisorClosed):
        bench.registry.reload("als")
    with pytest.raises(NotReady):
        bench.registry.acquire("als")
    assert bench.entry().attempt is None and bench.status() == "unloaded"


async def test_no_reader_sees_a_mixture() -> None:
    """Whenever anybody is told of a change, the version held is the version the entry names."""
    async with Bench() as bench:
        mixtures: list[str] = []

        def look(name: str) -> None:
            current = bench.registry.current(name)
            live, held = current.entry.live, current.held
            if (live.version if live else None) != (held.facts.version if held else None):
                mixtures.append(repr(current))

        changes = bench.registry.subscribe()
        changes.put = look  # type: ignore[method-assign, assignment]
        await bench.serve("v1", "r1")
        bench.registry.reload("als")
        await bench.serve("v2", "r2")
        bench.registry.unload("als")
        assert mixtures == [] and bench.entry().story[-1].to == Phase.DRAINING
