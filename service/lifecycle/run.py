"""One attempt, from the source to a mapped version: restore what is kept, bring what is current; or fall back, and take back.

Covers: which source is tried in which order, and what is reported of it. Does not cover: the steps from a source to a version
(`source_load`), what the reports lead to (`machine`), when an attempt runs (`supervisor`). An exception that is not a LoadError
is a defect: it is logged with its traceback and reported as internal_error, which is tried at most 3 times for one revision.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from config.schema import ModelSettings
from loaders.errors import InternalError, LoadError, failure

from .clockwork import Gate
from .errors import ArchiveUnavailable, LifecycleError
from .events import (
    Failed,
    PhaseBegan,
    Restored,
    SourceFailed,
    Trained,
    Withdrawn,
)
from .fallback import NOT_PUBLISHED, falls_back, is_unfit, stand_in, trained_in_vain, training_of
from .policy import is_final, is_rejected
from .ports import Loaded, Loader, Workshop
from .slots import LoadSlots
from .source_load import Feed, SourceLoad, hand_over
from .state import Cause, Entry, Failure, Phase

_RESTORING = frozenset({Cause.START, Cause.REQUEST, Cause.OPERATOR, Cause.RELOAD})

_log = logging.getLogger("holdfast.lifecycle")


@dataclass(frozen=True, slots=True)
class AttemptRun:
    """Everything one attempt needs. `entry()` is the model's state at the moment; `predecessors` are its cancelled attempts.

    workshop: what stands behind models that are trained here; without it nothing is fallen back to. is_chosen: whether an
    operator asked for just this revision, which then no canary refuses.
    """

    id: int
    model: ModelSettings
    loader: Loader
    slots: LoadSlots
    feed: Feed
    entry: Callable[[], Entry]
    random: Callable[[], float]
    predecessors: Collection[asyncio.Task[None]]
    restored: Gate
    """No body is downloaded before every kept version was mapped: a restart is to serve at once what it can."""
    workshop: Workshop | None = None
    is_chosen: Callable[[str], bool] = lambda revision: False

    async def run(self) -> None:
        """Bring the model to ready, or report why not. Raises only CancelledError (nothing is reported then)."""
        try:
            try:
                if self.predecessors:
                    # Cancelled, but perhaps still killing a child: two attempts must not share a partial file.
                    await asyncio.wait(self.predecessors)
                await self._restore()
            finally:
                self.restored.arrive(self.model.name)
            await self.restored.wait()
            await self._bring()
        except LoadError as error:
            self._fail(error)
        except Exception as error:
            _log.exception("%s: attempt %d ended by a defect", self.model.name, self.id, extra=self._fields("defect"))
            self._fail(InternalError(f"internal error ({type(error).__name__}); its traceback is in the log"))

    async def _restore(self) -> None:
        """Serve the kept version while the source is asked. What is wrong with it does not matter: the source decides."""
        entry = self.entry()
        attempt = entry.attempt
        if attempt is None or entry.live is not None or attempt.force:
            return
        # After a death too: the source may be down just then.
        if attempt.cause not in _RESTORING and not (attempt.cause is Cause.RETRY and entry.deaths):
            return
        try:
            loaded, fallback = await self._kept()
        except Exception as error:
            is_defect = not isinstance(error, LoadError)
            _log.warning(
                "%s: the kept version cannot be used: %s", self.model.name, error, exc_info=is_defect, extra=self._fields("restore_failed")
            )
            return
        if loaded is not None:
            await hand_over(self.feed, Restored(self.id, loaded.version, loaded.revision, fallback), loaded)

    async def _kept(self) -> tuple[Loaded | None, str | None]:
        """The kept version of the model's own source, else of what it falls back to; and that one's address."""
        loaded, fallback = await self.loader.restore(self.model), None
        if loaded is None and self.model.fallback not in ("", self.model.source):
            loaded, fallback = await self.loader.restore(stand_in(self.model)), self.model.fallback
        if loaded is not None and await self._is_withdrawn(fallback or self.model.source, loaded.revision):
            await loaded.close()
            loaded = None
        return loaded, fallback

    async def _is_withdrawn(self, source: str, revision: str) -> bool:
        training, version = training_of(source), training_of(revision)
        if self.workshop is None or training is None:
            return False
        try:
            return version in (await self.workshop.archive.published(training)).withdrawn
        except ArchiveUnavailable as error:
            _log.warning("%s: %s", self.model.name, error, extra=self._fields("archive_unavailable"))
            return False

    async def _bring(self) -> None:
        in_vain = trained_in_vain(self.entry())
        try:
            await self._bring_from(self.model)
        except LoadError as error:
            entry, revision = self.entry(), self._revision_of(error)
            is_over = is_final(entry, error.type, revision) or is_rejected(entry, revision)
            if self.workshop is None or not falls_back(self.model, entry, error.type, is_final=is_over):
                raise
            elsewhere = self.model.fallback if self.model.fallback != self.model.source else None
            self.feed(SourceFailed(self.id, error.type, error.message, revision, self.random(), elsewhere))
            await self._fall_back(self.workshop, error, in_vain)

    async def _fall_back(self, workshop: Workshop, error: LoadError, in_vain: Failure | None) -> None:
        """Take what the training has published, else train; once: what then does not serve would not the next time either.

        Why is told in words that are still right in the record of the run, once it has published.
        """
        model, because = stand_in(self.model), "nothing had been published yet"
        if error.type != NOT_PUBLISHED or model.source != self.model.source:
            because = f"the source failed: {error.type}: {error.message}"
        if model.source != self.model.source:
            try:
                await self._bring_from(model)
                return
            except LoadError as missing:
                if missing.type != NOT_PUBLISHED:
                    raise
        attempt = self.entry().attempt
        if in_vain is not None:
            stands = attempt.withdrawn if attempt is not None and attempt.withdrawn is not None else in_vain
            raise failure(stands.type, stands.message, revision=stands.revision)
        training = training_of(model.source) or model.source
        self.feed(PhaseBegan(self.id, Phase.TRAINING, f"training {training}, because {because}"))

        def on_progress(share: float | None, doing: str) -> None:
            self.feed(Trained(self.id, share, f"training {training} ({doing}), because {because}"))

        await workshop.trainer.train(training, because, on_progress)
        await self._bring_from(model)

    async def _bring_from(self, model: ModelSettings) -> None:
        """Bring what is current; of what a training publishes the newest version that is fit to serve."""
        taken_back: set[str] = set()
        load = SourceLoad(self.id, self.model, self.loader, self.slots, self.feed, self.entry, self.workshop, self.is_chosen)
        while True:
            try:
                await load.bring(model)
                return
            except LoadError as error:
                version = await self._take_back(model, error, taken_back)
                if version is None:
                    raise
                taken_back.add(version)

    async def _take_back(self, model: ModelSettings, error: LoadError, taken_back: Collection[str]) -> str | None:
        """Have a published version that proved unfit withdrawn; which one it was, or None where that cannot help (any more)."""
        revision, entry = self._revision_of(error), self.entry()
        training, version = training_of(model.source), training_of(revision or "")
        if self.workshop is None or training is None or version is None or revision is None or version in taken_back:
            return None
        has_trained = entry.attempt is not None and entry.attempt.because is not None
        if is_rejected(entry, revision) and entry.rejected is not None and entry.rejected.is_withdrawn and not has_trained:
            return None  # it is named for want of another, as before
        serving = training_of(entry.live.revision) if entry.live is not None else None
        if serving == version or not is_unfit(error.type, is_final=is_final(entry, error.type, revision)):
            return None
        try:
            await self.workshop.archive.withdraw(training, version, {"type": error.type, "message": error.message}, serving)
        except LifecycleError as problem:
            _log.warning("%s: %s cannot be withdrawn: %s", self.model.name, version, problem, extra=self._fields("withdraw_failed"))
            return None
        self.feed(Withdrawn(self.id, error.type, error.message, revision, self.random()))
        return version

    def _fail(self, error: LoadError) -> None:
        """Report it, with the revision it is about."""
        self.feed(Failed(self.id, error.type, error.message, self._revision_of(error), self.random()))

    def _revision_of(self, error: LoadError) -> str | None:
        """The revision that was fetched, or the one that a fetch refused (`detail["revision"]`)."""
        attempt = self.entry().attempt
        revision = attempt.revision if attempt is not None and attempt.id == self.id else None
        told = error.detail.get("revision")
        return revision or (told if isinstance(told, str) else None) or None

    def _fields(self, action: str) -> dict[str, Any]:
        return {"action": action, "model": self.model.name, "attempt": self.id}
