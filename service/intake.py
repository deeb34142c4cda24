"""From posted interactions to the table, to the answers and to the trainings that wait for them.

Covers: the order of these, how many requests may wait, filling the memory again after a start. Does not cover: the table
(`training.ingest`), the memory (`service.recent`), HTTP (`service.routes.interactions`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime

from config.schema import DataSettings, Settings
from loaders.process import to_the_end
from loaders.published import BadRecord, PublishedFolder
from service.recent import RecentInteractions
from training.errors import DataUnavailable
from training.ingest import open_ingest
from training.ingest.base import Appended, Ingest, Interaction, Key, NotTaken, WrongValue

MOST_WAITING = 64
"""Requests that are being appended: each holds its rows, and a database that hangs must not hold all the memory."""
RESTORED = 100_000
"""Rows that are looked at after a start: some 30 MB, a second or two beside everything else."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 60.0

Open = Callable[[DataSettings], Ingest]
_log = logging.getLogger("holdfast.interactions")


class TooManyWaiting(Exception):
    """As many requests are being appended as may."""


class Intake:
    """Takes interactions. Event loop only; `fill` runs beside the requests, `aclose` comes last.

    recent: what answers take in. on_arrival: told how many new ones are in the table. clock: Unix seconds.
    """

    def __init__(
        self,
        settings: Settings,
        recent: RecentInteractions,
        on_arrival: Callable[[int], None],
        *,
        open: Open = open_ingest,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._recent = recent
        self._on_arrival = on_arrival
        self._open = open
        self._clock = clock
        self._ingest: Ingest | None = None
        self._waiting = 0
        self.taken = 0
        """Interactions since the start, those of repeated requests not counted again."""

    def __repr__(self) -> str:
        return f"<Intake taken={self.taken} waiting={self._waiting}>"

    async def take(self, interactions: Sequence[Interaction], key: Key | None = None) -> Appended:
        """Append them; then they count. It is done to the end, also where the caller goes away meanwhile.

        Raises TooManyWaiting, and what `Ingest.append` raises.
        """
        if self._waiting >= MOST_WAITING:
            raise TooManyWaiting
        self._waiting += 1
        try:
            return await to_the_end(self._take(interactions, key))
        finally:
            self._waiting -= 1

    async def _take(self, interactions: Sequence[Interaction], key: Key | None) -> Appended:
        appended = await self._opened().append(interactions, key)
        if not appended.is_duplicate:
            self._recent.add(interactions, self._clock())
            self.taken += len(interactions)
            self._on_arrival(len(interactions))
        return appended

    async def fill(self) -> None:
        """Take in what the table has from before this start; tried until the database is there. Returns where it takes none."""
        try:
            ingest = self._opened()
        except NotTaken:
            return
        since = await asyncio.to_thread(learned_by_all, self._settings)
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                await self._restore(ingest, since)
            except DataUnavailable as error:
                told = {"action": "restore_failed", "cause": error.message}
                _log.warning("recent interactions cannot be read, again in %.0f s", pause_s, extra=told)
            except (NotTaken, WrongValue) as error:
                _log.warning("recent interactions are not read", extra={"action": "restore_failed", "cause": str(error)})
                return
            else:
                _log.info("recent interactions are known", extra={"action": "restored", "users": len(self._recent)})
                return
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _restore(self, ingest: Ingest, since: float | None) -> None:
        async with aclosing(ingest.recent(RESTORED)) as batches:
            async for batch in batches:
                newer = batch if since is None else [each for each in batch if each.ts > since]
                self._recent.restore(newer)
                if len(newer) < len(batch):
                    return  # the latest come first: the rest is older still
                await asyncio.sleep(0)

    async def aclose(self) -> None:
        if self._ingest is not None:
            await self._ingest.aclose()

    def _opened(self) -> Ingest:
        if self._ingest is None:
            self._ingest = self._open(self._settings.data)
        return self._ingest


def learned_by_all(settings: Settings) -> float | None:
    """Until when every version that may serve has learned, Unix seconds: the oldest that is kept of all trainings.

    None where that is not known: a model comes from elsewhere, or a training has published nothing. Blocking.
    """
    oldest = []
    for model in settings.models.values():
        scheme, _, training = model.source.partition(":")
        published = PublishedFolder(settings.store.path, training)
        kept = published.names() if scheme == "training" else []
        if not kept:
            return None
        try:
            record = published.record(kept[-1])
        except (BadRecord, ValueError):
            return None
        oldest.append(_began_at(record.version) if record.cut_at is None else record.cut_at)
    return min(oldest, default=None)


def _began_at(version: str) -> float:
    """When the run of a version was created, before it read its data."""
    return datetime.strptime(version.partition("-")[0], "%Y%m%dT%H%M%S").replace(tzinfo=UTC).timestamp()
