"""GET /events over the real server: what a client receives, how it comes back, and that nobody waits for one who does not read."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient

import service.routes.events
from service.keys import EVENTS, STOPPING
from service.lifecycle.state import Entry, Phase, StoryLine
from service.telemetry.events import EventLog
from tests.support import wait_until
from tests.unit.service.conftest import ClientOf
from tests.unit.service.fakes import NOW, FakeRegistry, live, loading

Client = TestClient[Any, Any]


def log_of(client: Client) -> EventLog:
    log: EventLog = client.server.app[EVENTS]  # type: ignore[attr-defined]
    return log


def told(entry: Entry, lines: int, cause: str = "operator") -> Entry:
    """The entry after that many lines of its story."""
    story = tuple(StoryLine(NOW, "reload", Phase.LIVE, Phase.QUEUED, f"{cause} {number}") for number in range(lines))
    return Entry(entry.name, live=entry.live, attempt=entry.attempt, transitions=lines, story=story[-100:])


def happen(client: Client, registry: FakeRegistry, entry: Entry) -> None:
    registry.entries[entry.name] = entry
    log_of(client).take(registry.view(entry.name))


async def messages(response: ClientResponse) -> AsyncIterator[dict[str, str]]:
    """The events of a stream; comments as {"": text}."""
    fields: dict[str, str] = {}
    async for line in response.content:
        name, _, value = line.decode().rstrip("\n").partition(":")
        if line != b"\n":
            fields[name] = value.removeprefix(" ")
        elif fields:
            yield fields
            fields = {}


async def test_a_stream_begins_with_every_model_and_goes_on(client_of: ClientOf) -> None:
    registry = FakeRegistry(live("als"), loading("trees"))
    client = await client_of(registry)
    async with client.get("/events") as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Accel-Buffering"] == "no"
        stream = messages(response)
        assert await anext(stream) == {"retry": "1000"}
        snapshot = await anext(stream)
        assert snapshot["event"] == "snapshot"
        assert [model["name"] for model in json.loads(snapshot["data"])["models"]] == ["als", "trees"]
        happen(client, registry, told(live("als"), 1))
        transition = await anext(stream)
        assert (transition["event"], json.loads(transition["data"])["cause"]) == ("transition", "operator 0")


async def test_who_comes_back_gets_what_was_missed_once_and_no_snapshot(client_of: ClientOf) -> None:
    registry = FakeRegistry(live())
    client = await client_of(registry)
    async with client.get("/events") as response:
        stream = messages(response)
        id = [await anext(stream) for _ in range(2)][-1]["id"]
    happen(client, registry, told(live(), 3))
    async with client.get("/events", headers={"Last-Event-ID": id}) as response:
        stream = messages(response)
        assert "retry" in await anext(stream)
        causes = [json.loads((await anext(stream))["data"])["cause"] for _ in range(3)]
        assert causes == ["operator 0", "operator 1", "operator 2"]
        happen(client, registry, told(live(), 4))
        assert json.loads((await anext(stream))["data"])["cause"] == "operator 3"


async def test_an_id_of_another_process_or_one_that_is_gone_begins_anew(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(live()))
    for id in ("elsewhere-1", "nonsense", log_of(client).snapshot([]).message.decode().split("\n")[0].removeprefix("id: ") + "9"):
        async with client.get("/events", headers={"Last-Event-ID": id}) as response:
            stream = messages(response)
            assert [(await anext(stream)).get("event") for _ in range(2)] == [None, "snapshot"]


async def test_a_quiet_stream_has_comments(client_of: ClientOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.routes.events, "HEARTBEAT_S", 0.01)
    client = await client_of(FakeRegistry(live()))
    async with client.get("/events") as response:
        stream = messages(response)
        assert [list(await anext(stream)) for _ in range(4)][2:] == [[""], [""]]


async def test_head_ends(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(live()))
    async with client.head("/events") as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        assert await response.read() == b""
    await wait_until(lambda: log_of(client).readers == 0)


async def test_one_stream_too_many_is_told_when_to_come_back(client_of: ClientOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.telemetry.events.MOST_READERS", 1)
    client = await client_of(FakeRegistry(live()))
    async with client.get("/events"), client.get("/events") as refused:
        assert refused.status == 503
        assert refused.content_type == "application/problem+json"
        assert int(refused.headers["Retry-After"]) == (await refused.json(content_type=None))["retry_after_s"]
    await wait_until(lambda: log_of(client).readers == 0)
    async with client.get("/events") as response:
        assert response.status == 200


async def test_streams_end_with_the_server_and_no_new_one_begins(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(live()))
    async with client.get("/events") as response:
        stream = messages(response)
        await anext(stream)
        client.server.app[STOPPING].set()  # type: ignore[attr-defined]
        log_of(client).close()
        assert [event["event"] async for event in stream] == ["snapshot"]
    async with client.get("/events") as response:
        assert response.status == 503


def deaf(client: Client) -> socket.socket:
    """A client that asks and never reads, with room for little."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((client.host, client.port))
    connection.sendall(b"GET /events HTTP/1.1\r\nHost: here\r\n\r\n")
    return connection


def assert_cut(connection: socket.socket) -> None:
    """The server has hung up in the middle. Raises TimeoutError where it still has something to say."""
    connection.settimeout(10)
    received = b""
    while chunk := connection.recv(1 << 16):
        received = received[-16:] + chunk
    assert not received.endswith(b"\r\n0\r\n\r\n"), "the stream was brought to its end"


async def fill(client: Client, registry: FakeRegistry) -> None:
    """Tell more than the kernel keeps for a client: until a write waits, and then as much again."""
    lines = 0
    for _ in range(150):
        lines += 10
        happen(client, registry, told(live(), lines, "x" * 400))
        await asyncio.sleep(0)


async def test_a_client_that_does_not_read_falls_out_of_the_log_and_is_let_go(client_of: ClientOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.routes.events, "STALLED_S", 0.2)
    registry = FakeRegistry(live())
    client = await client_of(registry)
    with deaf(client) as connection:
        await wait_until(lambda: log_of(client).readers == 1)
        await fill(client, registry)
        await wait_until(lambda: log_of(client).readers == 0)
        await asyncio.to_thread(assert_cut, connection)


async def test_the_end_waits_for_no_client_that_does_not_read(client_of: ClientOf) -> None:
    registry = FakeRegistry(live())
    client = await client_of(registry)
    with deaf(client):
        await wait_until(lambda: log_of(client).readers == 1)
        await fill(client, registry)
        assert log_of(client).readers == 1
        log_of(client).close()
        await wait_until(lambda: log_of(client).readers == 0)


async def test_who_was_too_slow_gets_a_snapshot_instead_of_what_is_gone(client_of: ClientOf) -> None:
    registry = FakeRegistry(live())
    client = await client_of(registry)
    async with client.get("/events") as response:
        stream = messages(response)
        assert [(await anext(stream)).get("event") for _ in range(2)] == [None, "snapshot"]
        for number in range(1, 30):
            happen(client, registry, told(live(), 100 * number, "x" * 400))  # not a step of the loop for the stream
        next_one = await anext(stream)
        assert next_one["event"] == "snapshot"
        assert len(json.loads(next_one["data"])["models"][0]["story"]) == 100
        happen(client, registry, told(live(), 2901))
        assert (await anext(stream))["event"] == "transition"
