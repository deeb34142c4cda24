"""The runner with real processes: one run at a time, recorded however it ends, and nothing left of who was killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from config.schema import GIB, MIB, DataSettings, Settings, StoreSettings, TrainingSettings
from loaders.published import PublishedFolder
from tests.integration.training.drawing import planted_data, write_sqlite
from tests.support import ROOT, python_environment, wait_until
from training.running.carrying import STOPPED
from training.running.journal import Journal
from training.running.lock import RunLock, holder_of
from training.running.recording import GONE
from training.running.refused import AlreadyRunning, RunElsewhere, RunOver, TrainingUnavailable, UnknownRun, UnknownTraining
from training.running.runner import Runner
from training.running.runs import PHASES, Run, RunCause, RunStatus

PARAMETERS = {"factors": 16, "regularization": 30.0, "sweeps": 3}
LONG = {"factors": 512, "regularization": 30.0, "sweeps": 1000}
"""Parameters of a run that outlasts every test."""
ENDS_WITHIN_S = 60.0


def a_training(name: str, **changes: Any) -> TrainingSettings:
    return replace(TrainingSettings(name=name, algorithm="als", parameters=PARAMETERS, memory_bytes=GIB, timeout_s=120.0), **changes)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Trainings `als`, `long`, `strict` whose gate lets nothing pass, and `blend`, a hybrid, over planted data."""
    write_sqlite(tmp_path / "data.db", planted_data())
    trainings = (
        a_training("blend", algorithm="hybrid", parameters={}, parts={"collaborative": "als", "content": "text"}),
        a_training("als"),
        a_training("text", algorithm="content", parameters={}),
        a_training("long", parameters=LONG),
        a_training("strict", gate={"minimum": 0.99}),
    )
    data = DataSettings(url=f"sqlite:///{tmp_path / 'data.db'}", attempts=1)
    return Settings(store=StoreSettings(path=tmp_path / "store"), data=data, training={each.name: each for each in trainings})


RunnerOf = Callable[..., Any]


@pytest.fixture
async def runner_of(settings: Settings) -> AsyncIterator[RunnerOf]:
    """`await runner_of(settings, **arguments)`: open; closed at the end of the test."""
    async with AsyncExitStack() as stack:

        async def opened(given: Settings = settings, **arguments: Any) -> Runner:
            runner = Runner(given, **arguments)
            stack.push_async_callback(runner.aclose)
            await runner.open()
            return runner

        yield opened


async def start(runner: Runner, training: str, **asked: Any) -> Run:
    return await runner.start(training, **{"cause": RunCause.COMMAND, "requested_by": "ada@laptop", **asked})


async def ended(runner: Runner, training: str, **asked: Any) -> Run:
    run = await runner.wait((await start(runner, training, **asked)).id, ENDS_WITHIN_S)
    assert run.status.is_over, run
    return run


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "training.running.child" in child.cmdline()]


async def fitting(runner: Runner, run: Run) -> psutil.Process:
    """The process of a run that is at work."""

    async def is_fitting() -> bool:
        found = await runner.run(run.id)
        assert found is not None and not found.status.is_over, found
        return found.phase == "fitting" and found.step == "fitting"

    await wait_until(is_fitting, ENDS_WITHIN_S, what="it fits")
    (child,) = children()
    return child


async def test_a_run_is_published_recorded_and_told_as_it_comes_along(settings: Settings, runner_of: RunnerOf) -> None:
    told: list[Run] = []
    runner = await runner_of(on_change=told.append, code_version="1.2.3")
    run = await ended(runner, "als")
    assert (run.status, run.version, run.failure, run.requested_by) == (RunStatus.PUBLISHED, run.id, None, "ada@laptop")
    assert run.verdict is not None and run.verdict["accepted"]
    assert run.metrics["ndcg@10"] > 0
    assert run.parameters["factors"] == 16
    assert run.fingerprint is not None and run.fingerprint["interactions"] > 0
    assert run.peak_bytes is not None and 10 * MIB < run.peak_bytes < GIB == run.cap_bytes
    assert run.started_at is not None and run.ended_at is not None and run.created_at <= run.started_at < run.ended_at
    assert any("gate" in line for line in run.log)
    folder = PublishedFolder(settings.store.path, "als")
    assert folder.current() == run.id
    assert folder.record(run.id).code_version == "1.2.3"
    assert sorted(path.name for path in folder.path.iterdir()) == [run.id, "current", "lock", "switch.lock"]
    assert [each.status for each in told][:2] == [RunStatus.QUEUED, RunStatus.RUNNING]
    assert told[-1] == run
    assert list(dict.fromkeys(each.phase for each in told if each.phase)) == list(PHASES)
    assert holder_of(settings.store.path, "als") is None


