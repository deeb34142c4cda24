"""The documents about what happens: the calls of a model, and the events of the stream.

Covers: their fields. Does not cover: how they are counted (`service.telemetry`), the metrics, which are no JSON.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from service.schemas.models import ModelStatus
from service.schemas.values import Bytes, ModelName, PhaseWord, Seconds, Timestamp

OutcomeWord = Literal["ok", "refused", "loading", "unavailable", "overloaded", "deadline", "failed", "abandoned"]
Count = Annotated[int, Meta(ge=0)]
Milliseconds = Annotated[float, Meta(ge=0.0, description="Milliseconds, of the calls that were answered; null without any")]


class SecondOfCalls(Struct, kw_only=True):
    """The calls that ended within one second."""

    at: Timestamp
    calls: Annotated[int, Meta(ge=1)]
    failed: Annotated[int, Meta(ge=0, description="Of these: not answered although nothing was wrong with the question")]
    p50_ms: Milliseconds | None
    p99_ms: Milliseconds | None


class ModelCalls(Struct, kw_only=True):
    """How a model was called of late."""

    model: ModelName
    window_s: Annotated[int, Meta(ge=1, description="How far back `seconds` goes")]
    totals: Annotated[
        dict[OutcomeWord, Count], Meta(description="Calls since the server started, by how they ended; every outcome is there")
    ]
    in_flight: Annotated[int, Meta(ge=0, description="Calls that have begun and not ended")]
    seconds: Annotated[list[SecondOfCalls], Meta(description="Only those in which calls ended, the oldest first")]


class Snapshot(Struct, kw_only=True):
    """The data of a `snapshot`: how all models stand."""

    models: list[ModelStatus]


class Transition(Struct, kw_only=True, rename={"from_": "from"}):
    """The data of a `transition`: one line of a model's story. Of a model that is made of others: `part`, where they change it."""

    model: ModelName
    at: Timestamp
    event: str
    from_: str
    to: str
    cause: str
    status: Annotated[ModelStatus, Meta(description="The model after it")]


class Progress(Struct, kw_only=True):
    """The data of a `progress`: where the running attempt of a model is."""

    model: ModelName
    phase: PhaseWord
    progress: Annotated[float, Meta(ge=0.0, le=1.0)] | None
    bytes_done: Bytes | None
    bytes_total: Bytes | None
    eta_s: Seconds | None
    reason: str | None
