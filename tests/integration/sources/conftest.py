"""What the tests of single sources share: a folder of the store, and how a source is opened and asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from config.schema import ModelSettings, S3Settings, Settings
from loaders.sources import Fetched, Limits, Revision, open_source

MIB = 1 << 20
LIMITS = Limits(max_bytes=16 * MIB, stall_timeout_s=10.0, total_timeout_s=60.0)

Fetch = Callable[..., Awaitable[Fetched | None]]


@pytest.fixture
def into(tmp_path: Path) -> Path:
    """Where the artifact goes: a file of a store that is empty."""
    folder = tmp_path / "store"
    folder.mkdir(mode=0o700)
    return folder / "als.part"


@pytest.fixture
def fetch(into: Path) -> Fetch:
    """`await fetch(uri, known=, limits=, s3=, on_progress=)` into the store."""

    async def run(
        uri: str,
        *,
        known: Revision | None = None,
        limits: Limits = LIMITS,
        s3: S3Settings | None = None,
        on_progress: Callable[[int, int | None], None] = lambda done, total: None,
    ) -> Fetched | None:
        source = open_source(ModelSettings(name="als", source=uri), Settings(s3=s3 or S3Settings()))
        return await source.fetch(into, limits=limits, on_progress=on_progress, known=known)

    return run
