"""`holdfast train` and the server that trains: published, nothing new, refused, busy, interrupted, killed; and who watches.

Does not cover: what a run measures (`tests/integration/training`), versions and rolling back.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, aclosing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from loaders.published import PublishedFolder
from service.client import AlreadyTraining, AsyncHoldfast, Holdfast, Snapshot, TrainingRun
from tests.acceptance.running import Config, Server, environment, program, run, serving, toml
from tests.integration.training.drawing import planted_data, write_sqlite
from tests.support import wait_until_sync
from training.running.lock import holder_of

TRAINED_WITHIN_S = 60.0
AS_ADMIN = {"ADMIN_LOAD_TOKEN": "acceptance-token"}


def config_of(folder: Path, **trainings: dict[str, Any]) -> Config:
    """Over planted data, an `als` that takes a second, unless other trainings are given."""
    if not (folder / "data.db").exists():
        write_sqlite(folder / "data.db", planted_data())
    sections: dict[str, Any] = {"data": {"url": f"sqlite:///{folder / 'data.db'}"}}
    for name, training in (trainings or {"als": {}}).items():
        parameters = {"factors": 16, "regularization": 30.0, "sweeps": 3, **training.pop("parameters", {})}
        gate = training.pop("gate", None)
        sections[f"training.{name}"] = {"algorithm": "als", "memory": "1GiB", **training}
        sections[f"training.{name}.parameters"] = parameters
        if gate is not None:
            sections[f"training.{name}.gate"] = gate
    return sections


LONG: dict[str, Any] = {"factors": 512, "sweeps": 1000}
"""Parameters of a run that outlasts every test."""


def train(folder: Path, *words: str, config: Config | None = None) -> subprocess.CompletedProcess[str]:
    return run(folder, "train", *words, config=config, environ=AS_ADMIN)


def told_of(found: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(found.stdout)
    return told


def test_without_a_server_it_is_done_on_the_store(tmp_path: Path) -> None:
    first = train(tmp_path, "als", "--json", config=config_of(tmp_path))
    assert first.returncode == 0, first.stderr
    run = told_of(first)
    assert (run["status"], run["cause"], run["verdict"]["accepted"]) == ("published", "command", True)
    assert PublishedFolder(tmp_path / "var", "als").current() == run["version"]
    assert first.stderr.startswith("als: ")  # where it is, now and then
    second = train(tmp_path, "als")
    assert second.returncode == 0
    assert second.stdout.startswith("als: skipped")
    with serving(tmp_path, config_of(tmp_path)) as server:
        server.wait_ready("als")
        assert server.model("als")["version"] == run["version"]
        assert server.get("/api/ml/status").body["als"]["status"] == "trained"
        assert [each["status"] for each in server.get("/training/runs").body["runs"]] == ["skipped", "published"]


def test_a_model_that_is_refused_says_so_with_figures(tmp_path: Path) -> None:
    found = train(tmp_path, "als", config=config_of(tmp_path, als={"gate": {"minimum": 0.99}}))
    assert found.returncode == 3
    assert "als: refused" in found.stdout
    assert "minimum   failed" in found.stdout
    assert PublishedFolder(tmp_path / "var", "als").current() is None
    forced = train(tmp_path, "als", "--force", "--json")
    assert forced.returncode == 0
    assert "@" in told_of(forced)["verdict"]["forced_by"]


@pytest.mark.parametrize("words", [["nobody"], [], ["als", "--all"]], ids=["unknown", "none", "both"])
def test_what_is_no_training_is_wrong_usage(tmp_path: Path, words: list[str]) -> None:
    assert train(tmp_path, *words, config=config_of(tmp_path)).returncode == 2


@pytest.mark.parametrize(
    ("training", "says"),
    [
        ({"algorithm": "als2"}, "algorithm"),
        ({"schedule": "@daily"}, "schedule"),
        ({"schedule": "0 0 31 2 *"}, "schedule"),
        ({"parameters": {"factor": 8}}, "parameters: als takes no parameter 'factor'"),
        ({"parameters": {"factor": 8, "alpha": "much"}}, "parameters: alpha is 'much', which is not a number"),
    ],
    ids=["algorithm", "words", "never", "parameter", "another parameter"],
)
def test_a_training_that_is_configured_wrongly_is_named(tmp_path: Path, training: dict[str, Any], says: str) -> None:
    found = train(tmp_path, "als", config=config_of(tmp_path, als=training))
    assert found.returncode == 2
    assert f"training.als.{says}" in found.stderr


def training(folder: Path, *words: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """`holdfast train WORDS` that runs beside the test."""
    return running(folder, "train", *words)


@contextmanager
def running(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """`holdfast WORDS` that runs beside the test; killed at its end if it still does."""
    with subprocess.Popen(
        [*program(), *words],
        cwd=folder,
        env=environment(AS_ADMIN),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def child_of(pid: int) -> psutil.Process:
    """The training process of a process, once it has begun to fit, as far as its priority says."""

    def found() -> psutil.Process | None:
        children = psutil.Process(pid).children(recursive=True)
        return next((child for child in children if "training.running.child" in child.cmdline() and child.nice() >= 10), None)

    child: psutil.Process = wait_until_sync(found, TRAINED_WITHIN_S, what="the training process")
    return child


def test_one_that_runs_already_is_75_and_an_interrupt_cancels_it(tmp_path: Path) -> None:
    (tmp_path / "holdfast.toml").write_text(toml(config_of(tmp_path, als={"parameters": LONG})))
    with training(tmp_path, "als") as process:
        child = child_of(process.pid)
        busy = train(tmp_path, "als")
        assert busy.returncode == 75
        assert "is being trained already" in busy.stderr
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=TRAINED_WITHIN_S)
        assert process.returncode == 130
        assert "is cancelled" in told
    assert not child.is_running()
    assert holder_of(tmp_path / "var", "als") is None
    with training(tmp_path, "als") as process:
        child_of(process.pid)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=TRAINED_WITHIN_S)
        assert process.returncode == 143
    assert holder_of(tmp_path / "var", "als") is None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Serves what `als` published; a run of `long` would outlast the test, so it is not wanted before it is asked for."""
    config = dict(config_of(tmp_path, als={}, long={"parameters": dict(LONG)}))
    config["models"] = {"long": {"source": "training:long", "load": "on_demand", "required": False}}
    train(tmp_path, "als", config=config)
    with serving(tmp_path, config, expects_clean_end=False) as server:
        server.wait_ready("als")
        yield server


