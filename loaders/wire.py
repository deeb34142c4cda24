"""The wire between the server and a capped child: length-limited JSON frames on a socket of their own. Never a pickle.

A frame is a big-endian u32 length and that many bytes of JSON object. The parent sends one frame, the plan; the child
sends {"kind": "phase" | "progress" | "warning"}, and at last {"kind": "ok"} or {"kind": "error"}. A hosting child stays
after its "ok": each further frame of the parent is a question, and the child answers it with one frame.
"""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

from loaders.told import read_json

MAX_FRAME = 1 << 20


class WireError(Exception):
    """The other side does not keep to the format."""


def encode(frame: dict[str, Any]) -> bytes:
    """The bytes of a frame. Raises WireError if it is too long."""
    return framed(json.dumps(frame, separators=(",", ":")).encode(), MAX_FRAME)


def framed(text: bytes, limit: int) -> bytes:
    """The bytes of a frame whose JSON is there already. Raises WireError if it is longer than `limit`."""
    if len(text) > limit:
        raise WireError(f"a frame of {len(text)} bytes")
    return len(text).to_bytes(4, "big") + text


def decode(text: bytes) -> dict[str, Any]:
    """The object of a frame's bytes. Raises WireError."""
    try:
        frame = read_json(text)
    except (ValueError, RecursionError) as error:
        raise WireError("a frame is not JSON") from error
    if not isinstance(frame, dict) or not isinstance(frame.get("kind"), str):
        raise WireError("a frame is not an object with a kind")
    return frame


class ChildEnd:
    """The child's side: blocking. `limit` is the longest frame of either direction, bytes."""

    def __init__(self, fd: int, limit: int = MAX_FRAME) -> None:
        self._socket = socket.socket(fileno=fd)
        self._limit = limit

    def receive(self) -> dict[str, Any]:
        """The plan. Raises WireError, also where the parent is gone."""
        return decode(self.receive_text())

    def receive_text(self) -> bytes:
        """The JSON of the next frame. Raises WireError, also where the parent is gone."""
        size = int.from_bytes(self._exactly(4), "big")
        if size > self._limit:
            raise WireError(f"a frame of {size} bytes")
        return self._exactly(size)

    def send(self, kind: str, **fields: Any) -> None:
        self._socket.sendall(encode({"kind": kind, **fields}))

    def send_text(self, text: bytes) -> None:
        """Send a frame whose JSON is there already. Raises WireError if it is too long."""
        self._socket.sendall(framed(text, self._limit))

    def _exactly(self, n: int) -> bytes:
        data = bytearray()
        while len(data) < n:
            chunk = self._socket.recv(n - len(data))
            if not chunk:
                raise WireError("the parent is gone")
            data += chunk
        return bytes(data)


class ParentEnd:
    """The server's side, on the event loop. `receive` returns None when the child has closed its end.

    `limit` is the longest frame of either direction, bytes.
    """

    def __init__(self, sock: socket.socket, limit: int = MAX_FRAME) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._limit = limit

    async def send(self, frame: dict[str, Any]) -> None:
        await asyncio.get_running_loop().sock_sendall(self._socket, encode(frame))

    async def send_text(self, text: bytes) -> None:
        """Send a frame whose JSON is there already. Raises WireError if it is too long."""
        await asyncio.get_running_loop().sock_sendall(self._socket, framed(text, self._limit))

    async def receive(self) -> dict[str, Any] | None:
        """The next frame. Raises WireError for a frame that is too long, cut short or not JSON."""
        text = await self.receive_text()
        return None if text is None else decode(text)

    async def receive_text(self) -> bytes | None:
        """The JSON of the next frame, unread. Raises WireError for a frame that is too long or cut short."""
        head = await self._exactly(4)
        if head is None:
            return None
        size = int.from_bytes(head, "big")
        if size > self._limit:
            raise WireError(f"a frame of {size} bytes")
        body = await self._exactly(size)
        if body is None:
            raise WireError("a frame is cut short")
        return body

    async def _exactly(self, n: int) -> bytes | None:
        loop = asyncio.get_running_loop()
        data = bytearray()
        while len(data) < n:
            try:
                chunk = await loop.sock_recv(self._socket, n - len(data))
            except ConnectionError:
                chunk = b""
            if not chunk:
                if data:
                    raise WireError("a frame is cut short")
                return None
            data += chunk
        return bytes(data)

    def close(self) -> None:
        self._socket.close()
