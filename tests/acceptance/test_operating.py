"""What operators rely on: when the server is ready, who may command it, and what unload, load and clear do.

Does not cover: reloads (`test_reload`), failures (`test_failures_*`), a server with nothing configured (`test_server_basics`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.acceptance.running import ADMIN, TOKEN, Beside, Server, serving
from tests.artifacts.recommenders import als_dict, bare_bpr
from tests.artifacts.writing import write
from tests.doubles.faults import FaultProxy, Plan
from tests.doubles.files import FileServer, Served

QUESTION = {"user_id": 1, "k": 3}
COMMANDS = [
    ("POST", "/models/als/load"),
    ("POST", "/models/als/unload"),
    ("POST", "/models/als/reload"),
    ("POST", "/models/als/rollback"),
    ("POST", "/models/als/train"),
    ("POST", "/models/reload"),
    ("DELETE", "/models/als/cache"),
    ("DELETE", "/models/clear"),
    ("POST", "/ml/load?model=als"),
    ("POST", "/ml/load/als-worker"),
    ("POST", "/admin/reload-model"),
    ("GET", "/admin/model-status"),
    ("POST", "/api/ml/train-all"),
    ("POST", "/interactions"),
]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("artifacts")
    return {"als": write(als_dict("int"), folder / "als", "pickle4"), "bpr": write(bare_bpr(), folder / "bpr", "joblib_zlib")}


@pytest.fixture(scope="module")
def server(artifacts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A required model, and one that is not; each test leaves both loaded."""
    models = {"als": {"source": str(artifacts["als"])}, "bpr": {"source": str(artifacts["bpr"]), "required": False}}
    with serving(tmp_path_factory.mktemp("operating"), {"server": {"default_model": "als"}, "models": models}) as server:
        server.wait_ready("als", "bpr")
        yield server


def test_unload_and_load_again(server: Server) -> None:
    version = server.model("als")["version"]
    assert server.get("/health/ready").status == 200
    unloaded = server.command("POST", "/models/als/unload?wait=30")
    assert (unloaded.status, unloaded.body["status"], unloaded.body["version"]) == (200, "unloaded", None)
    reply = server.predict("als", QUESTION)
    assert (reply.status, reply.headers["Content-Type"]) == (503, "application/problem+json")
    assert (reply.body["model"], reply.body["model_status"], reply.body["failure"]) == ("als", "unloaded", None)
    assert reply.retry_after_s is None
    # It would not come by waiting, so nobody is kept waiting.
    assert server.predict("als", QUESTION, {"Prefer": "wait=30"}).status == 503
    assert server.ask("POST", "/predict", QUESTION).status == 503
    ready = server.get("/health/ready")
    assert (ready.status, ready.body["waiting_for"], ready.body["models"]) == (503, ["als"], {"als": "unloaded", "bpr": "ready"})
    assert server.get("/health/live").status == 200
    assert server.get("/health").status == 200
    assert server.predict("bpr", QUESTION).status == 200

    loaded = server.command("POST", "/models/als/load?wait=60")
    assert (loaded.status, loaded.body["status"]) == (200, "ready")
    # The version was kept, so it is the same one.
    assert (loaded.body["version"], loaded.body["load"]["from_segment"]) == (version, True)
    assert server.predict("als", QUESTION).status == 200
    assert server.get("/health/ready").status == 200


def test_a_model_that_is_not_required_is_ignored(server: Server) -> None:
    assert server.command("POST", "/models/bpr/unload?wait=30").body["status"] == "unloaded"
    assert server.get("/health/ready").body == {"status": "ready", "models": {"als": "ready", "bpr": "unloaded"}}
    assert server.get("/health").body["status"] == "ok"
    assert server.command("POST", "/models/bpr/load?wait=60").status == 200


def test_not_ready_while_a_required_model_is_on_its_way(artifacts: dict[str, Path], beside: Beside, tmp_path: Path) -> None:
    files = beside.enter(FileServer({"/late": Served(b"never arrives")}))
    silent = beside.enter(FaultProxy(files.address, Plan(stall_after=0)))
    models = {"als": {"source": str(artifacts["als"])}, "late": {"source": f"{silent.url}/late", "required": True}}
    with serving(tmp_path, {"models": models}) as server:
        server.wait_ready("als")
        ready = server.get("/health/ready")
        assert (ready.status, ready.body["waiting_for"], ready.body["models"]) == (503, ["late"], {"als": "ready", "late": "loading"})
        assert server.predict("als", QUESTION).status == 200
        assert server.ask("POST", "/predict", QUESTION).body["field"] == "model"  # two models, and none is the default


@pytest.mark.parametrize(("method", "path"), COMMANDS)
def test_without_a_configured_token_nobody_commands(idle: Server, method: str, path: str) -> None:
    for headers in ({}, ADMIN, {"Authorization": "Bearer "}, {"X-ADMIN-TOKEN": ""}):
        reply = idle.ask(method, path, headers=headers)
        assert (reply.status, reply.headers["Content-Type"]) == (403, "application/problem+json")
        assert "ADMIN_LOAD_TOKEN" in reply.body["detail"]


