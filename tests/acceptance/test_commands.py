"""The other words of the command line: fetch, check, status.

Does not cover: the demo (`test_demo`), their wrong usage (`test_server_basics`), artifacts that do not load (`test_failures_artifacts`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.running import Beside, reaped_children, run, serving
from tests.artifacts.recommenders import als_dict, bare_bpr
from tests.artifacts.writing import write
from tests.doubles.files import FileServer, Served

QUESTION = {"user_id": 1, "k": 5}


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    (tmp_path / "theirs").mkdir()
    return write(als_dict("int"), tmp_path / "theirs" / "als", "joblib_zlib")


def test_fetch_bakes_models_that_serve_offline(base_python: Path, artifact: Path, beside: Beside, tmp_path: Path) -> None:
    files = beside.enter(FileServer({"/als": Served(artifact.read_bytes())}))
    bpr = write(bare_bpr(), artifact.with_name("bpr"), "pickle2")
    config = {"models": {"als": {"source": f"{files.url}/als"}, "bpr": {"source": str(bpr)}}}
    fetched = run(tmp_path, "fetch", config=config, python=base_python)
    assert (fetched.returncode, fetched.stderr) == (0, "")
    assert all(any(line.startswith(f"{name}:") and "ready" in line for line in fetched.stdout.splitlines()) for name in ("als", "bpr"))
    assert files.body_bytes == len(artifact.read_bytes())
    again = run(tmp_path, "fetch", python=base_python)
    assert again.returncode == 0
    assert files.body_bytes == len(artifact.read_bytes())  # the second time it only asked

    files.files.clear()
    bpr.unlink()
    with serving(tmp_path, config, python=base_python) as server:
        server.wait_ready("als", "bpr")
        assert server.model("als")["load"]["from_segment"] is True
        assert [server.predict(name, QUESTION).status for name in ("als", "bpr")] == [200, 200]
        assert not reaped_children(server.pid)


def test_fetch_fails_when_one_model_does_and_keeps_the_others(artifact: Path, tmp_path: Path) -> None:
    config = {"models": {"als": {"source": str(artifact)}, "lost": {"source": "nowhere"}}}
    failed = run(tmp_path, "fetch", config=config)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith("holdfast: lost: source_not_found")
    assert "Traceback" not in failed.stderr
    artifact.unlink()
    with serving(tmp_path, {"models": {"als": {"source": str(artifact)}}}) as server:
        server.wait_ready("als")


def test_check_reports_on_a_file(base_python: Path, artifact: Path, tmp_path: Path) -> None:
    found = run(tmp_path, "check", str(artifact), "--json", python=base_python)
    assert (found.returncode, found.stderr) == (0, "")
    report = json.loads(found.stdout)
    assert (report["verdict"], report["family"], report["format"]) == ("ok", "factors", "joblib+zlib")
    components = {component["name"]: component for component in report["components"]}
    expected = als_dict("int")["model"].item_factors
    factors = components["model.item_factors"]
    assert (factors["shape"], factors["dtype"], factors["bytes"]) == (list(expected.shape), str(expected.dtype), expected.nbytes)
    assert set(report["ids"]) == {"users", "items"}
    assert report["details"]["score_range"]["min"] < report["details"]["score_range"]["max"]
    assert 0 < report["peak_bytes"] <= report["cap_bytes"]
    assert report["seconds"] > 0
    words = run(tmp_path, "check", str(artifact), python=base_python)
    assert words.returncode == 0
    assert words.stdout.splitlines()[-1] == "verdict: ok"
    assert "model.item_factors" in words.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]  # nothing is kept of a check


def test_check_takes_the_name_of_a_model_beside_a_running_server(artifact: Path, tmp_path: Path) -> None:
    config = {"models": {"als": {"source": str(artifact)}}}
    with serving(tmp_path, config) as server:
        server.wait_ready("als")
        before = sorted(path.name for path in server.store.rglob("*"))
        assert run(tmp_path, "check", "als").returncode == 0
        assert sorted(path.name for path in server.store.rglob("*")) == before
        assert server.predict("als", QUESTION).status == 200


@pytest.mark.parametrize(
    ("content", "words", "verdict"),
    [
        (b"\x80\x04\x95 this is cut", (), "corrupt_artifact"),
        (b"<!DOCTYPE html><title>Sign in</title>", (), "not_a_model"),
        (None, ("--memory", "1MiB"), "memory_cap_exceeded"),
    ],
)
def test_check_exits_with_1_and_the_failure_type(
    artifact: Path, tmp_path: Path, content: bytes | None, words: tuple[str, ...], verdict: str
) -> None:
    if content is not None:
        artifact.write_bytes(content)
    found = run(tmp_path, "check", str(artifact), "--json", *words)
    report: dict[str, Any] = json.loads(found.stdout)
    assert (found.returncode, report["verdict"]) == (1, verdict)
    assert report["message"]
    assert run(tmp_path, "check", str(artifact), *words).stdout.splitlines()[-1].startswith(f"verdict: {verdict}: ")


def test_status_shows_the_models_of_the_running_server(artifact: Path, tmp_path: Path) -> None:
    config = {"models": {"als": {"source": str(artifact)}, "lost": {"source": "nowhere", "required": False}}}
    with serving(tmp_path, config) as server:
        server.wait_ready("als")
        server.wait_model("lost", lambda model: model["failure"], "its failure")
        shown = run(tmp_path, "status", "--json")
        status = json.loads(shown.stdout)
        assert (shown.returncode, status["running"], status["url"]) == (0, True, server.url)
        models = {model["name"]: model for model in status["models"]}
        assert (models["als"]["status"], models["lost"]["failure"]["type"]) == ("ready", "source_not_found")
        words = run(tmp_path, "status").stdout
        assert server.url in words
        assert any("als: ready" in line for line in words.splitlines()), words
        assert any("lost: error" in line and "source_not_found" in line for line in words.splitlines()), words
    stopped = run(tmp_path, "status", "--json")
    status = json.loads(stopped.stdout)
    assert (stopped.returncode, status["running"], status["configured"]) == (3, False, ["als", "lost"])
    assert status["store"]["bytes"]["segments"] > 0