async def test_what_a_run_says_is_in_the_journal_for_other_processes(settings: Settings, runner_of: RunnerOf) -> None:
    runner, other = await runner_of(), await runner_of()
    run = await start(runner, "long")
    await fitting(runner, run)
    found = await wait_until(lambda: _progress_in(other, run.id), what="progress is written")
    assert found.status is RunStatus.RUNNING and found.step == "fitting"
    with pytest.raises(AlreadyRunning) as busy:
        await start(other, "long")
    assert busy.value.run is not None and busy.value.run.id == run.id
    with pytest.raises(RunElsewhere):
        await other.cancel(run.id)
    assert [each.id for each in await other.unfinished()] == [run.id]
    waiting = asyncio.create_task(other.wait(run.id, ENDS_WITHIN_S))
    await runner.cancel(run.id, by="bob")
    assert (await waiting).status is RunStatus.CANCELLED
    assert await other.unfinished() == []


async def _progress_in(runner: Runner, run_id: str) -> Run | None:
    found = await runner.run(run_id)
    return found if found is not None and found.progress else None


async def test_unchanged_data_are_not_trained_again(settings: Settings, runner_of: RunnerOf) -> None:
    runner = await runner_of()
    first = await ended(runner, "als")
    second = await ended(runner, "als")
    assert (second.status, second.version) == (RunStatus.SKIPPED, None)
    assert second.reason == "the data and the parameters are those of the last run"
    forced = await ended(runner, "als", force=True)
    assert (forced.status, forced.forced) == (RunStatus.PUBLISHED, True)
    assert forced.verdict is not None and forced.verdict["forced_by"] is None  # nobody had to
    assert PublishedFolder(settings.store.path, "als").names() == [forced.id, first.id]


async def test_what_was_published_and_is_gone_is_made_again(settings: Settings, runner_of: RunnerOf) -> None:
    runner = await runner_of()
    run = await ended(runner, "als")
    folder = PublishedFolder(settings.store.path, "als")
    for path in folder.folder_of(run.id).iterdir():
        path.unlink()
    folder.folder_of(run.id).rmdir()
    assert (await ended(runner, "als", cause=RunCause.SCHEDULE)).status is RunStatus.PUBLISHED


async def test_the_gate_refuses_and_nothing_is_left_but_the_verdict(settings: Settings, runner_of: RunnerOf) -> None:
    runner = await runner_of()
    run = await ended(runner, "strict")
    assert (run.status, run.version) == (RunStatus.REFUSED, None)
    assert run.verdict is not None and not run.verdict["accepted"]
    folder = PublishedFolder(settings.store.path, "strict")
    assert folder.current() is None
    assert sorted(path.name for path in folder.path.iterdir()) == ["lock", "switch.lock"]
    # By the clock the same data are not refused twice; who asks while nothing serves sees why.
    assert (await ended(runner, "strict", cause=RunCause.SCHEDULE)).status is RunStatus.SKIPPED
    assert (await ended(runner, "strict")).status is RunStatus.REFUSED
    forced = await ended(runner, "strict", force=True)
    assert forced.status is RunStatus.PUBLISHED
    assert forced.verdict is not None and forced.verdict["forced_by"] == "ada@laptop"


async def test_a_pinned_version_goes_on_serving(settings: Settings, runner_of: RunnerOf) -> None:
    runner = await runner_of()
    first = await ended(runner, "als")
    second = await ended(runner, "als", force=True)
    assert (await runner.roll_back("als", by="ada")).version == first.id
    third = await ended(runner, "als", force=True)
    folder = PublishedFolder(settings.store.path, "als")
    assert (third.status, third.reason) == (RunStatus.PUBLISHED, f"published, but {first.id} is pinned and goes on serving")
    assert (folder.current(), folder.pinned()) == (first.id, first.id)
    assert await runner.unpin("als", by="ada") == first.id
    assert (await runner.activate("als", second.id, by="ada")).version == second.id
    now = await runner.withdraw("als", second.id, {"type": "canary_failed", "message": "no"})
    assert now is not None and now.version == third.id
    with pytest.raises(UnknownTraining):
        await runner.unpin("nobody")


async def test_versions_are_switched_while_another_process_trains(settings: Settings, runner_of: RunnerOf) -> None:
    runner, other = await runner_of(), await runner_of()
    first = await ended(runner, "als")
    await ended(runner, "als", force=True)
    lock = RunLock.take(settings.store.path, "als", "20261121T000000-000000")
    assert (await other.roll_back("als")).version == first.id
    lock.release()


