"""The interface of a source, and the words it speaks.

Covers: types only. Does not cover: the store (`loaders.cache`), retries (the lifecycle's policy decides them).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

Progress = Callable[[int, "int | None"], None]
"""Called on the event loop with (bytes done, bytes total or None); done never falls within one fetch unless the source changed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one fetch."""

    max_bytes: int
    stall_timeout_s: float
    total_timeout_s: float


@dataclass(frozen=True, slots=True)
class Revision:
    """What a source says is current. Equal tokens mean the same bytes.

    token: "etag:...", "mtime:..." (Last-Modified), "file:dev:ino:size:mtime_ns:ctime_ns", "sha256:..." of what was fetched where the
    source gives no validator (asking again then fetches again), or "" where a probe of such a source cannot know.
    size: bytes, where the source says so.
    """

    token: str
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """One whole artifact, fsynced, at the path the fetch was told; `sha256` is hex, or None where not computed on the way."""

    path: Path
    size: int
    sha256: str | None
    revision: Revision


class Source(Protocol):
    """A place that artifacts come from.

    Both coroutines raise only `loaders.errors.LoadError` subclasses and CancelledError; cancelling stops network traffic and threads
    promptly.
    """

    uri: str
    """As configured, with credentials and signed query values removed: fit for logs and status pages."""

    async def probe(self) -> Revision:
        """What is current, without fetching the body."""
        ...

    async def fetch(self, into: Path, *, limits: Limits, on_progress: Progress, known: Revision | None = None) -> Fetched | None:
        """Bring the current artifact to the file `into` (created or resumed, mode 0600, fsynced); None if `known` is still current.

        A partial file and its validator (`into` + ".json") may be there from a failed fetch: it is resumed only if the validator
        is unchanged, else started again. On failure what was received stays for the next try, except where it is known to be bad.
        """
        ...

    def watch(self) -> AsyncIterator[None] | None:
        """An endless iterator that yields when the artifact may have changed; None where the source cannot be watched."""
        ...
