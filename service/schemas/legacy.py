"""What /admin/reload-model and /admin/model-status answer.

Covers: the fields, whose names others chose. Does not cover: how they are found (`service.routes.legacy`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from service.schemas.values import ModelName, Timestamp
from service.schemas.versions import VersionName

Count = Annotated[int, Meta(ge=0)]
Reason = Literal["changed", "unchanged", "forced", "loaded", "running"]


class ReloadDetails(Struct, kw_only=True):
    """What a reload came to. loaded: nothing served before. running: it goes on, `wait` is over."""

    reloaded: Annotated[bool, Meta(description="Another version serves than before")]
    reason: Reason
    model: ModelName
    version: VersionName | None
    previous_version: VersionName | None


class Reloaded(Struct, kw_only=True):
    """Whether the model is as its source is now."""

    success: bool
    message: Annotated[str, Meta(description="For people")]
    details: ReloadDetails


class LegacyStatus(Struct, kw_only=True):
    """The model as such services tell it. Null is what is not known, or what a model of this kind does not have."""

    is_loaded: bool
    num_users: Count | None
    num_items: Count | None
    num_posts_metadata: Annotated[Count, Meta(description="Items with metadata in the artifact")] | None
    model_type: Annotated[str, Meta(examples=["AlternatingLeastSquares"])] | None
    model_path: Annotated[str, Meta(description="Where its artifacts come from, without secrets")] | None
    last_reload_time: Timestamp | None
    file_updated: (
        Annotated[bool, Meta(description="The local file is no longer the one that serves; null for one that is not local")] | None
    )
