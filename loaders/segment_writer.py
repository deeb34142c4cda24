"""The child's half of the segment: arrays into shared memory, without a copy that need not be.

Covers: streaming payloads to their final place, adopting arrays that may stay in the artifact, writing the header. Does not
cover: making the destination, sealing, checking, mapping (`loaders.segment`). Child only.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loaders.errors import CorruptArtifact, DiskFull, TooLarge
from loaders.formats.safetensors import NAMES, Entry, render
from loaders.formats.streams import SLICE, Stream
from models.bundle import Bundle

from .segment import ALIGN, HEADER

_AHEAD = 8 << 20
_PUNCH_KEEP_SIZE = 0x02 | 0x01


class Note(NamedTuple):
    """What a segment says of arrays that are not simply tensors of it."""

    adopted: dict[str, dict[str, Any]]
    transposed: list[str]


def metadata_of(bundle: Bundle, note: Note) -> dict[str, str]:
    """What the header says besides the tensors. Raises ValueError for what is no JSON."""
    words = {
        "family": bundle.family,
        "meta": bundle.meta,
        "details": bundle.details,
        "adopted": note.adopted,
        "transposed": note.transposed,
    }
    return {"holdfast": json.dumps(words, separators=(",", ":"), allow_nan=False)}


def as_stored(array: NDArray[Any]) -> tuple[NDArray[Any], bool]:
    """The array in a byte order that the format has, and a matrix in F-order as its transpose; whether it is that."""
    if array.dtype.str not in NAMES:
        array = array.astype(array.dtype.newbyteorder("<"))
    is_transposed = array.ndim == 2 and array.flags.f_contiguous and not array.flags.c_contiguous
    return (array.T if is_transposed else array), is_transposed


class SegmentWriter:
    """Places arrays into the destination. Child only; single-threaded.

    Every extent is allocated on the disk before it is written through the mapping: a full disk is then ENOSPC here and
    not SIGBUS later. Raises DiskFull and TooLarge.
    """

    def __init__(self, fd: int, limit_bytes: int) -> None:
        self._fd = fd
        self._limit = limit_bytes
        self._at = HEADER
        self._allocated = 0
        os.ftruncate(fd, limit_bytes)
        self._map = mmap.mmap(fd, limit_bytes, mmap.MAP_SHARED)
        self._view = memoryview(self._map)
        self._base = np.frombuffer(self._map, np.uint8).ctypes.data if limit_bytes else 0
        self.streamed_bytes = 0
        self._allocate(0, HEADER)

    def take(self, stream: Stream, nbytes: int) -> memoryview:
        """Bring the next `nbytes` of `stream` into the segment. The extent grows as bytes arrive where their number cannot be checked."""
        start = self._begin()
        if stream.remaining() is not None:
            self._reserve(start, nbytes)
        done = self._copy_in_kernel(stream, start, nbytes)
        while done < nbytes:
            self._reserve(start, min(nbytes, done + SLICE), _AHEAD)
            got = stream.readinto(self._view[start + done : start + min(nbytes, done + SLICE)])
            if not got:
                raise CorruptArtifact(f"the artifact ends {nbytes - done} bytes before an array does: truncated or forged")
            done += got
        self.streamed_bytes += nbytes
        self._at = start + nbytes
        return self._view[start : start + nbytes]

    def new_array(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """An array of zeros in the segment, for what a family computes: `place` finds it where it is."""
        start, nbytes = self._begin(), prod(shape) * dtype.itemsize
        if not nbytes:
            return np.zeros(shape, dtype)
        self._reserve(start, nbytes)
        self._at = start + nbytes
        return np.frombuffer(self._map, np.uint8, nbytes, start).view(dtype).reshape(shape)

    def open_ended(self) -> _Extent:
        """An extent that grows by write(); finish() gives its memory."""
        return _Extent(self)

    def place(self, array: NDArray[Any]) -> int:
        """Offset of a C-contiguous array in the segment, copying it there unless it already lies there."""
        offset = self.offset_of(array)
        if offset is not None and offset % min(ALIGN, array.itemsize) == 0:
            return offset
        start = self._begin()
        self._reserve(start, array.nbytes)
        target = np.frombuffer(self._map, np.uint8, array.nbytes, start)
        flat = array.reshape(-1)
        if array.nbytes:
            target.view(array.dtype)[:] = flat
        self._at = start + array.nbytes
        return start

    def offset_of(self, array: NDArray[Any]) -> int | None:
        """Where a contiguous array already lies in the segment, or None."""
        address = array.ctypes.data - self._base
        return address if array.nbytes and address >= HEADER and address + array.nbytes <= self._at else None

    def finish(self, bundle: Bundle, entries: list[Entry], note: Note) -> int:
        """Free what no array names, write the header, cut the file to size; the size in bytes. Raises BadHeader if it does not fit."""
        entries = self._fill_gaps(sorted(entries, key=lambda entry: entry.offset))
        self._view[:HEADER] = render(entries, metadata_of(bundle, note), HEADER)
        os.ftruncate(self._fd, self._at)
        return self._at

    def _fill_gaps(self, entries: list[Entry]) -> list[Entry]:
        whole: list[Entry] = []
        at = HEADER
        for entry in [*entries, Entry("", np.dtype("u1"), (0,), self._at, 0)]:
            if entry.offset > at:
                whole.append(Entry(f"__pad{len(whole)}", np.dtype("u1"), (entry.offset - at,), at, entry.offset - at))
                self._punch(at, entry.offset)
            if entry.name:
                whole.append(entry)
            at = entry.offset + entry.nbytes
        return whole

    def _punch(self, start: int, end: int) -> None:
        """Give back the blocks of arrays that were streamed in but belong to nobody (a dense matrix the family does not serve)."""
        first, last = -(-start // 4096) * 4096, end // 4096 * 4096
        if last > first:
            libc = ctypes.CDLL(None, use_errno=True)
            libc.fallocate(self._fd, _PUNCH_KEEP_SIZE, ctypes.c_int64(first), ctypes.c_int64(last - first))

    def _begin(self) -> int:
        return -(-self._at // ALIGN) * ALIGN

    def _reserve(self, start: int, nbytes: int, ahead: int = 0) -> None:
        end = start + nbytes
        if end > self._limit:
            raise TooLarge(f"the arrays need more than the segment limit of {self._limit} bytes", limit_bytes=self._limit)
        if end <= self._allocated:
            return
        try:
            self._allocate(self._allocated, min(self._limit, end + ahead))
        except DiskFull:
            if not ahead:
                raise
            self._allocate(self._allocated, end)

    def _allocate(self, start: int, end: int) -> None:
        try:
            os.posix_fallocate(self._fd, start, end - start)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull(f"no room for {end} bytes of arrays", need_bytes=end) from error
            if error.errno == errno.EFBIG:
                raise TooLarge(f"the arrays need more than {self._limit} bytes", limit_bytes=self._limit) from error
            raise
        self._allocated = end

    def _copy_in_kernel(self, stream: Stream, start: int, nbytes: int) -> int:
        """File to file without passing through this process; 0 where the kernel cannot (another file system, memory, compressed)."""
        if stream.fd is None or nbytes < SLICE:
            return 0
        source = stream.position
        done = 0
        try:
            while done < nbytes:
                got = os.copy_file_range(stream.fd, self._fd, min(nbytes - done, 64 << 20), source + done, start + done)
                if not got:
                    break
                done += got
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull("no room for the arrays") from error
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EPERM):
                raise
        if done:
            stream.seek(source + done)
        return done


class _Extent:
    """Bytes of unknown number at the end of the segment."""

    def __init__(self, writer: SegmentWriter) -> None:
        self._writer = writer
        self._start = writer._begin()
        self._size = 0

    def write(self, data: bytes) -> None:
        self._writer._reserve(self._start, self._size + len(data), _AHEAD)
        self._writer._view[self._start + self._size : self._start + self._size + len(data)] = data
        self._size += len(data)

    def finish(self) -> memoryview:
        self._writer._at = self._start + self._size
        self._writer.streamed_bytes += self._size
        return self._writer._view[self._start : self._start + self._size]


def write_bundle(writer: SegmentWriter, bundle: Bundle, artifact: ArtifactMap) -> tuple[Bundle, list[Entry], Note]:
    """Place every array of a bundle, or note where it lies in the artifact. `writer.finish` then makes it a segment."""
    note = Note({}, [])
    entries: list[Entry] = []
    for name, array in bundle.arrays.items():
        array, is_transposed = as_stored(array)
        if is_transposed:
            note.transposed.append(name)
        if not array.flags.c_contiguous:
            array = np.ascontiguousarray(array)
        offset = artifact.offset_of(array)
        if offset is not None and offset % array.itemsize == 0:
            note.adopted[name] = {"offset": offset, "dtype": NAMES[array.dtype.str], "shape": list(array.shape)}
            continue
        there = writer.offset_of(array)
        if there is not None and any(there < entry.offset + entry.nbytes and entry.offset < there + array.nbytes for entry in entries):
            array = array.copy()  # two names for the same memory: safetensors allows no overlap
        entries.append(Entry(name, array.dtype, array.shape, writer.place(array), array.nbytes))
    return bundle, entries, note


class ArtifactMap:
    """The artifact's own bytes, mapped read-only, for arrays that stay there."""

    def __init__(self, fd: int) -> None:
        self._size = os.fstat(fd).st_size
        self._map = mmap.mmap(fd, self._size, mmap.MAP_SHARED, mmap.PROT_READ) if self._size else None
        self._base = np.frombuffer(self._map, np.uint8).ctypes.data if self._map is not None else 0

    def adopt(self, offset: int, nbytes: int) -> memoryview:
        """The memory of an extent. Raises CorruptArtifact where the file does not hold it."""
        if self._map is None or offset < 0 or offset + nbytes > self._size:
            raise CorruptArtifact(f"an array of {nbytes} bytes is declared at byte {offset} of {self._size}: truncated or forged")
        return memoryview(self._map)[offset : offset + nbytes]

    def offset_of(self, array: NDArray[Any]) -> int | None:
        address = array.ctypes.data - self._base
        return address if self._map is not None and array.nbytes and address >= 0 and address + array.nbytes <= self._size else None
