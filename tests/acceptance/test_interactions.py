"""Whoever posts what they did is answered from it on the next request: with the real program, databases and trained models.

Covers: a user whom no model knows, every kind of recommender, a restart, a new version; the client, and an answer that is
lost. Does not cover: what a body may say (`tests/unit/service/test_interactions.py`), kinds of tables (`tests/contracts/test_ingest.py`).
"""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.client import Holdfast, InvalidQuestion, Posted, Unauthorized
from tests.acceptance.running import ADMIN, Beside, Server, serving
from tests.doubles.faults import FaultProxy, Plan
from tests.doubles.postgres import PostgresDatabase
from tests.support import wait_until_sync
from training.made_up.interactions import write_database
from training.made_up.planted import Planted, plant

GROUP = 4
NEWCOMER = 9_001
TRAINED_WITHIN_S = 180.0
INGEST = "only-for-posting"


def planted() -> Planted:
    return plant(users=300, items=200, likes_per_user=20)


def of_group(data: Planted, count: int = 5) -> list[int]:
    """Ids of the first items of one group."""
    return [row + 1 for row, group in enumerate(data.item_group.tolist()) if group == GROUP][:count]


def write_postgres(postgres: PostgresDatabase, data: Planted) -> None:
    rows = zip((data.users + 1).tolist(), (data.items + 1).tolist(), data.weights.tolist(), data.timestamps.tolist(), strict=True)
    told = ",".join(f"({row + 1},'{title}','{data.categories[row]}')" for row, title in enumerate(data.titles))
    postgres.run(
        "CREATE TABLE interactions (user_id int, item_id int, weight real, ts timestamptz);"
        "CREATE TABLE items (item_id int, title text, category text);"
        f"INSERT INTO interactions VALUES {','.join(f'({user},{item},{weight},to_timestamp({at}))' for user, item, weight, at in rows)};"
        f"INSERT INTO items VALUES {told};"
    )


def in_sqlite(request: pytest.FixtureRequest) -> str:
    folder: Path = request.getfixturevalue("tmp_path")
    write_database(folder / "data.db", planted())
    return f"sqlite:///{folder}/data.db"


def in_postgres(request: pytest.FixtureRequest) -> str:
    postgres: PostgresDatabase = request.getfixturevalue("postgres")
    write_postgres(postgres, planted())
    return postgres.url


@pytest.fixture(params=[in_sqlite, in_postgres])
def url(request: pytest.FixtureRequest) -> str:
    made: Callable[[pytest.FixtureRequest], str] = request.param
    return made(request)


@contextmanager
def trained(folder: Path, url: str, **rest: Any) -> Iterator[Server]:
    """Three trainings that serve; those of the store where there are any."""
    config = {
        "data": {"url": url, "ingest_token": INGEST},
        "server": {"default_model": "als"},
        "training.als": {"algorithm": "als"},
        "training.als.parameters": {"factors": 16, "sweeps": 6, "regularization": 10.0},
        "training.content": {"algorithm": "content"},
        "training.hybrid": {"algorithm": "hybrid"},
        "training.hybrid.parts": {"content": "content", "collaborative": "als"},
    }
    with serving(folder, config, **rest) as server:
        server.wait_ready("als", "content", "hybrid", deadline_s=TRAINED_WITHIN_S)
        yield server


def answer(server: Server, model: str, **question: Any) -> dict[str, Any]:
    reply = server.predict(model, {"user_id": NEWCOMER, "k": 10, **question})
    assert reply.status == 200, reply
    found: dict[str, Any] = reply.body
    return found


