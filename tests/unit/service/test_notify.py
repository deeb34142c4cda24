"""Telling systemd, over a real datagram socket."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from service import keys
from service.background import systemd
from service.lifecycle.state import Entry
from service.notify import Notifier
from tests.support import wait_until
from tests.unit.service.fakes import FakeRegistry, live, loading


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        yield listener


def received(listener: socket.socket) -> list[str]:
    messages = []
    while True:
        try:
            messages.append(listener.recv(4096).decode())
        except BlockingIOError:
            return messages


def test_messages(listener: socket.socket) -> None:
    assert Notifier({"NOTIFY_SOCKET": listener.getsockname()}).send(READY=1, STATUS="up")
    assert received(listener) == ["READY=1\nSTATUS=up"]


def test_an_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0holdfast-test-{os.getpid()}")
        listener.setblocking(False)
        assert Notifier({"NOTIFY_SOCKET": f"@holdfast-test-{os.getpid()}"}).send(STOPPING=1)
        assert received(listener) == ["STOPPING=1"]


def test_without_systemd_nothing_is_sent(tmp_path: Path) -> None:
    assert not Notifier({}).is_listening
    assert not Notifier({}).send(READY=1)
    assert not Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).send(READY=1)


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "often"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_the_watchdog_interval(environ: dict[str, str], seconds: float | None) -> None:
    assert Notifier(environ).watchdog_s == seconds


async def test_status_lines_follow_the_models_and_the_watchdog_is_fed(listener: socket.socket) -> None:
    registry = FakeRegistry(live(), loading("bpr"))
    app = web.Application()
    app[keys.REGISTRY] = registry
    app[keys.STOPPING] = asyncio.Event()
    notifier = Notifier({"NOTIFY_SOCKET": listener.getsockname(), "WATCHDOG_USEC": "20000"})
    app.cleanup_ctx.append(systemd(notifier, interval_s=0.01))
    runner = web.AppRunner(app)
    await runner.setup()
    heard: list[str] = []

    async def hears(message: str, times: int = 1) -> None:
        def is_heard() -> bool:
            heard.extend(received(listener))
            return heard.count(message) >= times

        await wait_until(is_heard, what=message)

    await hears("STATUS=als ready, bpr loading")
    registry.entries["bpr"] = Entry("bpr", unloaded=True)
    await hears("STATUS=als ready, bpr unloaded")
    await hears("WATCHDOG=1", heard.count("WATCHDOG=1") + 3)
    assert heard.count("STATUS=als ready, bpr unloaded") == 1
    await runner.cleanup()
