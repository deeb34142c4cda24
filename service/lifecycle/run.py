"""One attempt, from the source to a mapped version: restore, fetch, wait for room, load; or from what the model falls back to.

Covers: the order of the steps and what is reported of each. Does not cover: what the reports lead to (`machine`), when an
attempt runs (`supervisor`). An exception that is not a LoadError is a defect: it is logged with its traceback and
reported as internal_error, which is tried at most 3 times for one revision.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol

from config.schema import ModelSettings
from loaders.errors import InternalError, LoadError, failure

from .clockwork import Gate
from .errors import ArchiveUnavailable, LifecycleError
from .events import (
    AttemptEvent,
    Failed,
    FetchBegan,
    Fetched,
    PhaseBegan,
    Progressed,
    Restored,
    SourceFailed,
    Succeeded,
    Trained,
    Unchanged,
    Waiting,
    Withdrawn,
)
from .fallback import NOT_PUBLISHED, falls_back, is_unfit, stand_in, trained_in_vain, training_of
from .policy import AUTOMATIC, is_final, known_revision
from .ports import Loaded, Loader, Workshop
from .slots import LoadSlots
from .state import Cause, Entry, Failure, Phase
from .thinning import thinned

_RESTORING = frozenset({Cause.START, Cause.REQUEST, Cause.OPERATOR, Cause.RELOAD})

_log = logging.getLogger("holdfast.lifecycle")


class Feed(Protocol):
    """Gives an event to the machine, with the version it brings."""

    def __call__(self, event: AttemptEvent, loaded: Loaded | None = None) -> None: ...


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
            await self._hand_over(Restored(self.id, loaded.version, loaded.revision, fallback), loaded)

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
            is_over = is_final(entry, error.type, revision) or self._is_rejected(entry, revision)
            if self.workshop is None or not falls_back(self.model, entry, error.type, is_final=is_over):
                raise
            elsewhere = self.model.fallback if self.model.fallback != self.model.source else None
            self.feed(SourceFailed(self.id, error.type, error.message, revision, self.random(), elsewhere))
            await self._fall_back(self.workshop, error, in_vain)

    async def _fall_back(self, workshop: Workshop, error: LoadError, in_vain: Failure | None) -> None:
        """Take what the training has published, else train; once: what then does not serve would not the next time either."""
        model, because = stand_in(self.model), "nothing is published yet"
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
        while True:
            try:
                await self._load_from(model)
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
        if self._is_rejected(entry, revision) and entry.rejected is not None and entry.rejected.is_withdrawn and not has_trained:
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

    async def _load_from(self, model: ModelSettings) -> None:
        self.feed(FetchBegan(self.id))
        known = self._known(model)
        with thinned(lambda done, total: self.feed(Progressed(self.id, done, total))) as on_progress:
            artifact = await self.loader.fetch(model, known=known, on_progress=on_progress)
            if artifact is None and known is not None and not self._is_known(known):
                # What the source says is unchanged died while it was asked.
                known = None
                artifact = await self.loader.fetch(model, known=known, on_progress=on_progress)
        if artifact is None:
            if known is None:
                raise RuntimeError("the loader said unchanged, but was told no revision")
            self._unchanged(model, known)
            return
        is_loading = False
        try:
            self.feed(Fetched(self.id, artifact.revision, artifact.size))
            if self._is_known(artifact.revision):
                self._unchanged(model, artifact.revision)
                return
            need_bytes = self.loader.estimate(model, artifact)
            async with self.slots.hold(need_bytes, lambda reason: self.feed(Waiting(self.id, reason))):
                is_loading = True
                self.feed(PhaseBegan(self.id, Phase.VERIFYING))
                loaded = await self.loader.load(model, artifact, on_phase=self._phase_began)
                await self._ask_what_was_asked(model, loaded)
                fallback = None if model.source == self.model.source else model.source
                await self._hand_over(Succeeded(self.id, loaded.version, loaded.revision, fallback), loaded)
        finally:
            if not is_loading:
                await self.loader.let_go(model)

    async def _ask_what_was_asked(self, model: ModelSettings, loaded: Loaded) -> None:
        """Have the canary try a version that is to replace another. Raises CanaryFailed; then nothing is left of it."""
        entry = self.entry()
        if self.workshop is None or entry.live is None or training_of(loaded.revision) is None or self.is_chosen(loaded.revision):
            return
        canary = self.workshop.canary
        if not (count := canary.questions(self.model.name)):
            return
        try:
            self.feed(PhaseBegan(self.id, Phase.WARMING, f"is asked {count} questions that were answered lately"))
            await canary.check(self.model.name, loaded)
        except BaseException:
            try:
                await self.loader.disown(model, loaded)
            finally:
                await loaded.close()
            raise

    def _known(self, model: ModelSettings) -> str | None:
        """The revision that this source is told that it need not bring again."""
        entry = self.entry()
        if model.source == self.model.source:
            known = known_revision(entry)
            is_of_fallback = known is not None and training_of(known) is not None and training_of(model.source) is None
            return None if is_of_fallback else known
        is_forced = entry.attempt is not None and entry.attempt.force
        return entry.live.revision if entry.live is not None and entry.live.fallback == model.source and not is_forced else None

    def _unchanged(self, model: ModelSettings, revision: str) -> None:
        """The attempt is over; but where what is unchanged was rejected, and something is to be fallen back to. Raises that failure."""
        entry = self.entry()
        rejected, attempt = entry.rejected, entry.attempt
        if rejected is not None and attempt is not None and model.source == self.model.source and self._is_rejected(entry, revision):
            is_wanted = entry.live is None or attempt.cause is Cause.WATCH
            if self.workshop is not None and is_wanted and falls_back(self.model, entry, rejected.type, is_final=True):
                raise failure(rejected.type, rejected.message, revision=revision)
        self.feed(Unchanged(self.id, revision))

    def _is_rejected(self, entry: Entry, revision: str | None) -> bool:
        is_live = entry.live is not None and entry.live.revision == revision
        return entry.rejected is not None and entry.rejected.revision == revision and not is_live

    def _phase_began(self, phase: Phase, reason: str | None) -> None:
        self.feed(PhaseBegan(self.id, Phase(phase), reason))  # the word of a child's wire may come as it is

    async def _hand_over(self, event: Restored | Succeeded, loaded: Loaded) -> None:
        """From here the registry owns the version; if it refuses, nobody would ever close it but this attempt."""
        try:
            self.feed(event, loaded)
        except BaseException:
            await loaded.close()
            raise

    def _is_known(self, revision: str) -> bool:
        """The source came back to what serves, or still has what was rejected, and nobody insisted."""
        entry = self.entry()
        attempt = entry.attempt
        if not revision or attempt is None or attempt.force:
            return False
        if entry.rejected is not None and attempt.cause in AUTOMATIC and entry.rejected.revision == revision:
            return True
        return entry.live is not None and entry.live.revision == revision

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
