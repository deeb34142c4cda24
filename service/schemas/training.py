"""How trained the models are, and the runs that train them.

Covers: the fields. Does not cover: how they are found (`service.routes.training`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from service.schemas.values import ModelName


class AlgorithmStatus(Struct, kw_only=True):
    """One algorithm, by the name of a model or of a kind of models."""

    status: Annotated[Literal["trained", "untrained", "training"], Meta(description="untrained: nothing trained is loaded")]
    trained_at: Annotated[str | int | float | None, Meta(description="As the artifact says it", examples=["2026-03-04T05:06:07Z"])]
    model: Annotated[ModelName | None, Meta(description="Which model is meant; null where none is of that kind")]


class Runs(Struct, kw_only=True):
    """The training runs, newest first."""

    runs: list[dict[str, Any]]