async def test_one_run_at_a_time_and_the_next_says_what_it_waits_for(runner_of: RunnerOf) -> None:
    runner = await runner_of()
    long = await start(runner, "long")
    with pytest.raises(AlreadyRunning) as busy:
        await start(runner, "long")
    assert busy.value.run is not None and busy.value.run.id == long.id
    waits = await start(runner, "als")
    assert (waits.status, waits.reason) == (RunStatus.QUEUED, "waits for long")
    await fitting(runner, long)
    found = await runner.wait(waits.id, 0.0)
    assert found.status is RunStatus.QUEUED
    await runner.cancel(long.id)
    done = await runner.wait(waits.id, ENDS_WITHIN_S)
    assert (done.status, done.reason) == (RunStatus.PUBLISHED, None)


async def test_all_are_trained_parts_before_what_is_made_of_them(settings: Settings, runner_of: RunnerOf) -> None:
    few = replace(settings, training={name: each for name, each in settings.training.items() if name not in ("long", "strict")})
    runner = await runner_of(few)
    started, running = await runner.start_all(cause=RunCause.COMMAND)
    assert [run.training for run in started] == ["als", "text", "blend"]
    assert running == []
    again, running = await runner.start_all(cause=RunCause.COMMAND)
    assert again == []
    assert sorted(each.run.training for each in running if each.run is not None) == ["als", "blend", "text"]
    over = [await runner.wait(run.id, ENDS_WITHIN_S) for run in started]
    assert [run.status for run in over] == [RunStatus.PUBLISHED] * 3, [run.failure or run.verdict for run in over]
    parts = PublishedFolder(settings.store.path, "blend").record(over[2].id).parts
    assert parts == {"collaborative": over[0].id, "content": over[1].id}


async def test_a_run_is_cancelled_and_its_process_gone(settings: Settings, runner_of: RunnerOf) -> None:
    runner = await runner_of()
    run = await start(runner, "long")
    child = await fitting(runner, run)
    assert child.nice() >= 10
    cancelled = await runner.cancel(run.id, by="bob")
    assert cancelled.id == run.id
    await runner.cancel(run.id, by="eve")  # again does no harm
    over = await runner.wait(run.id, ENDS_WITHIN_S)
    assert (over.status, over.reason, over.failure) == (RunStatus.CANCELLED, "cancelled by bob", None)
    assert not child.is_running()
    assert over.log
    assert holder_of(settings.store.path, "long") is None
    assert not list((settings.store.path / "long").glob(".staging-*"))
    with pytest.raises(RunOver):
        await runner.cancel(run.id)
    with pytest.raises(UnknownRun):
        await runner.cancel("20261121T000000-000000")
    with pytest.raises(UnknownRun):
        await runner.wait("20261121T000000-000000", 1.0)


async def test_one_that_waits_is_cancelled_without_beginning(runner_of: RunnerOf) -> None:
    runner = await runner_of()
    await start(runner, "long")
    waits = await start(runner, "als")
    await runner.cancel(waits.id)
    over = await runner.wait(waits.id, ENDS_WITHIN_S)
    assert (over.status, over.started_at, over.reason) == (RunStatus.CANCELLED, None, "cancelled")


async def test_a_run_takes_no_longer_than_it_may(settings: Settings, runner_of: RunnerOf) -> None:
    runner = await runner_of(replace(settings, training={"long": a_training("long", parameters=LONG, timeout_s=1.0)}))
    run = await ended(runner, "long")
    assert run.status is RunStatus.FAILED
    assert run.failure == {"type": "training_timeout", "message": "the run took longer than its time limit of 1 s"}
    assert not children()


async def test_a_run_takes_no_more_memory_than_it_may(settings: Settings, runner_of: RunnerOf) -> None:
    runner = await runner_of(replace(settings, training={"als": a_training("als", memory_bytes=64 * MIB, parameters=LONG)}))
    run = await ended(runner, "als")
    assert run.status is RunStatus.FAILED
    assert run.failure is not None and run.failure["type"] == "memory_cap_exceeded"
    assert "raise `memory` of this training" in run.failure["message"]


async def test_data_that_are_not_there_fail_the_run(settings: Settings, runner_of: RunnerOf) -> None:
    nowhere = replace(settings.data, url=f"sqlite:///{settings.store.path}/nowhere.db")
    run = await ended(await runner_of(replace(settings, data=nowhere)), "als")
    assert run.status is RunStatus.FAILED
    assert run.failure is not None and run.failure["type"] == "bad_data"


