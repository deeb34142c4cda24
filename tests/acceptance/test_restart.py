"""A restart serves the kept version at once: nothing is fetched, nothing is unpickled, no process is started.

Does not cover: how quickly (`bench/loading.py`), what a kept segment must look like to be trusted (`tests/integration/loading`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.running import Beside, Server, reaped_children, serving
from tests.artifacts.recommenders import als_dict, bare_als
from tests.artifacts.writing import write
from tests.doubles.faults import FaultProxy
from tests.doubles.files import FileServer, Served
from tests.doubles.s3_server import s3_service

USERS = 2000
QUESTION = {"users": [1, 2, 3, 4, 5], "k": 7}


@dataclass(frozen=True)
class Origin:
    """Where the artifact comes from. `bytes_sent` counts what of it went out; `remove` makes it go away."""

    source: str
    environ: dict[str, str]
    bytes_sent: Callable[[], int]
    remove: Callable[[], Any]
    gone: str = "source_not_found"


@contextlib.contextmanager
def http_origin(beside: Beside, path: Path) -> Iterator[Origin]:
    content = path.read_bytes()
    files = beside.enter(FileServer({"/als": Served(content)}))
    yield Origin(f"{files.url}/als", {}, lambda: files.body_bytes, lambda: files.files.clear())


@contextlib.contextmanager
def s3_origin(beside: Beside, path: Path) -> Iterator[Origin]:
    service = beside.enter(s3_service())
    counted = beside.enter(FaultProxy(service.address))
    beside.run(service.put("als", path.read_bytes()))
    environ = service.environment | {"AWS_ENDPOINT_URL": counted.url}
    yield Origin(f"s3://{service.bucket}/als", environ, lambda: counted.bytes_down, lambda: beside.run(service.delete("als")))


@contextlib.contextmanager
def file_origin(beside: Beside, path: Path) -> Iterator[Origin]:
    yield Origin(str(path), {}, lambda: 0, path.unlink)


ORIGINS = {"http": http_origin, "s3": s3_origin, "file": file_origin}


@pytest.fixture(params=ORIGINS)
def origin(request: pytest.FixtureRequest, beside: Beside, tmp_path: Path) -> Iterator[Origin]:
    path = write(als_dict("int", model=bare_als(USERS), users=USERS), tmp_path / "artifact", "pickle4")
    with ORIGINS[request.param](beside, path) as made:
        yield made


def settled(server: Server) -> dict[str, Any]:
    """The model, once its last attempt is over."""
    return server.wait_model("als", lambda model: model["phase"] is None and model["story"], "no attempt runs")


def first_life(folder: Path, origin: Origin) -> tuple[dict[str, Any], Any]:
    """Load the model and stop; its status and an answer."""
    with serving(folder, config(origin), environ=origin.environ) as server:
        server.wait_ready("als")
        answer = server.predict("als", QUESTION)
        assert answer.status == 200
        assert reaped_children(server.pid)  # else its absence after the restart would prove nothing
        return server.model("als"), answer.body


def config(origin: Origin) -> dict[str, Any]:
    return {"models": {"als": {"source": origin.source}}}


def check_served_from_segment(server: Server, before: dict[str, Any], answer: Any) -> dict[str, Any]:
    model = settled(server)
    assert (model["status"], model["version"], model["revision"]) == ("ready", before["version"], before["revision"])
    assert (model["load"]["from_segment"], before["load"]["from_segment"]) == (True, False)
    assert model["loaded_at"] == before["loaded_at"]
    assert server.predict("als", QUESTION).body == answer
    phases = {line["to"] for line in model["story"]}
    assert not phases & {"verifying", "loading", "warming"}, model["story"]
    assert not reaped_children(server.pid)
    assert not server.children()
    return model


def test_a_restart_with_the_artifact_unchanged(origin: Origin, tmp_path: Path) -> None:
    before, answer = first_life(tmp_path, origin)
    sent = origin.bytes_sent()
    with serving(tmp_path, config(origin), environ=origin.environ) as server:
        model = check_served_from_segment(server, before, answer)
        assert (model["stale"], model["failure"]) == (False, None)
    # The headers of a few conditional requests, and none of the artifact.
    assert origin.bytes_sent() - sent < before["artifact_bytes"] / 4


def test_a_restart_with_the_source_gone(origin: Origin, tmp_path: Path) -> None:
    before, answer = first_life(tmp_path, origin)
    origin.remove()
    with serving(tmp_path, config(origin), environ=origin.environ) as server:
        server.wait_model("als", lambda model: model["failure"], "the source was asked")
        model = check_served_from_segment(server, before, answer)
        assert model["stale"] is True
        assert (model["failure"]["type"], model["failure"]["retryable"]) == (origin.gone, True)
        assert server.get("/health").body == {"status": "degraded", "models": {"als": "ready"}}
        assert server.get("/health/ready").status == 200


def test_a_restart_after_a_kill(beside: Beside, tmp_path: Path) -> None:
    path = write(als_dict("int"), tmp_path / "artifact", "joblib")
    with file_origin(beside, path) as origin, serving(tmp_path, config(origin), expects_clean_end=False) as server:
        server.wait_ready("als")
        before, answer = server.model("als"), server.predict("als", QUESTION).body
        server.process.kill()
        server.process.wait()
    with serving(tmp_path, config(origin)) as server:
        check_served_from_segment(server, before, answer)


def test_a_changed_artifact_is_served_after_the_restart(beside: Beside, tmp_path: Path) -> None:
    path = write(als_dict("int"), tmp_path / "artifact", "pickle5")
    with file_origin(beside, path) as origin:
        before, answer = first_life(tmp_path, origin)
        write(als_dict("int", model=bare_als(factors=5)), path, "pickle5")
        with serving(tmp_path, config(origin)) as server:
            model = server.wait_model("als", lambda model: model["version"] not in (None, before["version"]), "the new version")
            assert model["details"]["factors"] == 5
            assert server.predict("als", QUESTION).body["results"] != answer["results"]
