"""`loaders.sources.threads` and `deadlines`: blocking work ends before its awaiter, and each clock has its own failure."""

from __future__ import annotations

import asyncio
import threading

import pytest

from loaders.errors import FetchStalled, FetchTimeout
from loaders.sources.base import Limits
from loaders.sources.deadlines import stall_deadline, total_deadline
from loaders.sources.threads import on_own_thread, to_the_end


async def test_own_thread_gives_its_result() -> None:
    assert await on_own_thread(lambda cancelled: threading.current_thread().name, name="fetch-x") == "fetch-x_0"


async def test_own_thread_raises_what_was_raised() -> None:
    def fail(cancelled: threading.Event) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await on_own_thread(fail, name="fetch-x")


async def test_cancelling_waits_for_the_thread() -> None:
    begun, ended = threading.Event(), threading.Event()

    def work(cancelled: threading.Event) -> None:
        begun.set()
        cancelled.wait()
        ended.set()
        raise OSError("nobody hears this")

    task = asyncio.create_task(on_own_thread(work, name="fetch-x"))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_to_the_end_finishes_though_cancelled_twice() -> None:
    go, done = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await go.wait()
        done.set()

    task = asyncio.create_task(to_the_end(work()))
    for _ in range(2):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done.is_set()


async def test_each_clock_has_its_failure() -> None:
    with pytest.raises(FetchTimeout, match=r"shown: not fetched within 0\.01 s"):
        async with total_deadline(Limits(0, 60.0, 0.01), "shown"), stall_deadline(Limits(0, 60.0, 0.01), "shown"):
            await asyncio.Event().wait()
    with pytest.raises(FetchStalled, match=r"shown: no byte for 0\.01 s"):
        async with total_deadline(Limits(0, 0.01, 60.0), "shown"), stall_deadline(Limits(0, 0.01, 60.0), "shown"):
            await asyncio.Event().wait()


async def test_a_timeout_of_somebody_else_is_left_alone() -> None:
    with pytest.raises(TimeoutError, match="theirs"):
        async with total_deadline(Limits(0, 60.0, 60.0), "shown"), stall_deadline(Limits(0, 60.0, 60.0), "shown"):
            raise TimeoutError("theirs")


async def test_beating_sets_the_stall_clock_back_and_is_harmless_later() -> None:
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + 0.5
    async with stall_deadline(Limits(0, 0.25, 60.0), "shown") as beat:
        while loop.time() < ends_at:
            beat()
            await asyncio.sleep(0)
    beat()
