"""The only shared-memory code: one region of named arrays, written by a capped child, checked and mapped by the server.

Covers: making the destination, the seal that proves nobody can write any more, the check as untrusted input, the read-only
mapping. Does not cover: writing (`loaders.segment_writer`), where kept segments live (`loaders.cache`), what the arrays
mean (`models`).

A segment is a safetensors file whose metadata key "holdfast" holds JSON: {"family", "meta", "details", "adopted":
{name: {"offset", "dtype", "shape"}}, "transposed": [names]}. An adopted array lies in the artifact, not in the segment.
Gaps are tensors named `__padN`. Once mapped by the server it is never written again: it is replaced and unlinked.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loaders.errors import DiskFull, SegmentInvalid
from loaders.formats.safetensors import DTYPES, BadHeader, header_length, parse
from loaders.spawning import SPAWNING
from loaders.told import read_json
from models.bundle import Bundle

HEADER = 64 << 10
"""Bytes reserved for the header, so that data starts on a page and the number of arrays need not be known beforehand."""
ALIGN = 64
_DETAILS_DEPTH = 8


class Destination:
    """An empty segment, made by the parent so that no descriptor has to come back from the child.

    A nameless file of the store (shared memory and restart cache at once), or memory. Owns its descriptor and, on a file
    system without O_TMPFILE, a private temporary name.
    """

    def __init__(self, folder: Path | None) -> None:
        """`folder` None is memory. Raises DiskFull, or OSError for a folder that cannot be written."""
        self.path: Path | None = None
        self.is_memory = folder is None
        if folder is None:
            self.fd = os.memfd_create("holdfast-segment", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            return
        try:
            self.fd = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull("no room in the store for a segment") from error
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
                raise
            self.path = folder / f".segment-{os.getpid()}-{os.urandom(6).hex()}"
            self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def seal(self) -> None:
        """Prove that nobody can write any more; `fd` is read-only afterwards. Blocking (fsync).

        Memory is sealed: EBUSY means that somebody still maps it writable. A file is synced and a read lease taken for a
        moment: EAGAIN means that a writer, or a writable mapping, survives. Raises SegmentInvalid.
        """
        if self.is_memory:
            self._seal_memory()
        else:
            os.fsync(self.fd)
        readonly = os.open(f"/proc/self/fd/{self.fd}", os.O_RDONLY | os.O_CLOEXEC)
        with SPAWNING:  # a child that is just being started has a copy of the writable descriptor until its exec
            os.close(self.fd)
            self.fd = readonly
            if not self.is_memory:
                self._check_lease()

    def _seal_memory(self) -> None:
        try:
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        except OSError as error:
            if error.errno in (errno.EBUSY, errno.EPERM):
                raise SegmentInvalid("a process still maps the segment writable") from error
            raise

    def _check_lease(self) -> None:
        try:
            fcntl.fcntl(self.fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            # Released at once: a lease broken later would send this process a signal.
            fcntl.fcntl(self.fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                raise SegmentInvalid("a process still has the segment open for writing") from error
            if error.errno not in (errno.EINVAL, errno.ENOLCK, errno.EACCES, errno.EOPNOTSUPP):
                raise
            if survivors(self.fd):  # no leases on this file system: look for the processes instead
                raise SegmentInvalid("a process still has the segment open") from error

    def link(self, target: Path) -> None:
        """Give the sealed file its name, durably; replaces an older file of that name in one step. Raises DiskFull."""
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if self.path is None:
                self.path = target.parent / f".segment-{os.getpid()}-{os.urandom(6).hex()}"
                # src_dir_fd makes CPython call linkat with AT_SYMLINK_FOLLOW; plain link() fails with EXDEV.
                os.link(f"/proc/self/fd/{self.fd}", self.path.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=True)
            os.rename(self.path.name, target.name, src_dir_fd=folder, dst_dir_fd=folder)
            self.path = None
            os.fsync(folder)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull("no room to name the segment") from error
            raise
        finally:
            os.close(folder)

    def close(self) -> None:
        """Forget it: closes the descriptor, removes a temporary name. Idempotent."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
            self.path = None
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def survivors(fd: int) -> list[int]:
    """Processes, other than this one, that have the inode of `fd` open or mapped. Blocking: walks /proc."""
    status = os.fstat(fd)
    return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and int(pid) != os.getpid() and _holds(pid, status)]


