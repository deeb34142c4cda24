"""Connections of clients, and the patience that each of them gets.

Covers: heads that come byte by byte, answers that nobody reads, idle connections, too many of them, what is no HTTP, and
letting go of all of them when the server stops. Does not cover: listening (`service.listening`), the time of a body
(`service.body`), what is answered.

The first byte of a head starts a clock, because a client that sends one byte a second is never idle (the attack is known as
Slowloris). aiohttp has no such clock, and none for an answer that nobody reads: `Connection` adds what they need to its
protocol, and one look a second at all connections is enough for both.
"""

from __future__ import annotations

import array
import asyncio
import fcntl
import logging
import resource
import socket
import struct
import termios
from typing import cast

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import ContentEncodingError, LineTooLong

from config.schema import ServerSettings
from service.errors import PROBLEM_JSON, MalformedBody, UnsupportedCoding, problem, problem_document

LEAST_BYTES = 64 << 10
"""What a client must take of an answer within `send_timeout`: 2 KiB a second by default."""
LAST_CALL_S = 1.0
"""How long connections that are idle when the server stops stay open: a request may be on its way already, and is answered."""
LOOKS_EVERY_S = 1.0
_DRAIN_LOOKS_EVERY_S = 0.02
_OTHER_FILES = 256
"""Open files that connections leave to segments, artifacts, downloads and children."""
_LINGERS_S = 1.0
"""How long a connection that was refused stays open for what its client still sends."""
_log = logging.getLogger("holdfast.http")


class Connection(web.RequestHandler):
    """aiohttp's protocol of one connection, which knows since when a head is incomplete and its answer unread."""

    __slots__ = ("_all", "_head_since", "_is_refused", "_unread_bytes", "_unread_since", "_wire")

    def __init__(self, owner: Connections, server: web.Server) -> None:
        settings = owner.settings
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=settings.keep_alive_s,
            access_log=None,  # type: ignore[arg-type]
            logger=owner.http_log,  # type: ignore[arg-type]
        )
        self._all = owner
        self._wire: asyncio.Transport | None = None
        self._is_refused = False
        self._head_since = 0.0
        self._unread_since = 0.0
        self._unread_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.Transport, transport)
        if self._all.has_room():
            super().connection_made(transport)
        else:
            self._refuse(503, "too-many-connections", "Too many connections", "Try again in a second.", "Retry-After: 1\r\n")

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        super().data_received(data)
        if not self._is_waiting:
            self._head_since = 0.0
        elif not self._head_since and data.strip():
            self._head_since = self._loop.time()

    @property
    def _is_waiting(self) -> bool:
        """For a head that is complete."""
        return self._waiter is not None and not self._waiter.done() and not self._messages

    @property
    def is_idle(self) -> bool:
        """No byte of a request has come that is not answered."""
        return self._is_waiting and not self._head_since

    def look(self, now: float) -> None:
        """Let go of a client that takes too long; `now` is the loop's time."""
        wire, settings = self._wire, self._all.settings
        if wire is None:
            return
        if self._head_since and now - self._head_since > settings.header_timeout_s:
            detail = f"The head of the request took longer than {settings.header_timeout_s:g} s."
            self._head_since = 0.0
            self._refuse(408, "head-timeout", "The head of the request did not arrive in time", detail)
            return
        unread = _unread_output(wire)
        if not unread or not self._unread_since or unread <= self._unread_bytes - LEAST_BYTES:
            self._unread_since, self._unread_bytes = now if unread else 0.0, unread
        elif now - self._unread_since > settings.send_timeout_s:
            _log.info("nobody reads the answer", extra={"action": "request", "client": self.peername, "unread_bytes": unread})
            # Without a reset the kernel would go on offering what is left.
            wire.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            wire.abort()
        self._unread_bytes = max(self._unread_bytes, unread)

    def part(self) -> None:
        """Close it if it is idle, and not even unread bytes of a request are there."""
        if self.is_idle and self._wire is not None and not _in_kernel(self._wire, termios.FIONREAD):
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._wire = None
        self._head_since = 0.0
        super().connection_lost(exc)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """What is no HTTP is told as a problem too (RFC 9457); a head that is too large is 431 (RFC 6585)."""
        super().handle_error(request, status, exc, message)
        if isinstance(exc, LineTooLong):
            refused = problem(431, "head-too-large", "The head of the request is too large", "A line of it is longer than 8190 bytes.")
        elif isinstance(exc, ContentEncodingError):
            # It says so of a coding that needs a library, and of deflate that is none or ends too soon.
            refused = (UnsupportedCoding() if "install" in str(exc) else MalformedBody("It cannot be decompressed.")).response()
        else:
            refused = problem(status, "bad-request", "This is no HTTP request", " ".join((message or "").split())[:300])
        refused.force_close()
        return refused

    def _refuse(self, status: int, slug: str, title: str, detail: str, header: str = "") -> None:
        if self._wire is None:
            return
        body = msgspec.json.encode(problem_document(status, slug, title, detail))
        head = (
            f"HTTP/1.1 {status} {title}\r\nContent-Type: {PROBLEM_JSON}\r\nContent-Length: {len(body)}\r\n{header}Connection: close\r\n\r\n"
        )
        self._is_refused = True
        self._wire.write(head.encode() + body)
        # What the client still sends would make the kernel reset the connection, and the answer with it (RFC 9112, 9.6).
        self._wire.write_eof()
        self._loop.call_later(_LINGERS_S, self._wire.close)


