"""SIGTERM under load: every request that was accepted is answered, whatever it waits for, and the program ends with 0 in time.

Does not cover: what is left on disk (`test_restart`, `test_failures_killed`).
"""

from __future__ import annotations

import http.client
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.hammering import Hammer
from tests.acceptance.running import Beside, Server, serving
from tests.artifacts.recommenders import als_dict
from tests.artifacts.writing import write
from tests.doubles.faults import FaultProxy, Plan
from tests.doubles.files import FileServer, Served
from tests.support import wait_until_sync

CLIENTS = 64
DRAIN_S = 20


@pytest.fixture
def server(tmp_path: Path, beside: Beside) -> Iterator[Server]:
    """Serves `als`; `late` never comes."""
    artifact = write(als_dict("int"), tmp_path / "artifact", "pickle4")
    files = beside.enter(FileServer({"/late": Served(b"never arrives")}))
    silent = beside.enter(FaultProxy(files.address, Plan(stall_after=0)))
    models = {"als": {"source": str(artifact)}, "late": {"source": f"{silent.url}/late", "required": False}}
    with serving(tmp_path / "run", {"server": {"drain": f"{DRAIN_S}s"}, "models": models}) as server:
        server.wait_ready("als")
        yield server


def ended_within(server: Server, began: float) -> None:
    assert server.process.wait(DRAIN_S + 20) == 0
    assert time.monotonic() - began < DRAIN_S, server.log


@pytest.mark.parametrize("keeps", [True, False], ids=["kept", "fresh"])
def test_no_request_of_64_clients_is_lost(server: Server, beside: Beside, keeps: bool) -> None:
    hammer = beside.enter(Hammer(server.url, "/models/als/predict", {"user_id": 1, "k": 40}, CLIENTS, keeps=keeps))
    wait_until_sync(lambda: hammer.statuses.total() > 20 * CLIENTS, 60, what="everybody was answered some times")
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    ended_within(server, began)
    wait_until_sync(lambda: hammer.has_ended, 60, what="everybody was refused a connection")
    assert not hammer.lost
    assert set(hammer.statuses) == {200}
    assert all(headers.get("connection") == "close" for headers in hammer.last_answers if headers)


class KeptAlive:
    """One client on one connection, which is open from the beginning."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").rpartition(":")
        self.connection = http.client.HTTPConnection(host, int(port), timeout=60)
        self.connection.connect()

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any, str | None]:
        """Status, JSON, and what the Connection header says."""
        self.connection.request(method, path, None if body is None else json.dumps(body), headers or {})
        response = self.connection.getresponse()
        return response.status, json.loads(response.read()), response.headers["Connection"]


def test_who_waits_is_answered_at_once_and_a_request_on_its_way_too(server: Server) -> None:
    waiting, idle, watching, streaming = (KeptAlive(server.url) for _ in range(4))
    answers: list[Any] = []

    def wait() -> None:
        answers.append(waiting.ask("POST", "/models/late/predict", {"user_id": 1}, {"Prefer": "wait=50"}))

    assert idle.ask("GET", "/health")[0] == 200
    thread = threading.Thread(target=wait)
    thread.start()
    streaming.connection.request("GET", "/events")
    stream = streaming.connection.getresponse()
    assert stream.status == 200
    # Half of a head: the rest comes when the server has begun to stop.
    assert isinstance(watching.connection.sock, socket.socket)
    watching.connection.sock.sendall(b"GET /health/ready HTTP/1.1\r\nHost: ")
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    wait_until_sync(lambda: "stopping" in server.log, what="it has begun to stop")
    status, body, told = idle.ask("GET", "/health/ready")
    assert (status, body["detail"], told) == (503, "The server is stopping.", "close")
    watching.connection.sock.sendall(b"x\r\nConnection: keep-alive\r\n\r\n")
    late = http.client.HTTPResponse(watching.connection.sock)
    late.begin()
    assert (late.status, late.headers["Connection"]) == (503, "close")
    late.read()
    thread.join()
    assert answers[0][0] == 202
    while stream.readline():  # its end
        pass
    ended_within(server, began)
    for each in (waiting, idle, watching, streaming):
        each.connection.close()


def test_another_sigterm_changes_nothing(server: Server) -> None:
    idle = KeptAlive(server.url)
    assert idle.ask("GET", "/health")[0] == 200
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    wait_until_sync(lambda: "stopping" in server.log, what="it has begun to stop")
    server.process.send_signal(signal.SIGTERM)
    assert idle.ask("GET", "/health")[0] == 200
    ended_within(server, began)
    idle.connection.close()


def test_an_interrupt_during_the_drain_ends_it_at_once(tmp_path: Path) -> None:
    artifact = write(als_dict("int"), tmp_path / "artifact", "pickle4")
    config = {"server": {"drain": "60s", "header_timeout": "60s"}, "models": {"als": {"source": str(artifact)}}}
    with serving(tmp_path / "run", config, expects_clean_end=False) as server:
        server.wait_ready("als")
        slow = KeptAlive(server.url)
        assert slow.ask("GET", "/health")[0] == 200
        slow.connection.sock.sendall(b"GET /health HT")
        server.process.send_signal(signal.SIGINT)
        wait_until_sync(lambda: "stopping" in server.log, what="it has begun to stop")
        assert server.stop(signal.SIGINT) == 130
        slow.connection.close()
    with serving(tmp_path / "run", config) as server:
        server.wait_ready("als")
        assert server.predict("als", {"user_id": 1}).status == 200