@pytest.fixture(scope="module")
def idle(artifacts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose token is the empty one."""
    models = {"als": {"source": str(artifacts["als"]), "load": "on_demand"}}
    with serving(tmp_path_factory.mktemp("idle"), {"models": models}, token="") as server:
        yield server


@pytest.mark.parametrize(("method", "path"), COMMANDS)
@pytest.mark.parametrize("headers", [{}, {"Authorization": f"Basic {TOKEN}"}])
def test_without_a_token_every_command_is_refused(server: Server, method: str, path: str, headers: Mapping[str, str]) -> None:
    refused(server, method, path, headers)


@pytest.mark.parametrize("headers", [{"X-ADMIN-TOKEN": "wrong"}, {"X-ADMIN-TOKEN": TOKEN[:-1]}, {"Authorization": "Bearer wrong"}])
def test_a_wrong_token_is_refused(server: Server, headers: Mapping[str, str]) -> None:
    refused(server, "POST", "/models/als/unload", headers)


def refused(server: Server, method: str, path: str, headers: Mapping[str, str]) -> None:
    before = server.model("als")["version"]
    reply = server.ask(method, path, headers=headers)
    assert (reply.status, reply.headers["Content-Type"]) == (401, "application/problem+json")
    assert reply.headers["WWW-Authenticate"].startswith("Bearer")
    assert TOKEN not in str(reply.body)
    assert server.model("als")["version"] == before


def test_guesses_are_told_to_stay_away_and_the_operator_is_not(artifacts: dict[str, Path], tmp_path: Path) -> None:
    models = {"als": {"source": str(artifacts["als"]), "load": "on_demand"}}
    with serving(tmp_path, {"models": models}) as server:
        replies = [server.ask("POST", "/models/als/unload", headers={"X-ADMIN-TOKEN": f"guess {guess}"}) for guess in range(20)]
        assert [reply.status for reply in replies] == [401] * 10 + [429] * 10
        waits = [reply.retry_after_s or 0 for reply in replies[10:]]
        assert waits == sorted(waits)
        assert waits[0] < waits[-1] <= 60
        assert server.model("als")["status"] == "not_started"
        assert server.command("POST", "/models/als/unload").status == 202


@pytest.mark.parametrize("headers", [{"X-ADMIN-TOKEN": TOKEN}, {"Authorization": f"Bearer {TOKEN}"}])
def test_both_headers_carry_the_token(server: Server, headers: Mapping[str, str]) -> None:
    reply = server.ask("POST", "/models/als/load", headers=headers)
    assert (reply.status, reply.body["name"], reply.body["status"]) == (202, "als", "ready")
    assert TOKEN not in server.log


@pytest.mark.parametrize("variable", ["ADMIN_LOAD_TOKEN_FILE", "HOLDFAST_SERVER_ADMIN_TOKEN_FILE", "CREDENTIALS_DIRECTORY"])
def test_the_token_may_lie_in_a_file(artifacts: dict[str, Path], tmp_path: Path, variable: str) -> None:
    secret = tmp_path / "admin-token"
    secret.write_text("token-of-a-file\n")
    named = secret.parent if variable == "CREDENTIALS_DIRECTORY" else secret
    models = {"als": {"source": str(artifacts["als"]), "load": "on_demand"}}
    with serving(tmp_path / "run", {"models": models}, token=None, environ={variable: str(named)}) as server:
        assert server.ask("POST", "/models/als/unload", headers={"X-ADMIN-TOKEN": "token-of-a-file"}).status == 202
        assert server.ask("POST", "/models/als/unload", headers=ADMIN).status == 401


@pytest.mark.parametrize("path", ["/models/als/cache", "/models/clear"])
def test_clearing_keeps_what_serves(server: Server, path: str) -> None:
    before = server.predict("als", QUESTION).body
    kept = list((server.store / "segments").glob("als-*"))
    assert kept
    assert server.command("DELETE", path).status == 202
    assert server.predict("als", QUESTION).body == before
    assert server.get("/health/ready").status == 200
    # Its segment is used: the next restart is a warm one.
    assert list((server.store / "segments").glob("als-*")) == kept
    # Nothing uses it any more: then it goes, and the model is fetched and loaded again.
    assert server.command("POST", "/models/als/unload?wait=10").status == 200
    reply = server.command("DELETE", path)
    assert reply.status == 202
    assert reply.body["freed_bytes"] > 0
    assert not list((server.store / "segments").glob("als-*"))
    assert server.command("POST", "/models/als/load?wait=60").status == 200
    after = server.model("als")
    assert after["version"] != before["version"]
    assert after["load"]["from_segment"] is False


def test_nothing_to_roll_back_to(server: Server) -> None:
    version = server.model("als")["version"]
    versions = server.get("/models/als/versions").body
    assert (versions["live"], [each["version"] for each in versions["versions"]]) == (version, [version])
    reply = server.command("POST", "/models/als/rollback?wait=5")
    assert (reply.status, reply.body["type"]) == (409, "urn:holdfast:problem:no-earlier-version")
    assert server.model("als")["version"] == version


def test_commands_for_an_unknown_model(server: Server) -> None:
    commands = [("POST", "/models/nobody/load"), ("DELETE", "/models/nobody/cache"), ("POST", "/ml/load?model=nobody")]
    for method, path in [*commands, ("POST", "/ml/load/nobody-worker"), ("POST", "/admin/reload-model?model=nobody")]:
        reply = server.command(method, path)
        assert (reply.status, reply.body["model"]) == (404, "nobody")


def test_every_command_is_in_the_log(server: Server) -> None:
    server.command("POST", "/models/als/load?wait=5")
    server.ask("POST", "/models/als/load", headers={"X-ADMIN-TOKEN": "wrong"})
    lines = [line for line in server.log.splitlines() if "holdfast.audit" in line and "/models/als/load" in line]
    assert any("outcome=200" in line for line in lines)
    assert any("outcome=unauthorized" in line for line in lines)


def test_status_shows_the_server(server: Server) -> None:
    body = server.get("/status").body
    assert {model["name"] for model in body["models"]} == {"als", "bpr"}
    assert body["workers"][0]["pid"] == server.pid
    assert body["uptime_s"] > 0
    assert server.get("/models").body["models"] == server.get("/models/status").body["models"]
    assert server.get("/models/als/status").body == server.model("als")
