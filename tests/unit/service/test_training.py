"""Training's addresses: what is known of what serves, and 501 for what this version does not do."""

from __future__ import annotations

from typing import Any

import pytest

from service.lifecycle.lease import Held
from service.lifecycle.state import Phase
from tests.unit.service.conftest import ClientOf
from tests.unit.service.fakes import FakeLoaded, FakeRegistry, live, loading

TOKEN = "s3cret-token"
TRAINED_AT = "2026-03-04T05:06:07Z"


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


async def test_there_are_no_runs(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(live()))
    assert await ask(client, "GET", "/training/runs") == (200, {"runs": []})
    status, body = await ask(client, "GET", "/training/runs/7")
    assert (status, body["type"]) == (404, "urn:holdfast:problem:unknown-run")
    assert "'7'" in body["detail"]


@pytest.mark.parametrize("path", ["/api/ml/train-all", "/models/als/train", "/interactions"])
async def test_what_this_version_does_not_do_is_501_and_says_what_to_do(client_of: ClientOf, path: str) -> None:
    client = await client_of(FakeRegistry(live()), token=TOKEN)
    status, body = await ask(client, "POST", path)
    assert (status, body["type"], body["title"]) == (501, "urn:holdfast:problem:not-implemented", "Not implemented")
    assert "train elsewhere" in body["detail"]
    async with client.post(path) as response:
        assert response.status == 401


async def test_an_unknown_model_cannot_be_trained(client_of: ClientOf) -> None:
    assert (await ask(await client_of(FakeRegistry(live()), token=TOKEN), "POST", "/models/nobody/train"))[0] == 404
