"""The store on disk: fetched artifacts, kept segments, and the record that ties them to a model.

Covers: paths, permissions, atomic records, what may be deleted. Does not cover: fetching (`loaders.sources`), the content of
segments (`loaders.segment`). Blocking; called from threads. One process owns a store at a time (`lock`).

    <store>/lock                      held while a process uses the store
    <store>/partial/<model>-*.part    downloads under way, resumed by the next attempt
    <store>/artifacts/<model>-*       whole artifacts; never rewritten
    <store>/segments/<model>-*.seg    sealed segments; never rewritten
    <store>/kept/<model>.json         the revision that is kept: artifact, segment, version, what the load measured
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any

from config.schema import ModelSettings

_SAMPLE_HEAD, _SAMPLE_BLOCK, _SAMPLE_BLOCKS = 64 << 10, 4 << 10, 64
CONVERTER = 1
"""Raised when packing or the segment layout changes: kept segments of another number are made again."""

_UNFINISHED = ".segment-"
"""What a segment is called until it has its own name, on a file system without nameless files for as long as it is written."""


class StoreInUse(RuntimeError):
    """Another process holds the store."""


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """What must be unchanged for a file of the store to be trusted without reading all of it again.

    A file that was copied with its store (into an image, to another disk) has another inode: then its sample decides.
    """

    name: str
    size: int
    inode: int
    mtime_ns: int
    sample: str
    """SHA-256 of the first 64 KiB and of 64 blocks spread over the rest: a copy cut short or with holes differs."""

    @classmethod
    def of(cls, path: Path) -> FileIdentity:
        """Raises OSError."""
        status = path.stat(follow_symlinks=False)
        return cls(path.name, status.st_size, status.st_ino, status.st_mtime_ns, _sample(path, status.st_size))

    def is_well_formed(self) -> bool:
        """Whether the fields are what `of` writes: a damaged record must not lead out of its folder, nor stop a start."""
        names = _are(str, self.name, self.sample) and self.name not in ("", ".", "..") and not {"/", "\0"} & set(self.name)
        return names and _are(int, self.size, self.inode, self.mtime_ns)

    def holds(self, folder: Path) -> bool:
        """Whether the file is there, unchanged."""
        path = folder / self.name
        try:
            status = path.stat(follow_symlinks=False)
            if (status.st_size, status.st_ino, status.st_mtime_ns) == (self.size, self.inode, self.mtime_ns):
                return True
            return status.st_size == self.size and _sample(path, self.size) == self.sample
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class Kept:
    """The record of a model's kept revision. `key` names the options it was made with: another key means another segment."""

    model: str
    key: str
    revision: str
    size: int
    sha256: str | None
    artifact: FileIdentity | None
    segment: FileIdentity | None
    adopts: bool
    """Whether the segment has arrays in the artifact."""
    version: str
    family: str
    loaded_at: float
    segment_bytes: int
    load: dict[str, Any] = field(default_factory=dict)

    def is_well_formed(self) -> bool:
        """Whether every field is of its kind: a record comes from a disk, where anything may have happened to it."""
        return (
            _are(str, self.key, self.revision, self.version, self.family, self.sha256 or "")
            and isinstance(self.load, dict)
            and _are(int, self.size, self.segment_bytes, self.load.get("peak_bytes", 0))
            and isinstance(self.adopts, bool)
            and isinstance(self.loaded_at, int | float)
            and isfinite(self.loaded_at)
            and all(identity is None or identity.is_well_formed() for identity in (self.artifact, self.segment))
        )


