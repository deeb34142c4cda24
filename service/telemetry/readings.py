"""Everything that the metrics are made of, read at one moment.

Covers: what is read on the event loop (frozen views and copies, so that another thread may write them out), and what is read
where waiting does no harm. Does not cover: what each metric is called (`service.telemetry.metrics`).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any

from loaders.memory import read_memory
from service.lifecycle.view import ModelView
from service.telemetry.calls import Ended, Outcome
from service.telemetry.durations import Buckets
from service.telemetry.trainings import TrainingFacts
from service.usage import process_usage

STORE_LOOKED_AT_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """The calls of one model. waiting: those in flight that have not had their turn yet."""

    totals: Mapping[Outcome, int]
    in_flight: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Readings:
    """What the event loop knows at one moment. Times in nanoseconds; `uptime_s` in seconds."""

    views: tuple[ModelView, ...]
    traffic: Mapping[str, Traffic]
    """Model -> its calls."""
    ended: tuple[Ended, ...]
    lag: Buckets
    worst_lag_ns: int
    streams: int
    uptime_s: float
    interactions: int
    """Posted since the start."""
    known_users: int
    """Of whom answers take in what they did lately."""
    trainings: tuple[TrainingFacts, ...]
    store_limit_bytes: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What this process and its store take, in bytes, and what loads may still take of the memory."""

    private_bytes: int
    memory_free_bytes: int
    store_bytes: int
    store_free_bytes: int


class UsageReader:
    """Reads what has to be asked of the kernel. Blocking, safe from several threads; the store is walked once a minute at most."""

    def __init__(self, store: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._store_bytes = 0
        self._looks_again_at = float("-inf")

    def read(self) -> Usage:
        """Raises OSError where /proc cannot be read."""
        with self._lock:
            if self._clock() >= self._looks_again_at:
                self._store_bytes = bytes_in(self._store)
                self._looks_again_at = self._clock() + STORE_LOOKED_AT_EVERY_S
            stored = self._store_bytes
        return Usage(process_usage()["private_bytes"], read_memory().free_bytes, stored, _free_bytes(self._store))


def bytes_in(folder: Path) -> int:
    """Bytes that the files below take on disk: of one with holes what is there, of one with several names once. Blocking."""
    seen: dict[tuple[int, int], int] = {}
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                found = os.lstat(os.path.join(path, name))
            except FileNotFoundError:
                continue  # deleted meanwhile
            seen[found.st_dev, found.st_ino] = found.st_blocks * 512
    return sum(seen.values())


def _free_bytes(folder: Path) -> int:
    try:
        found = os.statvfs(folder)
    except FileNotFoundError:
        return 0  # not made yet
    return found.f_bavail * found.f_frsize


def trained_at(details: Mapping[str, Any]) -> float | None:
    """When the model was trained, in Unix seconds, where its artifact says so in a way that can be read: a time without a zone is UTC."""
    told = details.get("trained_at")
    if isinstance(told, str):
        try:
            read = datetime.fromisoformat(told)
        except ValueError:
            return None
        return (read if read.tzinfo is not None else read.replace(tzinfo=UTC)).timestamp()
    if isinstance(told, int | float) and isfinite(told) and told > 0:
        return float(told)
    return None
