"""`holdfast demo`, as somebody meets it who has nothing yet: it answers at once, trains, and what it prints can be followed.

Does not cover: making the data (tests/unit/training/test_demo), what it stays out of the way of beyond its word.
"""

from __future__ import annotations

import json
import re
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.running import TOKEN, Reply, Server, run, serving
from tests.pages import call_of
from tests.support import wait_until_sync

NAMES = ("als", "content", "features", "hybrid")
QUESTION = {"user_id": 1, "k": 5}
TRAINED_WITHIN_S = 180.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def first(folder: Path) -> Iterator[Server]:
    """The first start, without a token; ready."""
    with serving(folder, {}, word="demo", token=None) as server:
        early = server.predict("hybrid", QUESTION)
        assert (early.status, early.body["status"]) == (202, "loading")
        wait_until_sync(lambda: "training" in {server.model(name)["phase"] for name in NAMES}, what="training")
        server.wait_ready(*NAMES, deadline_s=TRAINED_WITHIN_S)
        yield server


def runs_of(server: Server) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = server.get("/training/runs").body["runs"]
    return runs


def printed(server: Server, program: str) -> list[list[str]]:
    """The words after the name of this program, of each line that is there to be typed."""
    return [shlex.split(line) for line in re.findall(rf"^  \S*\b{program} (.*)$", server.log, re.MULTILINE)]


def sent(server: Server, words: list[str]) -> Reply:
    call = call_of(["curl", *words])
    return server.ask(call.method, call.path, call.body, call.headers)


def test_all_four_are_trained_judged_and_served(first: Server) -> None:
    assert first.get("/health/ready").status == 200
    assert {run["training"]: (run["status"], run["cause"]) for run in runs_of(first)} == dict.fromkeys(NAMES, ("published", "fallback"))
    for told in runs_of(first):
        assert told["verdict"]["value"] > 3 * told["verdict"]["popular"]
    for name in NAMES:
        assert first.model(name)["source"] == f"training:{name}"
        if name != "content":  # of a user it knows what they posted only
            assert len(first.predict(name, QUESTION).body["items"]) == 5


def test_the_hybrid_is_what_is_asked_by_default(first: Server) -> None:
    answer = first.predict("hybrid", QUESTION).body
    assert answer["answered_by"] == ["content", "collaborative"]
    assert first.ask("POST", "/predict", QUESTION).body == answer
    assert first.get("/api/frontend/recommendations?user_id=1&algorithm=hybrid&k=5").body == answer


def test_what_is_printed_can_be_followed(first: Server, folder: Path) -> None:
    ask, post, ask_again = printed(first, "curl")
    assert sent(first, ask).status == 200
    assert sent(first, ask_again).status == 404
    assert (sent(first, post).status, sent(first, ask_again).body["folded_in"]) == (202, 3)
    versions, train, rollback = printed(first, "holdfast")
    assert run(folder, *versions).returncode == 0
    for words in (train, rollback):
        refused = run(folder, *words)
        assert (refused.returncode, "ADMIN_LOAD_TOKEN" in refused.stderr) == (1, True)
    assert "export ADMIN_LOAD_TOKEN=choose-one" in first.log


def test_the_second_start_serves_what_is_there_and_trains_on_what_was_posted(first: Server, folder: Path) -> None:
    asked = {name: first.model(name)["version"] for name in NAMES}
    began = len(printed(first, "holdfast"))
    assert first.stop() == 0
    versions, serve = printed(first, "holdfast")[began:]
    shown = run(folder, *versions)
    assert (shown.returncode, shown.stderr) == (0, "") and re.search(rf"{asked['als']} +current", shown.stdout), shown.stdout
    assert serve == ["serve", *versions[-2:]]
    with serving(folder, {}, word="demo") as server:
        server.wait_ready(*NAMES)
        assert {name: server.model(name)["version"] for name in NAMES} == asked
        assert {run["cause"] for run in runs_of(server)} == {"fallback"}
        environ = {"ADMIN_LOAD_TOKEN": TOKEN}
        trained = run(folder, "train", "als", "--json", environ=environ)
        assert trained.returncode == 0, trained.stderr
        new = json.loads(trained.stdout)["version"]
        server.wait_model("als", lambda model: model["version"] == new, "the new version serves")
        assert run(folder, "rollback", "als", environ=environ).returncode == 0
        assert server.model("als")["version"] == asked["als"]
        shown = run(folder, "versions", "als")
        assert re.search(rf"{asked['als']} +live pinned", shown.stdout), shown.stdout


def test_interrupted_while_it_trains_it_ends_and_goes_on_the_next_time(tmp_path: Path) -> None:
    with serving(tmp_path, {}, word="demo", token=None) as server:
        wait_until_sync(lambda: any(run["status"] == "running" for run in runs_of(server)), what="a run")
        assert server.stop(signal.SIGINT) == 0
    with serving(tmp_path, {}, word="demo", token=None) as server:
        ended = {run["status"] for run in runs_of(server) if run["ended_at"] is not None}
        assert ended <= {"cancelled", "published"}
        server.wait_model("als", lambda model: model["status"] == "ready", "als is ready", TRAINED_WITHIN_S)


def test_it_does_not_start_over_trainings_of_somebody(tmp_path: Path) -> None:
    config = {"data": {"url": "sqlite:///mine.db"}, "training": {"mine": {"algorithm": "als"}}}
    refused = run(tmp_path, "demo", "--port", "0", config=config)
    assert refused.returncode == 2
    assert refused.stderr.startswith(
        "holdfast: the demo does not start: it brings trainings of its own, and this configuration has [training.mine]"
    )
    assert not (tmp_path / "var").exists()