class Store:
    """Paths and records of one store. Every folder is 0700, every file 0600."""

    def __init__(self, root: Path, max_bytes: int) -> None:
        self.root = root
        self.max_bytes = max_bytes
        self.partial = root / "partial"
        self.artifacts = root / "artifacts"
        self.segments = root / "segments"
        self._kept = root / "kept"
        self._lock = -1
        # Of one model's attempts only one is at work, but several models' threads meet here.
        self._changing = threading.RLock()
        self._in_hand: dict[str, set[str]] = {}

    def open(self) -> None:
        """Make the folders, take the lock, remove what a killed process left. Raises OSError, StoreInUse."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.partial, self.artifacts, self.segments, self._kept):
            folder.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise StoreInUse(f"the store {self.root} is in use by another process") from error
        self._lock = lock
        try:
            self.root.chmod(0o700)
            self._sweep()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _sweep(self) -> None:
        for path in self.segments.glob(f"{_UNFINISHED}*"):
            path.unlink(missing_ok=True)
        for path in self._kept.glob("*.new"):
            path.unlink(missing_ok=True)
        self.collect()

    # -- records ------------------------------------------------------------------------------------------------------

    def kept(self, model: str) -> Kept | None:
        """The record of a model, None if there is none or it cannot be read."""
        try:
            fields = json.loads((self._kept / f"{model}.json").read_text())
            for name in ("artifact", "segment"):
                fields[name] = FileIdentity(**fields[name]) if fields[name] else None
            kept = Kept(**fields)
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        return kept if kept.model == model and kept.is_well_formed() else None

    def keep(self, kept: Kept) -> None:
        """Replace the record of a model in one step, then delete what no record names. Raises OSError."""
        with self._changing:
            self._write(kept)
            self.let_go(kept.model)

    def _write(self, kept: Kept) -> None:
        target = self._kept / f"{kept.model}.json"
        temporary = target.with_suffix(".new")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as file:
            json.dump(asdict(kept), file)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(target)
        _sync_folder(self._kept)

    def forget(self, model: str) -> None:
        (self._kept / f"{model}.json").unlink(missing_ok=True)

    # -- files --------------------------------------------------------------------------------------------------------

    def partial_path(self, model: ModelSettings) -> Path:
        """Where a download of this model from this source grows."""
        return self.partial / f"{model.name}-{_short(model.source)}.part"

    def take(self, model: str, fetched: Path, name: str) -> Path:
        """Move a whole download to its place among the artifacts, and hold it; durable. Raises OSError."""
        target = self.artifacts / f"{model}-{name}"
        with self._changing:
            self._in_hand[model] = {target.name}  # what an earlier attempt of the model fetched is not waited for any more
            fetched.rename(target)
        fetched.with_name(fetched.name + ".json").unlink(missing_ok=True)
        _sync_folder(self.artifacts)
        return target

    def hold(self, model: str, name: str) -> None:
        """Leave this file alone, whatever the records say, until `let_go` or `keep`: other models' loads end meanwhile."""
        with self._changing:
            self._in_hand.setdefault(model, set()).add(name)

    def let_go(self, model: str, keep: str | None = None) -> None:
        """Delete what was held for this model, where no record names it; `keep` is held on."""
        with self._changing:
            self._in_hand.pop(model, None)
            if keep is not None:
                self._in_hand[model] = {keep}
            self.collect()

    def collect(self) -> int:
        """Delete artifacts and segments that nobody holds and no record names, then unneeded artifacts while over the budget; bytes freed.

        A mapped file lives on without its name until the last reader is done, so what serves is never disturbed.
        """
        with self._changing:
            return self._collect()

    def _collect(self) -> int:
        records = [kept for path in self._kept.glob("*.json") if (kept := self.kept(path.stem)) is not None]
        named = {identity.name for kept in records for identity in (kept.artifact, kept.segment) if identity is not None}
        held = set[str]().union(*self._in_hand.values())
        needed = named | held
        whole = [path for folder in (self.artifacts, self.segments) for path in folder.iterdir() if not path.name.startswith(_UNFINISHED)]
        freed = sum(_unlink(path) for path in whole if path.name not in needed)
        spare = sorted(
            (kept for kept in records if kept.artifact is not None and not kept.adopts and kept.segment is not None),
            key=lambda kept: kept.loaded_at,
        )
        used = self.used_bytes()
        for kept in spare:
            if used <= self.max_bytes or kept.artifact is None:
                break
            if kept.artifact.name in held:
                continue
            gone = _unlink(self.artifacts / kept.artifact.name)
            used -= gone
            freed += gone
        return freed

    def clear(self, model: str | None, mapped: Collection[str] = ()) -> int:
        """Forget the records of a model (or of all) and delete its files, partial downloads too, but none in hand; bytes freed.

        Of a version that is `mapped` (by name) only an artifact goes that nothing is mapped of; a hosted one comes back from
        its artifact if its process dies.
        """
        with self._changing:
            for path in self._kept.glob("*.json"):
                if model not in (None, path.stem):
                    continue
                kept = self.kept(path.stem)
                is_held = kept is not None and (kept.segment is not None or kept.family == "hosted") and kept.version in mapped
                if kept is None or not is_held:
                    path.unlink(missing_ok=True)
                elif kept.artifact is not None and kept.segment is not None and not kept.adopts:
                    self._write(replace(kept, artifact=None))
            freed = sum(_unlink(path) for path in self.partial.iterdir() if model in (None, _model_of(path)) and not self._is_growing(path))
            return freed + self.collect()

    def _is_growing(self, partial: Path) -> bool:
        """Whether it is of a download in hand, whose validator and folder begin with its own name."""
        return any(partial.name.startswith(name) for names in self._in_hand.values() for name in names)

    def used_bytes(self) -> int:
        """Disk space of everything fetched and kept, bytes; a file of several names (a published version's) counts once."""
        sizes: dict[tuple[int, int], int] = {}
        for folder in (self.partial, self.artifacts, self.segments):
            for path in folder.iterdir():
                _add_blocks(path, sizes)
        return sum(sizes.values())

    def files(self) -> Iterator[Path]:
        """Every file of the store but its lock."""
        return (path for path in self.root.rglob("*") if path.is_file() and path.name != "lock")


