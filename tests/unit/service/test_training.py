"""Training's addresses: what is known of what serves, of runs, and what is asked of them. Runs themselves: tests/integration/training."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer

from config.schema import ModelSettings, TrainingSettings
from service.app import build_app
from service.keys import TRAINING
from service.lifecycle.lease import Held
from service.lifecycle.state import Phase
from service.schemas.training import Runs
from service.training import reload_models
from tests.unit.service.a_run import a_published_run
from tests.unit.service.conftest import ClientOf
from tests.unit.service.fakes import FakeLoaded, FakeRegistry, live, loading, settings_for
from training.running.journal import NAME, Journal
from training.running.refused import AlreadyRunning, RunElsewhere, RunOver, TrainingUnavailable, UnknownRun
from training.running.runner import Runner
from training.running.runs import Run, RunCause, RunStatus

TOKEN = "s3cret-token"
TRAINED_AT = "2026-03-04T05:06:07Z"
RUN = "20261121T101500-3fa9c1"
PROBLEM = "urn:holdfast:problem:"


async def ask(client: Any, method: str, path: str) -> tuple[int, Any]:
    async with client.request(method, path, headers={"X-ADMIN-TOKEN": TOKEN}) as response:
        return response.status, await response.json(content_type=None)


async def test_every_model_and_every_kind_of_them_says_how_trained_it_is(client_of: ClientOf) -> None:
    registry = FakeRegistry(live(), loading("text"), loading("mine", Phase.TRAINING))
    registry.held = Held("als", FakeLoaded(registry.scorer, details={"trained_at": TRAINED_AT}))
    status, body = await ask(await client_of(registry), "GET", "/api/ml/status")
    als = {"status": "trained", "trained_at": TRAINED_AT, "model": "als"}
    nothing = {"status": "untrained", "trained_at": None}
    assert status == 200
    assert body == {
        "als": als,
        "text": {**nothing, "model": "text"},
        "mine": {"status": "training", "trained_at": None, "model": "mine"},
        "content_based": {**nothing, "model": None},
        "collaborative": als,
        "hybrid": {**nothing, "model": None},
    }


async def test_a_model_of_a_kinds_name_is_told_once(client_of: ClientOf) -> None:
    registry = FakeRegistry(live("bpr"), live("collaborative"))
    _, body = await ask(await client_of(registry), "GET", "/api/ml/status")
    assert body["collaborative"] == {"status": "trained", "trained_at": None, "model": "collaborative"}


async def test_where_nothing_is_trained_there_are_no_runs(client_of: ClientOf, tmp_path: Path) -> None:
    client = await client_of(FakeRegistry(live()), token=TOKEN)
    assert await ask(client, "GET", "/training/runs") == (200, {"runs": []})
    status, body = await ask(client, "GET", "/training/runs/7")
    assert (status, body["type"]) == (404, f"{PROBLEM}unknown-run")
    assert "'7'" in body["detail"]
    for path in ("/models/als/train", "/api/ml/train-all"):
        status, body = await ask(client, "POST", path)
        assert (status, body["type"]) == (409, f"{PROBLEM}not-trained-here")
        async with client.post(path) as response:
            assert response.status == 401
    assert not (tmp_path / NAME).exists()


async def test_an_unknown_model_cannot_be_trained(client_of: ClientOf) -> None:
    assert (await ask(await client_of(FakeRegistry(live()), token=TOKEN), "POST", "/models/nobody/train"))[0] == 404


@pytest.fixture
async def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TestClient[Any, Any]]:
    """A server with the trainings `als`, whose model is `liked`, and `pop`, over a runner that begins nothing: it notes what is asked."""
    registry = FakeRegistry(live("liked"), live("other"), loading("pop"))
    settings = settings_for(registry, tmp_path, token=TOKEN)
    models = {**settings.models, "liked": ModelSettings(name="liked", source="training:als")}
    trainings = {name: TrainingSettings(name=name, algorithm=name) for name in ("als", "pop")}
    app = build_app(replace(settings, models=models, training=trainings), supervisor=registry, environ={})
    begun = replace(a_published_run(RUN), status=RunStatus.RUNNING, ended_at=None, version=None, verdict=None, fingerprint=None)

    async def start(self: Runner, training: str, *, cause: RunCause, requested_by: str = "", force: bool = False) -> Run:
        return replace(begun, training=training, cause=cause, requested_by=requested_by, forced=force)

    monkeypatch.setattr(Runner, "start", start)
    async with TestClient(TestServer(app)) as client:
        yield client


async def test_a_model_is_trained_by_its_name_or_that_of_its_training(client: TestClient[Any, Any]) -> None:
    for name, training in (("liked", "als"), ("als", "als"), ("pop", "pop")):
        async with client.post(f"/models/{name}/train?force=true&by=ada%40laptop", headers={"X-ADMIN-TOKEN": TOKEN}) as response:
            run = (await response.json())["run"]
            assert response.status == 202
            assert response.headers["Location"] == f"/training/runs/{RUN}"
        assert (run["training"], run["cause"], run["requested_by"], run["forced"]) == (training, "command", "ada@laptop", True)
    assert (await ask(client, "POST", "/models/other/train"))[0] == 409


async def test_all_are_trained_but_those_that_are(client: TestClient[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    status, body = await ask(client, "POST", "/api/ml/train-all")
    assert status == 202
    assert [run["training"] for run in body["runs"]] == ["als", "pop"]
    real = Runner.start

    async def busy(self: Runner, training: str, **asked: Any) -> Run:
        if training == "pop":
            raise AlreadyRunning("pop is being trained already", a_published_run(RUN, "pop"))
        return await real(self, training, **asked)

    monkeypatch.setattr(Runner, "start", busy)
    _, body = await ask(client, "POST", "/api/ml/train-all")
    assert [run["training"] for run in body["runs"]] == ["als"]
    status, body = await ask(client, "POST", "/models/pop/train")
    assert (status, body["type"], body["run"]["id"]) == (409, f"{PROBLEM}training-runs", RUN)


async def test_waiting_for_a_run_ends_with_it(client: TestClient[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []

    async def wait(self: Runner, run_id: str, timeout_s: float) -> Run:
        waited.append(timeout_s)
        return a_published_run(run_id)

    monkeypatch.setattr(Runner, "wait", wait)
    status, body = await ask(client, "POST", "/models/liked/train?wait=7")
    assert (status, body["run"]["status"], waited) == (200, "published", [7.0])


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (UnknownRun(RUN), 404, "unknown-run"),
        (RunOver("the run is over already: published", a_published_run(RUN)), 409, "run-over"),
        (RunElsewhere("the run is another process's", a_published_run(RUN)), 409, "run-elsewhere"),
        (TrainingUnavailable("the journal of runs cannot be used"), 503, "store-unavailable"),
    ],
    ids=["unknown", "over", "elsewhere", "unavailable"],
)
async def test_what_is_not_done_says_why(
    client: TestClient[Any, Any], monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, slug: str
) -> None:
    async def cancel(self: Runner, run_id: str, *, by: str = "") -> Run:
        raise error

    monkeypatch.setattr(Runner, "cancel", cancel)
    found, body = await ask(client, "POST", f"/training/runs/{RUN}/cancel")
    assert (found, body["type"]) == (status, PROBLEM + slug)
    assert body.get("run", {"id": RUN})["id"] == RUN


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/training/runs?limit=0", "limit"),
        ("/training/runs?limit=1001", "limit"),
        ("/training/runs?limit=ten", "limit"),
        ("/training/runs?training=", "training"),
        ("/training/runs?training=ALS", "training"),
        ("/training/runs?training=als%00", "training"),
        ("/training/runs?of=als", "of"),
        ("/models/liked/train?by=%07", "by"),
        (f"/models/liked/train?by={'x' * 201}", "by"),
        ("/models/liked/train?force=perhaps", "force"),
        ("/models/liked/train?wait=-1", "wait"),
    ],
)
async def test_a_parameter_that_cannot_be_used_is_named(client: TestClient[Any, Any], path: str, field: str) -> None:
    status, body = await ask(client, "GET" if path.startswith("/training") else "POST", path)
    assert (status, body["field"]) == (422, field)


async def test_runs_are_told_of_one_training_and_as_many_as_asked(client: TestClient[Any, Any]) -> None:
    runner: Runner = client.app[TRAINING]
    for number, training in enumerate(["als", "pop", "als"]):
        run = replace(a_published_run(f"20261121T10150{number}-3fa9c1", training), created_at=1_700_000_000.0 + number)
        await runner._recorder.ask(Journal.add, run)
    _, body = await ask(client, "GET", "/training/runs?limit=2")
    assert [run["id"][:15] for run in body["runs"]] == ["20261121T101502", "20261121T101501"]
    _, body = await ask(client, "GET", "/training/runs?training=als")
    assert [run["training"] for run in body["runs"]] == ["als", "als"]
    status, run = await ask(client, "GET", "/training/runs/20261121T101502-3fa9c1")
    assert (status, run["seconds"], run["created_at"]) == (200, 20.5, "2023-11-14T22:13:22.000Z")
    assert run["verdict"]["cut_at"] == "2023-11-13T22:13:20.000Z"
    assert run["fingerprint"]["latest_at"] == "2023-11-14T22:12:20.000Z"


WRONG = (7, "no", [7], {"no": 7}, True, None, 1e300, -1, 2**70)
INSIDE = (
    "$.verdict.value", "$.verdict.users", "$.verdict.cut_at", "$.verdict.rules", "$.verdict.rules[0].passed", "$.verdict.champion.users",
    "$.fingerprint.latest_at", "$.fingerprint.interactions", '$.metrics."ndcg@10"', "$.failure.type", "$.log[0]",
)  # fmt: skip


async def test_runs_are_told_whatever_somebody_wrote_into_the_journal(
    client: TestClient[Any, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runner: Runner = client.app[TRAINING]
    whole = replace(a_published_run(RUN), failure={"type": "bad_data", "message": "no"})
    await runner._recorder.ask(Journal.add, whole)
    places = [*(f"$.{each.name}" for each in fields(Run)), *INSIDE]
    copied = "INSERT INTO runs SELECT ?, training, created_at, status, json_set(record, '$.id', ?, ?, json(?)) FROM runs WHERE id = ?"
    with sqlite3.connect(tmp_path / NAME) as database:
        for place in places:
            for at, value in enumerate(WRONG):
                name = f"{place} {at}"
                database.execute(copied, (name, name, place, json.dumps(value), RUN))
    database.close()
    status, body = await ask(client, "GET", "/training/runs?limit=1000")
    assert status == 200
    msgspec.convert(body, Runs)
    told = {run["id"]: run for run in body["runs"]}
    assert told[RUN] == whole.to_json()
    assert {id.partition(" ")[0] for id in told} >= {*places} - {"$.id", "$.training", "$.algorithm", "$.status", "$.cause", "$.created_at"}
    assert (told["$.verdict.value 1"]["verdict"], told["$.verdict.value 1"]["metrics"]) == (None, whole.to_json()["metrics"])
    assert told["$.progress 6"]["progress"] is None
    assert "$.created_at 6" not in told
    said = [each.message for each in caplog.records if "cannot be read" in each.message]
    assert len(said) > 100
    assert (await ask(client, "GET", "/training/runs?limit=1000"))[1] == body
    assert len([each for each in caplog.records if "cannot be read" in each.message]) == len(said), "each is said once"


async def test_a_run_in_another_process_counts_as_training(client: TestClient[Any, Any]) -> None:
    runner: Runner = client.app[TRAINING]
    liked = (await ask(client, "GET", "/api/ml/status"))[1]["liked"]
    assert (liked["status"], liked["training"]) == ("trained", "als")
    async with asyncio.timeout(10):
        lock = await runner._locked(replace(a_published_run(RUN), status=RunStatus.RUNNING))
        await runner._recorder.ask(Journal.add, replace(a_published_run(RUN), status=RunStatus.RUNNING, ended_at=None))
        assert (await ask(client, "GET", "/api/ml/status"))[1]["liked"]["status"] == "training"
        lock.release()
    assert (await ask(client, "GET", "/api/ml/status"))[1]["liked"]["status"] == "trained"
    assert (await ask(client, "GET", f"/training/runs/{RUN}"))[1]["status"] == "crashed"


async def test_who_serves_what_is_published_hears_of_it_and_nobody_else(tmp_path: Path) -> None:
    registry = FakeRegistry(live("als"), live("other"), replace(live("off"), live=None, unloaded=True))
    settings = settings_for(registry, tmp_path)
    models = {
        "als": ModelSettings(name="als", source="training:als"),
        "other": ModelSettings(name="other", source="other.pkl", fallback="training:als"),
        "off": ModelSettings(name="off", source="training:als"),
    }
    run = a_published_run(RUN)
    for status in RunStatus:
        registry.commands.clear()
        reload_models(registry, replace(settings, models=models), replace(run, status=status))
        assert [command[:2] for command in registry.commands] == (
            [("source_changed", "als"), ("source_changed", "off")] if status is RunStatus.PUBLISHED else []
        )


async def test_a_journal_that_cannot_be_opened_keeps_nobody_from_serving(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / NAME).mkdir()
    registry = FakeRegistry(live())
    settings = settings_for(registry, tmp_path, token=TOKEN)
    trainings = {"als": TrainingSettings(name="als", algorithm="als")}
    app = build_app(replace(settings, training=trainings), supervisor=registry, environ={})
    async with TestClient(TestServer(app)) as client:
        assert "training does not run" in caplog.text
        assert (await ask(client, "GET", "/health/ready"))[0] == 200
        assert await ask(client, "GET", "/training/runs") == (200, {"runs": []})
        status, body = await ask(client, "POST", "/models/als/train")
        assert (status, body["type"]) == (503, f"{PROBLEM}store-unavailable")
        (tmp_path / NAME).rmdir()
        assert (await ask(client, "POST", "/models/als/train"))[0] == 202  # whoever asks has it opened again
