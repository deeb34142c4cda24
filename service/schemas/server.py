"""The documents about the server as a whole: health and status.

Covers: their fields. Does not cover: how they are measured (`service.usage`), errors (`problems`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from service.schemas.models import ModelStatus
from service.schemas.values import Bytes, Seconds, StatusWord


class Health(Struct, kw_only=True):
    """The process lives. degraded: a model cannot serve, serves an old version, or there is none at all."""

    status: Literal["ok", "loading", "degraded"]
    models: dict[str, StatusWord]


class Live(Struct, kw_only=True):
    """The process lives."""

    status: Literal["ok"]


class Ready(Struct, kw_only=True):
    """Every required model is live."""

    status: Literal["ready"]
    models: dict[str, StatusWord]


class Usage(Struct, kw_only=True):
    """Memory of one process."""

    rss_bytes: Annotated[Bytes, Meta(description="Resident, mapped models included")]
    private_bytes: Annotated[Bytes, Meta(description="Its own alone")]


class Memory(Usage, kw_only=True):
    """Memory of the answering process, of the host and of its container."""

    host_total_bytes: Bytes
    host_available_bytes: Bytes
    container_limit_bytes: Bytes | None


class Worker(Usage, kw_only=True):
    """One serving process."""

    pid: Annotated[int, Meta(ge=1)]
    uptime_s: Seconds


class ServerStatus(Struct, kw_only=True):
    """What the server is, what it uses, and every model."""

    version: str
    uptime_s: Seconds
    memory: Memory
    workers: list[Worker]
    models: list[ModelStatus]
