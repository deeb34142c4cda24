"""The versions of a model that are kept, as the rest of the program sees them.

Covers: their description, and its JSON. Does not cover: keeping them, and which of them serves (`registry`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .view import Facts, rfc3339


@dataclass(frozen=True, slots=True)
class KeptVersion:
    """One version. metrics: what its training measured, None for an artifact that came from elsewhere."""

    facts: Facts
    metrics: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class KeptVersions:
    """The versions of `model`, newest first. live: the one that serves. pinned: the one that nothing but a command replaces."""

    model: str
    live: str | None = None
    pinned: str | None = None
    versions: tuple[KeptVersion, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As GET /models/{model}/versions answers: times RFC 3339 UTC, sizes in bytes."""
        versions = [self._version_json(kept) for kept in self.versions]
        return {"model": self.model, "live": self.live, "pinned": self.pinned, "versions": versions}

    def _version_json(self, kept: KeptVersion) -> dict[str, Any]:
        facts = kept.facts
        return {
            "version": facts.version,
            "live": facts.version == self.live,
            "pinned": facts.version == self.pinned,
            "revision": facts.revision,
            "family": facts.family,
            "loaded_at": rfc3339(facts.loaded_at),
            "artifact_bytes": facts.artifact_bytes,
            "segment_bytes": facts.segment_bytes,
            "metrics": None if kept.metrics is None else dict(kept.metrics),
        }
