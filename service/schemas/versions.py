"""The versions of a model that are kept.

Covers: the fields. Does not cover: where they come from (`service.lifecycle.versions`).
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from service.schemas.values import Bytes, ModelName, Timestamp

VersionName = Annotated[str, Meta(examples=["20261121T101500-3fa9c1"])]


class KeptVersion(Struct, kw_only=True):
    """One version."""

    version: VersionName
    live: Annotated[bool, Meta(description="It serves")]
    pinned: Annotated[bool, Meta(description="Nothing but a command replaces it")]
    revision: Annotated[str, Meta(description="What the source called its artifact")]
    family: str
    loaded_at: Timestamp
    artifact_bytes: Bytes
    segment_bytes: Bytes
    metrics: Annotated[dict[str, float] | None, Meta(description="What its training measured; null where it came from elsewhere")]


class KeptVersions(Struct, kw_only=True):
    """The versions of one model, newest first."""

    model: ModelName
    live: VersionName | None
    pinned: VersionName | None
    versions: list[KeptVersion]
