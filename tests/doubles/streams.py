"""Two TCP streams joined, as proxies do, and closed whatever happens.

Covers: copying both ways until either side ends. Does not cover: what is changed on the way (`tests.doubles.faults`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress

CHUNK_BYTES = 16 << 10
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Copy = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


@asynccontextmanager
async def connected(address: tuple[str, int]) -> AsyncIterator[Streams]:
    """A connection to `address`, closed at the end. Raises OSError."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        yield reader, writer
    finally:
        await close(writer)


async def join(client: Streams, server: Streams, *, up: Copy, down: Copy) -> None:
    """Run both copies until one ends; then neither runs."""
    copies = [asyncio.create_task(up(client[0], server[1])), asyncio.create_task(down(server[0], client[1]))]
    try:
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in copies:
            task.cancel()
        await asyncio.gather(*copies, return_exceptions=True)


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Everything, unchanged."""
    while chunk := await reader.read(CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()


async def close(writer: asyncio.StreamWriter) -> None:
    """Close, and wait for it where nobody hurries."""
    writer.close()
    with suppress(ConnectionError, asyncio.CancelledError):
        await writer.wait_closed()
