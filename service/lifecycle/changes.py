"""Telling those who wait that a model changed.

Covers: waking waiters, and subscriptions that stay small however slow their reader is. Event loop only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self

from .view import ModelView


class Bell:
    """Wakes everybody who waits for the next change of one model."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def ring(self) -> None:
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self) -> None:
        """Until the next ring. Look at the model before waiting, with no await in between, and no ring is missed."""
        await self._next.wait()


class Subscription:
    """An async iterator over the views of models that changed; the newest view of each, so it is never longer than the models are many.

    Close it (`aclose`, or leave its `async with`); iteration then ends.
    """

    def __init__(self, view: Callable[[str], ModelView], forget: Callable[[Subscription], None]) -> None:
        self._view = view
        self._forget = forget
        self._changed: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._is_open = True

    def __repr__(self) -> str:
        return f"<Subscription {'open' if self._is_open else 'closed'} pending={len(self._changed)}>"

    def put(self, model: str) -> None:
        """Called by the registry for every change, progress too."""
        self._changed[model] = None
        self._wake.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ModelView:
        while self._is_open:
            if self._changed:
                model = next(iter(self._changed))
                del self._changed[model]
                return self._view(model)
            self._wake.clear()
            await self._wake.wait()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the subscription; its reader, if one waits, gets the end of the iteration."""
        self._is_open = False
        self._wake.set()
        self._forget(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
