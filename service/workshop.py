"""What stands behind models that are trained here, as the lifecycle sees it: what is published, and training for want of anything else.

Covers: from the lifecycle's ports to the folder of what is published and to the runner, and their failures in the lifecycle's
words. Does not cover: what a training does (`training.running.runner`), when a model falls back (`service.lifecycle.fallback`), the
canary (`service.canary`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from config.schema import Settings
from loaders.errors import TrainingFailed, TrainingRefused
from loaders.published import BadRecord, PublishedFolder, PublishedVersion
from service.lifecycle.errors import ArchiveUnavailable, UnknownVersion
from service.lifecycle.ports import Loaded, OnTrained, Published
from training.running.arrangement import parts_of
from training.running.lock import SwitchBusy
from training.running.refused import AlreadyRunning, TrainingUnavailable, UnknownRun, UnknownTraining
from training.running.runs import PHASES, Run, RunCause, RunStatus
from training.versions import publish

LOOK_S = 0.5
"""How often a run that a model waits for is looked at."""


class Runs(Protocol):
    """The runner (`training.running.runner.Runner`), as far as models need it."""

    async def start(self, training: str, *, cause: RunCause, requested_by: str = "", force: bool = False) -> Run: ...

    async def wait(self, run_id: str, timeout_s: float) -> Run: ...

    async def roll_back(self, training: str, to: str | None = None, *, by: str = "") -> PublishedVersion: ...

    async def activate(self, training: str, version: str, *, by: str = "") -> PublishedVersion: ...

    async def unpin(self, training: str, *, by: str = "") -> str | None: ...

    async def withdraw(
        self, training: str, version: str, failure: Mapping[str, str], *, serving: str | None = None
    ) -> PublishedVersion | None: ...


class PublishedArchive:
    """See `service.lifecycle.ports.Archive`. Reads in threads; what changes anything goes through the runner."""

    def __init__(self, store: Path, runs: Runs) -> None:
        self._store = store
        self._runs = runs

    async def published(self, training: str) -> Published:
        async with _archive_errors(training):
            return await asyncio.to_thread(read_published, PublishedFolder(self._store, training))

    async def roll_back(self, training: str, to: str, by: str) -> None:
        async with _archive_errors(training):
            await self._runs.roll_back(training, to, by=by)

    async def activate(self, training: str, version: str, by: str) -> None:
        async with _archive_errors(training):
            await self._runs.activate(training, version, by=by)

    async def unpin(self, training: str, by: str) -> None:
        async with _archive_errors(training):
            await self._runs.unpin(training, by=by)

    async def withdraw(self, training: str, version: str, failure: Mapping[str, str], serving: str | None) -> None:
        async with _archive_errors(training):
            await self._runs.withdraw(training, version, failure, serving=serving)


def read_published(folder: PublishedFolder) -> Published:
    """What lies there, but for versions without a record that can be read: they cannot be served. Blocking. Raises OSError."""
    versions, withdrawn = [], {}
    for name in folder.names():
        try:
            versions.append(folder.record(name))
        except BadRecord:
            continue  # it may be pruned just now
        told = folder.withdrawn(name)
        if told is not None:
            withdrawn[name] = told
    return Published(tuple(versions), folder.current(), folder.pinned(), withdrawn)


@asynccontextmanager
async def _archive_errors(training: str) -> AsyncIterator[None]:
    try:
        yield
    except publish.UnknownVersion as error:
        raise UnknownVersion(error.training, error.version) from error
    except (UnknownTraining, SwitchBusy, BadRecord) as error:
        raise ArchiveUnavailable(str(error)) from error
    except OSError as error:
        raise ArchiveUnavailable(f"the versions of {training} cannot be used: {error.strerror or error}") from error


class FallbackTrainer:
    """See `service.lifecycle.ports.Trainer`. Trains the parts of a hybrid first, where they have published nothing."""

    def __init__(self, settings: Settings, runs: Runs) -> None:
        self._settings = settings
        self._runs = runs

    async def train(self, training: str, because: str, on_progress: OnTrained) -> None:
        """Have it trained and published; joins a run that waits or runs. A run goes on where the model is not wanted any more."""
        found = self._settings.training.get(training)
        for part in {} if found is None else parts_of(self._settings, found).values():
            if await asyncio.to_thread(PublishedFolder(self._settings.store.path, part).current) is None:
                # What is told of a part is no share of the whole.
                await self._train(part, f"{training} is made of it", lambda _, doing, part=part: on_progress(None, f"{part}: {doing}"))  # type: ignore[misc]
        await self._train(training, because, on_progress)

    async def _train(self, training: str, because: str, on_progress: OnTrained) -> None:
        run = await self._begun(training, because)
        while not run.status.is_over:
            on_progress(share_of(run), doing(run))
            try:
                run = await self._runs.wait(run.id, LOOK_S)
            except (TrainingUnavailable, UnknownRun) as error:
                raise TrainingFailed(f"the run of {training} cannot be followed: {error}") from error
        _check(run)

    async def _begun(self, training: str, because: str) -> Run:
        try:
            return await self._runs.start(training, cause=RunCause.FALLBACK, requested_by=because)
        except AlreadyRunning as error:
            if error.run is None:
                raise TrainingFailed(str(error)) from error
            return error.run
        except (TrainingUnavailable, UnknownTraining) as error:
            raise TrainingFailed(str(error)) from error


class NothingAsked:
    """`ports.Canary` of a process that answers nobody: there is nothing to put to a new version."""

    def questions(self, model: str) -> int:
        return 0

    async def check(self, model: str, challenger: Loaded) -> None:
        """Fine."""


def share_of(run: Run) -> float | None:
    """How far the run is as a whole, 0..1: each of its phases counts the same, whatever it takes. None before it began."""
    if run.phase not in PHASES:
        return None
    return (PHASES.index(run.phase) + min(1.0, max(0.0, run.progress or 0.0))) / len(PHASES)


def doing(run: Run) -> str:
    """What the run does, in words."""
    if run.status is RunStatus.QUEUED:
        return run.reason or "queued"
    return ": ".join(word for word in (run.phase or "begins", run.step) if word)


def _check(run: Run) -> None:
    """Raises TrainingFailed, TrainingRefused for a run after which there is nothing new to serve."""
    if run.status is RunStatus.PUBLISHED:
        return
    if run.status is RunStatus.REFUSED:
        raise TrainingRefused(f"{run.training} was trained and refused: {_figures(run.verdict or {})}", run=run.id)
    why = run.failure["message"] if run.failure is not None else run.reason
    raise TrainingFailed(f"{run.training} was not trained, its run {run.status}: {why or 'its log says no more'}", run=run.id)


def _figures(verdict: Mapping[str, Any]) -> str:
    told = [str(rule.get("message")) for rule in verdict.get("rules", ()) if rule.get("passed") is False]
    return "; ".join(told) or "the run has no figures"