def segment_key(model: ModelSettings, numpy_major: str) -> str:
    """What a segment depends on besides the artifact: source, family, options, converter, numpy's major version."""
    words = [model.source, model.sha256.lower(), model.family, model.id_column, str(CONVERTER), numpy_major]
    return _short("\0".join(words))


def _are(kind: type, *values: Any) -> bool:
    return all(type(value) is kind for value in values)


def _sample(path: Path, size: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        digest.update(file.read(_SAMPLE_HEAD))
        for offset in range(_SAMPLE_HEAD, size, max(_SAMPLE_BLOCK, (size - _SAMPLE_HEAD) // _SAMPLE_BLOCKS)):
            digest.update(os.pread(file.fileno(), _SAMPLE_BLOCK, offset))
    return digest.hexdigest()


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _model_of(partial: Path) -> str:
    """The model that a file among the partial downloads belongs to: <model>-<digest>.part and what stands beside it."""
    return partial.name.partition(".")[0].rpartition("-")[0]


def _add_blocks(path: Path, sizes: dict[tuple[int, int], int], *, only_name: bool = False) -> None:
    """Add the disk space of a file, or of all files in a folder (gdown's), by device and inode; nothing for what is gone meanwhile.

    only_name: leave out what has another name somewhere, so that deleting this one frees nothing.
    """
    try:
        if path.is_dir():
            for child in path.iterdir():
                _add_blocks(child, sizes, only_name=only_name)
            return
        found = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    if found.st_nlink == 1 or not only_name:
        sizes[found.st_dev, found.st_ino] = found.st_blocks * 512


def _unlink(path: Path) -> int:
    """Delete a file or a folder; the bytes that this freed."""
    sizes: dict[tuple[int, int], int] = {}
    _add_blocks(path, sizes, only_name=True)
    size = sum(sizes.values())
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    return size


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
