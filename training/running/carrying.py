"""Carrying one run out: from its turn to its end, whatever that is.

Covers: the order of cleaning, planning, the child, publishing, copying and recording, and what each way of ending is called. Does
not cover: which run when and who asked for it (`training.running.runner`), the child itself (`training.running.process`,
`training.running.steps`). Event loop only; files and the journal are asked in threads.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from config.schema import Settings
from loaders.errors import ChildCrashed, DiskFull, InternalError, LoadError
from loaders.process import to_the_end
from loaders.published import STAGING, PublishedFolder, PublishedVersion
from training.errors import TrainingError
from training.running.arrangement import part_models_of, parts_of
from training.running.journal import Journal, JournalUnavailable
from training.running.lock import RunLock, SwitchBusy, switching
from training.running.plan import Plan
from training.running.process import Progress, ended, is_defect, told, train
from training.running.recording import Recorder
from training.running.runs import Run, RunCause, RunStatus
from training.versions import publish
from training.versions.upload import upload

STOPPED = "the process that ran it was stopped"
_ENDINGS = {"refused": RunStatus.REFUSED, "skipped": RunStatus.SKIPPED}
T = TypeVar("T")
_log = logging.getLogger("holdfast.training")


@dataclass
class ActiveRun:
    """A run of this process that is not over. `over` is set when it is."""

    run: Run
    lock: RunLock
    over: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    cancelled_by: str | None = None
    is_final: bool = False
    """What it made is being published, or it ends in another way: it is not cancelled any more."""
    upload: asyncio.Task[None] | None = None
    """What it published is being copied elsewhere, which may be given up."""

    def cancel(self, reason: str) -> bool:
        """End it soon; whether that can still be. Once: a second cancellation would cut its clean-up short."""
        if self.upload is not None:
            return self.upload.cancel()
        if self.is_final or self.task is None:
            return False
        if self.cancelled_by is None:
            self.cancelled_by = reason
            self.task.cancel()
        return True


async def switch(store: Path, training: str, work: Callable[[Path, str], T]) -> T:
    """What `work` gives, with nobody else switching or publishing versions of this training; to its end, even if cancelled.

    Raises training.running.lock.SwitchBusy, OSError, and what `work` raises.
    """

    def alone() -> T:
        with switching(store, training):
            return work(store, training)

    return await to_the_end(asyncio.to_thread(alone))


@contextmanager
def _store_errors() -> Iterator[None]:
    """A store that has no room, or cannot be written, is no defect of this program. Raises DiskFull."""
    try:
        yield
    except (OSError, SwitchBusy, JournalUnavailable) as error:
        raise DiskFull(f"the store cannot be used: {error}") from error


class Carrier:
    """Carries runs of a store out, one at a time. on_change: called with a run whenever something of it changes."""

    def __init__(
        self,
        settings: Settings,
        store: Path,
        recorder: Recorder,
        on_change: Callable[[Run], None],
        clock: Callable[[], float],
        code_version: str,
    ) -> None:
        self._settings = settings
        self._store = store
        self._recorder = recorder
        self._on_change = on_change
        self._clock = clock
        self._code_version = code_version
        self._turn = asyncio.Lock()
        self._is_stopping = False

    def stop(self) -> None:
        """What is being published is published, but not copied elsewhere any more: that may take minutes."""
        self._is_stopping = True

    @property
    def is_busy(self) -> bool:
        """Whether a run has its turn: another one waits for it."""
        return self._turn.locked()

    async def carry_out(self, active: ActiveRun) -> None:
        """A queued run to its end: then it is recorded, and its lock is free."""
        progress = Progress()
        how: dict[str, Any]
        try:
            async with self._turn:
                how = await self._carried_out(active, progress)
        except asyncio.CancelledError:
            how = {"status": RunStatus.CANCELLED, "reason": active.cancelled_by or STOPPED}
        except (TrainingError, LoadError) as error:
            is_dead = isinstance(error, ChildCrashed) and not is_defect(error)
            how = {"status": RunStatus.CRASHED if is_dead else RunStatus.FAILED, "failure": {"type": error.type, "message": error.message}}
            progress.log += tuple(str(error.detail.get("traceback", "")).splitlines())
        except Exception as error:
            _log.exception("a run ended by a defect", extra={"action": "run_failed", "training": active.run.training, "run": active.run.id})
            message = f"{type(error).__name__}: the cause is in the log of the process that ran it"
            how = {"status": RunStatus.FAILED, "failure": {"type": InternalError.type, "message": message}}
        await to_the_end(self._end(active, progress, how))

    async def _carried_out(self, active: ActiveRun, progress: Progress) -> dict[str, Any]:
        run = self._changed(active, status=RunStatus.RUNNING, started_at=self._clock(), reason=None)
        with _store_errors():
            # First, however the run ends: what is counted on would begin the next one at once, and that one would end like this one.
            await self._recorder.ask(Journal.forget_interactions, run.training)
            await switch(self._store, run.training, publish.clean)
            last = await self._recorder.ask(Journal.last_compared, run.training)
            plan = await asyncio.to_thread(self._planned, run, last)
        await train(plan, active.lock.fd, progress, partial(self._hear, active))
        active.run = ended(active.run, progress.outcome)
        outcome = progress.outcome.get("outcome")
        if outcome == "accepted":
            return await self._published(active)
        if outcome not in _ENDINGS:
            raise ChildCrashed(f"the training process told an outcome that is none: {str(outcome)[:100]}")
        return {"status": _ENDINGS[outcome]}

    def _planned(self, run: Run, last: Run | None) -> Plan:
        settings = self._settings.training[run.training]
        folder = PublishedFolder(self._store, run.training)
        champion = folder.current()
        if champion is not None and folder.withdrawn(champion) is not None:
            champion = None  # it is named for want of another, and serves nobody
        # What was published and is gone is made again; and who asks for a run where nothing serves, wants to see why.
        is_gone = last is not None and last.version is not None and last.version not in folder.names()
        is_wanted = champion is None and run.cause in (RunCause.COMMAND, RunCause.FALLBACK)
        return Plan(
            run_id=run.id,
            store=self._store,
            data=self._settings.data,
            training=settings,
            champion=champion,
            last_fingerprint=None if last is None or is_gone or is_wanted else last.fingerprint,
            parts=parts_of(self._settings, settings),
            part_models=part_models_of(self._settings, settings),
            forced_by=(run.requested_by or "somebody") if run.forced else None,
            code_version=self._code_version,
        )

    def _hear(self, active: ActiveRun, frame: Mapping[str, Any]) -> None:
        before, active.run = active.run, told(active.run, frame)
        if active.run is not before:
            keep = self._recorder.keep_progress if active.run.phase == before.phase else self._recorder.keep
            keep(active.run)
            self._on_change(active.run)

    async def _published(self, active: ActiveRun) -> dict[str, Any]:
        active.is_final = True
        run = self._changed(active, phase="publishing", step=None, progress=None)
        staging = PublishedFolder(self._store, run.training).path / f"{STAGING}{run.id}"
        keep = self._settings.store.keep_versions
        with _store_errors():
            record = await switch(self._store, run.training, partial(publish.publish, staging=staging, keep_versions=keep))
        serving = await asyncio.to_thread(PublishedFolder(self._store, run.training).current)
        reasons = [] if serving == record.version else [f"published, but {serving} is pinned and goes on serving"]
        target = self._settings.training[run.training].publish_to
        if target and (why := await self._uploaded(active, record, target, is_current=serving == record.version)):
            reasons.append(f"published here, but not to {target}: {why}")
        return {"status": RunStatus.PUBLISHED, "version": record.version, "reason": "; ".join(reasons) or None}

    async def _uploaded(self, active: ActiveRun, record: PublishedVersion, target: str, *, is_current: bool) -> str | None:
        """Copy what is published to where others take it from; why that did not work, which undoes nothing here."""
        if self._is_stopping:
            return STOPPED
        folder = PublishedFolder(self._store, record.training).folder_of(record.version)

        def on_copied(share: float) -> None:
            active.run = replace(active.run, step=f"copying to {target}", progress=share)
            self._recorder.keep_progress(active.run)
            self._on_change(active.run)

        on_copied(0.0)
        copying = upload(folder, record, target, self._settings.s3, is_current=is_current, on_copied=on_copied)
        active.upload = asyncio.create_task(copying, name=f"upload:{record.training}")
        await asyncio.wait((active.upload,))
        done, active.upload = active.upload, None
        if not done.cancelled() and done.exception() is None:
            return None
        error = None if done.cancelled() else done.exception()
        is_expected = error is None or isinstance(error, LoadError | OSError)
        why = "it was cancelled" if error is None else str(error) if is_expected else f"{type(error).__name__}: the cause is in the log"
        where = {"action": "upload_failed", "training": record.training, "version": record.version, "target": target}
        _log.warning("a published version is not copied: %s", why, extra=where, exc_info=None if is_expected else error)
        return why

    async def _end(self, active: ActiveRun, progress: Progress, how: Mapping[str, Any]) -> None:
        active.is_final = True
        if how["status"] is not RunStatus.PUBLISHED:
            await self._cleaned(active.run)
        known = {"ended_at": self._clock(), "step": None, "progress": None, "peak_bytes": progress.peak_bytes, "log": progress.log}
        run = replace(active.run, **{**known, **how})
        self._recorder.keep(run)
        await self._recorder.written()  # before the lock is free, or it would seem to have crashed
        await asyncio.to_thread(active.lock.release)
        active.run = run  # who sees that it is over may begin the next one
        _say(active.run)

    async def _cleaned(self, run: Run) -> None:
        try:
            await switch(self._store, run.training, publish.clean)
        except (OSError, SwitchBusy) as error:
            where = {"action": "run_left", "training": run.training, "run": run.id, "cause": str(error)}
            _log.warning("what a run left is still there: the next run removes it", extra=where)

    def _changed(self, active: ActiveRun, **changes: Any) -> Run:
        active.run = replace(active.run, **changes)
        self._recorder.keep(active.run)
        self._on_change(active.run)
        return active.run


def _say(run: Run) -> None:
    told = {"action": "run_ended", "training": run.training, "run": run.id, "status": run.status.value, "version": run.version}
    why = run.failure["message"] if run.failure is not None else run.reason
    is_bad = run.status in (RunStatus.FAILED, RunStatus.CRASHED)
    _log.log(logging.WARNING if is_bad else logging.INFO, "training ended: %s", why or run.status, extra=told)
