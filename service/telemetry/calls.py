"""What calls of models cost and how they ended.

Covers: one call's times, totals by model, version and outcome, histograms, the last minutes by the second. Event loop only,
but for the times of one call, which its thread sets. Does not cover: their exposition (`service.telemetry.exposition`,
`service.routes.v2`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a call ended."""

    OK = "ok"
    REFUSED = "refused"
    """The question was wrong: 404, 422."""
    NOT_READY = "not_ready"
    OVERLOADED = "overloaded"
    DEADLINE = "deadline"
    FAILED = "failed"
    """The model could not answer, or the server has a defect."""
    ABANDONED = "abandoned"
    """The client went away first."""


@dataclass(slots=True)
class Call:
    """One call of a model. Times in nanoseconds of the monotonic clock; `version` is None until one answers it.

    subjects: users, items or rows that it asks for. input_ns: reading the question. queue_ns: waiting for a thread or for the
    process of a hosted model. infer_ns: scoring. output_ns: writing the answer.
    """

    model: str
    began_ns: int
    version: str | None = None
    subjects: int = 1
    input_ns: int = 0
    queue_ns: int = 0
    infer_ns: int = 0
    output_ns: int = 0


class Calls:
    """Every call that was made, in totals. Event loop only."""

    def __init__(self, *, clock_ns: Callable[[], int] = time.monotonic_ns, wall_s: Callable[[], float] = time.time) -> None:
        self._clock_ns = clock_ns
        self._wall_s = wall_s
        self._ended: dict[tuple[str, Outcome], int] = {}

    def begin(self, model: str, *, subjects: int = 1, input_ns: int = 0) -> Call:
        """A call that begins now; `end` it, whatever comes of it."""
        return Call(model, self._clock_ns(), subjects=subjects, input_ns=input_ns)

    def end(self, call: Call, outcome: Outcome) -> None:
        """Count a call that ended now."""
        key = (call.model, outcome)
        self._ended[key] = self._ended.get(key, 0) + 1
