"""Clients that take too long, are too many, or speak no HTTP: real sockets against the real `serve` over a fake registry."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from service.connections import LEAST_BYTES, Connection
from tests.support import wait_until
from tests.unit.service.conftest import Running
from tests.unit.service.fakes import FakeItems, FakeRegistry, FakeScorer, live

SHORT = {"header_timeout_s": 0.2, "body_timeout_s": 0.2, "send_timeout_s": 0.3, "keep_alive_s": 5.0}
GET = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connected(url: str) -> Streams:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """One answer. Raises asyncio.IncompleteReadError where the connection ends before."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    return int(head[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


async def closed(streams: Streams) -> None:
    streams[1].close()
    await asyncio.gather(streams[1].wait_closed(), return_exceptions=True)


async def byte_by_byte(writer: asyncio.StreamWriter, sent: bytes, every_s: float) -> None:
    """Send until the other side has had enough."""
    for byte in sent:
        if writer.is_closing():
            return
        writer.write(bytes([byte]))
        await asyncio.sleep(every_s)


@pytest.mark.parametrize("sent", [b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 1000, b"GET /" + b"e" * 1000], ids=["header", "path"])
async def test_a_head_that_comes_byte_by_byte_is_408(running: Running, sent: bytes) -> None:
    async with running(FakeRegistry(live()), **SHORT) as (url, _, _):
        streams = await connected(url)
        sending = asyncio.create_task(byte_by_byte(streams[1], sent, 0.02))
        status, headers, body = await asyncio.wait_for(answer(streams[0]), 10)
        assert (status, headers["connection"], json.loads(body)["status"]) == (408, "close", 408)
        assert await asyncio.wait_for(streams[0].read(), 10) == b""
        sending.cancel()
        await closed(streams)


async def test_the_clock_of_a_head_begins_with_its_first_byte(running: Running) -> None:
    async with running(FakeRegistry(live()), **SHORT) as (url, _, _):
        streams = await connected(url)
        for _ in range(3):
            begun = await connected(url)
            begun[1].write(GET[:10])
            assert (await asyncio.wait_for(answer(begun[0]), 10))[0] == 408  # so the other was idle for longer than a head may take
            streams[1].write(GET[:10])
            streams[1].write(GET[10:])
            assert (await asyncio.wait_for(answer(streams[0]), 10))[0] == 200
            await closed(begun)
        await closed(streams)


async def test_an_idle_connection_is_closed(running: Running) -> None:
    async with running(FakeRegistry(live()), **{**SHORT, "keep_alive_s": 0.3}) as (url, _, _):
        silent, used = await connected(url), await connected(url)
        used[1].write(GET)
        assert (await answer(used[0]))[0] == 200
        for streams in (silent, used):
            assert await asyncio.wait_for(streams[0].read(), 10) == b""
            await closed(streams)


@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
async def test_a_body_that_comes_byte_by_byte_is_408(running: Running, framing: str) -> None:
    async with running(FakeRegistry(live()), **SHORT) as (url, _, _):
        streams = await connected(url)
        streams[1].write(f"POST /models/als/predict HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode())
        sent = b"1\r\n{\r\n" + b"1\r\n \r\n" * 200 if "chunked" in framing else b"{" + b" " * 998
        sending = asyncio.create_task(byte_by_byte(streams[1], sent, 0.01))
        status, headers, _ = await asyncio.wait_for(answer(streams[0]), 10)
        assert (status, headers["connection"]) == (408, "close")
        sending.cancel()
        await closed(streams)


ASK = "POST /models/als/predict HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n"
LIMIT = 64 << 10


def bomb(size: int) -> bytes:
    return gzip.compress(b'{"user_id": 1, "k": 1' + b" " * size + b"}")


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (f"Content-Length: {LIMIT + 1}", b""),
        (f"Content-Length: {1 << 40}\r\nExpect: 100-continue", b""),
        ("Transfer-Encoding: chunked", b"10001\r\n" + b" " * 0x10001 + b"\r\n0\r\n\r\n"),
        (f"Content-Encoding: gzip\r\nContent-Length: {len(bomb(50 << 20))}", bomb(50 << 20)),
        (f"Content-Encoding: deflate\r\nContent-Length: {len(zlib.compress(b' ' * (50 << 20)))}", zlib.compress(b" " * (50 << 20))),
    ],
    ids=["declared", "expected", "chunked", "gzip", "deflate"],
)
async def test_a_body_beyond_the_limit_is_413_before_it_is_taken_in(running: Running, head: str, body: bytes) -> None:
    async with running(FakeRegistry(live()), max_body_bytes=LIMIT) as (url, _, _):
        streams = await connected(url)
        streams[1].write(ASK.format(head=head).encode() + body)
        status, headers, told = await asyncio.wait_for(answer(streams[0]), 20)
        assert (status, headers["content-type"].partition(";")[0]) == (413, "application/problem+json"), told
        assert json.loads(told)["status"] == 413
        await closed(streams)


@pytest.mark.parametrize("head", ["Content-Encoding: gzip", "Expect: 100-continue"])
async def test_a_body_within_the_limit_is_taken_however_it_comes(running: Running, head: str) -> None:
    async with running(FakeRegistry(live()), max_body_bytes=LIMIT) as (url, _, _):
        streams = await connected(url)
        body = bomb(LIMIT - 100) if "gzip" in head else b'{"user_id": 1}'
        streams[1].write(ASK.format(head=f"{head}\r\nContent-Length: {len(body)}").encode())
        if "Expect" in head:
            assert await asyncio.wait_for(streams[0].readuntil(b"\r\n\r\n"), 10) == b"HTTP/1.1 100 Continue\r\n\r\n"
        streams[1].write(body)
        assert (await asyncio.wait_for(answer(streams[0]), 10))[0] == 200
        await closed(streams)


