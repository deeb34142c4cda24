"""The status object of a model, everywhere the same, and the documents that are made of it.

Covers: its fields. Does not cover: how they come about (`service.lifecycle.view`).
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from service.schemas.values import Bytes, ModelName, PhaseWord, RetryAfter, Seconds, StatusWord, Timestamp


class Failure(Struct, kw_only=True):
    """Why the last attempt failed, and whether another follows."""

    type: Annotated[str, Meta(description="See the page of failures", examples=["digest_mismatch"])]
    message: str
    retryable: bool
    attempts: Annotated[int, Meta(ge=0, description="Attempts in a row that failed for this revision")]
    at: Timestamp
    next_attempt_at: Timestamp | None


class StoryLine(Struct, kw_only=True, rename={"from_": "from"}):
    """One transition."""

    at: Timestamp
    event: str
    from_: str
    to: str
    cause: str


class Because(Struct, kw_only=True):
    """Why a source could not be had."""

    type: Annotated[str, Meta(description="See the page of failures", examples=["source_not_found"])]
    message: str


class Fallback(Struct, kw_only=True):
    """Where the version that serves came from instead of `source`."""

    source: Annotated[str, Meta(examples=["training:als"])]
    because: Annotated[Because | None, Meta(description="Null after a restart, until the source was asked again")]


class LoadFacts(Struct, kw_only=True):
    """How the version that serves was loaded."""

    seconds: Seconds | UnsetType = UNSET
    peak_bytes: Bytes | UnsetType | None = UNSET
    cap_bytes: Bytes | UnsetType | None = UNSET
    from_segment: Annotated[bool, Meta(description="Mapped again after a restart, without a child")] | UnsetType = UNSET
    fallback: Fallback | UnsetType = UNSET
    walls: Annotated[list[str], Meta(description="What confined the child that read the artifact")] | UnsetType = UNSET


class ModelStatus(Struct, kw_only=True):
    """A model at one moment. Null is what is not known, or has no meaning now."""

    name: ModelName
    status: StatusWord
    stale: Annotated[bool, Meta(description="A version serves, but the last reload failed")]
    phase: Annotated[PhaseWord | None, Meta(description="Where the running attempt is")]
    progress: Annotated[float, Meta(ge=0.0, le=1.0, description="Of the download, 0 to 1")] | None
    bytes_done: Bytes | None
    bytes_total: Bytes | None
    eta_s: Seconds | None
    reason: Annotated[str | None, Meta(description="Why it waits, or what it does")]
    version: Annotated[str | None, Meta(description="The version that serves", examples=["20261121T101500-3fa9c1"])]
    family: Annotated[str | None, Meta(description="How its arrays are packed and scored", examples=["factors"])]
    source: Annotated[str, Meta(description="Where its artifacts come from, without secrets", examples=["s3://bucket/als.pkl"])]
    revision: Annotated[str | None, Meta(description="What the source called the artifact", examples=['etag:"9b2c"'])]
    required: Annotated[bool, Meta(description="The server is not ready without it")]
    artifact_bytes: Bytes | None
    segment_bytes: Bytes | None
    loaded_at: Timestamp | None
    load: LoadFacts | None
    details: Annotated[dict[str, Any] | None, Meta(description="What its family knows of it: users, items, features, classes ...")]
    failure: Failure | None
    story: Annotated[list[StoryLine], Meta(description="The last transitions, oldest first")]


class Models(Struct, kw_only=True):
    """Every model, in the order of the configuration."""

    models: list[ModelStatus]


class Cleared(ModelStatus, kw_only=True):
    """The model after its fetched artifacts and unused segments were deleted."""

    freed_bytes: Bytes


class AllCleared(Models, kw_only=True):
    """The models after their fetched artifacts and unused segments were deleted."""

    freed_bytes: Bytes


class Loading(Struct, kw_only=True, tag_field="status", tag="loading"):
    """The model is on its way: ask again after `retry_after_s`."""

    model: ModelName
    phase: PhaseWord | None
    progress: Annotated[float, Meta(ge=0.0, le=1.0)] | None
    bytes_done: Bytes | None
    bytes_total: Bytes | None
    eta_s: Seconds | None
    reason: str | None
    retry_after_s: RetryAfter
