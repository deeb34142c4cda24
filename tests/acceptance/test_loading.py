"""While a model downloads and loads, requests for it are told how far it is; then they are answered, without a restart.

Does not cover: loads that fail (`test_failures_*`), reloads (`test_reload`).
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.acceptance.running import LOADS_WITHIN_S, Beside, Reply, Server, serving
from tests.artifacts.recommenders import als_dict
from tests.artifacts.writing import write
from tests.doubles.faults import FaultProxy, Plan
from tests.doubles.files import FileServer, Served
from tests.support import wait_until_sync

USERS, ITEMS = 4000, 200
PHASES = ["queued", "downloading", "verifying", "loading", "warming"]
FAST = 8 << 20
SLOW = 256 << 10


class Remote:
    """One artifact behind a connection that a test holds, throttles and lets go."""

    def __init__(self, beside: Beside, content: bytes) -> None:
        self.size = len(content)
        self._beside = beside
        self._gate = asyncio.Event()
        self.files = beside.enter(FileServer({"/als.pkl": Served(content)}))
        self.proxy = beside.enter(FaultProxy(self.files.address, Plan(at=(1, self._gate.wait), bytes_per_s=SLOW)))

    @property
    def url(self) -> str:
        return f"{self.proxy.url}/als.pkl"

    def let_go(self, bytes_per_s: float) -> None:
        """Held until then; from now on at this speed."""
        self.proxy.plan.bytes_per_s = bytes_per_s
        self._beside.run(self._open())

    async def _open(self) -> None:
        self._gate.set()


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Of some 700 KB: big enough to be watched on its way."""
    folder = tmp_path_factory.mktemp("artifact")
    return write(als_dict("str", users=USERS, items=ITEMS), folder / "als", "pickle4").read_bytes()


@pytest.fixture
def remote(beside: Beside, artifact: bytes) -> Remote:
    return Remote(beside, artifact)


def predict(server: Server, **headers: str) -> Reply:
    return server.predict("als", {"user_id": "u1", "k": 5}, headers)


def test_health_answers_before_anything_is_fetched_and_predict_follows_the_load(remote: Remote, tmp_path: Path) -> None:
    with serving(tmp_path, {"models": {"als": {"source": remote.url}}}) as server:
        health = server.get("/health")
        assert (health.status, health.body) == (200, {"status": "loading", "models": {"als": "loading"}})
        assert server.get("/health/live").status == 200
        assert server.get("/health/ready").status == 503
        wait_until_sync(lambda: predict(server).body["phase"] == "downloading", what="the download has begun")
        assert remote.proxy.bytes_down < remote.size
        remote.let_go(SLOW)
        seen = [reply := predict(server)]
        while reply.status == 202:
            seen.append(reply := predict(server))
            if (reply.body.get("progress") or 0) > 0.5:
                remote.let_go(FAST)
        assert reply.status == 200, reply
        assert len(reply.body["items"]) == 5
        told = [reply.body for reply in seen if reply.status == 202]
        check_told(told, remote.size)
        assert all((reply.retry_after_s or 0) >= 1 and reply.retry_after_s == reply.body["retry_after_s"] for reply in seen[:-1])
        assert server.get("/health").body == {"status": "ok", "models": {"als": "ready"}}
        assert server.get("/health/ready").status == 200
        assert remote.files.body_bytes == remote.size


def check_told(told: list[dict[str, Any]], size: int) -> None:
    """Every 202 of one load, in order: progress grows and never falls, phases come in their order."""
    assert {body["status"] for body in told} == {"loading"}
    assert {body["model"] for body in told} == {"als"}
    phases = list(dict.fromkeys(body["phase"] for body in told))
    assert phases == [phase for phase in PHASES if phase in phases]
    assert phases[0] == "downloading" and len(phases) > 1, phases
    for name in ("progress", "bytes_done"):
        values = [body[name] for body in told if body[name] is not None]
        assert values == sorted(values), name
        assert len(set(values)) > 3, f"{name} hardly grew: {values}"
    assert {body["bytes_total"] for body in told if body["bytes_total"] is not None} == {size}
    # Kept through the attempt: what was downloaded is still shown while it is loaded.
    last = told[-1]
    assert (last["bytes_done"], last["bytes_total"], last["progress"]) == (size, size, 1.0)
    assert any(body["eta_s"] is not None and body["eta_s"] > 0 for body in told)


