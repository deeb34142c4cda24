"""Artifacts on a local file system: taken into the store, because their owner may rewrite them at any time.

Covers: a reflink where the file system can, else a copy inside the kernel, else reading and writing; a file that
changes while it is copied. Does not cover: the digest (not computed: the identity is the revision), noticing a
replaced file (`loaders.sources.watch`).
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import stat
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from config.schema import Settings
from loaders.errors import AccessDenied, LoadError, NotAModel, SourceNotFound, SourceUnavailable

from .address import file_path
from .base import Fetched, Limits, Progress, Revision
from .checks import SNIFFED_BYTES, check_room, check_size, check_start, check_whole, store_errors
from .deadlines import stall_deadline, total_deadline
from .download import private_opener, settle
from .partial import discard, forget_validator
from .threads import on_own_thread
from .watch import changes_of

SLICE_BYTES = 8 << 20
ATTEMPTS = 3
_FICLONE = 0x40049409


class _Changed(Exception):
    """The file is not the one that the copy began with."""


class _Cancelled(Exception):
    """Nobody waits for the copy any more."""


class FileSource:
    """One path; links are followed."""

    def __init__(self, uri: str, settings: Settings) -> None:
        self._path = file_path(uri)
        self.uri = uri

    def __repr__(self) -> str:
        return f"<FileSource {self.uri}>"

    async def probe(self) -> Revision:
        """The identity of the file that is there now."""
        return await asyncio.to_thread(self._probe)

    async def fetch(self, into: Path, *, limits: Limits, on_progress: Progress, known: Revision | None = None) -> Fetched | None:
        """See `loaders.sources.base.Source.fetch`. A copy is never resumed: making it again is cheap. `sha256` is None."""
        loop = asyncio.get_running_loop()
        async with total_deadline(limits, self.uri), stall_deadline(limits, self.uri) as beat:

            def arrived(done: int, total: int) -> None:
                beat()
                on_progress(done, total)

            def on_copied(done: int, total: int) -> None:
                loop.call_soon_threadsafe(arrived, done, total)

            return await on_own_thread(lambda cancelled: self._take(into, limits, known, cancelled, on_copied), name="fetch-file")

    def watch(self) -> AsyncIterator[None]:
        """Yields when another file than at the time of the call lies at the path, or behind the link there."""
        return changes_of(self._path)

    def _probe(self) -> Revision:
        try:
            found = os.stat(self._path)
        except OSError as error:
            raise self._failure(error) from error
        if not stat.S_ISREG(found.st_mode):
            raise NotAModel(f"{self.uri}: {'a directory' if stat.S_ISDIR(found.st_mode) else 'not a regular file'}")
        return revision_of(found)

    def _take(
        self, into: Path, limits: Limits, known: Revision | None, cancelled: threading.Event, on_copied: Callable[[int, int], None]
    ) -> Fetched | None:
        for _ in range(ATTEMPTS):
            revision = self._probe()
            if known is not None and known.token == revision.token:
                return None
            size = revision.size or 0
            check_size(size, limits, self.uri)
            check_whole(size, None, self.uri)
            try:
                self._copy(into, revision, cancelled, on_copied)
            except _Changed:
                continue
            except (LoadError, _Cancelled):
                with store_errors(into):
                    discard(into)  # making it again costs less than going on with it
                raise
            return Fetched(path=into, size=size, sha256=None, revision=revision)
        with store_errors(into):
            discard(into)
        raise SourceUnavailable(f"{self.uri}: changed {ATTEMPTS} times while it was copied")

    def _copy(self, into: Path, revision: Revision, cancelled: threading.Event, on_copied: Callable[[int, int], None]) -> None:
        """Copy the file that is `revision`. Raises _Changed if it is another one before or after, LoadError."""
        size = revision.size or 0
        try:
            # Not blocking: a pipe that took the file's place would wait for a writer.
            source = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise self._failure(error) from error
        try:
            if revision_of(os.fstat(source)) != revision:
                raise _Changed
            with store_errors(into):
                forget_validator(into)
                target = private_opener(str(into), os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            try:
                with store_errors(into):
                    os.fchmod(target, 0o600)
                on_copied(0, size)
                if not _clone(source, target):
                    check_room(size, into.parent)
                    self._copy_slices(source, target, size, cancelled, lambda done: on_copied(done, size), into)
                # Stronger than the descriptor: says also that nothing else lies at the path by now.
                if self._probe() != revision:
                    raise _Changed
                check_start(os.pread(target, SNIFFED_BYTES, 0), self.uri)
            finally:
                os.close(target)
        finally:
            os.close(source)
        with store_errors(into):
            settle(into)
        on_copied(size, size)

    def _copy_slices(
        self, source: int, target: int, size: int, cancelled: threading.Event, on_copied: Callable[[int], None], into: Path
    ) -> None:
        """Copy `size` bytes, in the kernel where it can. Raises _Cancelled, _Changed if the source is shorter, LoadError."""
        done = 0
        in_kernel = True
        while done < size:
            if cancelled.is_set():
                raise _Cancelled
            length = min(SLICE_BYTES, size - done)
            if in_kernel:
                copied = _copy_range(source, target, done, length)
                if copied == 0:
                    in_kernel = False
                    continue
            else:
                try:
                    block = os.pread(source, length, done)
                except OSError as error:
                    raise self._failure(error) from error
                if not block:
                    raise _Changed
                with store_errors(into):
                    copied = os.pwrite(target, block, done)
            done += copied
            on_copied(done)

    def _failure(self, error: OSError) -> LoadError:
        message = f"{self.uri}: {error.strerror or error}"
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            return SourceNotFound(message)
        if isinstance(error, PermissionError):
            return AccessDenied(message)
        if isinstance(error, IsADirectoryError) or error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            return SourceNotFound(message)
        return SourceUnavailable(message)


def revision_of(found: os.stat_result) -> Revision:
    """The revision that a stat names: device, inode, size and both times in nanoseconds."""
    return Revision(f"file:{found.st_dev}:{found.st_ino}:{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}", found.st_size)


def _clone(source: int, target: int) -> bool:
    """Share the extents of the source, where the file system can: no byte is copied, and writes to either part them."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False  # another file system, or one that cannot: copied instead, where real errors show
    return True


def _copy_range(source: int, target: int, offset: int, length: int) -> int:
    """Bytes copied without leaving the kernel; 0 where it cannot (across file systems, at a false end): reading and writing show why."""
    try:
        return os.copy_file_range(source, target, length, offset_src=offset, offset_dst=offset)
    except OSError:
        return 0
