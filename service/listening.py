"""The listening sockets: opened by name, closed without losing who is connected already.

Covers: addresses, and the end of accepting. Does not cover: what a connection then does (`service.connections`).
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import cast

BACKLOG = 1024
LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a wildcard address is reached from this machine

Factory = Callable[[], asyncio.Protocol]


class Listener:
    """Accepts connections for `factory` until `aclose`. See `listen`."""

    def __init__(self, server: asyncio.Server, factory: Factory) -> None:
        self._server = server
        self._factory = factory
        self.url = _url_of(cast("tuple[str, int]", server.sockets[0].getsockname()[:2]))
        """Where a client on this machine reaches it."""

    async def aclose(self) -> None:
        """Accept nobody any more, but everybody who was connected before.

        The kernel completes connections by itself and keeps them until they are accepted. Closing the socket resets those: a
        client that had connected, and perhaps sent its request, would be lost. So no more may queue, those that do are
        accepted, and then, without a pause, the socket is closed.
        """
        accepted: list[socket.socket] = []
        for each in self._server.sockets:
            with socket.socket(fileno=os.dup(each.fileno())) as listening:
                listening.setblocking(False)
                listening.listen(0)
                accepted += _queue_of(listening)
        self._server.close()
        for connected in accepted:
            connected.setblocking(False)
            await asyncio.get_running_loop().connect_accepted_socket(self._factory, connected)


def _queue_of(listening: socket.socket) -> list[socket.socket]:
    accepted: list[socket.socket] = []
    while True:
        try:
            accepted.append(listening.accept()[0])
        except OSError:  # nobody is left, or no file is
            return accepted


async def listen(factory: Factory, host: str, port: int) -> Listener:
    """Listen on every address of `host`. Raises OSError."""
    return Listener(await asyncio.get_running_loop().create_server(factory, host, port, backlog=BACKLOG), factory)


def _url_of(address: tuple[str, int]) -> str:
    host, port = address
    host = LOOPBACK_OF.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
