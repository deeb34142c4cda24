"""A client of /events as EventSource is one: plain HTTP, a line at a time, and the id of the last event.

Does not cover: coming back by itself; a test says when.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tests.acceptance.running import LOADS_WITHIN_S, Server


@dataclass(frozen=True)
class Event:
    """One event; `data` is the parsed JSON."""

    id: str
    kind: str
    data: dict[str, Any]

    @property
    def number(self) -> int:
        """What counts up in the ids of one process."""
        return int(self.id.rpartition("-")[2])


class EventStream:
    """One connection. Iterating it gives events; it ends with the stream. Raises TimeoutError where nothing at all comes."""

    def __init__(self, server: Server, last_event_id: str | None = None) -> None:
        host, _, port = server.url.removeprefix("http://").rpartition(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=LOADS_WITHIN_S)
        headers = {"Accept": "text/event-stream"} if last_event_id is None else {"Last-Event-ID": last_event_id}
        self._connection.request("GET", "/events", headers=headers)
        self.response = self._connection.getresponse()

    def __enter__(self) -> EventStream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # Both hold the socket: a connection that was cut is one that nobody reads any more.
        self.response.close()
        self._connection.close()

    def __iter__(self) -> Iterator[Event]:
        fields: dict[str, str] = {}
        for line in self.response:
            name, _, value = line.decode().removesuffix("\n").partition(": ")
            if name:
                fields[name] = value
                continue
            if "data" in fields:
                yield Event(fields["id"], fields["event"], json.loads(fields["data"]))
            fields = {}

    def until(self, condition: Callable[[Event], bool]) -> list[Event]:
        """The events up to the first for which `condition` holds. Raises AssertionError where the stream ends before."""
        received = []
        for event in self:
            received.append(event)
            if condition(event):
                return received
        raise AssertionError(f"the stream ended after {received[-3:]}")
