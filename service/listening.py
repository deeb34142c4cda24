"""The listening sockets: opened by name, closed without losing who is connected already.

Covers: addresses, and the end of accepting. Does not cover: what a connection then does (`service.connections`).
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import struct
from collections.abc import Callable
from contextlib import ExitStack
from typing import cast

BACKLOG = 1024
LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a wildcard address is reached from this machine

_HALF_CONNECTED_S = 0.1
"""How long a handshake that has begun may take until its end; its last part is lost only if the network is slower."""
_SO_ATTACH_FILTER = 26
_DROP_SYN = (
    (0x30, 0, 0, 13),  # load the byte of flags
    (0x45, 0, 1, 0x02),  # is SYN set (only newcomers have that here)?
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFF),  # keep
)
"""(code, jump if true, jump if false, operand): linux/filter.h; socket(7), SO_ATTACH_FILTER."""

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
        client that had connected, and perhaps sent its request, would be lost. So whoever wants to connect now is not heard
        (it asks again, and finds the port closed), who is half connected gets the time to be, and all of them are accepted.
        """
        with ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket(fileno=os.dup(each.fileno()))) for each in self._server.sockets]
            for each in sockets:
                each.setblocking(False)
                ignore_newcomers(each)
            await asyncio.sleep(_HALF_CONNECTED_S)
            for each in self._server.sockets:
                asyncio.get_running_loop().remove_reader(each)
            # Whom asyncio has just accepted is its server's only after the next turn of the loop, and lost if that is closed before.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            accepted = [connected for each in sockets for connected in _queue_of(each)]
        self._server.close()
        for connected in accepted:
            connected.setblocking(False)
            await asyncio.get_running_loop().connect_accepted_socket(self._factory, connected)


def ignore_newcomers(listening: socket.socket) -> None:
    """Have the kernel drop requests to connect, and nothing else: a classic BPF filter over the flags of the TCP header.

    Where filters are not to be had, at least no more may queue than one.
    """
    program = b"".join(struct.pack("HBBI", *instruction) for instruction in _DROP_SYN)
    kept = ctypes.create_string_buffer(program, len(program))
    try:
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(_DROP_SYN), ctypes.addressof(kept)))
    except OSError:
        listening.listen(0)


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
