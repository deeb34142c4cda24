"""`holdfast check`: one artifact through the capped child, in a store that is thrown away."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from config.schema import ModelSettings, Settings
from loaders.loader import Loader

_FROM_LOAD = ("format", "adopted_bytes", "peak_bytes", "cap_bytes", "seconds", "walls")


async def check(settings: Settings, model: ModelSettings) -> dict[str, Any]:
    """Load an artifact and report on it; nothing of it is kept, and a server's store is not touched.

    {"family","reason","details","ids","components","artifact_bytes","segment_bytes","format","adopted_bytes","peak_bytes",
    "cap_bytes","seconds","walls"}; sizes in bytes. Raises LoadError (whose detail has the components, where any were read), OSError.
    """
    near = settings.store.path if settings.store.path.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="holdfast-check-", dir=near) as folder:
        loader = Loader(settings, Path(folder) / "store")
        await loader.open()
        try:
            artifact = await loader.fetch(model, known=None, on_progress=lambda done, total: None)
            if artifact is None:
                raise RuntimeError("the source says unchanged, but was told no revision")
            version = await loader.load(model, artifact, on_phase=lambda phase, reason: None)
            report = {
                "family": version.family,
                "reason": version.load["family_reason"],
                "details": dict(version.details),
                "ids": dict(version.scorer.ids_in_words()),
                "components": (version.verdict or {}).get("components"),
                "artifact_bytes": version.artifact_bytes,
                "segment_bytes": version.segment_bytes,
                **{name: version.load[name] for name in _FROM_LOAD},
            }
            await version.close()
        finally:
            await loader.aclose()
    return report
