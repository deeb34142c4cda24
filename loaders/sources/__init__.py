"""Where artifacts come from: one file a source, and the scheme table that chooses it.

A source is stateless: `probe` says what is current, `fetch` brings it. See `loaders.sources.base` for the interface.
Adding a source is adding a file and a line here; `tests/contracts/test_sources.py` then asks for its fixture.
"""

from __future__ import annotations

from importlib import import_module

from config.schema import ModelSettings, Settings

from .address import InvalidAddress, check_source, redact, scheme_of
from .base import Fetched, Limits, Progress, Revision, Source

__all__ = [
    "SOURCES",
    "Fetched",
    "InvalidAddress",
    "Limits",
    "Progress",
    "Revision",
    "Source",
    "check_source",
    "limits_of",
    "open_source",
    "redact",
]

SOURCES: dict[str, str] = {
    "file": "loaders.sources.file:FileSource",
    "http": "loaders.sources.https:HttpsSource",
    "https": "loaders.sources.https:HttpsSource",
    "s3": "loaders.sources.s3:S3Source",
    "gdrive": "loaders.sources.gdrive:DriveSource",
    "training": "loaders.sources.training:TrainingSource",
}
"""Scheme -> "module:Class", imported on use; the class is called with (uri, Settings)."""


def open_source(model: ModelSettings, settings: Settings) -> Source:
    """The source that the address of a model names; `settings` say what keys it uses and what its store is.

    No I/O. Raises InvalidAddress, which names what is wrong and the schemes known.
    """
    problem = check_source(model.source)
    if problem is not None:
        raise InvalidAddress(f"source of model {model.name!r}: {problem}")
    module, _, name = SOURCES[scheme_of(model.source)].partition(":")
    source: Source = getattr(import_module(module), name)(model.source, settings)
    return source


def limits_of(settings: ModelSettings) -> Limits:
    """The bounds of one fetch of a model, as configured."""
    return Limits(max_bytes=settings.max_artifact_bytes, stall_timeout_s=settings.stall_timeout_s, total_timeout_s=settings.fetch_timeout_s)
