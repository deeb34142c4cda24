"""A bundle as a file of its own: what training publishes, and what is loaded by passing it through.

Covers: writing one in a single pass, and reading one back as the untrusted input that any file is. Does not cover: where
published files lie (`loaders.published`), serving one (`loaders.reading` adopts its arrays where they are).

The file is a segment that adopts nothing (`loaders.segment` has the layout): a safetensors file that any tool opens, its
payloads 64-byte aligned and in the order of the bundle.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loaders.errors import CorruptArtifact, DiskFull, SegmentInvalid, TooLarge
from loaders.formats.safetensors import NAMES, BadHeader, Entry, render
from loaders.segment import ALIGN, HEADER, Mapping
from loaders.segment_writer import Note, as_stored, metadata_of
from models.base import Scorer
from models.bundle import BadBundle, Bundle
from models.opening import open_scorer_of

_SLICE_BYTES = 8 << 20


def write_bundle_file(path: Path, bundle: Bundle) -> tuple[int, str]:
    """Write a new file (0600), fsynced; its size in bytes and its SHA-256 in hex. Copies no array; its name is for the caller to sync.

    Raises BadBundle for what the format cannot hold, FileExistsError, DiskFull, TooLarge, OSError; then there is no file.
    """
    header, parts, size = _plan(bundle)
    digest = hashlib.sha256()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.posix_fallocate(fd, 0, size)  # a disk that is full is known before the first gigabyte
        for block in _blocks(header, parts):
            digest.update(block)
            _write_all(fd, block)
        os.fsync(fd)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no room for a model of {size} bytes", need_bytes=size) from error
        if isinstance(error, OSError) and error.errno == errno.EFBIG:
            raise TooLarge(f"the model's {size} bytes are more than this process may write") from error
        raise
    finally:
        os.close(fd)
    return size, digest.hexdigest()


def open_bundle_file(path: Path) -> Bundle:
    """The bundle of a file, mapped read-only. Raises CorruptArtifact for anything `write_bundle_file` does not write, OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return Mapping(fd, None).bundle
    except SegmentInvalid as error:
        raise CorruptArtifact(f"{path.name} is no whole bundle file: {error.message}") from error
    finally:
        os.close(fd)


def open_published_scorer(path: Path) -> Scorer:
    """What answers from the bundle of a file. Raises CorruptArtifact where its arrays contradict each other, OSError."""
    bundle = open_bundle_file(path)
    try:
        return open_scorer_of(bundle)
    except BadBundle as error:
        raise CorruptArtifact(f"{path.name} does not hold a {bundle.family[:40]} model: {error}") from error


def _plan(bundle: Bundle) -> tuple[bytes, list[tuple[int, NDArray[Any]]], int]:
    """The header, each array and how many bytes lie before it and the one before, the size of all. Raises BadBundle."""
    entries: list[Entry] = []
    parts: list[tuple[int, NDArray[Any]]] = []
    note, at = Note({}, []), HEADER
    for name, given in bundle.arrays.items():
        array, is_transposed = as_stored(given)
        if array.dtype.str not in NAMES:
            raise BadBundle(f"array {name[:80]!r} is of dtype {array.dtype}, which safetensors has not")
        if is_transposed:
            note.transposed.append(name)
        gap = -at % ALIGN
        if gap:
            entries.append(Entry(f"__pad{len(entries)}", np.dtype("u1"), (gap,), at, gap))
        nbytes = prod(array.shape) * array.itemsize
        entries.append(Entry(name, array.dtype, array.shape, at + gap, nbytes))
        parts.append((gap, array))
        at += gap + nbytes
    try:
        return render(entries, metadata_of(bundle, note), HEADER), parts, at
    except (BadHeader, ValueError, TypeError, RecursionError) as error:
        raise BadBundle(f"the bundle cannot be described: {error}") from error


def _blocks(header: bytes, parts: list[tuple[int, NDArray[Any]]]) -> Iterator[memoryview]:
    """The file from its first byte on, a few megabytes at a time."""
    yield memoryview(header)
    for gap, array in parts:
        yield memoryview(bytes(gap))
        yield from _blocks_of(array)


def _blocks_of(array: NDArray[Any]) -> Iterator[memoryview]:
    if array.flags.c_contiguous:
        flat = array.reshape(-1).view(np.uint8)
        for begin in range(0, flat.size, _SLICE_BYTES):
            yield flat[begin : begin + _SLICE_BYTES].data
        return
    step = max(1, _SLICE_BYTES * len(array) // max(array.nbytes, 1))
    for begin in range(0, len(array), step):
        yield np.ascontiguousarray(array[begin : begin + step]).reshape(-1).view(np.uint8).data


def _write_all(fd: int, block: memoryview) -> None:
    done = 0
    while done < len(block):
        done += os.write(fd, block[done:])
