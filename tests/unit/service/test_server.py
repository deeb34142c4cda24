"""One serving process: listening, telling, draining, stopping."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
from pathlib import Path

import aiohttp
import pytest

import service.server
from service import presence
from service.app import build_app
from service.keys import SCORING, STOPPING
from service.server import serve
from tests.support import wait_until
from tests.unit.service.conftest import Running
from tests.unit.service.fakes import FakeRegistry, FakeScorer, live, loading, settings_for


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_announces_itself_and_stops_on_a_signal(running: Running, tmp_path: Path, number: int) -> None:
    registry = FakeRegistry(live())
    async with running(registry) as (url, _, task):
        found = presence.find(tmp_path)
        assert found is not None
        assert (found.url, found.pid) == (url, os.getpid())
        async with aiohttp.ClientSession() as session, session.get(f"{url}/health") as response:
            assert response.status == 200
        os.kill(os.getpid(), number)
        await asyncio.wait_for(task, 20)
    assert not registry.is_running
    assert presence.find(tmp_path) is None


ESTABLISHED = 1
BAD_GZIP = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /models/\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (BAD_GZIP, 400),
        (BAD_GZIP.replace(b"gzip", b"zstd"), 415),
    ],
    ids=["path", "no host", "long header", "bad gzip", "unknown encoding"],
)
async def test_what_is_no_http_is_one_line_of_the_log_and_no_traceback(
    running: Running, caplog: pytest.LogCaptureFixture, sent: bytes, status: int
) -> None:
    caplog.set_level("INFO")
    async with running(FakeRegistry(live())) as (url, _, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(sent)
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert f" {status} ".encode() in head.splitlines()[0]
    assert b"application/problem+json" in head and json.loads(body)["status"] == status
    assert [record.getMessage() for record in caplog.records if record.exc_info or record.levelname == "ERROR"] == []
    (line,) = [record for record in caplog.records if record.getMessage() == "bad request"]
    assert vars(line)["cause"]
    assert "\n" not in vars(line)["cause"]


async def test_a_stop_lets_requests_end_and_no_thread_reads_unmapped_arrays(running: Running) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slowly() -> None:
        loop.call_soon_threadsafe(began.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(20)

    registry = FakeRegistry(live(), scorer=FakeScorer(price=1 << 40, before=slowly))
    async with running(registry) as (url, _, task), aiohttp.ClientSession() as session:
        asked = asyncio.create_task(session.post(f"{url}/models/als/predict", json={"user_id": 1}))
        await began.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await wait_until(lambda: not is_listening(url))
        go_on.set()
        async with await asked as response:
            assert response.status == 200
        await asyncio.wait_for(task, 20)
    assert not registry.is_running


async def test_a_stop_waits_for_threads_whose_callers_gave_up(running: Running) -> None:
    go_on = threading.Event()
    scorer = FakeScorer(price=1 << 40, before=lambda: go_on.wait(20))
    registry = FakeRegistry(live(), scorer=scorer, request_timeout_s=0.01)
    async with running(registry) as (url, app, task):
        async with aiohttp.ClientSession() as session, session.post(f"{url}/models/als/predict", json={"user_id": 1}) as response:
            assert response.status == 504
        os.kill(os.getpid(), signal.SIGTERM)
        await app[STOPPING].wait()
        # Long after everything else has stopped; the fake's aclose refuses to unmap what is still read.
        asyncio.get_running_loop().call_later(0.2, go_on.set)
        await asyncio.wait_for(task, 20)
    assert registry.leases == 0


async def test_a_stop_ends_waiting_at_once(running: Running) -> None:
    async with running(FakeRegistry(loading())) as (url, app, task), aiohttp.ClientSession() as session:
        asked = asyncio.create_task(session.post(f"{url}/models/als/predict", json={"user_id": 1}, headers={"Prefer": "wait=60"}))
        await wait_until(lambda: app[SCORING].in_flight("als") == 1)
        os.kill(os.getpid(), signal.SIGTERM)
        async with await asked as response:
            assert response.status == 202
        await asyncio.wait_for(task, 20)


async def test_a_client_that_goes_away_gives_its_place_back(running: Running) -> None:
    async with running(FakeRegistry(loading())) as (url, app, _):
        async with aiohttp.ClientSession() as session:
            asked = asyncio.create_task(session.post(f"{url}/models/als/predict", json={"user_id": 1}, headers={"Prefer": "wait=60"}))
            await wait_until(lambda: app[SCORING].in_flight("als") == 1)
            asked.cancel()
        await wait_until(lambda: app[SCORING].in_flight("als") == 0)


async def test_systemd_hears_of_it(running: Running, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        async with running(FakeRegistry(live()), {"NOTIFY_SOCKET": str(tmp_path / "notify")}):
            pass
        heard = []
        while True:
            try:
                heard.append(listener.recv(4096).decode())
            except BlockingIOError:
                break
    assert "READY=1" in heard
    assert heard[-1] == "STOPPING=1"


async def test_a_port_in_use_is_an_error_and_everything_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = FakeRegistry(live())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = settings_for(registry, tmp_path, port=taken.getsockname()[1])
        app = build_app(settings, supervisor=registry, environ={})
        monkeypatch.setattr(service.server, "build_app", lambda settings, environ: app)
        with pytest.raises(OSError, match="address"):
            await serve(settings, environ={})
    assert not registry.is_running
    assert presence.find(tmp_path) is None


def is_listening(url: str) -> bool:
    host, _, port = url.removeprefix("http://").rpartition(":")
    with socket.socket() as probe:
        probe.setblocking(False)  # who is not heard any more would wait, in the loop that is to close the port
        probe.connect_ex((host, int(port)))
        return probe.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == ESTABLISHED
