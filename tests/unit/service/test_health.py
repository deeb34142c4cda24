"""/health, /health/live, /health/ready and /status: separate truths."""

from __future__ import annotations

import os

import pytest

from service.keys import STOPPING
from service.lifecycle.state import Entry
from tests.unit.service.conftest import ClientOf
from tests.unit.service.fakes import LIVE, FakeRegistry, failed, live, loading

BROKEN = failed(type="corrupt_artifact")


@pytest.mark.parametrize(
    ("entry", "overall"),
    [
        (live(), "ok"),
        (loading(), "loading"),
        (BROKEN, "degraded"),
        (Entry("als", unloaded=True), "degraded"),
        (Entry("als", on_demand=True), "ok"),
        (Entry("als", live=LIVE, failure=BROKEN.failure), "degraded"),
    ],
    ids=["live", "loading", "failed", "unloaded", "not_started", "stale"],
)
async def test_health_is_200_whatever_the_models_do(client_of: ClientOf, entry: Entry, overall: str) -> None:
    client = await client_of(FakeRegistry(entry, live("other")))
    async with client.get("/health") as response:
        body = await response.json()
    assert response.status == 200
    assert body["status"] == overall
    assert set(body["models"]) == {"als", "other"}


async def test_health_with_nothing_configured(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry())
    async with client.get("/health") as response:
        assert (response.status, await response.json()) == (200, {"status": "degraded", "models": {}})
    async with client.get("/health/live") as response:
        assert response.status == 200
    async with client.get("/health/ready") as response:
        assert response.status == 503
        assert response.content_type == "application/problem+json"


@pytest.mark.parametrize(
    ("entry", "required", "http"),
    [
        (live(), True, 200),
        (Entry("als", live=LIVE, failure=BROKEN.failure), True, 200),
        (Entry("als", live=LIVE, attempt=loading().attempt), True, 200),
        (loading(), True, 503),
        (BROKEN, True, 503),
        (Entry("als", unloaded=True), True, 503),
        (Entry("als", on_demand=True), True, 503),
        (loading(), False, 200),
        (BROKEN, False, 200),
    ],
)
async def test_ready_waits_for_required_models(client_of: ClientOf, entry: Entry, required: bool, http: int) -> None:
    client = await client_of(FakeRegistry(entry, required=required))
    async with client.get("/health/ready") as response:
        body = await response.json()
    assert response.status == http
    if http == 503:
        assert body["waiting_for"] == ["als"]
        assert body["models"] == {"als": str(body["models"]["als"])}


async def test_a_stopping_server_is_not_ready(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(live()))
    client.app[STOPPING].set()
    async with client.get("/health/ready") as response:
        assert response.status == 503
    async with client.get("/health/live") as response:
        assert response.status == 200


async def test_status_shows_the_process_and_the_models(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(live(), loading("bpr")))
    async with client.get("/status") as response:
        body = await response.json()
    assert [worker["pid"] for worker in body["workers"]] == [os.getpid()]
    assert 0 < body["memory"]["private_bytes"] <= body["memory"]["rss_bytes"] < body["memory"]["host_total_bytes"]
    assert [model["name"] for model in body["models"]] == ["als", "bpr"]
    assert body["uptime_s"] >= 0
    assert body["version"]


async def test_the_status_object_is_everywhere_the_same(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(live(), loading("bpr")))

    async def get(path: str) -> object:
        async with client.get(path) as response:
            assert response.status == 200
            return await response.json()

    one = await get("/models/als")
    assert await get("/models/als/status") == one
    listed = await get("/models")
    assert await get("/models/status") == listed
    assert isinstance(listed, dict)
    assert listed["models"][0] == one
