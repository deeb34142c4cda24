"""The end of listening: who is connected is served, who comes later is not heard."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator

import pytest

from service import listening
from service.listening import ignore_newcomers, listen

ESTABLISHED, SYN_SENT = 1, 2


@pytest.fixture
def port() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as found:
        yield found


def tcp_state(connection: socket.socket) -> int:
    state: int = struct.unpack("B", connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1))[0]
    return state


def connecting(port: socket.socket) -> socket.socket:
    connection = socket.socket()
    connection.setblocking(False)
    connection.connect_ex(port.getsockname())
    return connection


def test_newcomers_are_not_heard_and_who_waits_in_the_queue_is_kept(port: socket.socket) -> None:
    with connecting(port) as early:
        ignore_newcomers(port)
        with connecting(port) as late:
            assert (tcp_state(early), tcp_state(late)) == (ESTABLISHED, SYN_SENT)
            accepted, _ = port.accept()
            with accepted:
                early.send(b"hello")
                assert accepted.recv(10) == b"hello"


def test_without_filters_no_more_than_one_may_queue(port: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "_SO_ATTACH_FILTER", 9999)
    ignore_newcomers(port)
    with connecting(port) as first, connecting(port) as second, connecting(port) as third:
        assert [tcp_state(each) for each in (first, second, third)].count(SYN_SENT) >= 1


@pytest.mark.parametrize("half_connected_s", [0, 0.1], ids=["accepted in this turn of the loop", "accepted before"])
async def test_who_is_connected_when_it_closes_is_served(half_connected_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "_HALF_CONNECTED_S", half_connected_s)

    class Greeter(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.write(b"welcome")
            transport.close()

    listener = await listen(Greeter, "127.0.0.1", 0)
    host, _, number = listener.url.removeprefix("http://").rpartition(":")
    early = [socket.create_connection((host, int(number))) for _ in range(20)]
    await asyncio.sleep(0)  # now the loop knows of them: it accepts while the listener already closes
    await listener.aclose()
    for each in early:
        with each:
            reader, writer = await asyncio.open_connection(sock=each)
            assert await asyncio.wait_for(reader.read(), 10) == b"welcome"
            writer.close()
            await writer.wait_closed()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, int(number))
