"""A staged version becomes the one that serves; rolling back, pinning, taking back, pruning.

Covers: what is done to a training's folder, in which order, so that after a crash between any two steps `current` names a
whole version, the new one or the old one. Does not cover: the layout and reading it (`loaders.published`), single steps
(`training.versions.durable`), who may do it when: whoever calls holds the training's lock (`training.running.lock`). Blocking; no numpy.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from loaders.published import (
    CURRENT,
    MODEL_FILE,
    PINNED,
    RECORD_FILE,
    STAGING,
    WITHDRAWN,
    BadRecord,
    PublishedFolder,
    PublishedVersion,
    record_in,
)
from training.versions import durable

log = logging.getLogger("holdfast.training")


class UnknownVersion(LookupError):
    """No version of this name is kept."""

    def __init__(self, training: str, version: str) -> None:
        super().__init__(f"{training} keeps no version {version}")
        self.training = training
        self.version = version

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.training, self.version))


class NoEarlierVersion(LookupError):
    """There is nothing to go back to: no kept version before the current one that was not withdrawn."""

    def __init__(self, training: str) -> None:
        super().__init__(f"{training} keeps no version before the one that is current")
        self.training = training

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.training,))


def stage_folder(store: Path, training: str, run_id: str) -> Path:
    """An empty folder for what a run makes; on the file system of what is published. Raises ValueError, OSError."""
    folder = PublishedFolder(store, training)
    staging = folder.path / f"{STAGING}{folder.folder_of(run_id).name}"
    folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    durable.sync(folder.path.parent)
    durable.remove_folder(staging)
    durable.make_folder(staging)
    return staging


def write_record(folder: Path, record: PublishedVersion) -> None:
    """Write version.json into a staging folder, fsynced. Raises ValueError for numbers that JSON has not, OSError."""
    told = {each.name: getattr(record, each.name) for each in fields(record)}
    durable.write(folder / RECORD_FILE, json.dumps(told, indent=1, allow_nan=False, default=dict).encode())


def publish(store: Path, training: str, staging: Path, keep_versions: int) -> PublishedVersion:
    """A staged version becomes a kept one, and current unless a version is pinned; then old ones go. Its record.

    Raises BadRecord where the folder does not hold a whole version of this training, FileExistsError, OSError.
    """
    folder = PublishedFolder(store, training)
    record = record_in(staging)
    target = folder.folder_of(record.version)
    model = staging / MODEL_FILE
    if record.training != training or not model.is_file() or model.stat(follow_symlinks=False).st_size != record.bytes:
        raise BadRecord(f"{staging.name} does not hold what its record says: {record.training} {record.version}, {record.bytes} bytes")
    if target.exists():
        raise FileExistsError(f"version {record.version} of {training} is published already")
    # What the folder holds is on the disk before its name is, and its name before a link that leads to it.
    for path in (model, staging / RECORD_FILE, staging):
        durable.sync(path)
    durable.move(staging, target)
    if folder.pinned() is None:
        durable.point(folder.path / CURRENT, record.version)
    try:
        prune(store, training, keep_versions)
    except OSError as error:  # it is published all the same, and the next one prunes again
        log.warning("old versions of %s could not be deleted: %s", training, error)
    return record


def roll_back(store: Path, training: str, to: str | None = None, *, by: str = "") -> PublishedVersion:
    """Make an earlier version current and pin it; its record. `to` None: the newest before the current one that was not withdrawn.

    Raises UnknownVersion, NoEarlierVersion, BadRecord, OSError.
    """
    folder = PublishedFolder(store, training)
    version = _before(folder) if to is None else _kept(folder, to)
    record = folder.record(version)
    _forgive(folder, version)
    # The pin first: it alone decides. Interrupted here, `clean` and `unpin` complete the switch.
    durable.point(folder.path / PINNED, version)
    durable.point(folder.path / CURRENT, version)
    log.info("%s is rolled back to %s and pinned there%s", training, version, f" by {by}" if by else "")
    return record


def activate(store: Path, training: str, version: str, *, by: str = "") -> PublishedVersion:
    """Make a version current and remove the pin; its record. Raises UnknownVersion, BadRecord, OSError."""
    folder = PublishedFolder(store, training)
    record = folder.record(_kept(folder, version))
    _forgive(folder, version)
    # The pin last: while it is there, what it names is current, and not what `current` named before.
    durable.point(folder.path / CURRENT, version)
    durable.remove(folder.path / PINNED)
    log.info("%s is switched to %s%s", training, version, f" by {by}" if by else "")
    return record


def unpin(store: Path, training: str, *, by: str = "") -> str | None:
    """Remove the pin: what is current stays so until the next version is published. The current version. Raises OSError."""
    folder = PublishedFolder(store, training)
    _complete(folder)
    durable.remove(folder.path / PINNED)
    log.info("%s is not pinned any more%s", training, f", says {by}" if by else "")
    return folder.current()


def withdraw(
    store: Path, training: str, version: str, failure: Mapping[str, str], *, serving: str | None = None
) -> PublishedVersion | None:
    """Take a version back for `failure` ({"type", "message"}): it is never current again by itself. The record of what is current.

    Where links named it, they name `serving` from now on, or without one, or one that is not kept, the newest version that was not
    withdrawn; where there is none they stay. Raises UnknownVersion, BadRecord, OSError.
    """
    folder = PublishedFolder(store, training)
    _kept(folder, version)
    marks = folder.path / WITHDRAWN
    if not marks.is_dir():
        durable.make_folder(marks)
    # The reason first: a version that is not current any more, and not withdrawn either, would be gone back to.
    told = {"at": time.time(), "type": failure["type"], "message": failure["message"]}
    durable.write(marks / version, json.dumps(told).encode())
    sound = [name for name in folder.names() if folder.withdrawn(name) is None]
    instead = serving if serving in sound else next(iter(sound), None)
    if instead is not None:
        was_pinned, was_current = folder.pinned() == version, folder.current_link() == version
        if was_pinned:
            durable.point(folder.path / PINNED, instead)
        if was_current or was_pinned:
            durable.point(folder.path / CURRENT, instead)
    log.warning("%s %s is taken back: %s: %s", training, version, told["type"], told["message"])
    now = folder.current()
    return None if now is None else folder.record(now)


def prune(store: Path, training: str, keep_versions: int) -> list[str]:
    """Delete all but the newest versions, the current and the pinned one; withdrawn ones go before others. What went. Raises OSError."""
    folder = PublishedFolder(store, training)
    names = folder.names()
    ranked = sorted(names, key=lambda name: folder.withdrawn(name) is not None)  # stable: the newest first, among each
    kept = {*ranked[:keep_versions], folder.current(), folder.pinned(), folder.current_link()}
    gone = [name for name in names if name not in kept]
    for name in gone:
        durable.remove_folder(folder.path / name)
        if folder.withdrawn(name) is not None:
            durable.remove(folder.path / WITHDRAWN / name)
    return gone


def clean(store: Path, training: str) -> None:
    """Complete what was interrupted and delete what it left. For the holder of the training's run lock, before it stages anything.

    Raises OSError.
    """
    folder = PublishedFolder(store, training)
    if not folder.path.is_dir():
        return
    for path in folder.path.glob(f"{STAGING}*"):
        durable.remove_folder(path)
    durable.sweep(folder.path)
    _complete(folder)
    marks = folder.path / WITHDRAWN
    if marks.is_dir():
        durable.sweep(marks)
        for mark in {path.name for path in marks.iterdir()} - set(folder.names()):
            durable.remove(marks / mark)


def _kept(folder: PublishedFolder, version: str) -> str:
    if version not in folder.names():
        raise UnknownVersion(folder.training, version)
    return version


def _before(folder: PublishedFolder) -> str:
    current = folder.current()
    earlier = (name for name in folder.names() if current is not None and name < current and folder.withdrawn(name) is None)
    version = next(earlier, None)
    if version is None:
        raise NoEarlierVersion(folder.training)
    return version


def _forgive(folder: PublishedFolder, version: str) -> None:
    """A person's word goes over what happened to the version before."""
    if folder.withdrawn(version) is not None:
        durable.remove(folder.path / WITHDRAWN / version)


def _complete(folder: PublishedFolder) -> None:
    """`current` names what is to serve: the pinned version, or the newest where the first publishing was interrupted."""
    wanted = folder.current() or next((name for name in folder.names() if folder.withdrawn(name) is None), None)
    if wanted is not None and folder.current_link() != wanted:
        durable.point(folder.path / CURRENT, wanted)
