"""A TCP proxy that harms what passes: cut, reset, stall, throttle, lie about the length, do something in the middle.

Covers: bytes from the server to the client, whatever they mean. Does not cover: what a server would answer (`tests.doubles.files`).
"""

from __future__ import annotations

import argparse
import asyncio
import re
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any

from tests.doubles.program import serve
from tests.doubles.streams import CHUNK_BYTES, close, connected, join

_LENGTH = re.compile(rb"(?i)(content-length: *)(\d+)")


@dataclass
class Plan:
    """What happens to each connection; a test changes it at any time. Byte counts are of one connection, headers included.

    cut_after: end the connection after so many bytes; `cut_by_reset` decides how. `refuses_after_cut` lets nobody in afterwards.
    stall_after: after so many bytes nothing comes any more, and the connection stays open.
    bytes_per_s: not faster than that. length_delta: added to each Content-Length. refuses: connections are reset at once.
    at: when so many bytes of one connection passed, this is awaited, once.
    """

    cut_after: int | None = None
    cut_by_reset: bool = False
    refuses_after_cut: bool = False
    stall_after: int | None = None
    bytes_per_s: float | None = None
    length_delta: int = 0
    refuses: bool = False
    at: tuple[int, Callable[[], Awaitable[object]]] | None = None


class FaultProxy:
    """Stands in front of `upstream` and follows `plan`. `connections`, `bytes_down` and `heard` (what clients sent) say what passed."""

    def __init__(self, upstream: tuple[str, int], plan: Plan | None = None, *, port: int = 0) -> None:
        self.plan = plan or Plan()
        self.connections = 0
        self.bytes_down = 0
        self.heard = bytearray()
        self._upstream, self._port = upstream, port
        self._running: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> FaultProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return "127.0.0.1", self._port

    @property
    def url(self) -> str:
        """As an http origin."""
        return f"http://127.0.0.1:{self._port}"

    def heal(self) -> None:
        """From now on everything passes."""
        self.plan = Plan()

    def describe(self) -> dict[str, Any]:
        """See `tests.doubles.program.Double`."""
        return {"url": self.url, "env": {}}

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        self.connections += 1
        try:
            if self.plan.refuses:
                _abort(writer)
                return
            async with connected(self._upstream) as upstream:
                await join((reader, writer), upstream, up=self._up, down=self._down)
        except asyncio.CancelledError:
            _abort(writer)  # nobody awaits a connection's task: ended is ended
        except ConnectionError:
            pass
        finally:
            await close(writer)

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            self.heard += chunk
            writer.write(chunk)
            await writer.drain()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passed = 0
        while chunk := await reader.read(CHUNK_BYTES):
            plan = self.plan
            if plan.length_delta:
                chunk = _LENGTH.sub(partial(_lie, plan.length_delta), chunk)
            room = min((n - passed for n in (plan.cut_after, plan.stall_after) if n is not None), default=len(chunk))
            writer.write(chunk[:room] if room < len(chunk) else chunk)
            await writer.drain()
            passed += min(room, len(chunk))
            self.bytes_down += min(room, len(chunk))
            if plan.at is not None and passed >= plan.at[0]:
                act = plan.at[1]
                plan.at = None
                await act()
            if plan.cut_after is not None and passed >= plan.cut_after:
                plan.refuses = plan.refuses or plan.refuses_after_cut
                if plan.cut_by_reset:
                    _abort(writer)
                return
            if plan.stall_after is not None and passed >= plan.stall_after:
                await asyncio.Event().wait()
            if plan.bytes_per_s:
                await asyncio.sleep(len(chunk) / plan.bytes_per_s)


def _lie(delta: int, found: re.Match[bytes]) -> bytes:
    return found[1] + str(int(found[2]) + delta).encode()


def _abort(writer: asyncio.StreamWriter) -> None:
    """Reset instead of closing."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def main() -> None:
    """Stand in front of an address."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("upstream", help="HOST:PORT")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cut-after", type=int)
    parser.add_argument("--reset", action="store_true", help="cut by a reset")
    parser.add_argument("--stall-after", type=int)
    parser.add_argument("--bytes-per-s", type=float)
    parser.add_argument("--length-delta", type=int, default=0)
    options = parser.parse_args()
    host, _, port = options.upstream.rpartition(":")
    plan = Plan(
        cut_after=options.cut_after,
        cut_by_reset=options.reset,
        stall_after=options.stall_after,
        bytes_per_s=options.bytes_per_s,
        length_delta=options.length_delta,
    )
    asyncio.run(serve(FaultProxy((host, int(port)), plan, port=options.port)))


if __name__ == "__main__":
    main()