def test_prefer_wait_waits_it_out_in_one_call(remote: Remote, tmp_path: Path) -> None:
    with serving(tmp_path, {"models": {"als": {"source": remote.url}}}) as server:
        short = predict(server, Prefer="wait=1")
        assert (short.status, short.headers["Preference-Applied"]) == (202, "wait=1")
        remote.let_go(FAST / 8)
        reply = predict(server, Prefer="wait=30")
        assert (reply.status, reply.headers["Preference-Applied"]) == (200, "wait=30")
        assert len(reply.body["items"]) == 5


def test_a_wait_is_bounded_by_the_configuration(remote: Remote, tmp_path: Path) -> None:
    with serving(tmp_path, {"models": {"als": {"source": remote.url, "max_wait_s": 0.2}}}) as server:
        reply = predict(server, Prefer="wait=3000")
        assert (reply.status, reply.headers["Preference-Applied"]) == (202, "wait=0.2")


def test_load_on_demand_begins_with_the_first_request(remote: Remote, tmp_path: Path) -> None:
    remote.let_go(FAST)
    with serving(tmp_path, {"models": {"als": {"source": remote.url, "load": "on_demand"}}}) as server:
        assert server.model("als")["status"] == "not_started"
        assert server.get("/predict/status").body["status"] == "not_started"
        assert remote.files.requests == []
        first = predict(server)
        assert (first.status, first.body["model"]) == (202, "als")
        assert (first.retry_after_s or 0) >= 1
        reply = wait_until_sync(lambda: (reply := predict(server)).status != 202 and reply, LOADS_WITHIN_S)
        assert reply.status == 200
        assert server.get("/predict/status").body["status"] == "ready"
        # The default model is the only one, and both forms of the question are one.
        assert server.ask("POST", "/predict", {"user_id": "u1", "k": 5}).body == reply.body
        assert server.ask("POST", "/predict", {"model": "als", "user_id": "u1", "k": 5}).body == reply.body


def test_a_server_stops_while_a_download_hangs(remote: Remote, tmp_path: Path) -> None:
    with serving(tmp_path, {"models": {"als": {"source": remote.url}}}) as server:
        wait_until_sync(lambda: predict(server).body["phase"] == "downloading", what="the download has begun")
        assert server.stop() == 0


def test_clearing_does_not_disturb_the_download_under_way(remote: Remote, tmp_path: Path) -> None:
    with serving(tmp_path, {"models": {"als": {"source": remote.url}}}) as server:
        wait_until_sync(lambda: list((server.store / "partial").glob("als-*")), what="the download has begun")
        assert server.command("DELETE", "/models/als/cache").status == 202
        assert server.command("DELETE", "/models/clear").status == 202
        remote.let_go(FAST)
        server.wait_ready("als")
        assert server.model("als")["failure"] is None
        assert remote.proxy.connections == 1


def test_unloading_ends_the_download_and_loading_begins_another(remote: Remote, tmp_path: Path) -> None:
    with serving(tmp_path, {"models": {"als": {"source": remote.url}}}) as server:
        wait_until_sync(lambda: remote.proxy.address in peers(server), what="the download has begun")
        assert server.command("POST", "/models/als/unload?wait=30").body["status"] == "unloaded"
        assert (predict(server).status, predict(server).retry_after_s) == (503, None)
        wait_until_sync(lambda: remote.proxy.address not in peers(server), what="the connection is closed")
        remote.let_go(FAST)
        assert server.command("POST", "/models/als/load?wait=60").status == 200
        assert predict(server).status == 200


def peers(server: Server) -> set[tuple[str, int]]:
    """Whom the server is connected with."""
    return {tuple(connection.raddr) for connection in psutil.Process(server.pid).net_connections("tcp") if connection.raddr}
