"""The versions of a model that are kept.

Covers: the fields. Does not cover: where they come from (`service.lifecycle.versions`).
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from service.schemas.values import Bytes, ModelName, Timestamp

VersionName = Annotated[str, Meta(examples=["20261121T101500-3fa9c1"])]


class Withdrawal(Struct, kw_only=True):
    """Why a version was taken back after it was published."""

    at: Timestamp | None
    type: Annotated[str, Meta(description="See the page of failures", examples=["canary_failed"])]
    message: str


class KeptVersion(Struct, kw_only=True):
    """One version. What only its training or only its load can tell is null where it was not trained here, or is not loaded."""

    version: VersionName
    live: Annotated[bool, Meta(description="It serves")]
    pinned: Annotated[bool, Meta(description="Nothing but a command replaces it")]
    revision: Annotated[str, Meta(description="What the source called its artifact")]
    family: str | None
    loaded_at: Timestamp | None
    artifact_bytes: Bytes | None
    segment_bytes: Bytes | None
    metrics: Annotated[dict[str, float] | None, Meta(description="What its training measured; null where it came from elsewhere")]
    published_at: Timestamp | None
    trained_at: Timestamp | None
    algorithm: Annotated[str | None, Meta(examples=["als"])]
    parameters: Annotated[dict[str, Any] | None, Meta(description="Those of the algorithm that it was trained with")]
    verdict: Annotated[dict[str, Any] | None, Meta(description="What the gate said of it, with its figures")]
    withdrawn: Withdrawal | None


class KeptVersions(Struct, kw_only=True):
    """The versions of one model, newest first."""

    model: ModelName
    live: VersionName | None
    current: Annotated[VersionName | None, Meta(description="The one that is to serve, of a model that is trained here")]
    pinned: VersionName | None
    versions: list[KeptVersion]
