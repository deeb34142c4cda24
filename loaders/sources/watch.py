"""Noticing that a file was replaced or rewritten, also when a link to it was switched (as Kubernetes does with mounted files).

Covers: change notification by the kernel, and asking in intervals where there is none; of a file, or of whatever else can be
read off some folders. Does not cover: reading the file.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import aclosing
from pathlib import Path

SETTLE_S = 0.1
POLL_INTERVAL_S = 2.0
_DEBOUNCE_MS = 400
_QUIET_MS = 1000

Identity = tuple[int, int, int, int, int]
Look = Callable[[], "Hashable | None"]
"""What is there now; None for nothing."""


def changes_of(path: Path) -> AsyncGenerator[None, None]:
    """Yields, for ever, each time another file than before lies at `path` and has stopped changing. A removed file is no change.

    Before means: when this was called, so that whoever calls it and then fetches misses nothing. Blocks for one stat.
    """
    return changes_where(lambda: _identity(path), lambda: _folders(path))


def changes_where(look: Look, folders: Callable[[], frozenset[Path]]) -> AsyncGenerator[None, None]:
    """Yields, for ever, each time `look` gives something else than before and gives it twice; None is no change.

    folders: those whose entries decide it. Both are called in threads, and here `look` once: see `changes_of`.
    """
    return _changes_since(look(), look, folders)


async def _changes_since(seen: Hashable, look: Look, folders_now: Callable[[], frozenset[Path]]) -> AsyncGenerator[None, None]:
    while True:
        folders = await asyncio.to_thread(folders_now)
        async with aclosing(_wakeups(folders)) as wakeups:
            async for _ in wakeups:
                found = await _settled(look)
                if found is not None and found != seen:
                    seen = found
                    yield
                if await asyncio.to_thread(folders_now) != folders:
                    break  # a link leads elsewhere now: watch there


async def _wakeups(folders: frozenset[Path]) -> AsyncGenerator[None, None]:
    """Yields when something in a folder may have changed, and now and then.

    Now and then, because network file systems tell nothing and the watch begins a moment late.
    """
    from watchfiles import awatch

    if folders:
        stop = asyncio.Event()
        try:
            batches = awatch(
                *folders,
                watch_filter=None,
                recursive=False,
                debounce=_DEBOUNCE_MS,
                step=50,
                rust_timeout=_QUIET_MS,
                yield_on_timeout=True,
                stop_event=stop,
            )
            async with aclosing(batches):
                async for _ in batches:
                    yield
        except OSError:
            pass  # a folder is gone, or the kernel has no watch left: ask in intervals, then try again
        finally:
            stop.set()
    await asyncio.sleep(POLL_INTERVAL_S)
    yield


async def _settled(look: Look) -> Hashable | None:
    """What is there once two looks in a row agree: a writer is let finish."""
    found = await asyncio.to_thread(look)
    while found is not None:
        await asyncio.sleep(SETTLE_S)
        again = await asyncio.to_thread(look)
        if again == found:
            break
        found = again
    return found


def _identity(path: Path) -> Identity | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _folders(path: Path) -> frozenset[Path]:
    """The folders whose entries decide what lies at `path`: of the path itself and of the file behind its links."""
    return frozenset(folder for folder in (path.absolute().parent, path.resolve().parent) if folder.is_dir())
