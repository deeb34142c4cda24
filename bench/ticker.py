"""How late is the event loop, and how much memory is in use meanwhile?

Covers: `Ticker`, a 1 ms ticker on the running loop whose lateness is given raw and net of the time the thread waited for a
core (that is the machine's doing, not the program's), and `SmapsSampler`, the peak of a process's private memory and of a
file's or memfd's allocated blocks. Linux only. Does not cover: what is measured.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from array import array
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Lateness:
    """Milliseconds; `ticks` of them were measured. The `net_` ones are without waiting for a core."""

    ticks: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    net_p50_ms: float
    net_p99_ms: float
    net_max_ms: float

    def as_json(self) -> dict[str, float]:
        """By field name, rounded to a microsecond."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


class Ticker:
    """Ticks while its `async with` block runs. Event loop only; the loop must stay in the thread that entered."""

    def __init__(self, period_s: float = 0.001) -> None:
        self._period_s = period_s
        self._late_ns = array("q")
        self._net_ns = array("q")
        self._task: asyncio.Task[None] | None = None
        self._schedstat = -1

    async def __aenter__(self) -> Self:
        # Opened in the loop's thread, it goes on meaning that thread.
        self._schedstat = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        self._task = asyncio.create_task(self._tick(), name="ticker")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        try:
            if self._task is not None:
                self._task.cancel()
                with suppress(asyncio.CancelledError):
                    await self._task
        finally:
            os.close(self._schedstat)
            self._schedstat = -1

    async def _tick(self) -> None:
        while True:
            waited_ns, slept_at = self._waited_ns(), time.perf_counter_ns()
            await asyncio.sleep(self._period_s)
            late_ns = time.perf_counter_ns() - slept_at - int(self._period_s * 1e9)
            self._late_ns.append(late_ns)
            self._net_ns.append(max(0, late_ns - (self._waited_ns() - waited_ns)))

    def _waited_ns(self) -> int:
        """Nanoseconds this thread has ever been runnable without a core."""
        return int(os.pread(self._schedstat, 64, 0).split()[1])

    @property
    def ticks(self) -> int:
        """Ticks so far."""
        return len(self._net_ns)

    def lateness(self) -> Lateness:
        """What was measured so far. Raises ValueError before the first tick."""
        if not self._late_ns:
            raise ValueError("not ticked yet")
        late, net = sorted(self._late_ns), sorted(self._net_ns)
        return Lateness(
            ticks=len(late),
            p50_ms=_quantile(late, 0.50),
            p99_ms=_quantile(late, 0.99),
            max_ms=late[-1] / NS_PER_MS,
            net_p50_ms=_quantile(net, 0.50),
            net_p99_ms=_quantile(net, 0.99),
            net_max_ms=net[-1] / NS_PER_MS,
        )


def _quantile(ascending_ns: list[int], share: float) -> float:
    return ascending_ns[min(len(ascending_ns) - 1, int(len(ascending_ns) * share))] / NS_PER_MS


class SmapsSampler:
    """Keeps the peak of a process's anonymous memory plus a segment's blocks, sampled in a thread of its own.

    `segment` is a path or a descriptor of the file or memfd (a path like /proc/PID/fd/N will do), or None. The two are read
    one right after the other, so that memory that moves from one to the other is not counted at two times. Sampling ends
    with the block or with the process.
    """

    def __init__(self, pid: int, segment: Path | str | int | None = None, *, period_s: float = 0.002) -> None:
        self.peak_private_bytes = 0
        self.peak_segment_bytes = 0
        self.peak_total_bytes = 0
        self.samples = 0
        self._pid = pid
        self._segment = segment
        self._period_s = period_s
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"memory of {pid}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._is_over.set()
        self._thread.join()

    @property
    def is_alive(self) -> bool:
        """Whether it still samples."""
        return self._thread.is_alive()

    def _run(self) -> None:
        # Asking the open file again is one call and finds the same process or none, never another of the same id.
        try:
            status = os.open(f"/proc/{self._pid}/status", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            while self._sample(status) and not self._is_over.wait(self._period_s):
                pass
        finally:
            os.close(status)

    def _sample(self, status: int) -> bool:
        """Take one sample; whether the process still has memory."""
        try:
            private = _anonymous_bytes(os.pread(status, 8192, 0))
        except ProcessLookupError:
            return False
        if private is None:  # a zombie
            return False
        segment = self._segment_bytes()
        self.samples += 1
        self.peak_private_bytes = max(self.peak_private_bytes, private)
        self.peak_segment_bytes = max(self.peak_segment_bytes, segment)
        self.peak_total_bytes = max(self.peak_total_bytes, private + segment)
        return True

    def _segment_bytes(self) -> int:
        if self._segment is None:
            return 0
        try:
            return os.stat(self._segment).st_blocks * 512
        except FileNotFoundError:
            return 0


def _anonymous_bytes(status: bytes) -> int | None:
    _, found, rest = status.partition(b"RssAnon:")
    return int(rest.split(maxsplit=1)[0]) * 1024 if found else None
