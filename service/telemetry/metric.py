"""What a metric is: a name, a type, words, and how its samples are read.

Covers: the type. Does not cover: which there are (`service.telemetry.metrics`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from service.telemetry.durations import Buckets
from service.telemetry.readings import Readings, Usage

Kind = Literal["gauge", "counter", "histogram", "info"]
Value = float | Buckets
Sample = tuple[tuple[str, ...], Value]
"""The values of the labels, and the number."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. read: its samples; the words of an `info` are all in its labels."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    read: Callable[[Readings, Usage], Iterable[Sample]]
