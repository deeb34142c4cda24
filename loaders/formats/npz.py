"""numpy's zip of arrays, without numpy's loader: stored members are adopted or copied, deflated ones streamed.

Covers: .npz of `np.savez` and `np.savez_compressed`, also what implicit's own `save` writes; object members, read as data.
Does not cover: encrypted archives. Child only.
"""

from __future__ import annotations

import ast
import codecs
import errno
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from math import prod
from typing import IO, Any

from loaders.errors import CorruptArtifact
from models.records import Array, DType, Malformed, checked_shape, view_as

from .feed import Feed, Sink
from .pickle import read_pickle
from .streams import Stream

_MAX_MEMBERS = 4096
_MAX_HEADER = 64 << 10
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, NotImplementedError, RuntimeError, Malformed, EOFError, UnicodeError,
    ValueError, OverflowError,
)  # fmt: skip
codecs.lookup("cp437")  # zipfile decodes names with it; later the child can open no file


class _Member:
    """One member's bytes as a stream: zipfile decompresses and checks its CRC at the end."""

    fd: int | None = None

    def __init__(self, file: IO[bytes], size: int, progress: Callable[[], int]) -> None:
        self._file = file
        self._size = size
        self._progress = progress
        self.position = 0

    def readinto(self, view: memoryview) -> int:
        data = self._file.read(min(len(view), 1 << 20))
        view[: len(data)] = data
        self.position += len(data)
        return len(data)

    def remaining(self) -> int | None:
        return None  # the declared size is only a claim

    def consumed(self) -> int:
        return self._progress()

    def seek(self, position: int) -> None:
        raise CorruptArtifact("a zip member has no positions")


def read_npz(
    fd: int, sink: Sink, on_adopt: Callable[[int, int], memoryview], on_plain: Callable[[int], None], on_stream: Callable[[Stream], None]
) -> dict[str, Any]:
    """Name -> Array of every member. Raises CorruptArtifact."""
    try:
        with os.fdopen(os.dup(fd), "rb", buffering=1 << 16) as file, zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            if len(members) > _MAX_MEMBERS:
                raise CorruptArtifact(f"{len(members)} members in an npz")
            arrays: dict[str, Any] = {}
            for member in members:
                if not member.filename.endswith(".npy") or member.flag_bits & 1:
                    continue
                stream = _Member(archive.open(member), member.file_size, lambda member=member: member.header_offset)  # type: ignore[misc]
                on_stream(stream)
                arrays[member.filename[:-4]] = _read(fd, member, stream, sink, on_adopt, on_plain)
            return arrays
    except _DAMAGE as error:
        raise CorruptArtifact(f"not a well-formed npz: {error}") from error
    except OSError as error:
        # A forged offset before the file's start, or a damaged bz2 member, which has no number; others are the disk's.
        if error.errno not in (None, errno.EINVAL):
            raise
        raise CorruptArtifact(f"not a well-formed npz: {error}") from error


def _read(
    fd: int,
    member: zipfile.ZipInfo,
    stream: _Member,
    sink: Sink,
    on_adopt: Callable[[int, int], memoryview],
    on_plain: Callable[[int], None],
) -> Array:
    with stream._file as file:
        spec, shape, fortran = _npy_header(file)
        stream.position = header = file.tell()
        if spec.is_object:
            feed = Feed(stream, sink, on_plain)
            inner = read_pickle(feed, on_adopt)
            if not isinstance(inner, Array):
                raise CorruptArtifact("an object member of the npz holds no array")
            return inner
        dtype = spec.resolve()
        nbytes = dtype.itemsize * prod(shape)
        if nbytes != member.file_size - header:
            raise CorruptArtifact(
                f"npz member {member.filename[:80]!r} of shape {shape} does not fill its {member.file_size - header} bytes"
            )
        if not nbytes:
            return Array(view_as(b"", dtype, shape, fortran))
        start = _data_offset(fd, member) + header
        if member.compress_type == zipfile.ZIP_STORED and start % 16 == 0 and dtype.isnative:
            return Array(view_as(on_adopt(start, nbytes), dtype, shape, fortran))
        raw = sink.take(stream, nbytes)
        if stream.readinto(memoryview(bytearray(1))):
            raise CorruptArtifact("an npz member goes on behind its array")
        return Array(view_as(raw, dtype, shape, fortran))


def _npy_header(file: IO[bytes]) -> tuple[DType, tuple[int, ...], bool]:
    """dtype, shape and order of an .npy (versions 1.0 and 2.0 of numpy.lib.format). Raises Malformed."""
    magic = file.read(8)
    prefix = {b"\x93NUMPY\x01\x00": 2, b"\x93NUMPY\x02\x00": 4}.get(magic)
    if prefix is None:
        raise Malformed("a member is no .npy of version 1.0 or 2.0")
    length = int.from_bytes(file.read(prefix), "little")
    text = file.read(min(length, _MAX_HEADER + 1))
    if len(text) != length or length > _MAX_HEADER or not text.isascii():
        raise Malformed("a member's .npy header is malformed")
    try:
        header = ast.literal_eval(text.decode("ascii").strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError) as error:
        raise Malformed("a member's .npy header is not a literal") from error
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"} or not isinstance(header["descr"], str):
        raise Malformed("a member's .npy header does not describe a plain array")
    return DType(header["descr"]), checked_shape(header["shape"]), header["fortran_order"] is True


def _data_offset(fd: int, member: zipfile.ZipInfo) -> int:
    head = os.pread(fd, 30, member.header_offset)
    if len(head) != 30 or head[:4] != b"PK\x03\x04":
        raise CorruptArtifact("an npz member has no local header")
    return member.header_offset + 30 + int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
