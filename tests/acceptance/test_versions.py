"""Versions of a model that is trained here, under clients: publishing, going back, withdrawing; and on a store without a server.

The versions are published as a run does it, without one. Does not cover: training (`test_training`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loaders.published import PublishedFolder
from tests.acceptance.crowd import Crowd
from tests.acceptance.running import TOKEN, Beside, Config, run, serving
from tests.unit.training.published import bundle_of, name_of, published

PUBLISHES, ROLLBACKS, CLIENTS, KEPT = 12, 4, 16, 3
WITH_TOKEN = {"ADMIN_LOAD_TOKEN": TOKEN}


def config_of(folder: Path, **model: Any) -> Config:
    """A model that takes what `als` publishes. Nothing is trained: the database has nothing to train from."""
    (folder / "data.db").touch()
    return {
        "store": {"keep_versions": KEPT},
        "data": {"url": f"sqlite:///{folder / 'data.db'}"},
        "training.als": {"algorithm": "als", "memory": "1GiB"},
        "models.rec": {"source": "training:als", **model},
    }


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "var"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def beside() -> Iterator[Beside]:
    with Beside() as beside:
        yield beside


def serves(number: int) -> Callable[[dict[str, Any]], bool]:
    return lambda model: model["version"] == name_of(number) and model["phase"] is None


def test_publishing_and_going_back_under_load_answer_nothing_but_200(tmp_path: Path, store: Path, beside: Beside) -> None:
    published(store, 1, KEPT)
    with serving(tmp_path, config_of(tmp_path)) as server:
        server.wait_ready("rec")
        crowd = beside.enter(Crowd(f"{server.url}/models/rec/predict", {"user_id": 1, "k": 3}, CLIENTS))
        numbers = iter(range(2, PUBLISHES + 2))
        for _ in range(ROLLBACKS):
            for number in [next(numbers) for _ in range(PUBLISHES // ROLLBACKS)]:
                published(store, number, KEPT)
                server.wait_model("rec", serves(number), f"version {number} serves")
            crowd.wait_for_answers(1)
            assert server.command("POST", "/models/rec/rollback?wait=60").status == 200
            back = server.get("/models/rec/versions").body
            assert (back["live"], back["pinned"], back["current"]) == (name_of(number - 1),) * 3
            crowd.wait_for_answers(1)
            assert server.command("POST", f"/models/rec/activate?version={name_of(number)}&wait=60").status == 200
            assert server.model("rec")["version"] == name_of(number)
        assert server.command("POST", f"/models/rec/rollback?to={name_of(number - 2)}&wait=60").status == 200
        for number in range(PUBLISHES + 2, PUBLISHES + 2 + KEPT):
            published(store, number, KEPT)
        kept = [each["version"] for each in server.get("/models/rec/versions").body["versions"]]
        assert len(kept) == KEPT + 1 and name_of(PUBLISHES - 1) in kept, "the newest, and the pinned one"
        assert server.model("rec")["version"] == name_of(PUBLISHES - 1)
        crowd.wait_for_answers(1)
        assert dict(crowd.unexpected) == {}
        assert server.command("POST", "/models/rec/rollback?unpin=true").status == 202
        published(store, PUBLISHES + 10, KEPT)
        server.wait_model("rec", serves(PUBLISHES + 10), "what is not pinned is switched again")
    assert dict(crowd.unexpected) == {}


def test_a_version_that_does_not_load_is_withdrawn_and_nobody_notices(tmp_path: Path, store: Path, beside: Beside) -> None:
    published(store, 1)
    with serving(tmp_path, config_of(tmp_path)) as server:
        server.wait_ready("rec")
        crowd = beside.enter(Crowd(f"{server.url}/models/rec/predict", {"user_id": 1, "k": 3}, CLIENTS))
        bundle = bundle_of(2)
        published(store, 2, bundle=changed(bundle, arrays={**bundle.arrays, "item_factors": bundle.arrays["item_factors"][:, :2].copy()}))
        server.wait_model("rec", lambda model: model["failure"] and model["phase"] is None, "the new version is withdrawn")
        told = server.model("rec")
        assert (told["status"], told["stale"], told["version"]) == ("ready", True, name_of(1))
        assert told["failure"]["type"] == "corrupt_artifact"
        newest = server.get("/models/rec/versions").body["versions"][0]
        assert (newest["version"], newest["withdrawn"]["type"]) == (name_of(2), "corrupt_artifact")
        assert PublishedFolder(store, "als").current() == name_of(1)
        published(store, 3)
        server.wait_model("rec", serves(3), "the next one serves")
        assert server.model("rec")["stale"] is False
        assert server.command("POST", "/models/rec/rollback?wait=60").status == 200
        assert server.model("rec")["version"] == name_of(1), "what was withdrawn is not gone back to"
        crowd.wait_for_answers(1)
    assert dict(crowd.unexpected) == {}


def test_a_version_that_cannot_answer_does_not_go_live(tmp_path: Path, store: Path) -> None:
    published(store, 1)
    with serving(tmp_path, config_of(tmp_path)) as server:
        server.wait_ready("rec")
        assert server.predict("rec", {"user_id": 1, "k": 3}).status == 200
        bundle = bundle_of(2)
        users = bundle.arrays["user_factors"].copy()
        users[1] = np.nan  # they have no recommendations any more
        published(store, 2, bundle=changed(bundle, arrays={**bundle.arrays, "user_factors": users}))
        server.wait_model("rec", lambda model: model["failure"] and model["phase"] is None, "the canary has spoken")
        told = server.model("rec")
        assert (told["version"], told["failure"]["type"]) == (name_of(1), "canary_failed")
        assert "user 1" in told["failure"]["message"]
        assert server.predict("rec", {"user_id": 1, "k": 3}).body["version"] == name_of(1)
    with serving(tmp_path, config_of(tmp_path)) as server:
        server.wait_ready("rec")
        assert server.model("rec")["version"] == name_of(1), "nor after a restart"


@pytest.mark.parametrize("left_bytes", [0, 100], ids=["empty", "cut-short"])
def test_at_a_start_the_version_before_one_that_does_not_load_serves(tmp_path: Path, store: Path, left_bytes: int) -> None:
    published(store, 1)
    published(store, 2)
    path = PublishedFolder(store, "als").model_of(name_of(2))
    path.write_bytes(path.read_bytes()[:left_bytes])
    with serving(tmp_path, config_of(tmp_path)) as server:
        server.wait_ready("rec")
        told = server.model("rec")
        assert (told["version"], told["stale"]) == (name_of(1), True)
        assert "withdrawn" in [line["event"] for line in told["story"]]


def test_a_source_that_is_missing_gives_way_and_comes_back(tmp_path: Path, store: Path) -> None:
    published(store, 1)
    source = tmp_path / "rec.safetensors"
    with serving(tmp_path, config_of(tmp_path, source=str(source), fallback="training:als", poll="1s")) as server:
        server.wait_ready("rec")
        told = server.model("rec")
        assert (told["version"], told["stale"], told["source"]) == (name_of(1), True, str(source))
        assert told["load"]["fallback"]["source"] == "training:als"
        assert told["load"]["fallback"]["because"]["type"] == told["failure"]["type"] == "source_not_found"
        published(store, 2)
        server.wait_model("rec", serves(2), "a new version of what it falls back to")
    with serving(tmp_path, config_of(tmp_path, source=str(source), fallback="training:als", watch=True)) as server:
        server.wait_ready("rec")
        assert server.model("rec")["version"] == name_of(2)
        server.wait_model("rec", lambda model: model["stale"], "the source was asked")
        path = PublishedFolder(store, "als").model_of(name_of(1))
        (tmp_path / "fresh").write_bytes(path.read_bytes())
        (tmp_path / "fresh").rename(source)
        assert server.command("POST", "/models/rec/reload?wait=60").status == 200
        told = server.model("rec")
        assert (told["stale"], told["failure"]) == (False, None)
        assert told["revision"].startswith("file:") and "fallback" not in told["load"]
        assert server.command("POST", "/models/rec/rollback").status == 409


def test_nothing_to_train_from_is_a_failure_that_says_so(tmp_path: Path) -> None:
    with serving(tmp_path, config_of(tmp_path)) as server:
        told = server.wait_model("rec", lambda model: model["status"] == "error", "training has failed")
        assert (told["failure"]["type"], told["failure"]["retryable"]) == ("training_failed", True)
        reply = server.predict("rec", {"user_id": 1})
        assert reply.status == 503 and (reply.retry_after_s or 0) > 60
        phases = [line["to"] for line in told["story"]]
        assert "training" in phases
        published(server.store, 1)
        server.wait_model("rec", serves(1), "what is published meanwhile serves")


def holdfast(folder: Path, *words: str, code: int = 0) -> str:
    found = run(folder, *words, environ=WITH_TOKEN)
    assert found.returncode == code, found.stderr
    return found.stdout if code == 0 else found.stderr


def test_from_the_command_line_with_and_without_a_server(tmp_path: Path, store: Path) -> None:
    for number in (1, 2, 3):
        published(store, number)
    run(tmp_path, "status", config=config_of(tmp_path))
    title, names, *rows = holdfast(tmp_path, "versions", "rec").splitlines()
    assert (title, names.split()[:2], [row.split()[:2] for row in rows]) == (
        "rec",
        ["version", "family"],
        [[name_of(3), "current"], [name_of(2), "factors"], [name_of(1), "factors"]],
    )
    told = json.loads(holdfast(tmp_path, "rollback", "rec", "--json"))
    assert (told["current"], told["pinned"], told["live"]) == (name_of(2), name_of(2), None)
    assert json.loads(holdfast(tmp_path, "rollback", "als", "--json"))["current"] == name_of(1), "by the name of the training too"
    assert holdfast(tmp_path, "rollback", "als", code=1) == "holdfast: als keeps no version before the one that is current\n"
    assert holdfast(tmp_path, "rollback", "rec", "--to", name_of(9), code=1) == f"holdfast: als keeps no version {name_of(9)}\n"
    assert json.loads(holdfast(tmp_path, "rollback", "rec", "--unpin", "--json"))["pinned"] is None
    assert json.loads(holdfast(tmp_path, "versions", "rec", "--activate", name_of(3), "--json"))["current"] == name_of(3)
    assert holdfast(tmp_path, "versions", "nobody", code=3).startswith("holdfast: no server runs")
    with serving(tmp_path, {}) as server:
        server.wait_ready("rec")
        assert holdfast(tmp_path, "rollback", "rec").startswith(f"rec: ready {name_of(2)}")
        assert holdfast(tmp_path, "versions", "rec", "--activate", name_of(3)).startswith(f"rec: ready {name_of(3)}")
        assert holdfast(tmp_path, "rollback", "rec", "--to", name_of(1)).startswith(f"rec: ready {name_of(1)}")
        assert holdfast(tmp_path, "rollback", "rec", "--to", name_of(9), code=1).startswith("holdfast: to: no version")
        holdfast(tmp_path, "rollback", "rec", "--unpin")
        rows = holdfast(tmp_path, "versions", "rec").splitlines()[2:]
        assert [row.split()[:2] for row in rows][2] == [name_of(1), "live"]
        assert json.loads(holdfast(tmp_path, "versions", "rec", "--json")) == server.get("/models/rec/versions").body
