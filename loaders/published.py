"""What trainings have published in the store: where it lies, and how it is read.

Covers: the layout, the record of a version, which version is current and which is pinned. Does not cover: writing any of it
(`training.versions.publish`), loading (`loaders.sources.training`). Blocking, small files; imports no numpy.

    <store>/<training>/lock                  held (flock) by whoever trains or publishes; dies with its holder
    <store>/<training>/<version>/            written whole under another name, fsynced, renamed; never changed afterwards
        model.safetensors                    the bundle that is served
        version.json                         the record: see `PublishedVersion`
    <store>/<training>/current -> <version>  switched by one rename
    <store>/<training>/pinned -> <version>   only while nothing but a command may switch `current`
    <store>/<training>/withdrawn/<version>   why a version was taken back after it was published: JSON; it is never current again by itself
    <store>/training.db                      the journal of runs (`training.running.journal`)
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

MODEL_FILE = "model.safetensors"
RECORD_FILE = "version.json"
CURRENT, PINNED, LOCK, WITHDRAWN = "current", "pinned", "lock", "withdrawn"
STAGING = ".staging-"
"""What the folder of a version is called until it is whole."""
VERSION_NAME = re.compile(r"[0-9]{8}T[0-9]{6}-[0-9a-f]{6}")
"""A version's name: when its run was created (UTC), and six random hex digits. Names sort by age."""
MOST_RECORD_BYTES = 4 << 20
"""Of a record or a mark: a few kilobytes are usual, and the server reads them beside its answers."""
_YEARS = (-62_135_596_800.0, 253_402_300_799.0)
"""Times that are dates, Unix seconds: the years 1 to 9999."""


@dataclass(frozen=True, slots=True)
class PublishedVersion:
    """The record of one version (version.json). Times are Unix seconds, sizes bytes.

    cut_at: the latest time it was trained on (None for a random split). verdict: as `training.judging.verdict.Verdict.to_json`.
    metrics: name -> number, measured on the holdout. salt: of the random split, "" for one by time.
    """

    version: str
    training: str
    algorithm: str
    family: str
    trained_at: float
    published_at: float
    bytes: int
    sha256: str
    code_version: str
    seconds: float
    peak_bytes: int | None
    split: str
    cut_at: float | None
    salt: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    verdict: Mapping[str, Any] | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    """Hybrids: role -> version of the part that it was measured with."""
    notes: Mapping[str, Any] = field(default_factory=dict)


class BadRecord(ValueError):
    """A version's record is not there, or is none."""


def record_in(folder: Path) -> PublishedVersion:
    """The record that lies in a folder, published or staged, each field of its kind; fields that are not known here are let be.

    Raises BadRecord: who shows it need not ask again what it holds.
    """
    try:
        record = msgspec.json.decode(_small(folder / RECORD_FILE), type=PublishedVersion)
        verdict_cut = None if record.verdict is None else msgspec.convert(record.verdict.get("cut_at"), float | None)
        times = [at for at in (record.trained_at, record.published_at, record.cut_at, verdict_cut) if at is not None]
        if not all(_is_date(at) for at in times) or record.bytes < 0:
            raise ValueError("a time or a size in it is none")
    except (OSError, ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise BadRecord(f"{folder.name} has no record that can be read: {error}") from error
    return record


def _small(path: Path) -> bytes:
    """What a file holds. Raises ValueError for one that is too long, OSError."""
    with path.open("rb") as file:
        content = file.read(MOST_RECORD_BYTES + 1)
    if len(content) > MOST_RECORD_BYTES:
        raise ValueError(f"{path.name} is longer than {MOST_RECORD_BYTES} bytes")
    return content


def _is_date(at: float) -> bool:
    return _YEARS[0] <= at < _YEARS[1]


class PublishedFolder:
    """What one training has published; nothing need exist."""

    def __init__(self, store: Path, training: str) -> None:
        self.path = store / training
        self.training = training

    def __repr__(self) -> str:
        return f"<PublishedFolder {self.path}>"

    def folder_of(self, version: str) -> Path:
        """Where a version lies. Raises ValueError for what cannot be a version's name."""
        if not VERSION_NAME.fullmatch(version):
            raise ValueError(f"{version!r} is no name of a version")
        return self.path / version

    def model_of(self, version: str) -> Path:
        """The artifact of a version."""
        return self.folder_of(version) / MODEL_FILE

    def names(self) -> list[str]:
        """Whole versions, newest first. Raises OSError."""
        try:
            found = [path.name for path in self.path.iterdir() if VERSION_NAME.fullmatch(path.name) and (path / RECORD_FILE).is_file()]
        except FileNotFoundError:
            return []
        return sorted(found, reverse=True)

    def current(self) -> str | None:
        """The version that is to serve: the pinned one, else the one that `current` names; None where nothing is published."""
        return self.pinned() or self.current_link()

    def current_link(self) -> str | None:
        """What `current` itself names, whatever is pinned."""
        return self._link(CURRENT)

    def pinned(self) -> str | None:
        """The version that nothing but a command replaces."""
        return self._link(PINNED)

    def record(self, version: str) -> PublishedVersion:
        """The record of a version. Raises BadRecord, and ValueError for what cannot be a version's name."""
        record = record_in(self.folder_of(version))
        if record.version != version or record.training != self.training:
            raise BadRecord(f"the record of {version} is that of {record.training} {record.version}")
        return record

    def withdrawn(self, version: str) -> Mapping[str, Any] | None:
        """Why a version was taken back ({"at", "type", "message"}); None where it was not."""
        try:
            told = json.loads(_small(self.path / WITHDRAWN / version))
            at = float(told["at"])
            if not _is_date(at):
                raise ValueError("it says no time")
            return {"at": at, "type": str(told["type"]), "message": str(told["message"])}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return {"at": 0.0, "type": "unknown", "message": "it was taken back, and why cannot be read any more"}

    def _link(self, name: str) -> str | None:
        try:
            version = (self.path / name).readlink().name
        except OSError:
            return None
        return version if VERSION_NAME.fullmatch(version) and (self.path / version / RECORD_FILE).is_file() else None
