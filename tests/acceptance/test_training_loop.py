"""Fresh data in, a better model out, or nothing changes: the installed program and a real PostgreSQL, from the first run on.

Covers: published and served, nothing new, a database that dies while it is read, data with nothing to learn, noise, force and going
back, the clock, new interactions, models whose source cannot be had. Does not cover: words and exit codes by themselves
(`test_training`), users nobody knows (`test_interactions`), what dies besides the database (`test_training_deaths`).
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from loaders.published import PublishedFolder
from tests.acceptance.running import ADMIN, TOKEN, Config, Server, run, serving
from tests.acceptance.shop import USERS, config_of, make_shop, shuffle, slow_down, wait_mid_stream
from tests.artifacts.recommenders import als_dict
from tests.artifacts.writing import write
from tests.doubles.postgres import PostgresDatabase
from tests.support import wait_until_sync
from training.running.journal import NAME, Journal

TRAINED_WITHIN_S = 120.0


@pytest.fixture
def shop(postgres: PostgresDatabase) -> PostgresDatabase:
    make_shop(postgres)
    return postgres


def train(folder: Path, *words: str, config: Config | None = None) -> subprocess.CompletedProcess[str]:
    return run(folder, "train", "als", *words, config=config, environ={"ADMIN_LOAD_TOKEN": TOKEN})


def told_of(found: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert found.stdout, found.stderr
    told: dict[str, Any] = json.loads(found.stdout)
    return told


def current(server: Server) -> str | None:
    return PublishedFolder(server.store, "als").current()


def wait_over(server: Server, run_id: str) -> dict[str, Any]:
    def over() -> dict[str, Any] | None:
        found: dict[str, Any] = server.get(f"/training/runs/{run_id}").body
        return found if found["ended_at"] else None

    ended: dict[str, Any] = wait_until_sync(over, TRAINED_WITHIN_S, what="the run is over")
    return ended


def rule(run: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [each for each in run["verdict"]["rules"] if each["rule"] == name]
    assert isinstance(found, dict)
    return found


def test_from_a_database_to_answers_and_the_same_data_once(shop: PostgresDatabase, tmp_path: Path) -> None:
    first = told_of(train(tmp_path, "--json", config=config_of(shop)))
    assert first["status"] == "published"
    assert first["fingerprint"]["interactions"] == int(shop.run("SELECT count(*) FROM interactions"))
    with serving(tmp_path, {}) as server:
        server.wait_ready("als")
        answer = server.predict("als", {"user_id": 1, "k": 5})
        assert (answer.status, answer.body["version"], len(answer.body["items"])) == (200, first["version"], 5)
        second = told_of(train(tmp_path, "--json"))
        assert (second["status"], second["version"]) == ("skipped", None)
        assert second["reason"] == "the data and the parameters are those of the last run"
        shop.run(f"INSERT INTO interactions SELECT 1000000 + item_id, {USERS + 1}, item_id, 1, now() FROM items LIMIT 20")
        assert server.predict("als", {"user_id": USERS + 1}).status == 404
        third = told_of(train(tmp_path, "--json"))
        assert third["status"] == "published", third["verdict"]
        assert third["verdict"]["champion"]["version"] == first["version"]
        server.wait_model("als", lambda model: model["version"] == third["version"], "the new version serves")
        versions = server.get("/models/als/versions").body["versions"]
        assert [each["version"] for each in versions] == [third["version"], first["version"]]


def test_a_database_that_dies_while_it_is_read_is_read_again_or_the_old_model_serves_on(shop: PostgresDatabase, tmp_path: Path) -> None:
    with serving(tmp_path, config_of(shop)) as server:
        server.wait_ready("als", deadline_s=TRAINED_WITHIN_S)
        first = current(server)
        slow_down(shop, 0.05)
        started = server.command("POST", "/models/als/train?force=true").body["run"]["id"]
        wait_mid_stream(shop)
        slow_down(shop, 0.0)
        assert shop.kill_backends()
        ended = wait_over(server, started)
        assert (ended["status"], ended["version"]) == ("published", started), ended
        assert any("waiting for the database" in line for line in ended["log"])
        server.wait_model("als", lambda model: model["version"] == started, "the new version serves")
        assert first != started

        slow_down(shop, 0.05)
        lost = server.command("POST", "/models/als/train?force=true").body["run"]["id"]
        wait_mid_stream(shop)
        shop.server.kill()
        ended = wait_over(server, lost)
        assert (ended["status"], ended["failure"]["type"]) == ("failed", "data_unavailable"), ended
        assert "(tried 2 times)" in ended["failure"]["message"]
        model = server.model("als")
        assert (model["status"], model["version"], model["stale"]) == ("ready", started, False)
        assert server.predict("als", {"user_id": 1}).body["version"] == started == current(server)
        assert train(tmp_path).returncode == 1, "the word says so, too"

        shop.server.start()
        slow_down(shop, 0.0)
        assert told_of(train(tmp_path, "--json"))["status"] == "skipped", "it is there again, and has nothing new"


def test_what_has_learned_nothing_is_refused_with_figures_until_somebody_forces_it(shop: PostgresDatabase, tmp_path: Path) -> None:
    with serving(tmp_path, config_of(shop)) as server:
        server.wait_ready("als", deadline_s=TRAINED_WITHIN_S)
        champion = current(server)
        answer = server.predict("als", {"user_id": 1}).body
        shuffle(shop)
        found = train(tmp_path, "--json")
        assert found.returncode == 3
        refused = told_of(found)
        assert (refused["status"], refused["version"], refused["verdict"]["accepted"]) == ("refused", None, False)
        popular = rule(refused, "popular")
        assert popular["passed"] is False
        assert refused["verdict"]["value"] < 1.1 * refused["verdict"]["popular"]
        assert current(server) == champion
        assert server.predict("als", {"user_id": 1}).body == answer
        shown = train(tmp_path)
        assert shown.returncode == 0, "the same data were judged already"
        forced = train(tmp_path, "--force")
        assert forced.returncode == 0, forced.stderr
        newest = server.get("/models/als/versions").body["versions"][0]
        assert "@" in newest["verdict"]["forced_by"]
        assert newest["verdict"]["forced_by"] in forced.stdout
        server.wait_model("als", lambda model: model["version"] == newest["version"], "what was forced serves")
        assert run(tmp_path, "rollback", "als", environ={"ADMIN_LOAD_TOKEN": TOKEN}).returncode == 0
        assert server.predict("als", {"user_id": 1}).body == answer


def test_another_one_that_is_as_good_but_for_chance_is_published(shop: PostgresDatabase, tmp_path: Path) -> None:
    first = told_of(train(tmp_path, "--json", config=config_of(shop)))
    other = told_of(train(tmp_path, "--json", config=config_of(shop, seed=1)))
    assert other["status"] == "published", other["verdict"]
    met = other["verdict"]["champion"]
    assert met["version"] == first["version"]
    assert met["users"] == other["verdict"]["users"] > 100
    assert abs(met["difference"]) <= max(0.02, 2 * met["standard_error"])


def test_a_tick_of_the_clock_that_nobody_took_is_run_and_never_twice(shop: PostgresDatabase, tmp_path: Path) -> None:
    config = config_of(shop, schedule="* * * * *")
    assert train(tmp_path, config=config).returncode == 0
    journal = Journal(tmp_path / "var" / NAME)
    journal.open()
    began_at = time.time()
    journal.take_tick("als", began_at - 600)  # as if a server had run until ten minutes ago
    journal.close()

    def ticked(server: Server) -> list[dict[str, Any]]:
        runs = server.get("/training/runs").body["runs"]
        return [each for each in runs if each["cause"] == "schedule"]

    with serving(tmp_path, {}) as server:
        (begun,) = wait_until_sync(lambda: ticked(server), TRAINED_WITHIN_S, what="the tick is run")
        assert begun["requested_by"] == "schedule * * * * *"
        assert wait_over(server, begun["id"])["status"] == "skipped"
        assert "scheduled runs are skipped" in server.log, "nine were too late"
    with serving(tmp_path, {}) as server:
        server.wait_ready("als")
        assert server.predict("als", {"user_id": 1}).status == 200
        minutes = time.time() // 60 - began_at // 60
        assert len(ticked(server)) <= minutes + 1


def test_enough_new_interactions_begin_a_run(shop: PostgresDatabase, tmp_path: Path) -> None:
    shop.run("ALTER TABLE interactions DROP COLUMN number")
    data = {"interactions": "SELECT * FROM interactions"}
    with serving(tmp_path, config_of(shop, after_interactions=30, data=data)) as server:
        server.wait_ready("als", deadline_s=TRAINED_WITHIN_S)
        first = current(server)
        for user in range(USERS + 1, USERS + 4):
            assert server.predict("als", {"user_id": user}).status == 404
            posted = [{"user_id": user, "item_id": item} for item in range(1, 11)]
            assert server.ask("POST", "/interactions", {"interactions": posted}, ADMIN).body["accepted"] == 10
            assert server.predict("als", {"user_id": user}).status == 200
        began = wait_until_sync(
            lambda: [each for each in server.get("/training/runs").body["runs"] if each["cause"] == "interactions"],
            TRAINED_WITHIN_S,
            what="a run begins",
        )
        ended = wait_over(server, began[0]["id"])
        assert (ended["status"], ended["requested_by"]) == ("published", "30 new interactions"), ended
        server.wait_model("als", lambda model: model["version"] == ended["version"] != first, "it serves")
        assert server.predict("als", {"user_id": USERS + 1}).status == 200


SOURCES = {"missing": "source_not_found", "invalid": "unknown_format", "untrained": "not_trained"}
"""Models by what is wrong with their source, and how that failure is called."""


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "invalid").write_bytes(b"this is no model" * 1000)
    write(als_dict(is_trained=False), tmp_path / "untrained", "pickle4")
    return {name: tmp_path / name for name in SOURCES}


def test_a_source_that_cannot_be_had_gives_way_to_a_training_until_it_is_back(
    shop: PostgresDatabase, tmp_path: Path, sources: dict[str, Path]
) -> None:
    config = dict(config_of(shop), server={"default_model": "missing"})
    config["models"] = {name: {"source": str(path), "fallback": "training:als", "watch": True} for name, path in sources.items()}
    with serving(tmp_path, config) as server:
        with shop.held("interactions"):
            for name in SOURCES:
                server.wait_model(name, lambda model: model["phase"] == "training", f"{name} is trained", TRAINED_WITHIN_S)
                reply = server.predict(name, {"user_id": 1})
                assert (reply.status, reply.body["phase"]) == (202, "training"), reply
                assert reply.retry_after_s
            assert server.get("/health/ready").status == 503
        server.wait_ready(*SOURCES, deadline_s=TRAINED_WITHIN_S)
        for name, type in SOURCES.items():
            reply = server.predict(name, {"user_id": 1})
            assert reply.status == 200, reply
            model = server.model(name)
            assert (model["version"], model["stale"]) == (current(server), True)
            assert model["failure"]["type"] == type == model["load"]["fallback"]["because"]["type"]
        (fallback,) = server.get("/training/runs").body["runs"]
        assert (fallback["cause"], fallback["status"]) == ("fallback", "published"), "once for all of them"
        for path in sources.values():
            write(als_dict(), path.with_suffix(".new"), "pickle4").rename(path)
        for name in SOURCES:
            model = server.wait_model(name, lambda model: not model["stale"], f"the source of {name} is back", TRAINED_WITHIN_S)
            assert model["failure"] is None and "fallback" not in model["load"]
            assert model["revision"].startswith("file:")
