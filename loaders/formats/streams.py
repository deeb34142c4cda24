"""Artifact bytes, in order: straight from the file, or through a decompressor.

Covers: forward reading with absolute positions, and what is known about the rest. Does not cover: what the bytes mean.
Nothing here reads ahead of what is asked by more than its own buffer, and nothing allocates what a header merely claims.
"""

from __future__ import annotations

import bz2
import lzma
import os
import zlib
from collections.abc import Callable
from typing import Any, Protocol

from loaders.errors import CorruptArtifact, MissingLibrary

SLICE = 1 << 20


class Stream(Protocol):
    """A forward reader. `remaining` is None where only the end will tell (compressed)."""

    @property
    def position(self) -> int:
        """Bytes handed out so far, counted in the uncompressed stream."""
        ...

    @property
    def fd(self) -> int | None:
        """The descriptor whose offsets equal positions (raw files), else None."""
        ...

    def readinto(self, view: memoryview) -> int: ...
    def remaining(self) -> int | None: ...
    def consumed(self) -> int:
        """Bytes of the artifact file behind what was handed out, for progress."""
        ...

    def seek(self, position: int) -> None:
        """Go to an absolute position; raw files only."""
        ...


class RawStream:
    """A plain file, read with pread, so that the descriptor's own offset is nobody's business."""

    def __init__(self, fd: int) -> None:
        self.fd: int | None = fd
        self._fd = fd
        self.size = os.fstat(fd).st_size
        self.position = 0

    def readinto(self, view: memoryview) -> int:
        got = os.preadv(self._fd, [view], self.position)
        self.position += got
        return got

    def remaining(self) -> int | None:
        return self.size - self.position

    def consumed(self) -> int:
        return self.position

    def seek(self, position: int) -> None:
        self.position = position


class InflatedStream:
    """A compressed file, decompressed in slices of at most 1 MiB, so that a bomb costs time and not memory."""

    fd: int | None = None

    def __init__(self, fd: int, decompressor: Callable[[], Any]) -> None:
        self._fd = fd
        self._new = decompressor
        self._engine = decompressor()
        self._tail = b""
        self._chunk = memoryview(b"")
        self._offset = 0
        self._at_end = False
        self.position = 0

    def readinto(self, view: memoryview) -> int:
        while not self._chunk and not self._at_end:
            self._fill()
        got = min(len(view), len(self._chunk))
        view[:got] = self._chunk[:got]
        self._chunk = self._chunk[got:]
        self.position += got
        return got

    def _fill(self) -> None:
        try:
            if self._engine.eof and not self._begin_member():
                self._at_end = True
                return
            data = self._tail
            wants = bool(getattr(self._engine, "needs_input", True))
            if not data and wants:
                data = self._read()
            out = self._engine.decompress(data, SLICE)
            if wants and not (data or out or self._engine.eof):
                raise CorruptArtifact("the compressed stream ends before its end mark: truncated")
            # Only zlib hands back what it did not look at yet; the others keep it.
            self._tail = getattr(self._engine, "unconsumed_tail", b"")
            self._chunk = memoryview(out)
        except (zlib.error, lzma.LZMAError, OSError, EOFError, RuntimeError, ValueError) as error:
            raise CorruptArtifact(f"decompression failed: {error}") from error

    def _begin_member(self) -> bool:
        """Go on with the next member, as pigz, pbzip2 and `cat` make them; zeros between and behind are padding. False at the end."""
        rest = self._engine.unused_data or b""
        while not (rest := rest.lstrip(b"\0")):
            if not (rest := self._read()):
                return False
        self._engine, self._tail = self._new(), rest
        return True

    def _read(self) -> bytes:
        data = os.pread(self._fd, 256 << 10, self._offset)
        self._offset += len(data)
        return data

    def remaining(self) -> int | None:
        return None

    def consumed(self) -> int:
        return self._offset

    def seek(self, position: int) -> None:
        raise CorruptArtifact("a compressed stream has no positions")


def _zlib() -> Any:
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # zlib or gzip, by its header


def _lzma() -> Any:
    return lzma.LZMADecompressor(memlimit=256 << 20)


def _lz4() -> Any:
    try:
        import lz4.frame
    except ImportError as error:
        raise MissingLibrary('reading lz4 needs the lz4 package: pip install "holdfast"') from error
    return lz4.frame.LZ4FrameDecompressor()


COMPRESSIONS: tuple[tuple[str, bytes, Callable[[], Any]], ...] = (
    ("gzip", b"\x1f\x8b", _zlib),
    ("bz2", b"BZh", bz2.BZ2Decompressor),
    ("xz", b"\xfd7zXZ", _lzma),
    ("lzma", b"\x5d\x00\x00", _lzma),
    ("lz4", b"\x04\x22\x4d\x18", _lz4),
    ("zlib", b"\x78", _zlib),
)
"""(name, magic, decompressor): what joblib writes and what people gzip by hand."""


def inflate(fd: int, head: bytes) -> tuple[str, InflatedStream] | None:
    """The decompressed stream of a file that begins with `head`, and the name of its compression; None if it has none."""
    for name, magic, decompressor in COMPRESSIONS:
        if head.startswith(magic) and (name != "zlib" or int.from_bytes(head[:2], "big") % 31 == 0):
            return name, InflatedStream(fd, decompressor)
    return None
