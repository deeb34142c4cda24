"""From one source to a version that serves: fetch, wait for room, load, the canary.

Covers: the order of these steps, what is reported of each, what counts as no news. Does not cover: which source, and what else is
tried where it fails (`run`), what the reports lead to (`machine`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from config.schema import ModelSettings
from loaders.errors import failure

from .events import AttemptEvent, FetchBegan, Fetched, PhaseBegan, Progressed, Restored, Succeeded, Unchanged, Waiting
from .fallback import falls_back, training_of
from .policy import AUTOMATIC, is_rejected, known_revision
from .ports import Loaded, Loader, Workshop
from .slots import LoadSlots
from .state import Cause, Entry, Phase
from .thinning import thinned


class Feed(Protocol):
    """Gives an event to the machine, with the version it brings."""

    def __call__(self, event: AttemptEvent, loaded: Loaded | None = None) -> None: ...


async def hand_over(feed: Feed, event: Restored | Succeeded, loaded: Loaded) -> None:
    """From here the registry owns the version; if it refuses, nobody would ever close it but the attempt."""
    try:
        feed(event, loaded)
    except BaseException:
        await loaded.close()
        raise


@dataclass(frozen=True, slots=True)
class SourceLoad:
    """The steps of attempt `id` of `model`. `entry()` is the model's state at the moment; workshop, is_chosen: see `run.AttemptRun`."""

    id: int
    model: ModelSettings
    loader: Loader
    slots: LoadSlots
    feed: Feed
    entry: Callable[[], Entry]
    workshop: Workshop | None
    is_chosen: Callable[[str], bool]

    async def bring(self, model: ModelSettings) -> None:
        """From the source of `model` (the model itself, or as it is loaded from its fallback) to a version that serves, or no news.

        Raises loaders.errors.LoadError.
        """
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
                await hand_over(self.feed, Succeeded(self.id, loaded.version, loaded.revision, fallback), loaded)
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
        if rejected is not None and attempt is not None and model.source == self.model.source and is_rejected(entry, revision):
            is_wanted = entry.live is None or attempt.cause is Cause.WATCH
            if self.workshop is not None and is_wanted and falls_back(self.model, entry, rejected.type, is_final=True):
                raise failure(rejected.type, rejected.message, revision=revision)
        self.feed(Unchanged(self.id, revision))

    def _phase_began(self, phase: Phase, reason: str | None) -> None:
        self.feed(PhaseBegan(self.id, Phase(phase), reason))  # the word of a child's wire may come as it is

    def _is_known(self, revision: str) -> bool:
        """The source came back to what serves, or still has what was rejected, and nobody insisted."""
        entry = self.entry()
        attempt = entry.attempt
        if not revision or attempt is None or attempt.force:
            return False
        if entry.rejected is not None and attempt.cause in AUTOMATIC and entry.rejected.revision == revision:
            return True
        return entry.live is not None and entry.live.revision == revision