class Connections:
    """All connections of one server: makes them, looks after them, and lets go of them. Event loop only."""

    def __init__(self, server: web.Server, settings: ServerSettings, http_log: logging.LoggerAdapter[logging.Logger]) -> None:
        self.settings = settings
        self.http_log = http_log
        self._server = server
        self._limit = min(settings.max_connections, _what_files_allow())

    def __call__(self) -> Connection:
        return Connection(self, self._server)

    @property
    def _open(self) -> list[Connection]:
        return cast("list[Connection]", self._server.connections)

    def has_room(self) -> bool:
        """Whether one more may come; makes room by closing one that is idle, the oldest first."""
        opened = self._open
        if len(opened) < self._limit:
            return True
        idle = next((each for each in opened if each.is_idle), None)
        if idle is None:
            return False
        idle.force_close()
        return True

    async def look_after(self, every_s: float | None = None) -> None:
        """For ever: let go of who takes too long."""
        shortest_s = min(self.settings.header_timeout_s, self.settings.send_timeout_s)
        every_s = every_s or min(LOOKS_EVERY_S, shortest_s / 2)
        while True:
            await asyncio.sleep(every_s)
            now = asyncio.get_running_loop().time()
            for each in self._open:
                each.look(now)

    async def drain(self, drain_s: float) -> int:
        """Until every connection is closed, for at most `drain_s` seconds; how many still have a request afterwards.

        Nothing says to a client that is just writing a request that the connection is being closed under it. So all that come
        within a moment are answered, each with `Connection: close`, and only who stays silent is closed without a word.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        while opened := self._open:
            now = loop.time()
            if now - began >= min(LAST_CALL_S, drain_s):
                for each in opened:
                    each.part()
            if now - began >= drain_s:
                break
            for each in opened:
                each.look(now)
            await asyncio.sleep(_DRAIN_LOOKS_EVERY_S)
        return sum(not each.is_idle for each in self._open)


def _unread_output(wire: asyncio.Transport) -> int:
    """Bytes of answers that the client has not taken; 0 where they are all with the kernel, which needs nothing of this process."""
    unread = wire.get_write_buffer_size()
    # The kernel takes more only when a third of its buffer is free, a megabyte perhaps: a slow reader would seem to take nothing.
    return unread and unread + _in_kernel(wire, termios.TIOCOUTQ)


def _in_kernel(wire: asyncio.Transport, queue: int) -> int:
    """Bytes that the kernel holds for this connection, come (FIONREAD) or to be sent (TIOCOUTQ)."""
    found = array.array("i", [0])
    fcntl.ioctl(wire.get_extra_info("socket").fileno(), queue, found)
    return found[0]


def _what_files_allow() -> float:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return float("inf") if soft == resource.RLIM_INFINITY else max(1, soft - _OTHER_FILES, soft // 2)
