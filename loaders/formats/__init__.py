"""What is this file, and how is it read? By its first bytes, never by its name.

Covers: choosing the reader and the compression. Every reader gives the same kind of tree: plain containers,
`models.records`, arrays in the segment or in place. Child only.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from loaders.errors import CorruptArtifact, NotAModel, UnknownFormat

if TYPE_CHECKING:
    from .feed import Sink
    from .streams import Stream

ZIP = b"PK\x03\x04"


class Tree(NamedTuple):
    """A read artifact."""

    root: Any
    format: str
    """pickle, joblib, npz, safetensors; with the compression behind a +."""
    plain_bytes: int
    """Bytes that became Python objects rather than arrays."""


def looks_like_html(head: bytes) -> bool:
    """Whether bytes begin like a web page (a sign-in or quota page saved as a model)."""
    start = head[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml", b"<!--", b"<body", b"<script"))


def sniff(head: bytes, size: int) -> str:
    """pickle, npz, safetensors or compressed. Raises NotAModel, UnknownFormat."""
    if not size:
        raise NotAModel("the artifact is empty")
    if looks_like_html(head):
        raise NotAModel("the artifact is a web page (HTML), not a model")
    if head.startswith(ZIP):
        return "npz"
    # Before pickle: one header length in 32 begins like one. A pickle never passes: its bytes 2 to 8 would be far beyond its size.
    if len(head) >= 9 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size:
        return "safetensors"
    if head[:1] == b"\x80" and len(head) > 1:
        if not 2 <= head[1] <= 5:
            raise UnknownFormat(f"pickle protocol {head[1]} is not read: 2 to 5 are")
        return "pickle"
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x5d\x00\x00", b"\x04\x22\x4d\x18")) or (
        head[:1] == b"\x78" and int.from_bytes(head[:2], "big") % 31 == 0
    ):
        return "compressed"
    if head[8:9] == b"{" and head[7:8] != b"\0":
        raise CorruptArtifact("a safetensors header longer than its file")
    raise UnknownFormat(
        f"no reader knows a file that begins with {head[:8].hex(' ')}; pickle (protocol 2-5), joblib, npz and safetensors are read"
    )


def read_artifact(
    fd: int,
    sink: Sink,
    on_adopt: Callable[[int, int], memoryview],
    on_plain: Callable[[int], None],
    on_stream: Callable[[Stream], None],
) -> Tree:
    """Read the whole artifact as data. `on_stream` gets the stream that is read, for progress.

    Raises NotAModel, UnknownFormat, CorruptArtifact, TooLarge, DiskFull, MissingLibrary; MemoryError where the cap is hit.
    """
    from .streams import RawStream, inflate

    size = os.fstat(fd).st_size
    head = os.pread(fd, 4096, 0)
    kind = sniff(head, size)
    if kind == "npz":
        from .npz import read_npz

        return Tree(read_npz(fd, sink, on_adopt, on_plain, on_stream), "npz", 0)
    if kind == "safetensors":
        return Tree(_read_safetensors(fd, size, sink, on_adopt, on_stream), "safetensors", 0)
    if kind == "pickle":
        return _read_pickle(RawStream(fd), "", sink, on_adopt, on_plain, on_stream)
    found = inflate(fd, head)
    if found is None:
        raise UnknownFormat("no reader knows this compression")
    name, stream = found
    start = bytearray(2)
    got = stream.readinto(memoryview(start))
    got += stream.readinto(memoryview(start)[got:]) if got == 1 else 0
    if got < 2 or start[0] != 0x80 or not 2 <= start[1] <= 5:
        raise UnknownFormat(f"the {name} file does not hold a pickle of protocol 2 to 5")
    return _read_pickle(inflate(fd, head)[1], f"+{name}", sink, on_adopt, on_plain, on_stream)  # type: ignore[index]


def _read_pickle(
    stream: Any,
    suffix: str,
    sink: Sink,
    on_adopt: Callable[[int, int], memoryview],
    on_plain: Callable[[int], None],
    on_stream: Callable[[Stream], None],
) -> Tree:
    from .feed import Feed
    from .pickle import read_pickle

    on_stream(stream)
    feed = Feed(stream, sink, on_plain)
    root = read_pickle(feed, on_adopt)
    if suffix:
        feed.drain(1 << 20)
    return Tree(root, ("joblib" if feed.joblib_arrays else "pickle") + suffix, feed.plain_bytes)


def _read_safetensors(
    fd: int, size: int, sink: Sink, on_adopt: Callable[[int, int], memoryview], on_stream: Callable[[Stream], None]
) -> dict[str, Any]:
    from models.records import Array, view_as

    from .safetensors import BadHeader, UnreadDtype, header_length, parse
    from .streams import RawStream

    stream = RawStream(fd)
    on_stream(stream)
    try:
        length = header_length(os.pread(fd, 8, 0), size)
        entries, metadata = parse(os.pread(fd, 8 + length, 0), size)
    except UnreadDtype as error:
        raise UnknownFormat(str(error)) from error
    except BadHeader as error:
        raise CorruptArtifact(f"not a well-formed safetensors file: {error}") from error
    tree: dict[str, Any] = {}
    for entry in entries:
        if entry.name.startswith("__pad") and "holdfast" in metadata:
            continue  # a gap of a bundle file
        if not entry.nbytes:
            raw: Any = b""
        elif entry.offset % entry.dtype.itemsize == 0:
            raw = on_adopt(entry.offset, entry.nbytes)
        else:
            stream.seek(entry.offset)
            raw = sink.take(stream, entry.nbytes)
        tree[entry.name] = Array(view_as(raw, entry.dtype, entry.shape, False))
    if metadata:
        tree["__metadata__"] = metadata
    return tree
