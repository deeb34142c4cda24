"""Reloads, under load too: no client is ever told anything but an answer, and a failed reload disturbs nobody.

Does not cover: changes that the server notices by itself (`test_noticing`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.crowd import Crowd
from tests.acceptance.running import Beside, Server, serving
from tests.artifacts.recommenders import als_dict, bare_als
from tests.artifacts.writing import write

CLIENTS = 64


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return write(als_dict("int"), tmp_path / "artifact", "pickle4")


@pytest.fixture
def server(artifact: Path, tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path, {"models": {"als": {"source": str(artifact)}}}) as server:
        server.wait_ready("als")
        yield server


def replace(artifact: Path, factors: int) -> None:
    """Another revision at the same path, in one step."""
    write(als_dict("int", model=bare_als(factors=factors)), artifact.with_name("fresh"), "joblib").replace(artifact)


def break_it(artifact: Path) -> None:
    """A revision that ends in the middle."""
    fresh = artifact.with_name("fresh")
    fresh.write_bytes(artifact.read_bytes()[: artifact.stat().st_size // 2])
    fresh.replace(artifact)


def test_reloads_under_load_answer_nothing_but_200(server: Server, artifact: Path, beside: Beside) -> None:
    crowd = beside.enter(Crowd(f"{server.url}/models/als/predict", {"user_id": 1, "k": 5}, CLIENTS))
    crowd.wait_for_answers()
    first = server.model("als")

    replace(artifact, factors=5)
    assert server.command("POST", "/models/als/reload?wait=60").status == 200
    crowd.wait_for_answers()
    second = server.model("als")
    assert (second["status"], second["stale"], second["details"]["factors"]) == ("ready", False, 5)
    assert second["version"] != first["version"]
    # Each client saw the old one, then the new one, and never again the old one.
    assert {tuple(client.versions) for client in crowd.clients} == {(first["version"], second["version"])}

    crowd.forget()
    break_it(artifact)
    failed = server.command("POST", "/models/als/reload?wait=60")
    assert (failed.status, failed.body["failure"]["type"]) == (503, "corrupt_artifact")
    crowd.wait_for_answers()
    stale = server.model("als")
    assert (stale["status"], stale["stale"], stale["version"]) == ("ready", True, second["version"])
    assert (stale["failure"]["type"], stale["failure"]["retryable"]) == ("corrupt_artifact", False)
    assert server.get("/health/ready").status == 200
    assert server.get("/health").body["status"] == "degraded"
    assert {tuple(client.versions) for client in crowd.clients} == {(second["version"],)}

    replace(artifact, factors=6)
    assert server.command("POST", "/models/als/reload?wait=60").status == 200
    crowd.wait_for_answers()
    third = server.model("als")
    assert (third["stale"], third["failure"], third["details"]["factors"]) == (False, None, 6)
    assert {tuple(client.versions) for client in crowd.clients} == {(second["version"], third["version"])}
    assert server.get("/health").body["status"] == "ok"
    assert not crowd.unexpected


def test_a_reload_of_an_unchanged_artifact_makes_no_version_unless_forced(server: Server) -> None:
    before = server.model("als")
    same = server.command("POST", "/models/als/reload?wait=60")
    assert (same.status, same.body["version"]) == (200, before["version"])
    assert not {line["to"] for line in same.body["story"][len(before["story"]) :]} & {"verifying", "loading"}
    forced = server.command("POST", "/models/als/reload?force=true&wait=60")
    assert (forced.status, forced.body["revision"]) == (200, before["revision"])
    assert forced.body["version"] != before["version"]
    everything = server.command("POST", "/models/reload?wait=60")
    assert everything.status == 200
    assert everything.body["models"][0]["version"] != forced.body["version"]


def test_the_old_version_is_released_when_nobody_uses_it_any_more(server: Server, artifact: Path) -> None:
    before = server.model("als")
    replace(artifact, factors=5)
    assert server.command("POST", "/models/als/reload?wait=60").status == 200
    story = server.wait_model("als", lambda model: any(line["event"] == "released" for line in model["story"]), "the release")["story"]
    assert before["version"] in next(line["cause"] for line in story if line["event"] == "released")
    mapped = mapped_inodes(server)
    # The joblib file is mapped too: its arrays are used where they lie.
    files = [path for folder in ("segments", "artifacts") for path in (server.store / folder).iterdir()]
    assert mapped == {path.stat().st_ino for path in files}
    assert len(files) == 2


def mapped_inodes(server: Server) -> set[int]:
    """Of the files of the store that the server has mapped; by number, because a segment is mapped before it has its name."""
    lines = (line.split(maxsplit=5) for line in Path(f"/proc/{server.pid}/maps").read_text().splitlines())
    return {int(line[4]) for line in lines if len(line) == 6 and line[5].startswith(f"{server.store}/")}
