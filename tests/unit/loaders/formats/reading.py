"""What the reader's tests share: streams that drip, a sink without a segment, and values made comparable."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any

from loaders.errors import CorruptArtifact
from loaders.formats import Tree, read_artifact
from loaders.formats.feed import Feed
from loaders.formats.pickle import read_pickle
from loaders.formats.streams import Stream
from loaders.segment_writer import ArtifactMap
from models.records import Array, Text

BIG = 64 << 10
"""From here on a payload is taken out of the pickle."""
NEAR, SPLASH = 4096, 509
"""Further than that from both ends bytes arrive by the splash: there are only more of the same, and each arrival costs a buffer."""


class DripStream:
    """Bytes that arrive a few at a time near both ends, as no file's do; their number is told beforehand only if `is_sized`."""

    fd: int | None = None

    def __init__(self, data: bytes, *, is_sized: bool = False, drops: tuple[int, ...] = (1, 7, 2, 5, 3)) -> None:
        self._data = data
        self._is_sized = is_sized
        self._drops = cycle(drops)
        self.position = 0

    def readinto(self, view: memoryview) -> int:
        is_near = min(self.position, len(self._data) - self.position) < NEAR
        drop = max(next(self._drops), 0 if is_near else SPLASH)
        piece = self._data[self.position : self.position + min(len(view), drop)]
        view[: len(piece)] = piece
        self.position += len(piece)
        return len(piece)

    def remaining(self) -> int | None:
        return len(self._data) - self.position if self._is_sized else None

    def consumed(self) -> int:
        return self.position

    def seek(self, position: int) -> None:
        self.position = position


class MemorySink:
    """Payloads into private memory; `taken` are their sizes, in order."""

    def __init__(self) -> None:
        self.taken: list[int] = []

    def take(self, stream: Stream, nbytes: int) -> memoryview:
        kept = bytearray()
        while len(kept) < nbytes:
            piece = memoryview(bytearray(min(nbytes - len(kept), 1 << 16)))
            got = stream.readinto(piece)
            if not got:
                raise CorruptArtifact("the artifact ends before an array does")
            kept += piece[:got]
        self.taken.append(nbytes)
        return memoryview(kept)

    def open_ended(self) -> GrowingExtent:
        return GrowingExtent(self)


class GrowingExtent:
    def __init__(self, sink: MemorySink) -> None:
        self._sink = sink
        self._kept = bytearray()

    def write(self, data: bytes) -> None:
        self._kept += data

    def finish(self) -> memoryview:
        self._sink.taken.append(len(self._kept))
        return memoryview(self._kept)


@contextmanager
def file_of(data: bytes) -> Iterator[int]:
    """A descriptor of a file with this content, in memory."""
    fd = os.memfd_create("artifact")
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(data)
        yield fd
    finally:
        os.close(fd)


def read_file(data: bytes, sink: MemorySink | None = None) -> Tree:
    """Read a whole artifact, whatever its format. Raises LoadError."""
    with file_of(data) as fd:
        return read_artifact(fd, sink or MemorySink(), ArtifactMap(fd).adopt, lambda nbytes: None, lambda stream: None)


def read_dripping(data: bytes, *, is_sized: bool = False) -> Any:
    """The root of a pickle that arrives a few bytes at a time. Raises LoadError."""
    return read_pickle(Feed(DripStream(data, is_sized=is_sized), MemorySink()), lambda offset, nbytes: memoryview(b""))


def canonical(value: Any) -> Any:
    """Equal exactly for equal values of equal types; any bytes-like is bytes (a bytearray is not kept apart), a long text is a str."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "bytes", bytes(value)
    if isinstance(value, (str, Text)):
        return "str", str(value)
    if isinstance(value, dict):
        return "dict", tuple((canonical(key), canonical(item)) for key, item in value.items())
    if isinstance(value, (set, frozenset)):
        return type(value).__name__, frozenset(canonical(item) for item in value)
    if isinstance(value, (list, tuple)):
        return type(value).__name__, tuple(canonical(item) for item in value)
    return type(value).__name__, repr(value) if isinstance(value, (float, complex)) else value


def array_of(value: Any) -> Any:
    """The numpy array of a read one."""
    assert isinstance(value, Array), value
    assert value.values is not None
    assert value.shape == value.values.shape
    return value.values