def test_a_server_is_asked_and_serves_what_comes_of_it(server: Server, tmp_path: Path) -> None:
    before = server.model("als")["version"]
    found = train(tmp_path, "als", "--force", "--json")
    assert found.returncode == 0, found.stderr
    version = told_of(found)["version"]
    assert version != before
    server.wait_model("als", lambda model: model["version"] == version, "the new version serves")
    assert server.predict("als", {"user_id": "u1", "k": 3}).body["version"] == version
    assert [each["version"] for each in server.get("/models/als/versions").body["versions"]] == [version, before]


def test_a_program_trains_by_the_client_and_sees_what_came_of_it(server: Server) -> None:
    with Holdfast(server.url, AS_ADMIN["ADMIN_LOAD_TOKEN"]) as client:
        run = client.train("als", force=True, by="ada", wait=TRAINED_WITHIN_S)
        assert (run.status, run.requested_by, run.is_over) == ("published", "ada", True)
        assert [each.id for each in client.runs("als", limit=1)] == [run.id]
        assert client.versions("als").current == run.version
        begun = client.train("long")
        with pytest.raises(AlreadyTraining):
            client.train("long")
        client.cancel_run(begun.id, by="ada")
        wait_until_sync(lambda: client.run(begun.id).is_over, TRAINED_WITHIN_S, what="it is cancelled")
        assert client.run(begun.id).status == "cancelled"


def test_runs_are_seen_as_they_come_along(server: Server, tmp_path: Path) -> None:
    deadline = ("--deadline", str(TRAINED_WITHIN_S))
    with running(tmp_path, "watch", *deadline) as lines, running(tmp_path, "watch", "--json", *deadline) as objects:
        assert lines.stdout is not None and objects.stdout is not None
        assert [lines.stdout.readline().split()[0] for _ in range(2)] == ["long:", "als:"]
        assert json.loads(objects.stdout.readline())["event_type"] == "snapshot"
        runs = asyncio.run(runs_of_a_training(server.url))
        id = runs[0].id
        assert {(run.id, run.training, run.requested_by, run.log) for run in runs} == {(id, "als", "ada", ())}
        seen = list(dict.fromkeys((run.status, run.phase) for run in runs))
        phases = [phase for status, phase in seen if status == "running" and phase]
        assert phases == ["reading", "splitting", "fitting", "evaluating", "publishing"]
        assert (seen[0], seen[-1][0], runs[-1].version) == (("queued", None), "published", id)
        assert any(run.progress is not None for run in runs)
        told = (line.rstrip() for line in lines.stdout if line.startswith("training "))
        of_runs = [next(told)]
        while not of_runs[-1].startswith("training als: published"):
            of_runs.append(next(told))
        assert of_runs[:-1] == ["training als: queued", "training als: begins", *(f"training als: {phase}" for phase in phases)]
        assert re.fullmatch(rf"training als: published {id}, ndcg@10 [\d.]+ \(most popular .*\), [\d.]+ s, peak [\d.]+ MB", of_runs[-1])
        ended = next(each for each in map(json.loads, objects.stdout) if each.get("status") == "published")
        assert {**ended, "log": None} == {"event_type": "run", **server.get(f"/training/runs/{id}").body, "log": None}


