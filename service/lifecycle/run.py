"""One attempt, from the source to a mapped version: restore, fetch, wait for room, load.

Covers: the order of the steps and what is reported of each. Does not cover: what the reports lead to (`machine`), when an
attempt runs (`supervisor`). An exception that is not a LoadError is a defect: it is logged with its traceback and
reported as internal_error, which is tried at most 3 times for one revision.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from config.schema import ModelSettings
from loaders.errors import InternalError, LoadError

from .clockwork import Gate
from .events import AttemptEvent, Failed, FetchBegan, Fetched, PhaseBegan, Progressed, Restored, Succeeded, Unchanged, Waiting
from .policy import AUTOMATIC, known_revision
from .ports import Loaded, Loader, OnProgress
from .slots import LoadSlots
from .state import Cause, Entry, Phase

PROGRESS_INTERVAL_S = 0.05
"""A fast source reports thousands of times a second; nobody looks that often."""

_RESTORING = frozenset({Cause.START, Cause.REQUEST, Cause.OPERATOR, Cause.RELOAD})

_log = logging.getLogger("holdfast.lifecycle")


class Feed(Protocol):
    """Gives an event to the machine, with the version it brings."""

    def __call__(self, event: AttemptEvent, loaded: Loaded | None = None) -> None: ...


@dataclass(frozen=True, slots=True)
class AttemptRun:
    """Everything one attempt needs. `entry()` is the model's state at the moment; `predecessors` are its cancelled attempts."""

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
            loaded = await self.loader.restore(self.model)
        except Exception as error:
            is_defect = not isinstance(error, LoadError)
            _log.warning(
                "%s: the kept version cannot be used: %s", self.model.name, error, exc_info=is_defect, extra=self._fields("restore_failed")
            )
            return
        if loaded is not None:
            await self._hand_over(Restored(self.id, loaded.version, loaded.revision), loaded)

    async def _bring(self) -> None:
        self.feed(FetchBegan(self.id))
        known = known_revision(self.entry())
        with self._progress() as on_progress:
            artifact = await self.loader.fetch(self.model, known=known, on_progress=on_progress)
            if artifact is None and known is not None and not self._is_known(known):
                # What the source says is unchanged died while it was asked.
                known = None
                artifact = await self.loader.fetch(self.model, known=known, on_progress=on_progress)
        if artifact is None:
            if known is None:
                raise RuntimeError("the loader said unchanged, but was told no revision")
            self.feed(Unchanged(self.id, known))
            return
        is_loading = False
        try:
            self.feed(Fetched(self.id, artifact.revision, artifact.size))
            if self._is_known(artifact.revision):
                self.feed(Unchanged(self.id, artifact.revision))
                return
            need_bytes = self.loader.estimate(self.model, artifact)
            async with self.slots.hold(need_bytes, lambda reason: self.feed(Waiting(self.id, reason))):
                is_loading = True
                self.feed(PhaseBegan(self.id, Phase.VERIFYING))
                loaded = await self.loader.load(self.model, artifact, on_phase=self._phase_began)
                await self._hand_over(Succeeded(self.id, loaded.version, loaded.revision), loaded)
        finally:
            if not is_loading:
                await self.loader.let_go(self.model)

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

    @contextmanager
    def _progress(self) -> Iterator[OnProgress]:
        """Progress as it comes, thinned; what was held back is told when the interval is over, so that a stall shows where it stands."""
        loop = asyncio.get_running_loop()
        next_at = loop.time()
        latest: tuple[int, int | None] = (0, None)
        waiting: asyncio.TimerHandle | None = None

        def tell() -> None:
            nonlocal next_at, waiting
            next_at = loop.time() + PROGRESS_INTERVAL_S
            waiting = None
            self.feed(Progressed(self.id, *latest))

        def report(done: int, total: int | None) -> None:
            nonlocal latest, waiting
            begins_anew = done < latest[0]
            if begins_anew and waiting is not None:
                waiting.cancel()
                tell()
            latest = (done, total)
            if begins_anew or loop.time() >= next_at or done == total:
                if waiting is not None:
                    waiting.cancel()
                tell()
            elif waiting is None:
                waiting = loop.call_at(next_at, tell)

        try:
            yield report
        finally:
            if waiting is not None:
                waiting.cancel()
                tell()  # the last bytes of a download that was cut are counted too

    def _fail(self, error: LoadError) -> None:
        """Report it, with the revision it is about: the fetched one, or the one a fetch refused (`detail["revision"]`)."""
        attempt = self.entry().attempt
        revision = attempt.revision if attempt is not None and attempt.id == self.id else None
        told = error.detail.get("revision")
        if not revision and isinstance(told, str):
            revision = told
        self.feed(Failed(self.id, error.type, error.message, revision or None, self.random()))

    def _fields(self, action: str) -> dict[str, Any]:
        return {"action": action, "model": self.model.name, "attempt": self.id}
