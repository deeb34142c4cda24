"""The last two minutes of a model's calls, by the second: what a sparkline draws.

Does not cover: totals (`service.telemetry.calls`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from service.telemetry.durations import Sketch

WINDOW_S = 120


@dataclass(slots=True)
class Second:
    """The calls that ended in one second. at: whole seconds of the monotonic clock. latency: of those that were answered."""

    at: int
    calls: int = 0
    failed: int = 0
    latency: Sketch = field(default_factory=Sketch)


class Recent:
    """A second for each of the last `window_s` in which calls ended. Event loop only."""

    __slots__ = ("_seconds", "_window_s")

    def __init__(self, window_s: int = WINDOW_S) -> None:
        self._window_s = window_s
        self._seconds: deque[Second] = deque(maxlen=window_s)

    def add(self, at: int, answered_ns: int | None, is_failure: bool) -> None:
        """Count a call that ended at `at`; `answered_ns` is how long it took, None where it was not answered."""
        if not self._seconds or self._seconds[-1].at < at:
            self._seconds.append(Second(at))
        second = self._seconds[-1]
        second.calls += 1
        second.failed += is_failure
        if answered_ns is not None:
            second.latency.add(answered_ns)

    def seconds(self, now: int) -> list[Second]:
        """Those of the last `window_s`, the oldest first."""
        return [second for second in self._seconds if second.at > now - self._window_s]
