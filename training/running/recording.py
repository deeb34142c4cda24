"""The journal as the event loop asks it: on a thread of its own, in the order in which it is asked.

Covers: that order, thinning what is only progress, runs whose process is gone. Does not cover: what is kept (`training.running.journal`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from training.running.journal import NAME, Journal, JournalUnavailable
from training.running.lock import holder_of
from training.running.runs import Run, RunStatus

SAVE_S = 0.5
"""Progress is written as often: another process shows it, and a disk is not worn out by it."""
GONE = "the process that ran it is gone"
P = ParamSpec("P")
T = TypeVar("T")
_log = logging.getLogger("holdfast.training")


class Recorder:
    """The journal of a store. Between `open` and `aclose`; event loop only."""

    def __init__(self, store: Path, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self.path = store / NAME
        self._journal = Journal(self.path)
        self._thread = ThreadPoolExecutor(1, "training-journal")
        self._saved_at = 0.0
        self._is_used = False

    async def open(self) -> None:
        """Raises JournalUnavailable."""
        self._is_used = True
        await self.ask(Journal.open)

    async def aclose(self) -> None:
        """What was given to it is written; nothing may be asked any more."""
        try:
            if self._is_used:
                await self.ask(Journal.close)
        finally:
            self._thread.shutdown()

    async def ask(self, method: Callable[Concatenate[Journal, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a method of the journal gives, after all that was kept before. Raises JournalUnavailable."""
        return await asyncio.wrap_future(self._thread.submit(partial(method, self._journal, *args, **kwargs)))

    def keep(self, run: Run) -> None:
        """Write how a run is now. Where that fails it is said in the log: a run does not fail for want of a record."""
        self._saved_at = self._clock()
        self._thread.submit(self._journal.update, run).add_done_callback(partial(_said, run))

    def keep_progress(self, run: Run) -> None:
        """Write how far a run is, unless that was just done."""
        if not 0 <= self._clock() - self._saved_at < SAVE_S:
            self.keep(run)

    async def written(self) -> None:
        """Until all that was kept before is written, or has failed to be."""
        await asyncio.wrap_future(self._thread.submit(lambda: None))

    async def buried(self, runs: list[Run]) -> list[Run]:
        """The same runs of other processes; those whose process is gone are crashed, here and in the journal."""
        return [run if run.status.is_over else await self._of_who_lives(run) for run in runs]

    async def _of_who_lives(self, run: Run) -> Run:
        holder = await asyncio.to_thread(holder_of, self._store, run.training)
        if holder is not None and holder.run_id in (run.id, None):
            return run
        failure = {"type": "child_crashed", "message": GONE}
        crashed = replace(run, status=RunStatus.CRASHED, ended_at=self._clock(), reason=None, failure=failure)
        kept = await self.ask(Journal.end_if_unfinished, crashed)
        if kept.status is RunStatus.CRASHED:
            _log.warning("a run crashed: %s", GONE, extra={"action": "run_crashed", "training": run.training, "run": run.id})
        return kept


def _said(run: Run, written: Future[None]) -> None:
    error = written.exception()
    if error is None:
        return
    told = {"action": "journal_failed", "training": run.training, "run": run.id, "cause": str(error)}
    _log.error("a run is not recorded", exc_info=None if isinstance(error, JournalUnavailable) else error, extra=told)
