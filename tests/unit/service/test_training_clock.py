"""What the clock begins: over a clock and a runner that the test owns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from config.schema import Settings, TrainingSettings
from service.training import LONGEST_SLEEP_S, TrainingClock
from tests.support import wait_until
from tests.unit.service.a_run import a_published_run
from training.running.refused import AlreadyRunning, TrainingUnavailable
from training.running.runner import Runner
from training.running.runs import Run, RunCause


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@dataclass
class FakeRunner:
    """Notes what is begun; ticks are taken once, also by `others`."""

    ticks: dict[str, set[float]] = field(default_factory=dict)
    begun: list[tuple[str, str]] = field(default_factory=list)
    failing: Exception | None = None

    async def last_tick(self, training: str) -> float | None:
        return max(self.ticks.get(training, ()), default=None)

    async def take_tick(self, training: str, at: float) -> bool:
        taken = self.ticks.setdefault(training, set())
        is_new = at not in taken
        taken.add(at)
        return is_new

    async def start(self, training: str, *, cause: RunCause, requested_by: str) -> Run:
        assert cause is RunCause.SCHEDULE
        if self.failing is not None:
            raise self.failing
        self.begun.append((training, requested_by))
        return a_published_run("20261121T101500-3fa9c1", training)


class Time:
    """A wall clock that only the test moves, and sleepers who wake when it has come to their time."""

    def __init__(self, now: float) -> None:
        self.now = now
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    async def sleep(self, seconds: float) -> None:
        awake = asyncio.Event()
        self._sleepers.append((self.now + seconds, awake))
        await awake.wait()

    @property
    def asleep(self) -> list[float]:
        """For how long each sleeper will sleep from now."""
        return sorted(until - self.now for until, _ in self._sleepers)

    async def move(self, seconds: float) -> None:
        """So much passes; whoever wakes does all it wants to do."""
        self.now += seconds
        await self.settle()

    async def settle(self) -> None:
        for until, awake in self._sleepers:
            if until <= self.now:
                awake.set()
        self._sleepers = [each for each in self._sleepers if not each[1].is_set()]
        for _ in range(15):
            await asyncio.sleep(0)


ClockOf = Callable[..., Any]


@asynccontextmanager
async def running(runner: FakeRunner, time: Time, *, random: float = 0.0, **schedules: str | TrainingSettings) -> AsyncIterator[None]:
    trainings = {
        name: TrainingSettings(name=name, algorithm="als", schedule=each) if isinstance(each, str) else each
        for name, each in schedules.items()
    }
    clock = TrainingClock(
        Settings(training=trainings),
        cast(Runner, runner),
        clock=lambda: time.now,
        sleep=time.sleep,
        random=lambda: random,
        zone=UTC,
    )
    assert clock.is_needed
    task = asyncio.create_task(clock.run())
    await wait_until(lambda: time.asleep or task.done())
    yield
    task.cancel()
    (result,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(result, asyncio.CancelledError), result


async def test_a_tick_begins_one_run_and_says_which_schedule_it_was() -> None:
    runner, time = FakeRunner(), Time(at("2026-01-10T02:59:50"))
    async with running(runner, time, als="0 3 * * *"):
        assert time.asleep == [10.0]
        await time.move(9)
        assert runner.begun == []
        await time.move(1)
        assert runner.begun == [("als", "schedule 0 3 * * *")]
        for _ in range(10):
            await time.move(30)
        assert len(runner.begun) == 1


async def test_it_looks_often_enough_to_notice_a_clock_that_is_set() -> None:
    runner, time = FakeRunner(), Time(at("2026-01-10T02:00:00"))
    async with running(runner, time, als="0 3 * * *"):
        assert time.asleep == [LONGEST_SLEEP_S]
        time.now = at("2026-01-10T03:00:20")  # set forward, or a host that slept
        await time.settle()
        assert len(runner.begun) == 1


async def test_a_tick_that_nobody_saw_in_time_is_let_go_and_said(caplog: pytest.LogCaptureFixture) -> None:
    runner, time = FakeRunner(), Time(at("2026-01-10T02:00:00"))
    async with running(runner, time, als="0 * * * *"):
        await time.move(3 * 3600 + 600)
        assert runner.begun == []
        (record,) = [each for each in caplog.records if getattr(each, "action", "") == "tick_missed"]
        assert (getattr(record, "ticks", 0), getattr(record, "last", "")) == (3, "2026-01-10T05:00+00:00")
        await time.move(50 * 60)
        assert len(runner.begun) == 1


async def test_a_clock_that_is_set_back_runs_no_tick_twice() -> None:
    runner, time = FakeRunner(), Time(at("2026-01-10T02:59:50"))
    async with running(runner, time, als="0 3 * * *"):
        await time.move(10)
        time.now -= 3600
        for _ in range(140):
            await time.move(30)
        assert len(runner.begun) == 1
        for _ in range(2 * 60 * 24):
            await time.move(30)
        assert len(runner.begun) == 2


async def test_two_servers_on_one_store_run_a_tick_once() -> None:
    runner, time = FakeRunner(), Time(at("2026-01-10T02:59:50"))
    async with running(runner, time, als="0 3 * * *"), running(runner, time, als="0 3 * * *"):
        await time.move(10)
        assert len(runner.begun) == 1


async def test_who_starts_again_right_after_a_tick_that_was_not_seen_runs_it() -> None:
    runner, time = FakeRunner({"als": {at("2026-01-09T03:00")}}), Time(at("2026-01-10T03:00:40"))
    async with running(runner, time, als="0 3 * * *"):
        await time.settle()
        assert len(runner.begun) == 1
    async with running(runner, time, als="0 3 * * *"):
        await time.settle()
        assert len(runner.begun) == 1


async def test_what_was_missed_while_nothing_ran_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    runner, time = FakeRunner({"als": {at("2026-01-07T03:00")}}), Time(at("2026-01-10T12:00"))
    for _ in range(2):
        async with running(runner, time, als="0 3 * * *"):
            await time.settle()
    assert runner.begun == []
    assert [getattr(each, "ticks", 0) for each in caplog.records if getattr(each, "action", "") == "tick_missed"] == [3]


async def test_a_first_start_owes_nothing() -> None:
    runner, time = FakeRunner(), Time(at("2026-01-10T03:00:20"))
    async with running(runner, time, als="0 3 * * *"):
        await time.settle()
        assert runner.begun == []


async def test_jitter_puts_a_run_off_but_no_other() -> None:
    runner, time = FakeRunner(), Time(at("2026-01-10T02:59:50"))
    late = TrainingSettings(name="als", algorithm="als", schedule="0 3 * * *", jitter_s=40.0)
    async with running(runner, time, random=0.5, als=late, pop="0 3 * * *"):
        await time.move(10)
        assert [name for name, _ in runner.begun] == ["pop"]
        await time.move(19)
        assert len(runner.begun) == 1
        await time.move(1)
        assert [name for name, _ in runner.begun] == ["pop", "als"]


async def test_parts_begin_before_what_is_made_of_them() -> None:
    runner, time = FakeRunner(), Time(at("2026-01-10T02:59:50"))
    blend = TrainingSettings(name="blend", algorithm="hybrid", schedule="0 3 * * *", parts={"content": "text", "collaborative": "als"})
    async with running(runner, time, blend=blend, text="0 3 * * *", als="0 3 * * *"):
        await time.move(10)
        assert [name for name, _ in runner.begun] == ["text", "als", "blend"]


@pytest.mark.parametrize(
    ("error", "action"),
    [(AlreadyRunning("als is being trained already", None), "tick_skipped"), (TrainingUnavailable("no room"), "tick_failed")],
    ids=["busy", "unavailable"],
)
async def test_a_run_that_cannot_begin_is_said_and_the_next_tick_comes(
    caplog: pytest.LogCaptureFixture, error: Exception, action: str
) -> None:
    runner, time = FakeRunner(failing=error), Time(at("2026-01-10T02:59:50"))
    async with running(runner, time, als="* * * * *"):
        await time.move(10)
        assert [getattr(each, "action", "") for each in caplog.records] == [action]
        runner.failing = None
        await time.move(30)
        await time.move(30)
        assert len(runner.begun) == 1


def test_without_a_schedule_there_is_nothing_to_wait_for() -> None:
    settings = Settings(training={"als": TrainingSettings(name="als", algorithm="als")})
    assert not TrainingClock(settings, cast(Runner, FakeRunner())).is_needed
