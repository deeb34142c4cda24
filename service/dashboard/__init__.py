"""The page at `/`: what its files are, read once.

Covers: the table of the files, their media types and their fingerprints. Does not cover: serving them
(`service.routes.dashboard`). The page is plain HTML, CSS and ES modules, as they stand here: nothing is built, and nothing
comes from elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType

INDEX = "index.html"
MEDIA_TYPES: Mapping[str, str] = MappingProxyType(
    {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"},
)
"""By the end of a file's name; a file with another one is not part of the page."""


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file of the page. `etag` is a strong entity tag without its quotes: the content alone decides it (RFC 9110, 8.8.3)."""

    content: bytes
    media_type: str
    etag: str


def read_files() -> Mapping[str, PageFile]:
    """Every file of the page by its name, as installed."""
    found = {}
    for entry in files(__name__).iterdir():
        media_type = MEDIA_TYPES.get(entry.name.rpartition(".")[2])
        if media_type is not None:
            content = entry.read_bytes()
            found[entry.name] = PageFile(content, media_type, hashlib.sha256(content).hexdigest()[:32])
    return MappingProxyType(found)


FILES: Mapping[str, PageFile] = read_files()
