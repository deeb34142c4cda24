"""A training run as it is recorded: the data of one line of the journal.

Covers: types and their JSON. Does not cover: keeping them (`training.running.journal`), carrying one out (`training.running.runner`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any


class RunStatus(StrEnum):
    """Where a run is, or how it ended."""

    QUEUED = "queued"
    RUNNING = "running"
    PUBLISHED = "published"
    REFUSED = "refused"  # by the gate: recorded with its figures, nothing changed
    SKIPPED = "skipped"  # the data and the parameters are those of the last run
    FAILED = "failed"
    CANCELLED = "cancelled"
    CRASHED = "crashed"  # its process, or the one that ran it, died: seen by whoever opened the journal next

    @property
    def is_over(self) -> bool:
        return self not in (RunStatus.QUEUED, RunStatus.RUNNING)


class RunCause(StrEnum):
    """Why a run was begun."""

    COMMAND = "command"  # API, dashboard, CLI
    SCHEDULE = "schedule"
    INTERACTIONS = "interactions"  # enough new ones
    FALLBACK = "fallback"  # a model had nothing else to serve


PHASES = ("reading", "splitting", "fitting", "evaluating", "publishing")


@dataclass(frozen=True, slots=True)
class Run:
    """One run. id: also the name of the version it publishes. Times are Unix seconds.

    requested_by: who asked, in words. forced: publish whatever the gate says. progress: 0..1 within `step`. failure: {"type", "message"}.
    """

    id: str
    training: str
    algorithm: str
    status: RunStatus
    cause: RunCause
    created_at: float
    requested_by: str = ""
    forced: bool = False
    started_at: float | None = None
    ended_at: float | None = None
    phase: str | None = None
    step: str | None = None
    progress: float | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: Mapping[str, Any] | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    verdict: Mapping[str, Any] | None = None
    version: str | None = None
    """The version it published; None where it did not."""
    reason: str | None = None
    """Why it waits, or why it was skipped, in words."""
    failure: Mapping[str, Any] | None = None
    peak_bytes: int | None = None
    cap_bytes: int | None = None
    log: Sequence[str] = ()
    """The last lines of its output."""

    def to_json(self) -> dict[str, Any]:
        """As GET /training/runs/{id} answers: times RFC 3339 UTC, sizes in bytes, null where unknown."""
        ended = self.ended_at
        return {
            "id": self.id,
            "training": self.training,
            "algorithm": self.algorithm,
            "status": self.status.value,
            "cause": self.cause.value,
            "requested_by": self.requested_by,
            "forced": self.forced,
            "created_at": rfc3339(self.created_at),
            "started_at": rfc3339(self.started_at),
            "ended_at": rfc3339(ended),
            "seconds": round(max(0.0, ended - self.started_at), 3) if ended is not None and self.started_at is not None else None,
            "phase": self.phase,
            "step": self.step,
            "progress": None if self.progress is None else round(self.progress, 4),
            "parameters": dict(self.parameters),
            "fingerprint": _timed(self.fingerprint, "latest_at"),
            "metrics": dict(self.metrics),
            "verdict": _timed(self.verdict, "cut_at"),
            "version": self.version,
            "reason": self.reason,
            "failure": None if self.failure is None else dict(self.failure),
            "peak_bytes": self.peak_bytes,
            "cap_bytes": self.cap_bytes,
            "log": list(self.log),
        }


_STAMP = "%Y%m%dT%H%M%S"


def next_id(now: float, newest: str | None, token: str) -> str:
    """The id of a run that is created at `now` (Unix seconds), after the run or version `newest` of the same training.

    Ids sort by age, also where two come in one second, or the clock was set back. token: six hex digits, by chance.
    """
    at = datetime.fromtimestamp(now, UTC)
    stamp = (newest or "").partition("-")[0]
    if f"{at:{_STAMP}}" <= stamp:
        with suppress(ValueError, OverflowError):  # a name that is no time that can be counted on from
            at = datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC) + timedelta(seconds=1)
    return f"{at:{_STAMP}}-{token}"


def _timed(found: Mapping[str, Any] | None, name: str) -> dict[str, Any] | None:
    """The same with its time, Unix seconds, as RFC 3339."""
    return None if found is None else {**found, name: rfc3339(found.get(name))}


def rfc3339(at: float | None) -> str | None:
    """Unix seconds as RFC 3339 in UTC, to the millisecond; None stays None."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
