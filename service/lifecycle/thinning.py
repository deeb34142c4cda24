"""Progress as it comes from a fast source, told as often as somebody may look.

Does not cover: what progress means to a model (`outcomes`). Event loop only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .ports import OnProgress

PROGRESS_INTERVAL_S = 0.05
"""A fast source reports thousands of times a second; nobody looks that often."""


@contextmanager
def thinned(feed: Callable[[int, int | None], None]) -> Iterator[OnProgress]:
    """Progress for `feed`; what was held back is told when the interval is over, so that a stall shows where it stands."""
    loop = asyncio.get_running_loop()
    next_at = loop.time()
    latest: tuple[int, int | None] = (0, None)
    waiting: asyncio.TimerHandle | None = None

    def tell() -> None:
        nonlocal next_at, waiting
        next_at = loop.time() + PROGRESS_INTERVAL_S
        waiting = None
        feed(*latest)

    def report(done: int, total: int | None) -> None:
        nonlocal latest, waiting
        begins_anew = done < latest[0]
        if begins_anew and waiting is not None:
            waiting.cancel()
            tell()
        latest = (done, total)
        if begins_anew or loop.time() >= next_at or done == total:
            if waiting is not None:
                waiting.cancel()
            tell()
        elif waiting is None:
            waiting = loop.call_at(next_at, tell)

    try:
        yield report
    finally:
        if waiting is not None:
            waiting.cancel()
            tell()  # the last bytes of a download that was cut are counted too
