"""The installed program, from outside: it lives before its models do, says what is wrong with them, and stops cleanly.

Does not cover: models that load (`tests/acceptance` has files of their own for these).
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT, python_environment, wait_until_sync

STARTS_WITHIN_S = 60.0
ENDS_WITHIN_S = 60.0


class Program:
    """`holdfast serve` in a folder of its own."""

    def __init__(self, process: subprocess.Popen[str], store: Path, log: Path) -> None:
        self.process = process
        self.store = store
        self.log = log

    @property
    def url(self) -> str:
        """As server.json says, once it is there."""
        return str(wait_until_sync(self._announced, STARTS_WITHIN_S, what="server.json")["url"])

    def _announced(self) -> dict[str, Any] | None:
        assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.log.read_text()}"
        try:
            announced: dict[str, Any] = json.loads((self.store / "server.json").read_text())
        except FileNotFoundError:
            return None
        return announced

    def ask(self, path: str, body: object = None, method: str | None = None, **headers: str) -> tuple[int, Any, Any]:
        """Status, JSON and headers of one request."""
        data = None if body is None else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **headers}
        request = urllib.request.Request(self.url + path, data, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, json.load(response), response.headers
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error), error.headers

    def stop(self, number: int = signal.SIGTERM) -> int:
        """The exit code."""
        self.process.send_signal(number)
        return self.process.wait(ENDS_WITHIN_S)


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "service", *words]


def environment(**extra: str) -> dict[str, str]:
    return python_environment({"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", **extra})


@contextmanager
def serving(folder: Path, *words: str, **environ: str) -> Iterator[Program]:
    log = folder / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            command("serve", "--port", "0", *words),
            cwd=folder,
            env=environment(**environ),
            stdin=subprocess.DEVNULL,
            stderr=file,
            text=True,
        )
    program = Program(process, folder / "var", log)
    try:
        yield program
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def run(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words),
        cwd=folder,
        env=environment(**environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_with_nothing_configured_it_lives_but_is_not_ready(tmp_path: Path, number: int) -> None:
    with serving(tmp_path) as program:
        assert program.ask("/health")[:2] == (200, {"status": "degraded", "models": {}})
        assert program.ask("/health/live")[0] == 200
        status, problem, headers = program.ask("/health/ready")
        assert (status, headers["Content-Type"]) == (503, "application/problem+json")
        assert "No model is configured" in problem["detail"]
        assert program.ask("/models")[:2] == (200, {"models": []})
        assert program.ask("/predict", {"user_id": 1})[0] == 503
        assert program.ask("/models/als/predict", {"user_id": 1})[0] == 404
        assert program.ask("/models/als/load", method="POST")[0] == 403
        assert program.stop(number) == 0
    assert not (program.store / "server.json").exists()
    assert "Traceback" not in program.log.read_text()


def test_a_model_whose_file_does_not_exist(tmp_path: Path) -> None:
    with serving(tmp_path, ALS_MODEL_PATH=str(tmp_path / "nowhere.pkl"), ADMIN_LOAD_TOKEN="token") as program:
        assert program.ask("/health")[0] == 200
        found = wait_until_sync(lambda: (reply := program.ask("/models/als/predict", {"user_id": 1}))[0] == 503 and reply, 60)
        _, problem, headers = found
        assert headers["Content-Type"] == "application/problem+json"
        assert (problem["model"], problem["status"], problem["model_status"]) == ("als", 503, "error")
        assert problem["failure"]["type"] == "source_not_found"
        assert problem["failure"]["retryable"] is True
        assert int(headers["Retry-After"]) >= 1
        status, problem, _ = program.ask("/health/ready")
        assert (status, problem["waiting_for"], problem["models"]) == (503, ["als"], {"als": "error"})
        assert program.ask("/health")[1]["status"] == "degraded"
        assert program.ask("/predict/status")[1]["status"] == "error"
        waited = {"X-ADMIN-TOKEN": "token"}
        assert program.ask("/models/als/load?wait=30", method="POST", **waited)[0] == 503
        assert program.ask("/models/als/unload?wait=30", method="POST", **waited)[1]["status"] == "unloaded"
        status, problem, headers = program.ask("/models/als/predict", {"user_id": 1})
        assert (status, problem["model_status"], headers["Retry-After"]) == (503, "unloaded", None)
        assert program.stop() == 0
    assert "Traceback" not in program.log.read_text()


def test_the_store_is_private_and_status_finds_the_server(tmp_path: Path) -> None:
    with serving(tmp_path) as program:
        url = program.url
        assert stat.S_IMODE(program.store.stat().st_mode) == 0o700
        assert stat.S_IMODE((program.store / "server.json").stat().st_mode) == 0o600
        found = run(tmp_path, "status", "--json")
        assert (found.returncode, json.loads(found.stdout)["url"]) == (0, url)
        assert run(tmp_path.parent, "status", HOLDFAST_URL=url).returncode == 0
        assert program.stop() == 0
    nobody = run(tmp_path, "status")
    assert nobody.returncode == 3
    assert "No server runs" in nobody.stdout
    assert run(tmp_path, "status", "--url", url).returncode == 1


def test_one_store_has_one_server(tmp_path: Path) -> None:
    with serving(tmp_path) as program:
        assert program.ask("/health")[0] == 200
        second = run(tmp_path, "serve", "--port", "0")
        assert second.returncode == 1
        assert "Traceback" not in second.stderr
        assert program.ask("/health")[0] == 200
        assert program.stop() == 0


def test_a_port_in_use_is_told_in_one_line(tmp_path: Path) -> None:
    with serving(tmp_path) as program:
        port = program.url.rpartition(":")[2]
        second = run(tmp_path, "serve", "--port", port, "--set", "store.path=other")
        assert program.stop() == 0
    assert second.returncode == 1
    assert second.stderr.splitlines()[-1].startswith("holdfast: cannot serve:")
    assert "Traceback" not in second.stderr


def test_every_configuration_problem_is_told_on_a_line_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "holdfast.toml").write_text('[server]\nprot = 1\n[models.als]\nsource = "ftp://host/x"\n')
    wrong = run(tmp_path, "serve", "--port", "high", HOLDFAST_SERVER_WORKERS="many")
    assert wrong.returncode == 2
    lines = wrong.stderr.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("holdfast: ") for line in lines)
    for words in (("holdfast.toml", "prot"), ("holdfast.toml", "source"), ("--port",), ("HOLDFAST_SERVER_WORKERS",)):
        assert any(all(word in line for word in words) for line in lines), words


def test_fetch_says_what_failed(tmp_path: Path) -> None:
    assert run(tmp_path, "fetch").returncode == 1
    failed = run(tmp_path, "fetch", ALS_MODEL_PATH=str(tmp_path / "nowhere.pkl"))
    assert failed.returncode == 1
    assert "als: source_not_found" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_usage(tmp_path: Path) -> None:
    version = run(tmp_path, "--version")
    assert (version.returncode, version.stdout.split()[0]) == (0, "holdfast")
    assert run(tmp_path).returncode == 2
    help_text = run(tmp_path, "--help").stdout
    assert all(word in help_text for word in ("serve", "demo", "fetch", "check", "status"))
    assert os.listdir(tmp_path) == []
