"""Many clients that ask without pause, each on a connection of its own, while something happens to the server.

Covers: what each client was answered, in its order. Does not cover: how fast.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.support import wait_until_sync

PATIENCE_S = 60.0


@dataclass
class Client:
    """What one client has seen so far."""

    answers: int = 0
    versions: list[str] = field(default_factory=list)
    """One after the other, without repetitions: a version that comes twice came back."""


class Crowd:
    """`size` clients of `url`; an async context, so that it runs beside the test (`tests.acceptance.running.Beside`)."""

    def __init__(self, url: str, body: dict[str, Any], size: int = 64) -> None:
        self._url, self._body = url, body
        self.clients = [Client() for _ in range(size)]
        self.unexpected: Counter[str] = Counter()
        """Every answer but a 200 with items, in words."""

    async def __aenter__(self) -> Crowd:
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=PATIENCE_S))
        self._tasks = [asyncio.create_task(self._ask_on(client)) for client in self.clients]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()

    async def _ask_on(self, client: Client) -> None:
        while True:
            try:
                async with self._session.post(self._url, json=self._body) as response:
                    body = await response.json(content_type=None)
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                self.unexpected[repr(error)] += 1
                continue
            if response.status != 200 or not body.get("items"):
                self.unexpected[f"{response.status}: {body}"] += 1
            elif client.versions[-1:] != [body["version"]]:
                client.versions.append(body["version"])
            client.answers += 1

    def wait_for_answers(self, each: int = 3) -> None:
        """Until every client was answered so many more times. Raises ConditionNotMet."""
        enough = [client.answers + each for client in self.clients]
        wait_until_sync(
            lambda: all(client.answers >= count for client, count in zip(self.clients, enough, strict=True)),
            PATIENCE_S,
            what=f"{each} more answers for each client; unexpected ones: {dict(self.unexpected)}",
        )

    def forget(self) -> None:
        """Begin a new count of the versions of each client."""
        for client in self.clients:
            client.versions = client.versions[-1:]
