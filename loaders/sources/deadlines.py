"""The two clocks of a fetch: one for the whole of it, one that every arriving byte sets back.

Covers: asyncio code. Does not cover: ending a thread (`loaders.sources.threads`), which is what cancelling does there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from loaders.errors import FetchStalled, FetchTimeout

from .base import Limits

Beat = Callable[[], None]
"""Says that bytes arrived. Harmless after the deadline."""


@asynccontextmanager
async def total_deadline(limits: Limits, uri: str) -> AsyncIterator[None]:
    """Cancel the body after `total_timeout_s`. Raises FetchTimeout."""
    try:
        async with asyncio.timeout(limits.total_timeout_s) as total:
            yield
    except TimeoutError as error:
        if not total.expired():
            raise
        raise FetchTimeout(f"{uri}: not fetched within {limits.total_timeout_s:g} s", timeout_s=limits.total_timeout_s) from error


@asynccontextmanager
async def stall_deadline(limits: Limits, uri: str) -> AsyncIterator[Beat]:
    """Cancel the body when nothing called the yielded function for `stall_timeout_s`. Raises FetchStalled."""
    loop = asyncio.get_running_loop()
    over = False
    try:
        async with asyncio.timeout(limits.stall_timeout_s) as stall:

            def beat() -> None:
                if not over and not stall.expired():
                    stall.reschedule(loop.time() + limits.stall_timeout_s)

            try:
                yield beat
            finally:
                over = True
    except TimeoutError as error:
        if not stall.expired():
            raise
        raise FetchStalled(f"{uri}: no byte for {limits.stall_timeout_s:g} s", stall_timeout_s=limits.stall_timeout_s) from error
