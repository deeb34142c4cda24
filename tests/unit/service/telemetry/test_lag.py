"""The lag of the event loop, by a clock that the test moves."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from service.telemetry.lag import INTERVAL_S, LOOKED_BACK_S, LoopLag

MS = 1_000_000


class Loop:
    """Sleeps that take as long as asked for, and some more."""

    def __init__(self, *late_ms: float) -> None:
        self.ns = 0
        self.late_ms = list(late_ms)
        self.lag = LoopLag(clock_ns=lambda: self.ns, sleep=self._sleep)

    async def _sleep(self, delay_s: float) -> None:
        if not self.late_ms:
            raise asyncio.CancelledError
        self.ns += round(delay_s * 1e9 + self.late_ms.pop(0) * MS)

    async def measured(self) -> LoopLag:
        with suppress(asyncio.CancelledError):
            await self.lag.run()
        return self.lag


async def test_lateness_is_what_a_sleep_took_too_long() -> None:
    lag = await Loop(0.5, 30, 400).measured()
    assert lag.worst_ns == 400 * MS
    assert lag.taken().sum_ns == 430.5 * MS
    assert dict(lag.taken().cumulative()) | {"0.001": 1, "0.025": 1, "0.05": 2, "0.25": 2, "0.5": 3, "+Inf": 3} == dict(
        lag.taken().cumulative()
    )


async def test_the_worst_is_forgotten_after_a_minute_and_the_histogram_is_not() -> None:
    lag = await Loop(400, *[1] * round(LOOKED_BACK_S / INTERVAL_S)).measured()
    assert lag.worst_ns == MS
    assert lag.taken().sum_ns > 400 * MS


async def test_a_timer_that_rang_too_early_is_not_late() -> None:
    lag = await Loop(-5).measured()
    assert (lag.worst_ns, lag.taken().sum_ns) == (0, 0)
    assert LoopLag().worst_ns == 0
