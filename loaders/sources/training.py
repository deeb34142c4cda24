"""What a training of this store has published: the version that is current, linked into the store beside everything fetched.

Covers: asking which version is to serve, comparing its file with the digest that was recorded when it was published, taking it
without copying a byte where both lie on one file system, noticing a switch. Does not cover: the layout (`loaders.published`),
publishing (`training.versions.publish`).
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import stat
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

from config.schema import Settings
from loaders.errors import AccessDenied, CorruptArtifact, FetchError, LoadError, NotAModel, SourceNotFound, SourceUnavailable
from loaders.published import VERSION_NAME, BadRecord, PublishedFolder

from .base import Fetched, Limits, Progress, Revision
from .checks import SNIFFED_BYTES, check_size, check_start, check_whole, store_errors
from .file import FileSource
from .partial import discard
from .threads import on_own_thread
from .watch import changes_where

PREFIX = "training:"
ATTEMPTS = 3
_SLICE = 4 << 20
_UNLINKABLE = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS)
"""A link cannot be had: another file system, or one without links. Then it is copied."""


class _Gone(Exception):
    """The version was current a moment ago and is not there any more."""


class _Cancelled(Exception):
    """Nobody waits for the file any more."""


class TrainingSource:
    """One training's `current` version. A version never changes, so its name is the revision."""

    def __init__(self, uri: str, settings: Settings) -> None:
        self._name = uri.removeprefix(PREFIX)
        self._folder = PublishedFolder(settings.store.path, self._name)
        self._settings = settings
        self.uri = uri

    def __repr__(self) -> str:
        return f"<TrainingSource {self.uri}>"

    async def probe(self) -> Revision:
        """The version that is to serve. Raises SourceNotFound while none is published."""
        return await asyncio.to_thread(self._probe)

    async def fetch(self, into: Path, *, limits: Limits, on_progress: Progress, known: Revision | None = None) -> Fetched | None:
        """See `loaders.sources.base.Source.fetch`. Nothing is resumed.

        The file is read once: a disk that changed a bit of it since it was published makes it CorruptArtifact, and no model.
        """
        for _ in range(ATTEMPTS):
            revision = await self.probe()
            if known is not None and known.token == revision.token:
                return None
            version = revision.token.removeprefix(PREFIX)
            path = self._folder.model_of(version)
            try:
                digest, is_linked = await self._take(version, path, into, limits, on_progress)
                if is_linked:
                    return Fetched(path=into, size=revision.size or 0, sha256=digest, revision=revision)
                copied = await FileSource(str(path), self._settings).fetch(into, limits=limits, on_progress=on_progress)
            except (_Gone, SourceNotFound):
                continue  # pruned, or withdrawn, between the question and the answer
            except LoadError as error:
                error.detail.setdefault("revision", revision.token)  # which version it is that cannot be had
                raise
            return None if copied is None else replace(copied, revision=revision, sha256=digest)
        raise SourceUnavailable(f"{self.uri}: its version changed {ATTEMPTS} times while it was taken")

    def watch(self) -> AsyncIterator[None]:
        """Yields when another version than at the time of the call is to serve."""
        return changes_where(self._folder.current, lambda: frozenset({self._folder.path} if self._folder.path.is_dir() else ()))

    def _probe(self) -> Revision:
        try:
            names = self._folder.names()
            version = self._folder.current()
            if version is None:
                raise SourceNotFound(self._nothing(names))
            found = os.stat(self._folder.model_of(version), follow_symlinks=False)
        except OSError as error:
            raise self._failure(error) from error
        if not stat.S_ISREG(found.st_mode):
            raise NotAModel(f"{self.uri}: version {version} holds no regular file")
        return Revision(f"{PREFIX}{version}", found.st_size)

    def _nothing(self, names: list[str]) -> str:
        if names:
            return f"{self.uri}: none of its {len(names)} versions is current: holdfast versions {self._name} --activate {names[0]}"
        return f"{self.uri}: {self._name} has published nothing yet: holdfast train {self._name}"

    async def _take(self, version: str, path: Path, into: Path, limits: Limits, on_progress: Progress) -> tuple[str, bool]:
        """The published file's digest, which is the recorded one; whether it has a second name at `into`. Raises _Gone, LoadError."""
        loop = asyncio.get_running_loop()

        def on_read(done: int, size: int) -> None:
            loop.call_soon_threadsafe(on_progress, done, size)

        def take(cancelled: threading.Event) -> tuple[str, bool]:
            digest = self._digest(version, path, limits, cancelled, on_read)
            return digest, self._link(path, into)

        return await on_own_thread(take, name="fetch-training")

    def _digest(self, version: str, path: Path, limits: Limits, cancelled: threading.Event, on_read: Callable[[int, int], None]) -> str:
        """SHA-256 of the file, hex. Raises CorruptArtifact where it is not the recorded one, _Gone, LoadError."""
        digest, done = hashlib.sha256(), 0
        try:
            with open(path, "rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                check_size(size, limits, self.uri)
                check_whole(size, None, self.uri)
                check_start(os.pread(file.fileno(), SNIFFED_BYTES, 0), self.uri)
                while block := file.read(_SLICE):
                    if cancelled.is_set():
                        raise _Cancelled
                    digest.update(block)
                    done += len(block)
                    on_read(done, max(size, done))
        except FileNotFoundError as error:
            raise _Gone from error
        except OSError as error:
            raise self._failure(error) from error
        try:
            recorded = self._folder.record(version).sha256
        except BadRecord as error:
            raise CorruptArtifact(f"{self.uri}: {error}") from error
        if digest.hexdigest() != recorded:
            raise CorruptArtifact(
                f"{self.uri}: the file of {version} is not the one that was published: its SHA-256 is {digest.hexdigest()}, recorded is"
                f" {recorded}"
            )
        return recorded

    def _link(self, path: Path, into: Path) -> bool:
        """Give the published file a second name; False where that cannot be had. Raises _Gone, LoadError."""
        with store_errors(into):
            discard(into)  # a link is made, never written over: what lies there may be one already
        try:
            os.link(path, into, follow_symlinks=False)
        except FileNotFoundError as error:
            raise _Gone from error
        except OSError as error:
            if error.errno in _UNLINKABLE:
                return False
            with store_errors(into):
                raise
        return True

    def _failure(self, error: OSError) -> FetchError:
        message = f"{self.uri}: {error.strerror or error}"
        if isinstance(error, PermissionError):
            return AccessDenied(message)
        return SourceNotFound(message) if isinstance(error, FileNotFoundError | NotADirectoryError) else SourceUnavailable(message)


def version_of(revision: str) -> str | None:
    """The version that a revision of a training names; None for a revision of any other source."""
    name = revision.removeprefix(PREFIX)
    return name if name != revision and VERSION_NAME.fullmatch(name) else None