async def runs_of_a_training(url: str) -> list[TrainingRun]:
    """A training of `als` as its events tell of it, to its end."""
    runs = []
    async with (
        asyncio.timeout(TRAINED_WITHIN_S),
        AsyncHoldfast(url, AS_ADMIN["ADMIN_LOAD_TOKEN"]) as client,
        aclosing(client.events()) as events,
    ):
        assert isinstance(await anext(events), Snapshot)
        await client.train("als", force=True, by="ada")
        async for event in events:
            if isinstance(event, TrainingRun):
                runs.append(event)
                if event.is_over:
                    break
    return runs


def test_beside_a_server_it_can_be_done_locally_and_is_noticed(server: Server, tmp_path: Path) -> None:
    found = train(tmp_path, "als", "--force", "--local", "--json")
    assert found.returncode == 0, found.stderr
    version = told_of(found)["version"]
    server.wait_model("als", lambda model: model["version"] == version, "the new version serves")
    assert server.get(f"/training/runs/{version}").body["status"] == "published"


def test_what_the_server_trains_is_busy_everywhere_until_it_is_cancelled(server: Server, tmp_path: Path) -> None:
    reply = server.command("POST", "/models/long/train")
    assert reply.status == 202
    run = reply.body["run"]
    assert reply.headers["Location"] == f"/training/runs/{run['id']}"
    child = child_of(server.pid)
    assert server.command("POST", "/models/long/train").status == 409
    assert train(tmp_path, "long").returncode == 75
    assert train(tmp_path, "long", "--local").returncode == 75
    assert server.get("/api/ml/status").body["long"]["status"] == "training"
    assert server.predict("als", {"user_id": "u1"}).status == 200
    queued = server.command("POST", "/models/als/train").body["run"]
    assert (queued["status"], queued["reason"]) == ("queued", "waits for long")
    assert server.command("POST", f"/training/runs/{run['id']}/cancel").status == 202
    ended = wait_until_sync(lambda: _over(server, run["id"]), TRAINED_WITHIN_S, what="the run is over")
    assert ended["status"] == "cancelled"
    assert not child.is_running()
    assert server.command("POST", f"/training/runs/{run['id']}/cancel").status == 409
    wait_until_sync(lambda: _over(server, queued["id"]), TRAINED_WITHIN_S, what="the one that waited is over")
    done = server.command("POST", "/models/als/train?wait=60")
    assert (done.status, done.body["run"]["status"]) == (200, "skipped")


def _over(server: Server, run_id: str) -> dict[str, Any] | None:
    run: dict[str, Any] = server.get(f"/training/runs/{run_id}").body
    return run if run["ended_at"] else None


def test_an_interrupt_of_the_command_cancels_the_servers_run(server: Server, tmp_path: Path) -> None:
    with training(tmp_path, "long") as process:
        child = child_of(server.pid)
        wait_until_sync(lambda: server.get("/training/runs?limit=1").body["runs"][0]["phase"], what="the run runs")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=TRAINED_WITHIN_S)
        assert process.returncode == 130
    (run,) = server.get("/training/runs?limit=1").body["runs"]
    ended = wait_until_sync(lambda: _over(server, run["id"]), TRAINED_WITHIN_S, what="the run is over")
    assert (ended["status"], ended["training"]) == ("cancelled", "long")
    assert "@" in ended["reason"]
    assert not child.is_running()


def test_nothing_is_left_of_a_run_whose_server_was_killed(server: Server, tmp_path: Path) -> None:
    run = server.command("POST", "/models/long/train").body["run"]
    child = child_of(server.pid)
    server.process.kill()
    server.process.wait()
    wait_until_sync(lambda: not child.is_running(), what="the child dies with its server")
    assert holder_of(server.store, "long") is None
    with serving(tmp_path, {}) as again:
        again.wait_ready("als")
        found = again.get(f"/training/runs/{run['id']}").body
        assert (found["status"], found["failure"]["type"]) == ("crashed", "child_crashed")
        assert not list((server.store / "long").glob("2*"))


def test_a_server_that_stops_does_not_wait_for_a_run(server: Server) -> None:
    run = server.command("POST", "/models/long/train").body["run"]
    child = child_of(server.pid)
    assert server.stop() == 0
    assert not child.is_running()
    assert "Traceback" not in server.log
    assert run["id"] in server.log
