"""A question that a model answers, for somebody who wants to try it.

Covers: the document of GET /models/{model}/example. Does not cover: the questions themselves (`service.schemas.questions`).
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from service.schemas.answers import Version
from service.schemas.values import Id, ModelName


class Example(Struct, kw_only=True):
    """A body that POST /models/{model}/predict takes as it is, and an item that the model knows."""

    model: ModelName
    version: Version
    body: Annotated[dict[str, Any], Meta(description="user_id or liked with k; or instances, one row of zeros or empty text")]
    item_id: Annotated[Id | None, Meta(description="An item to ask for similar ones; null of a model that predicts rows")]
