"""Hosted models through the program: answers, a process that is killed, one that meets its cap, a restart, `holdfast check`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import psutil
import pytest

from tests.acceptance.running import Server, run, serving
from tests.integration.hosting.bench_of_hosted import numbers, people, pipeline, saved, svc
from tests.integration.hosting.test_deaths import process
from tests.integration.hosting.test_trust import Own
from tests.support import wait_until_sync

ROWS, _ = numbers()
QUESTION = {"instances": ROWS[:4].tolist()}
CAP = 400 << 20
comes_back = pytest.mark.leaves("process")
"""What the shared server starts anew lives on with it."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("hosted")
    joblib.dump(svc(), found / "svc.joblib")
    joblib.dump(pipeline(), found / "people.joblib", compress=3)
    joblib.dump(process(), found / "process.joblib")
    return found


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    models: dict[str, dict[str, Any]] = {name: {"source": str(folder / f"{name}.joblib")} for name in ("svc", "people", "process")}
    models["process"] |= {"memory": f"{CAP}", "request_timeout": "60s"}
    with serving(folder, {"models": models}) as server:
        server.wait_ready(*models)
        yield server


def process_of(server: Server, artifact: str) -> psutil.Process:
    """The child that hosts a model: the one that has its artifact open."""

    def found() -> psutil.Process | None:
        for child in server.children():
            with contextlib.suppress(FileNotFoundError):  # it, or a descriptor of it, is gone between two looks
                if any(artifact in str(fd.readlink()) for fd in Path(f"/proc/{child.pid}/fd").iterdir()):
                    return child
        return None

    child: psutil.Process = wait_until_sync(found)
    return child


def test_answers_are_the_library_s(server: Server) -> None:
    reply = server.predict("svc", QUESTION)
    assert (reply.status, reply.body["predictions"]) == (200, svc().predict(ROWS[:4]).tolist())
    rows = people().to_dict("records")
    reply = server.predict("people", {"instances": rows})
    assert reply.status == 200 and reply.body["predictions"] == pipeline().predict(people()).tolist()
    np.testing.assert_allclose(reply.body["probabilities"], pipeline().predict_proba(people()), rtol=1e-12)
    shown = server.model("svc")
    assert (shown["family"], shown["segment_bytes"], shown["load"]["cap_bytes"]) == ("hosted", 0, 1 << 30)
    assert server.predict("svc", {"instances": [[1, 2]]}).status == 422


@comes_back
def test_killed_between_calls_it_is_503_and_then_200_again(server: Server) -> None:
    process_of(server, "svc-").kill()
    server.wait_model("svc", lambda model: model["status"] == "error", "the death is seen")
    reply = server.predict("svc", QUESTION)
    if reply.status != 202:
        assert (reply.status, reply.body["failure"]["type"]) == (503, "child_crashed") and reply.retry_after_s
    assert server.predict("people", {"instances": people().to_dict("records")}).status == 200
    server.wait_model("svc", lambda model: model["status"] == "ready", "it is back")
    assert server.predict("svc", QUESTION).status == 200
    assert "died" in [line["event"] for line in server.model("svc")["story"]]


@comes_back
def test_killed_during_a_call_that_call_is_503(server: Server) -> None:
    child = process_of(server, "svc-")
    child.suspend()
    replies: list[Any] = []
    thread = threading.Thread(target=lambda: replies.append(server.predict("svc", QUESTION)))
    thread.start()
    try:
        for _ in range(5):  # rounds of the one event loop: by then the question is out
            assert server.model("svc")["status"] == "ready"
    finally:
        os.kill(child.pid, signal.SIGKILL)
        thread.join()
    assert (replies[0].status, replies[0].retry_after_s is not None) == (503, True), replies
    assert "SIGKILL" in replies[0].body["detail"]
    server.wait_model("svc", lambda model: model["status"] == "ready", "it is back")
    assert server.predict("svc", QUESTION).status == 200


@comes_back
def test_who_allocates_in_predict_dies_by_its_cap_alone(server: Server) -> None:
    before = {name: server.model(name)["version"] for name in ("svc", "people")}
    reply = server.predict("process", {"instances": [[0.5]] * 60_000})
    assert reply.status == 503 and reply.retry_after_s is not None, reply
    shown = server.wait_model("process", lambda model: model["failure"] or model["status"] == "ready", "the death is seen")
    assert shown["failure"] is None or shown["failure"]["type"] == "memory_cap_exceeded"
    assert {name: server.model(name)["version"] for name in before} == before
    assert server.predict("svc", QUESTION).status == 200
    server.wait_model("process", lambda model: model["status"] == "ready", "it is back")
    assert server.predict("process", {"instances": [[0.5]]}).status == 200


def test_a_call_beyond_its_deadline_is_504(folder: Path, tmp_path: Path) -> None:
    with serving(tmp_path, {"models": {"svc": {"source": str(folder / "svc.joblib"), "request_timeout": "0.5s"}}}) as server:
        server.wait_ready("svc")
        process_of(server, "svc-").suspend()
        assert server.predict("svc", QUESTION).status == 504
        server.wait_model("svc", lambda model: model["status"] == "ready" and "died" in str(model["story"]), "it is back")
        assert server.predict("svc", QUESTION).status == 200


def test_unload_and_a_restart_without_the_file(folder: Path, tmp_path: Path) -> None:
    path = saved(svc(), tmp_path)
    config = {"models": {"svc": {"source": str(path)}}}
    with serving(tmp_path, config) as server:
        server.wait_ready("svc")
        version = server.model("svc")["version"]
        assert len(server.children()) == 1
        assert server.command("POST", "/models/svc/unload?wait=30").status in (200, 202)
        wait_until_sync(lambda: not server.children(), what="the process is gone")
        server.command("POST", "/models/svc/load?wait=30")
        server.wait_ready("svc")
        assert server.predict("svc", QUESTION).status == 200 and len(server.children()) == 1
    path.unlink()
    with serving(tmp_path, config) as server:
        shown = server.wait_model("svc", lambda model: model["stale"], "it serves without its source")
        assert (shown["status"], shown["version"]) == ("ready", version)
        assert server.predict("svc", QUESTION).status == 200


def test_trust_is_what_the_operator_says(tmp_path: Path) -> None:
    path = saved(Own(), tmp_path)
    done = run(tmp_path, "check", str(path), "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["verdict"]) == (1, "untrusted_type") and "test_trust.Own" in report["message"]


def test_check_says_what_a_hosted_model_is(folder: Path, tmp_path: Path) -> None:
    done = run(tmp_path, "check", str(folder / "svc.joblib"), "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0, report
    assert (report["verdict"], report["family"], report["segment_bytes"]) == ("ok", "hosted", 0)
    assert "SVC" in report["reason"] and report["peak_bytes"] > 0 and report["details"]["classes"] == [0, 1, 2]