async def test_a_process_that_is_killed_is_a_run_that_crashed(settings: Settings, runner_of: RunnerOf) -> None:
    runner = await runner_of()
    run = await start(runner, "long")
    (await fitting(runner, run)).kill()
    over = await runner.wait(run.id, ENDS_WITHIN_S)
    assert over.status is RunStatus.CRASHED
    assert over.failure == {"type": "child_crashed", "message": over.failure["message"] if over.failure else ""}
    assert "SIGKILL" in str(over.failure)
    assert holder_of(settings.store.path, "long") is None
    assert (await ended(runner, "als")).status is RunStatus.PUBLISHED


async def test_who_stops_cancels_its_runs(settings: Settings, runner_of: RunnerOf) -> None:
    runner = await runner_of()
    long, waits = await start(runner, "long"), await start(runner, "als")
    await fitting(runner, long)
    await runner.aclose()
    assert not children()
    with pytest.raises(TrainingUnavailable):
        await start(runner, "als")
    later = await runner_of()
    for run in (long, waits):
        found = await later.run(run.id)
        assert found is not None and (found.status, found.reason) == (RunStatus.CANCELLED, STOPPED)
    assert holder_of(settings.store.path, "long") is None is holder_of(settings.store.path, "als")


_RUNS_AND_WAITS = """
import asyncio, json, sys
from pathlib import Path
from config.schema import DataSettings, Settings, StoreSettings, TrainingSettings
from training.running.runner import Runner
from training.running.runs import RunCause
given = json.loads(sys.argv[1])
trainings = {"long": TrainingSettings(name="long", algorithm="als", parameters=given["parameters"]),
             "als": TrainingSettings(name="als", algorithm="als")}
settings = Settings(store=StoreSettings(path=Path(given["store"])), data=DataSettings(url=given["url"]), training=trainings)
async def main():
    def tell(run):
        if run.step == "fitting":
            print("fitting", flush=True)
    runner = Runner(settings, on_change=tell)
    await runner.open()
    for name in trainings:
        print((await runner.start(name, cause=RunCause.COMMAND)).id, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


async def test_nothing_is_left_of_a_process_that_was_killed_with_its_runs(settings: Settings, runner_of: RunnerOf) -> None:
    given = {"parameters": LONG, "store": str(settings.store.path), "url": settings.data.url}
    server = subprocess.Popen(  # noqa: ASYNC220  a test has nothing else to do meanwhile
        [sys.executable, "-c", _RUNS_AND_WAITS, json.dumps(given)],
        cwd=ROOT,
        env=python_environment(),
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    with server:
        assert server.stdout is not None
        lines = [await asyncio.to_thread(server.stdout.readline) for _ in range(3)]
        ids = [line.strip() for line in lines if line != "fitting\n"]
        (child,) = [each for each in psutil.Process(server.pid).children() if "training.running.child" in each.cmdline()]
        live = await runner_of()  # beside it: nothing of the living is called dead
        assert [run.id for run in await live.unfinished()] == ids
        os.kill(server.pid, signal.SIGKILL)
    await wait_until(lambda: not child.is_running(), what="the child dies with it")
    for name in ("long", "als"):
        await wait_until(partial(_is_free, settings.store.path, name), what="the lock is free")
    runs = [await live.run(id) for id in ids]
    assert [run.status for run in runs if run is not None] == [RunStatus.CRASHED] * 2
    assert all(run is not None and run.failure == {"type": "child_crashed", "message": GONE} for run in runs)
    assert await live.unfinished() == []
    assert (await ended(live, "als")).status is RunStatus.PUBLISHED


def _is_free(store: Path, training: str) -> bool:
    return holder_of(store, training) is None


async def test_a_run_whose_lock_is_another_runs_is_dead(settings: Settings, runner_of: RunnerOf) -> None:
    runner = await runner_of()
    dead = Run("20261121T101500-3fa9c1", "als", "als", RunStatus.RUNNING, RunCause.COMMAND, 1.0)
    await runner._recorder.ask(Journal.add, dead)
    lock = RunLock.take(settings.store.path, "als", dead.id)
    assert [run.id for run in await runner.unfinished()] == [dead.id]
    lock.release()
    lock = RunLock.take(settings.store.path, "als", "20261121T101501-000000")
    found = await runner.run(dead.id)
    assert found is not None and found.status is RunStatus.CRASHED
    lock.release()


async def test_new_interactions_begin_a_run_once_there_are_enough(settings: Settings, runner_of: RunnerOf) -> None:
    runner = await runner_of(replace(settings, training={"als": a_training("als", after_interactions=10), "text": a_training("text")}))
    runner.interactions_arrived(4)
    runner.interactions_arrived(5)
    await asyncio.gather(*runner._counting)
    assert await runner.runs() == []
    runner.interactions_arrived(1)
    (run,) = await wait_until(runner.runs, what="a run begins")
    assert (run.training, run.cause, run.requested_by) == ("als", RunCause.INTERACTIONS, "10 new interactions")
    assert (await runner.wait(run.id, ENDS_WITHIN_S)).status is RunStatus.PUBLISHED
    runner.interactions_arrived(9)
    await asyncio.gather(*runner._counting)
    assert len(await runner.runs()) == 1


async def test_those_that_come_while_it_trains_begin_the_next(settings: Settings, runner_of: RunnerOf) -> None:
    runner = await runner_of(replace(settings, training={"als": a_training("als", after_interactions=10)}))
    run = await start(runner, "als")
    await wait_until(lambda: children(), what="it has begun")
    runner.interactions_arrived(10)
    await asyncio.gather(*runner._counting)
    await runner.wait(run.id, ENDS_WITHIN_S)
    after = await wait_until(lambda: _second(runner), what="the next run")
    assert after.cause is RunCause.INTERACTIONS
    assert (await runner.wait(after.id, ENDS_WITHIN_S)).status is RunStatus.SKIPPED


async def _second(runner: Runner) -> Run | None:
    runs = await runner.runs()
    return runs[0] if len(runs) == 2 else None


async def test_a_tick_is_one_processs(runner_of: RunnerOf) -> None:
    one, other = await runner_of(), await runner_of()
    assert await one.last_tick("als") is None
    assert [await one.take_tick("als", 60.0), await other.take_tick("als", 60.0)] == [True, False]
    assert await other.last_tick("als") == 60.0


async def test_a_store_that_cannot_be_written_is_said(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    runner = Runner(replace(settings, store=StoreSettings(path=tmp_path / "file" / "store")))
    with pytest.raises(TrainingUnavailable):
        await runner.open()
    with pytest.raises(TrainingUnavailable):
        await start(runner, "als")
    assert await runner.runs() == []
    await runner.aclose()


@pytest.mark.parametrize("name", ["switch.lock", "current"])
async def test_a_store_that_fails_while_it_trains_is_said_and_no_defect(
    settings: Settings, runner_of: RunnerOf, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    runner = await runner_of()
    (settings.store.path / "als" / name).mkdir(parents=True)
    run = await ended(runner, "als")
    assert run.status is RunStatus.FAILED and run.failure is not None and run.failure["type"] == "disk_full"
    assert "the store cannot be used" in run.failure["message"] and "Is a directory" in run.failure["message"]
    assert "defect" not in caplog.text
    (settings.store.path / "als" / name).rmdir()
    assert (await ended(runner, "als")).status is RunStatus.PUBLISHED


async def test_a_clock_that_is_set_back_makes_no_version_the_older_one(settings: Settings, runner_of: RunnerOf) -> None:
    runner = await runner_of()
    first = await ended(runner, "als")
    behind = await runner_of(clock=lambda: first.created_at - 3600.0)
    second = await ended(behind, "als", force=True)
    assert second.status is RunStatus.PUBLISHED and second.id > first.id
    assert (await ended(behind, "als")).status is RunStatus.SKIPPED, "it is compared with the newest"
    assert (await behind.roll_back("als")).version == first.id


async def test_a_run_that_cannot_begin_its_work_does_not_begin_the_next_for_ever(settings: Settings, runner_of: RunnerOf) -> None:
    runner = await runner_of(replace(settings, training={"als": a_training("als", after_interactions=10)}))
    (settings.store.path / "als" / "switch.lock").mkdir(parents=True)
    runner.interactions_arrived(10)
    await asyncio.gather(*runner._counting)
    (run,) = await runner.runs()
    assert (await runner.wait(run.id, ENDS_WITHIN_S)).status is RunStatus.FAILED
    await asyncio.gather(*runner._counting)
    assert len(await runner.runs()) == 1


async def test_without_a_training_nothing_is_made(tmp_path: Path) -> None:
    runner = Runner(Settings(store=StoreSettings(path=tmp_path / "store")))
    await runner.open()
    assert (await runner.runs(), await runner.run("x"), await runner.unfinished()) == ([], None, [])
    with pytest.raises(UnknownTraining):
        await start(runner, "als")
    await runner.aclose()
    assert not (tmp_path / "store").exists()


async def test_the_journal_is_private(settings: Settings, runner_of: RunnerOf) -> None:
    await runner_of()
    assert stat.S_IMODE((settings.store.path / "training.db").stat().st_mode) == 0o600
