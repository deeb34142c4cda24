"""Blocking work beside the event loop, that ends before its awaiter does.

A cancelled `asyncio.to_thread` leaves its thread writing to a file that somebody else is about to reuse; neither
function here does. Does not cover: work that ignores its event, which is waited for.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


async def to_the_end(work: Awaitable[T]) -> T:
    """Await `work` until it is done even if cancelled meanwhile; only then let the cancellation go on."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:
                continue
        if not task.cancelled():
            task.exception()  # retrieved: the cancellation matters more
        raise


async def on_own_thread(work: Callable[[threading.Event], T], *, name: str) -> T:
    """Run `work(cancelled)` on a thread of its own, joined before this returns. Cancelling sets the event and waits for the thread.

    Its own, because a download that takes minutes would hold one of the few threads that everybody else shares.
    """
    cancelled = threading.Event()
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
    future = asyncio.wrap_future(executor.submit(work, cancelled))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        cancelled.set()
        while not future.done():
            try:
                await asyncio.wait({future})
            except asyncio.CancelledError:
                continue
        if not future.cancelled():
            future.exception()
        raise
    finally:
        executor.shutdown(wait=True)  # the work is done: this joins a thread that is leaving
