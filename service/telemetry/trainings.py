"""How each training does, read at one moment: what is published, how its runs ended, what runs now.

Covers: asking the journal and the folders of what is published. Does not cover: what each metric is called
(`service.telemetry.metrics`). The journal counts runs of any process, and before any restart; where it cannot be used, what is
published is told all the same.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from config.schema import Settings
from loaders.published import PINNED, BadRecord, PublishedFolder, PublishedVersion
from training.running.local_zone import LocalZone
from training.running.refused import TrainingUnavailable
from training.running.runs import Run, RunStatus
from training.running.schedule import next_tick
from training.running.tallies import SUCCESSES, Tally

LOOKED_BACK = 20
"""So many of the newest runs are looked at for how often the same happened in a row."""
_TICKS = 10
_FAILED = frozenset({RunStatus.FAILED, RunStatus.CRASHED})
_log = logging.getLogger("holdfast.training")


class Runs(Protocol):
    """The runner (`training.running.runner.Runner`), as far as it is asked here."""

    async def runs(self, training: str | None = None, limit: int = 50) -> list[Run]: ...

    async def tallies(self) -> list[Tally]: ...


@dataclass(frozen=True, slots=True)
class Folder:
    """What a training has published. current: the record of what is to serve. bytes: of all kept versions. pinned_at: Unix seconds."""

    kept: int = 0
    withdrawn: int = 0
    bytes: int = 0
    current: PublishedVersion | None = None
    pinned_at: float | None = None


@dataclass(frozen=True, slots=True)
class TrainingFacts:
    """One training. active: the run that waits or runs. last: the newest run that is over. interval_s: see `longest_interval_s`."""

    name: str
    folder: Folder
    interval_s: float | None
    tallies: Sequence[Tally] = ()
    active: Run | None = None
    last: Run | None = None
    failed_in_a_row: int = 0
    refused_in_a_row: int = 0

    @property
    def succeeded_at(self) -> float | None:
        """When a run last published, or found nothing new in the data, Unix seconds; of a journal that was lost, what is published."""
        known = [tally.last_at for tally in self.tallies if tally.status in SUCCESSES]
        if self.folder.current is not None:
            known.append(self.folder.current.published_at)
        return max(known, default=None)


class TrainingReader:
    """Reads all trainings of these settings. Event loop only; files and the journal are asked in threads."""

    def __init__(self, settings: Settings, runs: Runs) -> None:
        self._store = settings.store.path
        self._names = tuple(settings.training)
        self._runs = runs
        zone, now = LocalZone(), time.time()
        self._intervals = {each.name: longest_interval_s(each.schedule, now, zone) for each in settings.training.values() if each.schedule}

    async def read(self) -> tuple[TrainingFacts, ...]:
        """One each, in the order of the settings."""
        if not self._names:
            return ()
        folders = await asyncio.to_thread(self._folders)
        tallies: list[Tally] = []
        runs: dict[str, list[Run]] = {}
        try:
            tallies = await self._runs.tallies()
            runs = {name: await self._runs.runs(name, LOOKED_BACK) for name in self._names}
        except TrainingUnavailable as error:
            _log.warning("metrics of trainings lack their runs", extra={"action": "runs_unread", "cause": str(error)})
        return tuple(
            facts_of(
                name, folders[name], self._intervals.get(name), [each for each in tallies if each.training == name], runs.get(name, [])
            )
            for name in self._names
        )

    def _folders(self) -> dict[str, Folder]:
        return {name: folder_of(self._store, name) for name in self._names}


def facts_of(name: str, folder: Folder, interval_s: float | None, tallies: Sequence[Tally], runs: Sequence[Run]) -> TrainingFacts:
    """What follows from the newest runs, newest first."""
    over = [run for run in runs if run.status.is_over]
    judged = [run.status for run in over if run.status is not RunStatus.CANCELLED]
    return TrainingFacts(
        name,
        folder,
        interval_s,
        tallies,
        active=next((run for run in runs if not run.status.is_over), None),
        last=next(iter(over), None),
        failed_in_a_row=_first(judged, _FAILED),
        refused_in_a_row=_first(judged, {RunStatus.REFUSED}),
    )


def _first(statuses: Iterable[RunStatus], of: Iterable[RunStatus]) -> int:
    """How many there are before the first of another kind."""
    wanted, count = set(of), 0
    for status in statuses:
        if status not in wanted:
            break
        count += 1
    return count


def folder_of(store: Path, training: str) -> Folder:
    """What is published now; nothing where that cannot be read. Blocking."""
    folder = PublishedFolder(store, training)
    try:
        records: Mapping[str, PublishedVersion | None] = {version: _record(folder, version) for version in folder.names()}
        withdrawn = sum(folder.withdrawn(version) is not None for version in records)
        sizes = sum(record.bytes for record in records.values() if record is not None)
        return Folder(len(records), withdrawn, sizes, records.get(folder.current() or ""), _pinned_at(folder))
    except OSError as error:
        _log.warning(
            "metrics of a training lack its versions", extra={"action": "versions_unread", "training": training, "cause": str(error)}
        )
        return Folder()


def _record(folder: PublishedFolder, version: str) -> PublishedVersion | None:
    try:
        return folder.record(version)
    except BadRecord:
        return None  # it may be pruned just now


def _pinned_at(folder: PublishedFolder) -> float | None:
    if folder.pinned() is None:
        return None
    try:
        return (folder.path / PINNED).lstat().st_mtime
    except FileNotFoundError:
        return None  # unpinned in this moment


def longest_interval_s(schedule: str, now: float, zone: tzinfo) -> float | None:
    """The longest time between two of the next ticks of a cron expression, in seconds; None where it comes once in fifty years."""
    ticks = [now]
    while len(ticks) <= _TICKS and (following := next_tick(schedule, ticks[-1], zone)) is not None:
        ticks.append(following)
    return max((later - earlier for earlier, later in pairwise(ticks[1:])), default=None)
