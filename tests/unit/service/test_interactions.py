"""POST /interactions: who may, what a body may say, what is told of it, and the next answer."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from config.schema import DataSettings
from models.base import Query
from service import intake
from service.app import build_app
from service.keys import RECENT
from tests.unit.models.test_recent import als_bundle, als_ids
from tests.unit.service.fakes import FakeRegistry, live, settings_for
from training.errors import DataUnavailable
from training.ingest.base import Appended

TOKEN, INGEST = "s3cret-token", "ingest-token"
ADMIN = {"X-ADMIN-TOKEN": TOKEN}
ONE = {"user_id": 1, "item_id": 101}
Client = TestClient[Any, Any]


class Started:
    """Applications over a fake registry, with a SQLite database of their own."""

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder

    async def __call__(self, *, registry: FakeRegistry | None = None, token: str = TOKEN, **data: Any) -> Client:
        chosen = {"url": f"sqlite:///{self._folder}/data.db", "ingest_token": INGEST, **data}
        found = registry or FakeRegistry(live())
        settings = replace(settings_for(found, self._folder, token=token), data=DataSettings(**chosen))
        return await self._stack.enter_async_context(TestClient(TestServer(build_app(settings, supervisor=found, environ={}))))


@pytest.fixture
async def started(tmp_path: Path) -> AsyncIterator[Started]:
    async with AsyncExitStack() as stack:
        yield Started(stack, tmp_path)


async def post(client: Client, body: Any, headers: Mapping[str, str] = ADMIN, path: str = "/interactions") -> tuple[int, Any, Any]:
    async with client.post(path, json=body, headers=dict(headers)) as response:
        return response.status, await response.json(content_type=None), response.headers


def known(client: Client, user: int | str) -> list[tuple[Any, float]]:
    app = client.app
    assert app is not None
    return [(each.item, each.weight) for each in app[RECENT].of([user]).get(user, ())]


# -- who ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [ADMIN, {"X-ADMIN-TOKEN": INGEST}, {"Authorization": f"Bearer {INGEST}"}])
async def test_either_token_may_post(started: Started, headers: dict[str, str]) -> None:
    assert (await post(await started(), ONE, headers))[:2] == (202, {"accepted": 1, "duplicate": False})


@pytest.mark.parametrize("headers", [{}, {"X-ADMIN-TOKEN": "wrong"}, {"X-ADMIN-TOKEN": INGEST + "x"}, {"X-ADMIN-TOKEN": ""}])
async def test_nobody_else_may(started: Started, headers: dict[str, str]) -> None:
    client = await started()
    assert (await post(client, ONE, headers))[0] == 401
    assert not known(client, 1)


async def test_the_ingest_token_commands_nothing(started: Started) -> None:
    client = await started()
    assert (await post(client, None, {"X-ADMIN-TOKEN": INGEST}, "/models/als/load"))[0] == 401


async def test_one_token_is_enough(started: Started) -> None:
    client = await started(token="")
    assert (await post(client, ONE, {"X-ADMIN-TOKEN": INGEST}))[0] == 202
    assert (await post(client, ONE, ADMIN))[0] == 401
    assert (await post(client, None, {"X-ADMIN-TOKEN": INGEST}, "/models/als/load"))[0] == 403
    client = await started(ingest_token="  ")
    assert (await post(client, ONE, ADMIN))[0] == 202
    assert (await post(client, ONE, {"X-ADMIN-TOKEN": "  "}))[0] == 401
    status, problem, _ = await post(await started(token="", ingest_token=""), ONE)
    assert status == 403 and "ingest_token" in problem["detail"]


async def test_only_refusals_are_told_in_the_log(started: Started, caplog: pytest.LogCaptureFixture) -> None:
    client = await started()
    with caplog.at_level(logging.INFO, "holdfast.audit"):
        await post(client, ONE)
        assert not caplog.records
        await post(client, ONE, {"X-ADMIN-TOKEN": "wrong"})
        assert [record.status for record in caplog.records] == [401]  # type: ignore[attr-defined]


# -- what ---------------------------------------------------------------------------------------------------------------


async def test_several_at_once(started: Started) -> None:
    client = await started()
    body = {"interactions": [ONE, {"user_id": "1", "item_id": "x", "weight": 0.5, "ts": "2026-03-04T05:06:07+01:00"}, {**ONE, "ts": 5}]}
    assert (await post(client, body))[:2] == (202, {"accepted": 3, "duplicate": False})
    assert known(client, 1) == [(101, 1.0), (101, 1.0)] and known(client, "1") == [("x", 0.5)]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"user_id": None}, "user_id"),
        ({"user_id": 1.5}, "user_id"),
        ({"user_id": True}, "user_id"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": "x" * 501}, "user_id"),
        ({"item_id": "a\0b"}, "item_id"),
        ({"item_id": 2**63}, "item_id"),
        ({"item_id": [1]}, "item_id"),
        ({"weight": 0}, "weight"),
        ({"weight": -1}, "weight"),
        ({"weight": "1"}, "weight"),
        ({"weight": 1e31}, "weight"),
        ({"ts": "yesterday"}, "ts"),
        ({"ts": "2026-03-04T05:06:07"}, "ts"),
        ({"ts": "1960-03-04T05:06:07Z"}, "ts"),
        ({"ts": -1}, "ts"),
        ({"ts": 1_772_600_767_000}, "ts"),
        ({"ts": "9999-03-04T05:06:07Z"}, "ts"),
        ({"rating": 5}, "rating"),
    ],
    ids=str,
)
async def test_a_field_that_cannot_be_used_is_named_and_nothing_is_taken(started: Started, changes: dict[str, Any], field: str) -> None:
    client = await started()
    status, problem, _ = await post(client, {**ONE, **changes})
    assert (status, problem["field"]) == (422, field)
    status, problem, _ = await post(client, {"interactions": [ONE, ONE, {**ONE, **changes}]})
    assert (status, problem["field"]) == (422, f"interactions[2].{field}")
    assert not known(client, 1)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "user_id"),
        ({"user_id": 1}, "item_id"),
        ({"interactions": []}, "interactions"),
        ({"interactions": None}, "interactions"),
        ({"interactions": [ONE], "user_id": 1}, "user_id"),
        ({"interactions": [ONE] * 10_001}, "interactions"),
        ([ONE], "body"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_body_that_is_something_else(started: Started, body: Any, field: str) -> None:
    status, problem, _ = await post(await started(), body)
    assert (status, problem["field"]) == (422, field)


async def test_clocks_may_differ_by_a_day(started: Started) -> None:
    client = await started()
    assert (await post(client, {**ONE, "ts": time.time() + 80_000}))[0] == 202
    assert (await post(client, {**ONE, "ts": time.time() + 90_000}))[0] == 422


async def test_the_kinds_of_the_table_count(started: Started, tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(tmp_path / "data.db")) as database, database:
        database.execute("CREATE TABLE interactions (user_id INTEGER, item_id INTEGER CHECK (item_id > 0), weight, ts)")
    client = await started()
    status, problem, _ = await post(client, {"interactions": [ONE, {**ONE, "user_id": "1"}]})
    assert (status, problem["field"]) == (422, "interactions[1].user_id") and "whole numbers" in problem["detail"]
    status, problem, _ = await post(client, {**ONE, "user_id": "1"})
    assert (status, problem["field"]) == (422, "user_id")
    status, problem, _ = await post(client, {**ONE, "item_id": -1})
    assert (status, problem["field"]) == (422, "interactions")
    assert not known(client, 1)


# -- once ---------------------------------------------------------------------------------------------------------------


async def test_a_request_counts_once_under_its_key(started: Started) -> None:
    client = await started()
    keyed = {**ADMIN, "Idempotency-Key": "basket-17"}
    assert (await post(client, {"interactions": [ONE]}, keyed))[:2] == (202, {"accepted": 1, "duplicate": False})
    again = {"interactions": [{"item_id": 101, "user_id": 1, "weight": 1.0}]}
    assert (await post(client, again, keyed))[:2] == (202, {"accepted": 1, "duplicate": True})
    assert known(client, 1) == [(101, 1.0)]
    status, problem, _ = await post(client, {"interactions": [{**ONE, "item_id": 102}]}, keyed)
    assert (status, problem["field"]) == (422, "Idempotency-Key") and "basket-17" in problem["detail"]


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "ü"])
async def test_a_key_that_is_none(started: Started, key: str) -> None:
    status, problem, _ = await post(await started(), ONE, {**ADMIN, "Idempotency-Key": key})
    assert (status, problem["field"]) == (422, "Idempotency-Key")


# -- trouble ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["", "csv:///srv/data"])
async def test_where_nothing_takes_them_it_says_what_to_configure(started: Started, url: str) -> None:
    status, problem, _ = await post(await started(url=url), ONE)
    assert status == 409 and "[data] url" in problem["detail"]


async def test_a_database_that_is_away(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(self: Any, *asked: Any) -> Appended:
        raise DataUnavailable("connection refused")

    monkeypatch.setattr("training.ingest.sqlite.SqliteIngest.append", away)
    client = await started()
    status, problem, headers = await post(client, ONE)
    assert status == 503 and "connection refused" in problem["detail"]
    assert int(headers["Retry-After"]) == problem["retry_after_s"] > 0
    assert not known(client, 1)


async def test_too_many_at_the_same_time(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MOST_WAITING", 0)
    status, problem, headers = await post(await started(), ONE)
    assert status == 429 and headers["Retry-After"] == "1" and problem["retry_after_s"] == 1


async def test_the_metrics_count_them(started: Started) -> None:
    client = await started()
    await post(client, {"interactions": [ONE, ONE]})
    async with client.get("/metrics") as response:
        told = await response.text()
    assert "\nholdfast_interactions_total 2.0\n" in told and "\nholdfast_recent_users 1.0\n" in told


# -- the next answer ----------------------------------------------------------------------------------------------------


async def test_whoever_posted_is_answered_from_it_at_once_on_every_route(started: Started) -> None:
    from models.factors.score import open_scorer

    scorer = open_scorer(als_bundle())
    _, items = als_ids()
    client = await started(registry=FakeRegistry(live(), scorer=scorer))
    question = {"user_id": 777, "k": 5}
    assert (await post(client, question, path="/models/als/predict"))[0] == 404
    liked = [items[row] for row in (3, 11, 30)]
    await post(client, {"interactions": [{"user_id": 777, "item_id": item} for item in [*liked, "unknown"]]})
    (wanted,) = scorer.recommend(Query(liked=liked, k=5))
    status, answer, _ = await post(client, question, path="/models/als/predict")
    assert status == 200 and answer["folded_in"] == 3 and answer["user_id"] == 777
    assert [item["item_id"] for item in answer["items"]] == list(wanted.items)  # type: ignore[union-attr]
    _, answer, _ = await post(client, {"users": [777, "777"], "k": 5}, path="/models/als/predict")
    assert answer["results"][0]["folded_in"] == 3 and answer["results"][1]["error"]["status"] == 404
    async with client.get("/api/frontend/recommendations?user_id=777&algorithm=als&k=5") as response:
        frontend = await response.text()
    assert all(str(item) in frontend for item in wanted.items)  # type: ignore[union-attr]
    inputs = [{"name": "user_id", "shape": [1], "datatype": "INT64", "data": [777]}]
    status, answer, _ = await post(client, {"inputs": inputs, "parameters": {"k": 5}}, path="/v2/models/als/infer")
    assert status == 200 and list(wanted.items) in [output["data"] for output in answer["outputs"]]  # type: ignore[union-attr]


async def test_who_posted_only_what_the_model_does_not_know_stays_unknown(started: Started) -> None:
    from models.factors.score import open_scorer

    client = await started(registry=FakeRegistry(live(), scorer=open_scorer(als_bundle())))
    await post(client, {"user_id": 777, "item_id": "unknown"})
    status, problem, _ = await post(client, {"user_id": 777}, path="/models/als/predict")
    assert (status, problem["field"]) == (404, "user_id")
