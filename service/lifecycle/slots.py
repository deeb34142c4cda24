"""When a load may start: a free slot, and room in memory.

Covers: waiting for both, saying why. Does not cover: how much memory there is (`loaders.memory`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from .clockwork import Sleep, first_of
from .ports import Admission

RECHECK_S = 2.0
"""Memory is also freed by others than loads: how often it is looked at again."""


class LoadSlots:
    """At most `concurrency` loads at a time, first come first served, each with its memory reserved. Event loop only."""

    def __init__(self, admission: Admission, *, concurrency: int, sleep: Sleep) -> None:
        self._admission = admission
        self._concurrency = concurrency
        self._free = asyncio.Semaphore(concurrency)
        self._memory_freed = asyncio.Event()
        self._sleep = sleep

    @asynccontextmanager
    async def hold(self, need_bytes: int, on_wait: Callable[[str], None]) -> AsyncIterator[None]:
        """A slot and `need_bytes` of memory while the block runs; `on_wait(reason)` whenever they must be waited for.

        Raises loaders.errors.NeverFits.
        """
        await self._take(need_bytes, on_wait)
        try:
            yield
        finally:
            self._admission.release(need_bytes)
            self._free.release()
            self._memory_freed.set()
            self._memory_freed = asyncio.Event()

    async def _take(self, need_bytes: int, on_wait: Callable[[str], None]) -> None:
        while True:
            if self._free.locked():
                on_wait(f"waiting for a load slot ({self._concurrency} at a time)")
            await self._free.acquire()
            reason: str | None = "not asked yet"
            try:
                reason = self._admission.reserve(need_bytes)
            finally:
                # A load that waits for memory keeps no slot: a smaller one behind it may fit.
                if reason is not None:
                    self._free.release()
            if reason is None:
                return
            on_wait(reason)
            await first_of(self._memory_freed.wait(), self._pause())

    async def _pause(self) -> None:
        await self._sleep(RECHECK_S)
