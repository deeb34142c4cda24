"""Clients that ask without a pause until nobody listens any more, and note precisely what each request met.

Covers: whole answers, and every other end a request can have. Does not cover: what the answers say beyond status and headers.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

PATIENCE_S = 60.0


class Hammer:
    """`size` clients of one address; an async context, so that it runs beside the test (`tests.acceptance.running.Beside`).

    They begin at once; each ends when its connection is refused, which is no request. keeps: the connection, for further requests.
    """

    def __init__(self, url: str, path: str, body: dict[str, Any], size: int = 64, *, keeps: bool = True) -> None:
        self._host, _, self._port = url.removeprefix("http://").rpartition(":")
        content = json.dumps(body).encode()
        kept = "" if keeps else "Connection: close\r\n"
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{kept}Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        self._request = head.encode() + content
        self._size = size
        self.statuses: Counter[int] = Counter()
        self.lost: Counter[str] = Counter()
        """Requests that were sent, at least in part, and not answered to the last byte: why, and on which connection."""
        self.last_answers: list[dict[str, str]] = []
        """The headers of the last answer of each client that has ended."""

    async def __aenter__(self) -> Hammer:
        self._tasks = [asyncio.create_task(self._client()) for _ in range(self._size)]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def has_ended(self) -> bool:
        """Whether every client was refused a connection."""
        return len(self.last_answers) == self._size

    async def _client(self) -> None:
        last: dict[str, str] = {}
        while True:
            try:
                reader, writer = await asyncio.open_connection(self._host, int(self._port))
            except OSError:
                self.last_answers.append(last)
                return
            try:
                last = await self._use(reader, writer, last)
            finally:
                writer.close()
                await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    async def _use(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, last: dict[str, str]) -> dict[str, str]:
        """Ask on one connection until it is closed; the headers of its last answer."""
        number = 0
        while True:
            number += 1
            writer.write(self._request)
            try:
                status, last = await asyncio.wait_for(_answer(reader), PATIENCE_S)
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                got = len(error.partial) if isinstance(error, asyncio.IncompleteReadError) else 0
                self.lost[f"{type(error).__name__} after {got} bytes, request {min(number, 2)} or later"] += 1
                return last
            self.statuses[status] += 1
            if last.get("connection", "").lower() == "close":
                return last


async def _answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers["content-length"]))
    json.loads(body)
    return int(head[0].split()[1]), headers