def test_whoever_posts_five_interactions_is_answered_from_them_on_the_next_request(url: str, tmp_path: Path) -> None:
    data = planted()
    liked = of_group(data)
    with trained(tmp_path, url, expects_clean_end=False) as server:
        assert server.model("als")["details"]["learned_until"] < "2026"
        assert server.predict("als", {"user_id": NEWCOMER}).status == 404
        body = {"interactions": [{"user_id": NEWCOMER, "item_id": item} for item in liked]}
        keyed = {"Authorization": f"Bearer {INGEST}", "Idempotency-Key": "first-visit"}
        taken = server.ask("POST", "/interactions", body, keyed)
        assert (taken.status, taken.body) == (202, {"accepted": 5, "duplicate": False})
        before = {}
        for model in ("als", "content", "hybrid"):
            found = answer(server, model, explain=True)
            items = [item["item_id"] for item in found["items"]]
            groups = [int(data.item_group[item - 1]) for item in items[:5]]
            assert found["folded_in"] == 5 and len(items) == 10
            assert not set(items) & set(liked), "what they did is seen"
            assert groups == [GROUP] * 5, model  # of ten in the catalogue they have five
            assert {reason["item_id"] for reason in found["items"][0]["because"]} <= set(liked)
            before[model] = items
        again = server.ask("POST", "/interactions", body, {**ADMIN, "Idempotency-Key": "first-visit"})
        assert (again.status, again.body) == (202, {"accepted": 5, "duplicate": True})
        assert [item["item_id"] for item in answer(server, "als")["items"]] == before["als"]
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    with trained(tmp_path, url) as server:
        wait_until_sync(lambda: server.predict("als", {"user_id": NEWCOMER}).status == 200, 30.0, what="it is known again")
        for model, items in before.items():
            assert [item["item_id"] for item in answer(server, model)["items"]] == items
        version = server.model("als")["version"]
        assert server.command("POST", "/models/als/train?force=true").status == 202
        server.wait_model("als", lambda model: model["version"] != version, "the new version serves", TRAINED_WITHIN_S)
        found = answer(server, "als")
        items = [item["item_id"] for item in found["items"]]
        assert not set(items) & set(liked)
        assert [int(data.item_group[item - 1]) for item in items[:5]] == [GROUP] * 5


def lose_the_next_answer(proxy: FaultProxy) -> None:
    """The next request is carried out, and its connection is cut after the first byte of the answer; those after it pass."""

    async def heal() -> None:
        proxy.heal()

    proxy.plan = Plan(cut_after=1, at=(1, heal))


def test_what_the_client_posts_counts_once_though_its_answer_was_lost(beside: Beside, tmp_path: Path) -> None:
    config = {"data": {"url": f"sqlite:///{tmp_path}/data.db", "ingest_token": INGEST}}
    visit: list[dict[str, Any]] = [{"user_id": NEWCOMER, "item_id": 5}, {"user_id": NEWCOMER, "item_id": 25, "weight": 2}]
    at = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    dated = [{"user_id": NEWCOMER, "item_id": 30, "ts": at}]

    async def post_at_once(client: Holdfast) -> Posted:
        async with client as twin:
            return await twin.post_interactions(visit)

    with serving(tmp_path, config) as server:
        host, _, port = server.url.removeprefix("http://").rpartition(":")
        proxy: FaultProxy = beside.enter(FaultProxy((host, int(port))))
        with Holdfast(proxy.url, INGEST) as client:
            lose_the_next_answer(proxy)
            assert client.post_interactions(visit) == Posted(2, duplicate=True)
            client.close()
            lose_the_next_answer(proxy)
            assert asyncio.run(post_at_once(client)) == Posted(2, duplicate=True)
            assert client.post_interactions(visit) == Posted(2, duplicate=False)  # another call is another visit
            for is_duplicate in (False, True):
                assert client.post_interactions(dated, key="visit-4711") == Posted(1, duplicate=is_duplicate)
            with pytest.raises(InvalidQuestion, match="stands for another request") as reused:
                client.post_interactions(visit, key="visit-4711")
            assert reused.value.field == "Idempotency-Key"
            with pytest.raises(InvalidQuestion) as wrong:
                client.post_interactions([visit[0], {**visit[1], "item_id": None}])
            assert wrong.value.field == "interactions[1].item_id"
            with pytest.raises(InvalidQuestion):
                client.post_interactions([visit[0]] * 10_001)
            with pytest.raises(Unauthorized):
                client.clear()
        with Holdfast(server.url, "wrong") as stranger, pytest.raises(Unauthorized):
            stranger.post_interactions(visit)
    with closing(sqlite3.connect(tmp_path / "data.db")) as database:
        rows = database.execute("SELECT item_id, count(*), max(weight), min(ts) FROM interactions GROUP BY item_id").fetchall()
    assert [row[:3] for row in rows] == [(5, 3, 1.0), (25, 3, 2.0), (30, 1, 1.0)]
    assert rows[2][3] == at.timestamp()
