"""The versions of a model that are kept, as the rest of the program sees them.

Covers: their description and its JSON, which of them comes before another. Does not cover: keeping them (`training.versions.publish`, the
loader), switching (`registry`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from loaders.published import PublishedVersion

from .ports import Published
from .view import Facts, rfc3339


@dataclass(frozen=True, slots=True)
class KeptVersion:
    """One version. facts: of the one that is loaded, else None; record: of one that was trained here, else None. One of them is given.

    withdrawn: why it was taken back, {"at" (Unix seconds), "type", "message"}; None where it was not.
    """

    facts: Facts | None = None
    record: PublishedVersion | None = None
    withdrawn: Mapping[str, Any] | None = None

    @property
    def version(self) -> str:
        if self.facts is not None:
            return self.facts.version
        return self.record.version if self.record is not None else ""


@dataclass(frozen=True, slots=True)
class KeptVersions:
    """The versions of `model`, newest first.

    live: the one that serves. current: the one that is to serve, of a model that is trained here. pinned: the one that nothing but
    a command replaces.
    """

    model: str
    live: str | None = None
    current: str | None = None
    pinned: str | None = None
    versions: tuple[KeptVersion, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As GET /models/{model}/versions answers: times RFC 3339 UTC, sizes in bytes, null what is not known of a version."""
        versions = [self._version_json(kept) for kept in self.versions]
        return {"model": self.model, "live": self.live, "current": self.current, "pinned": self.pinned, "versions": versions}

    def _version_json(self, kept: KeptVersion) -> dict[str, Any]:
        facts, record = kept.facts, kept.record
        return {
            "version": kept.version,
            "live": kept.version == self.live,
            "pinned": kept.version == self.pinned,
            "revision": facts.revision if facts is not None else f"training:{kept.version}",
            "family": facts.family if facts is not None else record.family if record is not None else None,
            "loaded_at": rfc3339(facts.loaded_at) if facts is not None else None,
            "artifact_bytes": facts.artifact_bytes if facts is not None else record.bytes if record is not None else None,
            "segment_bytes": facts.segment_bytes if facts is not None else None,
            "metrics": dict(record.metrics) if record is not None else None,
            "published_at": rfc3339(record.published_at) if record is not None else None,
            "trained_at": rfc3339(record.trained_at) if record is not None else None,
            "algorithm": record.algorithm if record is not None else None,
            "parameters": dict(record.parameters) if record is not None else None,
            "verdict": verdict_json(record.verdict) if record is not None and record.verdict is not None else None,
            "withdrawn": None if kept.withdrawn is None else {**kept.withdrawn, "at": _time(kept.withdrawn.get("at"))},
        }


def verdict_json(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """The verdict of the gate as the API gives it: its one time in RFC 3339."""
    return {**verdict, "cut_at": _time(verdict.get("cut_at"))}


def kept_versions(model: str, live: Facts | None, published: Published) -> KeptVersions:
    """What is published, joined with what is known of the version that serves; that one is named even where its folder is gone."""
    versions = [
        KeptVersion(
            facts=live if live is not None and live.version == record.version else None,
            record=record,
            withdrawn=published.withdrawn.get(record.version),
        )
        for record in published.versions
    ]
    if live is not None and all(each.version != live.version for each in versions):
        versions.append(KeptVersion(live))
    versions.sort(key=lambda each: each.version, reverse=True)
    serving = live.version if live is not None else None
    return KeptVersions(model, live=serving, current=published.current, pinned=published.pinned, versions=tuple(versions))


def version_before(published: Published) -> str | None:
    """The newest version older than the one that is current, but none that was withdrawn; None where there is none."""
    current = published.current
    names = [record.version for record in published.versions if record.version not in published.withdrawn]
    return max((name for name in names if current is not None and name < current), default=None)


def _time(at: Any) -> str | None:
    return rfc3339(at) if isinstance(at, int | float) else None
