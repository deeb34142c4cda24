"""How late the event loop is: what every request waits for when something holds the loop up.

Covers: measuring by a task that sleeps and looks how much too long that took. Does not cover: who held it up.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

from service.telemetry.durations import Buckets, Histogram

INTERVAL_S = 0.1
LOOKED_BACK_S = 60.0
BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class LoopLag:
    """The lateness of the event loop, ten times a second. Event loop only."""

    def __init__(
        self,
        *,
        interval_s: float = INTERVAL_S,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._interval_s = interval_s
        self._clock_ns = clock_ns
        self._sleep = sleep
        self._histogram = Histogram(BOUNDS_S)
        self._peaks: deque[int] = deque(maxlen=round(LOOKED_BACK_S / interval_s))

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due_ns = self._clock_ns() + round(self._interval_s * 1e9)
            await self._sleep(self._interval_s)
            late_ns = max(0, self._clock_ns() - due_ns)
            self._histogram.add(late_ns)
            self._peaks.append(late_ns)

    def taken(self) -> Buckets:
        """The latenesses since the start."""
        return self._histogram.taken()

    @property
    def worst_ns(self) -> int:
        """The longest of about the last minute."""
        return max(self._peaks, default=0)
