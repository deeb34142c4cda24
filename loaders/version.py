"""A loaded version: what answers, and what is known of the load. See service.lifecycle.ports.Loaded.

Covers: versions that are mapped. Does not cover: those that live in a process (`loaders.hosting.version`).
"""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from loaders.cache import Kept
from models.base import Scorer


class Version:
    """A mapped version. See service.lifecycle.ports.Loaded."""

    def __init__(
        self, kept: Kept, scorer: Scorer, load: Mapping[str, Any], mapped: Counter[str], verdict: Mapping[str, Any] | None = None
    ) -> None:
        self.verdict = verdict
        self._mapped = mapped
        mapped[kept.version] += 1
        self.version = kept.version
        self.revision = kept.revision
        self.family = kept.family
        self.scorer: Any = scorer
        self.artifact_bytes = kept.size
        self.segment_bytes = kept.segment_bytes
        self.loaded_at = kept.loaded_at
        self.load = load
        self.details: Mapping[str, Any] = scorer.details
        self.parts: Mapping[str, str] = {}

    def name_parts(self, parts: Mapping[str, str]) -> None:
        """Say which models it answers from, before anybody sees it; the details tell them too."""
        self.parts = parts
        self.details = {**self.details, "parts": dict(parts)}

    def on_death(self, tell: Callable[[str, str], None]) -> None:
        """A mapping does not die."""

    def __repr__(self) -> str:
        return f"<Version {self.version} {self.family} segment={self.segment_bytes}>"

    async def close(self) -> None:
        """Drop the mapping; the pages go when the last request that still reads them is done."""
        last = [self.scorer]
        self.scorer = None
        self._mapped[self.version] -= 1
        await asyncio.to_thread(_drop, last)


def _drop(last: list[Any]) -> None:
    last.clear()
    gc.collect(0)
