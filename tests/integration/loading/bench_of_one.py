"""One loader over a store of its own: what every loading test starts from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from config.schema import LoadingSettings, ModelSettings, Settings, StoreSettings
from loaders.loader import Loader, Version


@asynccontextmanager
async def open_loader(folder: Path, **loading: Any) -> AsyncIterator[Loader]:
    """A loader whose store is `folder`/store."""
    loader = Loader(Settings(store=StoreSettings(path=folder / "store"), loading=LoadingSettings(**loading)))
    await loader.open()
    try:
        yield loader
    finally:
        await loader.aclose()


async def bring(loader: Loader, path: Path, phases: list[str] | None = None, **model: Any) -> Version:
    """Fetch and load one local file. Raises LoadError."""
    settings = ModelSettings(name="m", source=str(path), **model)
    artifact = await loader.fetch(settings, known=None, on_progress=lambda done, total: None)
    assert artifact is not None
    seen = phases if phases is not None else []
    return await loader.load(settings, artifact, on_phase=lambda phase, reason: seen.append(str(phase)))


def left_behind(loader: Loader) -> list[str]:
    """Names of everything in the store but its lock."""
    return sorted(path.name for path in loader.store.files())
