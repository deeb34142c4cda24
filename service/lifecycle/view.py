"""What the rest of the program sees of a model: a frozen view, and its status object as JSON.

Covers: the fields of the status object. Does not cover: what HTTP makes of them (`service.status`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from config.schema import ModelSettings
from loaders.sources.address import redact

from .errors import LifecycleError
from .fallback import fallback_json
from .policy import eta_s, is_stale, status_of
from .ports import Loaded
from .state import Entry, Failure, Phase, Status, StoryLine


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the live version, besides its arrays. Sizes in bytes, `loaded_at` in Unix seconds."""

    version: str
    revision: str
    family: str
    artifact_bytes: int
    segment_bytes: int
    loaded_at: float
    load: Mapping[str, Any]
    details: Mapping[str, Any]

    @classmethod
    def of(cls, loaded: Loaded) -> Facts:
        return cls(
            version=loaded.version,
            revision=loaded.revision,
            family=loaded.family,
            artifact_bytes=loaded.artifact_bytes,
            segment_bytes=loaded.segment_bytes,
            loaded_at=loaded.loaded_at,
            load=loaded.load,
            details=loaded.details,
        )


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model at one moment."""

    settings: ModelSettings
    entry: Entry
    loaded: Facts | None

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def status(self) -> Status:
        return status_of(self.entry)

    def to_json(self, now: float) -> dict[str, Any]:
        """The status object: times RFC 3339 UTC, sizes in bytes, null where unknown. `now` is in Unix seconds."""
        entry, attempt, loaded, settings = self.entry, self.entry.attempt, self.loaded, self.settings
        eta = eta_s(attempt, now) if attempt is not None else None
        return {
            "name": settings.name,
            "status": self.status.value,
            "stale": is_stale(entry),
            "phase": _shown_phase(entry),
            "progress": round(attempt.progress, 4) if attempt is not None and attempt.progress is not None else None,
            "bytes_done": attempt.bytes_done if attempt is not None else None,
            "bytes_total": attempt.bytes_total if attempt is not None else None,
            "eta_s": round(eta, 1) if eta is not None else None,
            "reason": attempt.reason if attempt is not None else None,
            "version": loaded.version if loaded is not None else None,
            "family": loaded.family if loaded is not None else (settings.family if settings.family != "auto" else None),
            "source": redact(settings.source),
            "revision": loaded.revision if loaded is not None else None,
            "required": settings.required,
            "artifact_bytes": loaded.artifact_bytes if loaded is not None else None,
            "segment_bytes": loaded.segment_bytes if loaded is not None else None,
            "loaded_at": rfc3339(loaded.loaded_at) if loaded is not None else None,
            "load": {**loaded.load, **fallback_json(entry)} if loaded is not None else None,
            "details": dict(loaded.details) if loaded is not None else None,
            "failure": failure_json(entry.failure) if entry.failure is not None else None,
            "story": [_story_json(line) for line in entry.story],
        }


def versions_in_use(view: ModelView) -> frozenset[str]:
    """The version that serves, or would if its parts did, and those that drain."""
    return frozenset(view.entry.draining) | (frozenset() if view.loaded is None else {view.loaded.version})


class NotReady(LifecycleError):
    """The model has no version that serves; `view` says why, and when to come back."""

    def __init__(self, view: ModelView) -> None:
        super().__init__(f"model {view.name!r} is {view.status}")
        self.view = view

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.view,))


def failure_json(failure: Failure) -> dict[str, Any]:
    """The `failure` field of the status object."""
    return {
        "type": failure.type,
        "message": failure.message,
        "retryable": failure.retryable,
        "attempts": failure.attempts,
        "at": rfc3339(failure.at),
        "next_attempt_at": rfc3339(failure.next_attempt_at) if failure.next_attempt_at is not None else None,
    }


def rfc3339(at: float) -> str:
    """Unix seconds as RFC 3339 in UTC, to the millisecond: 2026-11-21T10:15:00.000Z."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _shown_phase(entry: Entry) -> str | None:
    if entry.attempt is not None:
        return entry.attempt.phase.value
    if entry.live is None and entry.draining:
        return Phase.DRAINING.value
    return None


def _story_json(line: StoryLine) -> dict[str, str]:
    return {"at": rfc3339(line.at), "event": line.event, "from": str(line.from_), "to": str(line.to), "cause": str(line.cause)}
