"""Adding up how long things took, in bounded memory.

Covers: a total, a histogram with the buckets that are exposed, and one fine enough for percentiles. Does not cover: what is
measured (`service.telemetry.calls`, `service.telemetry.lag`). Times are nanoseconds, never negative.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

REQUEST_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds, in seconds, of the buckets of the request latency."""

_FINE = 16
"""Buckets of a sketch in each doubling: a percentile is at most 1/16 too high."""


@dataclass(slots=True)
class Duration:
    """How often, and how long together."""

    count: int = 0
    ns: int = 0

    def add(self, ns: int) -> None:
        self.count += 1
        self.ns += ns


@dataclass(frozen=True, slots=True)
class Buckets:
    """A histogram at one moment. counts: of each bucket by itself, the last one above all bounds. sum_ns: of all values."""

    bounds_s: Sequence[float]
    counts: tuple[int, ...]
    sum_ns: int

    def cumulative(self) -> list[tuple[str, float]]:
        """(upper bound, values up to it), as Prometheus wants them: the last one is all, "+Inf"."""
        upper, sums = [*map(str, self.bounds_s), "+Inf"], 0
        return [(bound, float(sums := sums + count)) for bound, count in zip(upper, self.counts, strict=True)]


class Histogram:
    """Values counted in buckets, each up to and including its upper bound."""

    __slots__ = ("_bounds_ns", "_bounds_s", "_counts", "_sum_ns")

    def __init__(self, bounds_s: Sequence[float] = REQUEST_BOUNDS_S) -> None:
        self._bounds_s = bounds_s
        self._bounds_ns = [round(bound * 1e9) for bound in bounds_s]
        self._counts = [0] * (len(bounds_s) + 1)
        self._sum_ns = 0

    def add(self, ns: int) -> None:
        self._counts[bisect_left(self._bounds_ns, ns)] += 1
        self._sum_ns += ns

    def taken(self) -> Buckets:
        """As it is now."""
        return Buckets(self._bounds_s, tuple(self._counts), self._sum_ns)


class Sketch:
    """Percentiles of any number of values: counts in buckets that grow by a sixteenth, of which few are ever used."""

    __slots__ = ("_counts", "count")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.count = 0

    def add(self, ns: int) -> None:
        bucket = _bucket_of(ns)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self.count += 1

    def percentile_ns(self, share: float) -> int | None:
        """A time that this share (0..1) of the values does not exceed, at most a sixteenth too long; None without values."""
        left = max(1.0, share * self.count)
        for bucket in sorted(self._counts):
            left -= self._counts[bucket]
            if left <= 0:
                return _upper_bound_ns(bucket)
        return None


def _bucket_of(ns: int) -> int:
    """The leading five bits of the number, and how many follow: those below 32 have a bucket each."""
    shift = max(0, ns.bit_length() - _FINE.bit_length())
    return shift * _FINE + (ns >> shift)


def _upper_bound_ns(bucket: int) -> int:
    shift = max(0, bucket // _FINE - 1)
    return ((bucket - shift * _FINE + 1) << shift) - 1
