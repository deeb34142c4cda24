"""Counted holds on a version, so that its arrays are not unmapped under a request that reads them.

Event loop only: neither class locks. Why nothing ever closes a version under a lease: its arrays are views of a
mapping. Unmapping it under a reader is a SIGSEGV of the whole server (or a BufferError, if the reader is lucky), so a
drain deadline can end the *waiting* for a lease, never the mapping a lease holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Any

from .ports import Loaded
from .view import Facts


class Held:
    """A mapped version and the number of leases on it. Owned by the supervisor, which closes it once, after the last lease."""

    def __init__(self, model: str, loaded: Loaded) -> None:
        self.model = model
        self.loaded = loaded
        self.facts = Facts.of(loaded)
        self.leases = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def __repr__(self) -> str:
        return f"<Held {self.model} {self.facts.version} leases={self.leases}>"

    def lease(self, parts: Mapping[str, Lease] = MappingProxyType({})) -> Lease:
        """One more hold; it takes over the leases on its parts."""
        self.leases += 1
        self._idle.clear()
        return Lease(self, parts)

    def give_back(self) -> None:
        """One hold less; called by the lease."""
        self.leases -= 1
        if self.leases == 0:
            self._idle.set()

    async def wait_idle(self) -> None:
        """Until no lease holds it."""
        await self._idle.wait()


class Lease:
    """A request's hold on one version: a context manager, or `close()` (again and again does no harm).

    Whoever reads the scorer in a thread closes the lease when the *thread* is done, also after its caller gave up.
    `parts`: role -> the lease on the model that plays it, where the version answers from others; closed with this one. So one
    request never sees two versions of a part.
    """

    __slots__ = ("_held", "_is_open", "parts")

    def __init__(self, held: Held, parts: Mapping[str, Lease] = MappingProxyType({})) -> None:
        self._held = held
        self._is_open = True
        self.parts = parts

    def __repr__(self) -> str:
        return f"<Lease {self.model} {self.version} {'open' if self._is_open else 'closed'}>"

    @property
    def model(self) -> str:
        return self._held.model

    @property
    def version(self) -> str:
        return self._held.facts.version

    @property
    def revision(self) -> str:
        return self._held.facts.revision

    @property
    def family(self) -> str:
        return self._held.facts.family

    @property
    def scorer(self) -> Any:
        """The family's scorer over the mapping. Raises RuntimeError after the lease was closed: the mapping may be gone."""
        if not self._is_open:
            raise RuntimeError(f"the lease on {self.model} {self.version} is closed")
        return self._held.loaded.scorer

    def close(self) -> None:
        """Give the hold back."""
        if self._is_open:
            self._is_open = False
            self._held.give_back()
            for part in self.parts.values():
                part.close()

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