def _holds(pid: str, status: os.stat_result) -> bool:
    for folder in ("fd", "map_files"):
        try:
            names = os.listdir(f"/proc/{pid}/{folder}")
        except OSError:
            continue
        for name in names:
            try:
                other = os.stat(f"/proc/{pid}/{folder}/{name}")
            except OSError:
                continue
            if (other.st_dev, other.st_ino) == (status.st_dev, status.st_ino):
                return True
    return False


class Mapping:
    """A checked segment (and the artifact it adopts arrays of), mapped read-only: `bundle` reads from it.

    Unmapped when the last array over it is gone; drop the last reference in a thread (70 ms/GB).
    """

    def __init__(self, segment_fd: int, artifact_fd: int | None, *, is_checked: bool = False) -> None:
        """Blocking. Raises SegmentInvalid for anything a well-behaved child does not write. Keeps neither descriptor.

        `is_checked`: the arrays' content was looked through before this file was kept, so that a restart need not read it.
        """
        self.size = os.fstat(segment_fd).st_size
        try:
            self.bundle = _open(segment_fd, self.size, artifact_fd, is_checked)
        except (BadHeader, ValueError, TypeError, KeyError, RecursionError) as error:
            raise SegmentInvalid(f"the segment is not well formed: {error}") from error
        self.allocated_bytes = os.fstat(segment_fd).st_blocks * 512


def _open(fd: int, size: int, artifact_fd: int | None, is_checked: bool) -> Bundle:
    head = os.pread(fd, 8, 0)
    length = header_length(head, size)
    if length > HEADER - 8:  # the writer's is never longer, and JSON takes many times its size in memory
        raise BadHeader(f"a header of {length} bytes")
    entries, metadata = parse(os.pread(fd, 8 + length, 0), size)
    note = read_json(metadata["holdfast"])
    family, meta, details, adopted, transposed = (note[key] for key in ("family", "meta", "details", "adopted", "transposed"))
    if not (isinstance(family, str) and all(isinstance(part, dict) for part in (meta, details, adopted)) and isinstance(transposed, list)):
        raise BadHeader("the note is malformed")
    if not _is_shallow(details, _DETAILS_DEPTH):
        raise BadHeader("the details are nested too deeply")  # every status page shows them
    memory = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ)
    arrays: dict[str, NDArray[Any]] = {}
    for entry in entries:
        if not entry.name.startswith("__pad"):
            if entry.offset % entry.dtype.itemsize:
                raise BadHeader(f"array {entry.name[:80]!r} is not aligned")
            arrays[entry.name] = np.frombuffer(memory, entry.dtype, prod(entry.shape), entry.offset).reshape(entry.shape)
    if adopted:
        if artifact_fd is None:
            raise BadHeader("arrays are adopted from an artifact that is not there")
        arrays.update(_adopted(adopted, artifact_fd))
    for name in transposed:
        arrays[name] = arrays[name].T
    return Bundle(family, arrays, meta, details, is_checked)


def _is_shallow(value: Any, depth: int) -> bool:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth > 0 and all(_is_shallow(child, depth - 1) for child in children)


def _adopted(table: dict[str, Any], fd: int) -> dict[str, NDArray[Any]]:
    size = os.fstat(fd).st_size
    memory = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ)
    arrays = {}
    for name, place in table.items():
        dtype, shape, offset = np.dtype(DTYPES[place["dtype"]]), place["shape"], place["offset"]
        if not (isinstance(shape, list) and all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 1 << 62 for n in shape)):
            raise BadHeader(f"adopted array {name[:80]!r} has a malformed shape")
        if not isinstance(offset, int) or offset < 0 or offset % dtype.itemsize or offset + prod(shape) * dtype.itemsize > size:
            raise BadHeader(f"adopted array {name[:80]!r} lies outside the artifact")
        arrays[name] = np.frombuffer(memory, dtype, prod(shape), offset).reshape(shape)
    return arrays