@pytest.mark.parametrize("path", ["/models/als/predict", "/v2/models/als/infer"])
@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "x"])
async def test_another_compression_is_415(running: Running, coding: str, path: str) -> None:
    async with running(FakeRegistry(live())) as (url, _, _):
        streams = await connected(url)
        streams[1].write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Encoding: {coding}\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        status, headers, told = await asyncio.wait_for(answer(streams[0]), 10)
        assert (status, headers.get("accept-encoding")) == (415, "gzip, deflate"), told
        assert b"gzip or deflate" in told and b"install" not in told
        await closed(streams)


async def test_deflate_that_is_none_is_400(running: Running) -> None:
    async with running(FakeRegistry(live())) as (url, _, _):
        streams = await connected(url)
        streams[1].write(ASK.format(head="Content-Encoding: deflate\r\nContent-Length: 3").encode() + b"\x08zz")
        status, _, told = await asyncio.wait_for(answer(streams[0]), 10)
        assert (status, json.loads(told)["detail"]) == (400, "It cannot be decompressed."), told
        await closed(streams)


async def test_an_answer_that_nobody_reads_is_given_up(running: Running) -> None:
    items = 200_000
    registry = FakeRegistry(live(), scorer=FakeScorer(items=FakeItems(items), most=items), request_timeout_s=60.0)
    async with running(registry, **SHORT) as (url, _, _):
        host, _, port = url.removeprefix("http://").rpartition(":")
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect((host, int(port)))
            body = json.dumps({"user_id": 1, "k": items}).encode()
            deaf.sendall(ASK.format(head=f"Content-Length: {len(body)}").encode() + body)
            deaf.setblocking(False)
            await wait_until(lambda: is_reset(deaf), 20, what="the server gives up")
        await wait_until(lambda: not registry.leases)


def is_reset(deaf: socket.socket) -> bool:
    return deaf.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0


async def test_an_answer_that_is_read_slowly_is_not(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    items = 200_000
    registry = FakeRegistry(live(), scorer=FakeScorer(items=FakeItems(items), most=items), request_timeout_s=60.0)
    looked_at: list[float] = []
    look = Connection.look

    def watched(connection: Connection, now: float) -> None:
        looked_at.append(now)
        look(connection, now)

    monkeypatch.setattr(Connection, "look", watched)
    async with running(registry, **SHORT) as (url, _, _):
        host, _, port = url.removeprefix("http://").rpartition(":")
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect((host, int(port)))
            body = json.dumps({"user_id": 1, "k": items}).encode()
            slow.sendall(ASK.format(head=f"Content-Length: {len(body)}\r\nConnection: close").encode() + body)
            slow.setblocking(False)
            taken, enough = bytearray(), 0
            while chunk := await asyncio.wait_for(asyncio.get_running_loop().sock_recv(slow, LEAST_BYTES), 10):
                taken += chunk
                if len(taken) >= enough and (not enough or looked_at[-1] - looked_at[0] < 3 * SHORT["send_timeout_s"]):
                    seen = len(looked_at)
                    await wait_until(lambda seen=seen: len(looked_at) > seen)  # type: ignore[misc]
                    enough = len(taken) + 2 * LEAST_BYTES
    head, _, told = bytes(taken).partition(b"\r\n\r\n")
    assert b" 200 " in head.splitlines()[0] and len(json.loads(told)["items"]) == items


async def test_for_one_connection_too_many_the_oldest_idle_one_goes(running: Running) -> None:
    async with running(FakeRegistry(live()), max_connections=3) as (url, _, _):
        kept: list[Streams] = []
        for _ in range(3):
            kept.append(await connected(url))
            kept[-1][1].write(GET)
            assert (await answer(kept[-1][0]))[0] == 200
        newcomer = await connected(url)
        newcomer[1].write(GET)
        assert (await asyncio.wait_for(answer(newcomer[0]), 10))[0] == 200
        assert await asyncio.wait_for(kept[0][0].read(), 10) == b""
        for streams in kept[1:]:
            streams[1].write(GET)
            assert (await answer(streams[0]))[0] == 200
        for streams in (*kept, newcomer):
            await closed(streams)


async def test_where_all_connections_are_busy_one_more_is_503(running: Running, busy: Callable[[str], Awaitable[Streams]]) -> None:
    async with running(FakeRegistry(live()), max_connections=2, header_timeout_s=30.0) as (url, _, _):
        held = [await busy(url) for _ in range(2)]
        refused = await connected(url)
        status, headers, body = await asyncio.wait_for(answer(refused[0]), 10)
        assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
        assert json.loads(body)["title"] == "Too many connections"
        assert await asyncio.wait_for(refused[0].read(), 10) == b""
        for streams in (*held, refused):
            await closed(streams)


@pytest.fixture
def busy() -> Any:
    """A connection with the head of a request on its way."""

    async def start(url: str) -> Streams:
        streams = await connected(url)
        streams[1].write(GET)
        assert (await answer(streams[0]))[0] == 200
        streams[1].write(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
        await asyncio.wait_for(streams[0].readuntil(b"\r\n\r\n"), 10)
        return streams

    return start
