"""Models that are trained here: falling back, withdrawing, the canary, switching versions, with all but the supervisor fake."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from config.schema import ModelSettings
from loaders.errors import (
    CanaryFailed,
    ChildCrashed,
    CorruptArtifact,
    MemoryCapExceeded,
    SourceNotFound,
    SourceUnavailable,
    TrainingFailed,
    TrainingRefused,
)
from service.lifecycle.errors import ArchiveUnavailable, NoEarlierVersion, UnknownVersion
from service.lifecycle.state import Phase
from tests.support import wait_until
from tests.unit.lifecycle.fakes import Bench, FakeArtifact, FakeLoaded, settle

V1, V2, V3 = (f"2026112{day}T101500-3fa9c1" for day in (1, 2, 3))
TRAINED = ModelSettings("als", source="training:als", fallback="training:als", watch=True)
ELSEWHERE = ModelSettings("als", source="s3://b/als.pkl", fallback="training:backup")
NOTHING = SourceNotFound("als has published nothing yet")


async def fail_fetch(bench: Bench, error: Exception, source: str | None = None) -> None:
    fetch = await bench.loader.next_fetch()
    assert source is None or fetch.source == source
    fetch.fail(error)
    await settle()


async def serve(bench: Bench, version: str, source: str | None = None) -> FakeLoaded:
    fetch = await bench.loader.next_fetch()
    assert source is None or fetch.source == source
    fetch.finish(FakeArtifact(f"training:{version}"))
    return await bench.finish_load(version, f"training:{version}")


async def fail_load(bench: Bench, version: str, error: Exception) -> None:
    fetch = await bench.loader.next_fetch()
    fetch.finish(FakeArtifact(f"training:{version}"))
    (await bench.loader.next_load()).fail(error)
    await settle()


def events(bench: Bench) -> list[str]:
    return [line.event for line in bench.entry().story]


def shown(bench: Bench) -> dict[str, object]:
    return bench.registry.view("als").to_json(bench.clock.now)


async def test_nothing_published_is_trained_at_the_start() -> None:
    async with Bench(TRAINED) as bench:
        await fail_fetch(bench, NOTHING)
        run = await bench.trainer.next_call()
        assert (run.model, run.because, bench.status()) == ("als", "nothing had been published yet", "loading")
        assert shown(bench)["reason"] == "training als, because nothing had been published yet"
        assert (shown(bench)["failure"], bench.entry().tally.failures) == (None, {}), "nothing has failed"
        run.on_progress(0.5, "fitting: epoch 3 of 6")
        run.on_progress(0.25, "fitting: the next")
        told = shown(bench)
        assert (told["phase"], told["progress"]) == ("training", 0.5)
        assert told["reason"] == "training als (fitting: the next), because nothing had been published yet"
        run.on_progress(None, "evaluating")
        assert shown(bench)["progress"] == 0.5
        run.finish()
        await serve(bench, V1)
        told = shown(bench)
        assert (told["status"], told["stale"], told["failure"], told["version"]) == ("ready", False, None, V1)
        assert told["load"] == {"seconds": 0.5}
        assert bench.clock.pending() == []


async def test_a_source_that_is_gone_gives_way_to_what_is_published() -> None:
    async with Bench(ELSEWHERE) as bench:
        await fail_fetch(bench, SourceNotFound("no such key"), "s3://b/als.pkl")
        await serve(bench, V1, "training:backup")
        told = shown(bench)
        assert (told["status"], told["stale"], told["source"], told["version"]) == ("ready", True, "s3://b/als.pkl", V1)
        because = {"type": "source_not_found", "message": "no such key"}
        assert told["load"] == {"seconds": 0.5, "fallback": {"source": "training:backup", "because": because}}
        assert bench.trainer.calls.empty()
        assert bench.clock.pending() == [300.0], "the source is asked again"
        await bench.clock.advance(300.0)
        await bench.serve("from-the-source", "etag:1")
        told = shown(bench)
        assert (told["stale"], told["failure"], told["version"], told["load"]) == (False, None, "from-the-source", {"seconds": 0.5})
        assert bench.clock.pending() == []


async def test_nothing_published_either_is_trained_because_the_source_failed() -> None:
    async with Bench(ELSEWHERE) as bench:
        await bench.fail_load(CorruptArtifact("cut short"))
        await fail_fetch(bench, NOTHING, "training:backup")
        run = await bench.trainer.next_call()
        assert run.model == "backup"
        assert shown(bench)["reason"] == "training backup, because the source failed: corrupt_artifact: cut short"
        assert shown(bench)["bytes_total"] is None, "nobody is told of the download that was in vain"
        run.finish()
        await serve(bench, V1, "training:backup")
        told = shown(bench)
        assert (told["status"], told["stale"]) == ("ready", True)
        assert bench.clock.pending() == [], "the revision is rejected: a poll, a watch or an operator brings another"
        bench.registry.reload("als")
        fetch = await bench.loader.next_fetch()
        assert (fetch.source, fetch.known) == ("s3://b/als.pkl", None)
        fetch.finish(FakeArtifact("r2"))
        await bench.finish_load("v2", "r2")
        assert bench.entry().failure is None


@pytest.mark.parametrize("error", [MemoryCapExceeded("too large"), ChildCrashed("once"), SourceUnavailable("down")], ids=lambda e: e.type)
async def test_what_passes_or_is_the_operators_limit_is_not_fallen_back_from(error: Exception) -> None:
    async with Bench(ELSEWHERE) as bench:
        await bench.fail_load(error)
        assert bench.status() == "error" and bench.loader.fetches.empty() and bench.trainer.calls.empty()


async def test_a_crashing_artifact_is_fallen_back_from_after_its_tries() -> None:
    async with Bench(ELSEWHERE) as bench:
        for delay_s in (1.0, 2.0):
            await bench.fail_load(ChildCrashed("died"))
            await bench.clock.advance(delay_s)
        await bench.fail_load(ChildCrashed("died"))
        await serve(bench, V1, "training:backup")
        failure = bench.entry().failure
        assert bench.status() == "ready" and failure is not None and (failure.type, failure.attempts) == ("child_crashed", 3)


async def test_a_failed_training_is_tried_slowly_again() -> None:
    async with Bench(TRAINED) as bench:
        await fail_fetch(bench, NOTHING)
        (await bench.trainer.next_call()).fail(TrainingFailed("no database"))
        await settle()
        assert (bench.status(), bench.clock.pending()) == ("error", [300.0])
        await bench.clock.advance(300.0)
        await fail_fetch(bench, NOTHING)
        (await bench.trainer.next_call()).finish()
        await serve(bench, V1)
        assert bench.entry().failure is None


async def test_a_refused_training_waits_for_something_published() -> None:
    async with Bench(TRAINED) as bench:
        await fail_fetch(bench, NOTHING)
        (await bench.trainer.next_call()).fail(TrainingRefused("ndcg@10 0.01 is less than 0.05"))
        await settle()
        failure = bench.entry().failure
        assert failure is not None and (failure.type, failure.retryable) == ("training_refused", False)
        assert bench.clock.pending() == []
        bench.registry.source_changed("als")
        await serve(bench, V1)
        assert (bench.status(), bench.entry().failure) == ("ready", None)


async def test_a_source_behind_a_refused_training_is_asked_again_but_nothing_trained() -> None:
    async with Bench(ELSEWHERE) as bench:
        await fail_fetch(bench, SourceNotFound("no such key"))
        await fail_fetch(bench, NOTHING)
        (await bench.trainer.next_call()).fail(TrainingRefused("0.01 is less than 0.05"))
        await settle()
        for _ in range(2):
            failure = bench.entry().failure
            assert failure is not None and (failure.type, failure.retryable) == ("training_refused", True)
            assert bench.clock.pending() == [300.0]
            await bench.clock.advance(300.0)
            await fail_fetch(bench, SourceNotFound("no such key"))
            await fail_fetch(bench, NOTHING)
            assert bench.trainer.calls.empty()
        bench.registry.reload("als")
        await fail_fetch(bench, SourceNotFound("no such key"))
        await fail_fetch(bench, NOTHING)
        (await bench.trainer.next_call()).finish()
        await serve(bench, V1, "training:backup")
        assert bench.status() == "ready"


async def test_a_new_version_of_the_fallback_is_taken_while_it_serves() -> None:
    bench = Bench(ELSEWHERE)
    touches = bench.loader.touch("training:backup")
    async with bench:
        await fail_fetch(bench, SourceNotFound("no such key"))
        await serve(bench, V1, "training:backup")
        touches.put_nowait(None)
        await fail_fetch(bench, SourceNotFound("no such key"), "s3://b/als.pkl")
        fetch = await bench.loader.next_fetch()
        assert (fetch.source, fetch.known) == ("training:backup", f"training:{V1}")
        fetch.finish(FakeArtifact(f"training:{V2}"))
        await bench.finish_load(V2, f"training:{V2}")
        assert (shown(bench)["version"], shown(bench)["stale"]) == (V2, True)
        assert bench.clock.pending() == [300.0]


async def test_the_fallback_is_no_news_to_a_model_that_serves_from_its_source() -> None:
    bench = Bench(ELSEWHERE)
    touches = bench.loader.touch("training:backup")
    async with bench:
        await bench.serve("v1", "etag:1")
        touches.put_nowait(None)
        await settle()
        assert bench.entry().attempt is None and bench.loader.fetches.empty()


async def test_an_unchanged_fallback_is_not_loaded_again() -> None:
    async with Bench(ELSEWHERE) as bench:
        await fail_fetch(bench, SourceNotFound("no such key"))
        await serve(bench, V1, "training:backup")
        await bench.clock.advance(300.0)
        await fail_fetch(bench, SourceNotFound("still none"), "s3://b/als.pkl")
        fetch = await bench.loader.next_fetch()
        assert fetch.known == f"training:{V1}"
        fetch.finish(None)
        await settle()
        failure = bench.entry().failure
        assert bench.status() == "ready" and failure is not None and failure.message == "still none"
        assert bench.clock.pending() == [300.0]


async def test_a_kept_version_of_the_fallback_serves_at_once() -> None:
    bench = Bench(ELSEWHERE)
    bench.loader.kept_of_trainings["als"] = FakeLoaded(V1, f"training:{V1}")
    async with bench:
        fetch = await bench.loader.next_fetch()
        told = shown(bench)
        assert (told["status"], told["stale"]) == ("ready", False)
        assert told["load"] == {"seconds": 0.5, "fallback": {"source": "training:backup", "because": None}}
        assert (fetch.source, fetch.known) == ("s3://b/als.pkl", None)
        fetch.finish(FakeArtifact("etag:1"))
        await bench.finish_load("v1", "etag:1")
        assert shown(bench)["version"] == "v1"


async def test_a_kept_version_that_was_withdrawn_is_not_brought_back() -> None:
    bench = Bench(TRAINED, published=(V2, V1))
    bench.archive.withdrawn[V2] = {"at": 0.0, "type": "canary_failed", "message": "m"}
    kept = bench.loader.kept_of_trainings["als"] = FakeLoaded(V2, f"training:{V2}")
    async with bench:
        await serve(bench, V1)
        assert kept.closed == 1 and shown(bench)["version"] == V1


# -- withdrawing ----------------------------------------------------------------------------------------------------------


async def test_a_new_version_that_cannot_be_loaded_is_withdrawn_and_what_serves_goes_on() -> None:
    async with Bench(TRAINED, published=(V1,)) as bench:
        old = await serve(bench, V1)
        bench.archive.publish(V2)
        bench.registry.source_changed("als")
        await fail_load(bench, V2, CorruptArtifact("bit-flipped"))
        assert bench.archive.commands == [("withdraw", "als", V2, "corrupt_artifact", V1)]
        assert bench.archive.current == V1
        (await bench.loader.next_fetch()).finish(FakeArtifact(f"training:{V1}"))
        await settle()
        told = shown(bench)
        assert (told["status"], told["stale"], told["version"], old.closed) == ("ready", True, V1, 0)
        assert told["failure"]["type"] == "corrupt_artifact"  # type: ignore[index]
        assert "withdrawn" in events(bench)
        bench.registry.source_changed("als")
        (await bench.loader.next_fetch()).finish(FakeArtifact(f"training:{V1}"))
        await settle()
        assert shown(bench)["stale"], "that the pointer was switched back does not make all well"
        bench.archive.publish(V3)
        bench.registry.source_changed("als")
        await serve(bench, V3)
        assert (shown(bench)["stale"], shown(bench)["version"]) == (False, V3)


async def test_with_nothing_to_serve_the_version_before_is_loaded_in_the_same_attempt(caplog: pytest.LogCaptureFixture) -> None:
    async with Bench(TRAINED, published=(V2, V1)) as bench:
        with caplog.at_level(logging.INFO, "holdfast.lifecycle"):
            await fail_load(bench, V2, CorruptArtifact("bit-flipped"))
        assert (bench.status(), bench.archive.commands) == ("loading", [("withdraw", "als", V2, "corrupt_artifact", None)])
        (line,) = (record for record in caplog.records if record.__dict__["action"] == "withdrawn")
        assert line.levelno == logging.ERROR and V2 in line.getMessage()
        await serve(bench, V1)
        told = shown(bench)
        assert (told["status"], told["stale"], told["version"]) == ("ready", True, V1)
        assert bench.registry.view("als").entry.tally.failures == {"corrupt_artifact": 1}


async def test_a_limit_of_the_operators_withdraws_nothing() -> None:
    async with Bench(TRAINED, published=(V2, V1)) as bench:
        await fail_load(bench, V2, MemoryCapExceeded("needs more"))
        assert (bench.status(), bench.archive.commands) == ("error", [])


async def test_where_every_version_is_unfit_one_is_trained_once() -> None:
    async with Bench(TRAINED, published=(V1,)) as bench:
        await fail_load(bench, V1, CorruptArtifact("bad"))
        fetch = await bench.loader.next_fetch()
        assert fetch.known == f"training:{V1}"
        fetch.finish(None)  # it is named for want of another
        run = await bench.trainer.next_call()
        assert run.because == "the source failed: corrupt_artifact: bad"
        bench.archive.publish(V2)
        run.finish()
        await fail_load(bench, V2, CorruptArtifact("bad again"))
        (await bench.loader.next_fetch()).finish(None)
        await settle()
        assert (bench.status(), bench.trainer.calls.qsize(), bench.clock.pending()) == ("error", 0, [])
        for _ in range(2):
            bench.registry.source_changed("als")
            (await bench.loader.next_fetch()).finish(None)
            await settle()
            assert (bench.status(), bench.trainer.calls.qsize()) == ("error", 0), "the same data would come to the same end"
        bench.registry.reload("als")
        await fail_load(bench, V2, CorruptArtifact("bad again"))
        await fail_load(bench, V2, CorruptArtifact("bad again"))
        (await bench.trainer.next_call()).finish()
        await serve(bench, V3)
        assert (bench.status(), bench.entry().failure) == ("ready", None)


async def test_an_archive_that_is_away_leaves_the_failure_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    async with Bench(TRAINED, published=(V2, V1)) as bench:
        bench.archive.failing = ArchiveUnavailable("als: Input/output error")
        await fail_load(bench, V2, ChildCrashed("died"))
        for delay_s in (1.0, 2.0):
            await bench.clock.advance(delay_s)
            await fail_load(bench, V2, ChildCrashed("died"))
        assert "cannot be withdrawn" in caplog.text
        run = await bench.trainer.next_call()
        run.fail(TrainingFailed("no store"))
        await settle()
        assert bench.status() == "error"


async def test_what_serves_is_never_withdrawn() -> None:
    async with Bench(TRAINED, published=(V1,)) as bench:
        await serve(bench, V1)
        bench.registry.reload("als", force=True)
        await fail_load(bench, V1, CorruptArtifact("the file was damaged"))
        assert (bench.status(), bench.archive.commands) == ("ready", [])


# -- the canary -----------------------------------------------------------------------------------------------------------


async def test_a_version_that_cannot_answer_does_not_go_live() -> None:
    async with Bench(TRAINED, published=(V1,)) as bench:
        old = await serve(bench, V1)
        assert bench.canary.checked == [], "there was nothing to compare with"
        bench.canary.complaints[V2] = CanaryFailed("a question for user 7 raised IndexError: 9")
        bench.archive.publish(V2)
        bench.registry.source_changed("als")
        challenger = await serve(bench, V2)
        assert (bench.canary.checked, challenger.closed, f"disown als {V2}" in bench.loader.log) == ([V2], 1, True)
        assert bench.archive.commands == [("withdraw", "als", V2, "canary_failed", V1)]
        (await bench.loader.next_fetch()).finish(FakeArtifact(f"training:{V1}"))
        await settle()
        told = shown(bench)
        assert (told["status"], told["version"], told["stale"], old.closed) == ("ready", V1, True, 0)
        assert told["failure"]["type"] == "canary_failed"  # type: ignore[index]


async def test_a_version_that_answers_goes_live_and_says_what_it_was_asked() -> None:
    async with Bench(TRAINED, published=(V1,)) as bench:
        await serve(bench, V1)
        bench.archive.publish(V2)
        bench.registry.source_changed("als")
        await serve(bench, V2)
        assert (bench.canary.checked, shown(bench)["version"]) == ([V2], V2)
        line = next(line for line in bench.entry().story if line.to == Phase.WARMING)
        assert line.cause == "is asked 3 questions that were answered lately"


async def test_nothing_asked_is_no_check() -> None:
    async with Bench(TRAINED, published=(V1,)) as bench:
        bench.canary.count = 0
        await serve(bench, V1)
        bench.archive.publish(V2)
        bench.registry.source_changed("als")
        await serve(bench, V2)
        assert (bench.canary.checked, shown(bench)["version"]) == ([], V2)


async def test_a_canary_that_is_interrupted_leaves_nothing() -> None:
    async with Bench(TRAINED, published=(V1,)) as bench:
        await serve(bench, V1)
        bench.canary.complaints[V2] = RuntimeError("a defect")
        bench.archive.publish(V2)
        bench.registry.source_changed("als")
        challenger = await serve(bench, V2)
        failure = bench.entry().failure
        assert failure is not None and (failure.type, challenger.closed) == ("internal_error", 1)


# -- versions, going back ---------------------------------------------------------------------------------------------------


async def test_the_versions_of_a_model_that_is_trained_here() -> None:
    async with Bench(TRAINED, published=(V2, V1)) as bench:
        await serve(bench, V2)
        kept = await bench.registry.versions("als")
        assert ([each.version for each in kept.versions], kept.live, kept.current) == ([V2, V1], V2, V2)
        assert [each.facts is not None for each in kept.versions] == [True, False]


async def test_the_versions_of_a_model_with_a_fallback_are_those_of_what_it_serves_from() -> None:
    async with Bench(ELSEWHERE, published=(V2, V1)) as bench:
        kept = await bench.registry.versions("als")
        assert [each.version for each in kept.versions] == [V2, V1], "nothing serves: these would"
        await bench.serve("v1", "etag:1")
        kept = await bench.registry.versions("als")
        assert ([each.version for each in kept.versions], kept.current) == (["v1"], None)
        with pytest.raises(NoEarlierVersion):
            await bench.registry.rollback("als")
        assert bench.archive.commands == []


async def test_going_back_pins_and_loads_at_once_and_no_canary_has_a_say() -> None:
    async with Bench(TRAINED, published=(V3, V2, V1)) as bench:
        await serve(bench, V3)
        bench.archive.withdrawn[V2] = {"at": 0.0, "type": "t", "message": "m"}
        bench.canary.complaints[V1] = CanaryFailed("it does not know the newest users")
        await bench.registry.rollback("als", by="me")
        assert bench.archive.commands == [("roll_back", "als", V1, "me")]
        assert bench.status() == "ready"
        await serve(bench, V1)
        assert (shown(bench)["version"], bench.archive.pinned) == (V1, V1)
        await bench.registry.unpin("als", by="me")
        assert (bench.archive.pinned, bench.entry().attempt) == (None, None)
        await bench.registry.activate("als", V2, by="me")
        await serve(bench, V2)
        assert (shown(bench)["version"], bench.archive.withdrawn) == (V2, {})
        assert bench.canary.checked == []


async def test_a_version_that_is_not_kept_changes_nothing() -> None:
    async with Bench(TRAINED, published=(V2, V1)) as bench:
        await serve(bench, V2)
        for command in (bench.registry.rollback("als", V3), bench.registry.activate("als", V3)):
            with pytest.raises(UnknownVersion) as caught:
                await command
            assert caught.value.version == V3
        await bench.registry.rollback("als", V1)
        with pytest.raises(NoEarlierVersion):
            await bench.registry.rollback("als")
        assert [command[0] for command in bench.archive.commands] == ["roll_back"]


async def test_a_switch_that_fails_leaves_the_canary_its_say() -> None:
    async with Bench(TRAINED, published=(V2, V1)) as bench:
        await serve(bench, V2)

        async def fail(training: str, to: str, by: str) -> None:
            raise ArchiveUnavailable("held by another process")

        bench.archive.roll_back = fail  # type: ignore[method-assign]
        with pytest.raises(ArchiveUnavailable):
            await bench.registry.rollback("als")
        assert not bench.registry.is_chosen("als", f"training:{V1}")
        assert bench.entry().attempt is None


async def test_no_canary_of_another_model_undoes_what_was_chosen() -> None:
    other = replace(TRAINED, name="other")
    async with Bench(TRAINED, other, published=(V2, V1)) as bench:
        for name in ("als", "other"):
            (await bench.loader.next_fetch(name)).finish(FakeArtifact(f"training:{V2}"))
            await bench.finish_load(V2, f"training:{V2}")
        bench.canary.complaints[V1] = CanaryFailed("it does not know the newest users")
        await bench.registry.rollback("als")
        bench.registry.source_changed("other")
        for name in ("als", "other"):
            (await bench.loader.next_fetch(name)).finish(FakeArtifact(f"training:{V1}"))
            await bench.finish_load(V1, f"training:{V1}")
        assert [bench.registry.view(name).loaded.version for name in ("als", "other")] == [V1, V1]  # type: ignore[union-attr]
        assert bench.archive.current == V1


async def test_a_model_that_nobody_wants_loaded_is_switched_but_not_loaded() -> None:
    async with Bench(replace(TRAINED, load="on_demand"), published=(V2, V1)) as bench:
        await bench.registry.rollback("als")
        await settle()
        assert (bench.status(), bench.archive.current) == ("not_started", V1)
        bench.registry.source_changed("als")
        await settle()
        assert bench.status() == "not_started"


async def test_unloading_while_it_trains_ends_the_attempt() -> None:
    async with Bench(TRAINED) as bench:
        await fail_fetch(bench, NOTHING)
        run = await bench.trainer.next_call()
        bench.registry.unload("als")
        await wait_until(lambda: run.cancelled)
        assert bench.status() == "unloaded"
