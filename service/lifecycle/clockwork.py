"""Small asyncio parts of the supervisor: racing waits, and side tasks that cannot die silently.

Does not cover: what the tasks do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

Sleep = Callable[[float], Awaitable[object]]

_log = logging.getLogger("holdfast.lifecycle")


async def first_of(*waits: Coroutine[Any, Any, object]) -> None:
    """Return when the first of the waits ends (raising what it raises); the others are cancelled and over by then."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class SideTasks:
    """Named tasks, each cancelled and awaited by `aclose`; one that ends by an exception is logged with its traceback."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` beside the rest."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.critical("side task %s died", task.get_name(), exc_info=error, extra={"action": "task_died", "task": task.get_name()})

    async def wait(self) -> None:
        """Until every task has ended, also those that are spawned meanwhile."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def aclose(self) -> None:
        """Cancel all and wait until they are over. Their errors are in the log."""
        while self._tasks:
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.wait(tuple(self._tasks))


async def keep_alive(name: str, body: Callable[[], Awaitable[None]], *, pause_s: float, sleep: Sleep) -> None:
    """Run an endless `body`; log what ends it and start it again after a pause. Returns if the body returns of itself."""
    while True:
        try:
            await body()
            return
        except Exception:
            _log.exception("%s failed, again in %.0f s", name, pause_s, extra={"action": "task_restarted", "task": name})
        await sleep(pause_s)


class Gate:
    """Opens when everybody who was expected has arrived."""

    def __init__(self, expected: Iterable[str]) -> None:
        self._missing = set(expected)
        self._open = asyncio.Event()
        if not self._missing:
            self._open.set()

    def arrive(self, name: str) -> None:
        """Nobody waits for `name` any more; again and again does no harm."""
        self._missing.discard(name)
        if not self._missing:
            self._open.set()

    async def wait(self) -> None:
        await self._open.wait()
