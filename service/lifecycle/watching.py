"""Noticing that a source changed: asking it from time to time, watching a local file.

Does not cover: what follows (`machine`). Both run until they are cancelled; what breaks them is logged, and they go on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from config.schema import ModelSettings

from .clockwork import Sleep, keep_alive
from .events import Event, PollDue
from .ports import Loader

POLL_JITTER = 0.1
"""Fraction of a poll interval that is random, so that a fleet does not ask all at once."""

WATCH_PAUSE_S = 5.0

_log = logging.getLogger("holdfast.lifecycle")

Tell = Callable[[str, Event], None]


async def poll_source(model: ModelSettings, tell: Tell, *, sleep: Sleep, random: Callable[[], float]) -> None:
    """PollDue every `poll_s` seconds (up to a tenth less)."""

    async def poll() -> None:
        while True:
            await sleep(model.poll_s * (1.0 - POLL_JITTER * random()))
            tell(model.name, PollDue())

    await keep_alive(f"poll:{model.name}", poll, pause_s=model.poll_s, sleep=sleep)


async def watch_source(model: ModelSettings, loader: Loader, tell: Tell, event: Event, *, sleep: Sleep) -> None:
    """`event` for every change; also after the watch broke, because a change may have been missed meanwhile."""
    is_first = True

    async def watch() -> None:
        nonlocal is_first
        touches = loader.watch(model)
        if touches is None:
            _log.warning(
                "%s: its source cannot be watched; set poll instead", model.name, extra={"action": "unwatchable", "model": model.name}
            )
            return
        if not is_first:
            tell(model.name, event)
        is_first = False
        async for _ in touches:
            tell(model.name, event)
        raise RuntimeError("the watch ended")

    await keep_alive(f"watch:{model.name}", watch, pause_s=WATCH_PAUSE_S, sleep=sleep)
