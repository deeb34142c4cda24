"""Commands, and the token in front of them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from service.keys import STOPPING
from service.lifecycle.state import Entry
from tests.support import wait_until
from tests.unit.service.conftest import ClientOf
from tests.unit.service.fakes import FakeRegistry, failed, live, loading

TOKEN = "s3cret-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


async def call(client: Any, method: str, path: str, headers: Mapping[str, str] = BEARER) -> tuple[int, Any, Any]:
    async with client.request(method, path, headers=headers) as response:
        return response.status, await response.json(content_type=None), response


@pytest.mark.parametrize("token", ["", "   "], ids=["none", "blank"])
@pytest.mark.parametrize("headers", [{}, BEARER, {"X-ADMIN-TOKEN": ""}])
async def test_without_a_configured_token_commands_are_403_and_say_how_to_set_one(
    client_of: ClientOf, token: str, headers: dict[str, str]
) -> None:
    registry = FakeRegistry(live())
    status, problem, _ = await call(await client_of(registry, token=token), "POST", "/models/als/load", headers)
    assert status == 403
    assert "ADMIN_LOAD_TOKEN" in problem["detail"]
    assert not registry.commands


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-ADMIN-TOKEN": ""},
        {"X-ADMIN-TOKEN": "wrong"},
        {"X-ADMIN-TOKEN": TOKEN + "x"},
        {"X-ADMIN-TOKEN": "ungültig"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
    ],
)
async def test_a_missing_or_wrong_token_is_401(client_of: ClientOf, headers: dict[str, str]) -> None:
    registry = FakeRegistry(live())
    status, _, response = await call(await client_of(registry, token=TOKEN), "POST", "/models/als/load", headers)
    assert status == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert not registry.commands


@pytest.mark.parametrize("headers", [BEARER, {"Authorization": f"bearer {TOKEN}"}, {"X-ADMIN-TOKEN": TOKEN}])
async def test_the_right_token_in_either_header(client_of: ClientOf, headers: dict[str, str]) -> None:
    registry = FakeRegistry(live())
    status, body, _ = await call(await client_of(registry, token=TOKEN), "POST", "/models/als/load", headers)
    assert (status, body["name"]) == (202, "als")
    assert registry.commands == [("load", "als")]


async def test_every_call_leaves_one_audit_line_without_the_token(client_of: ClientOf, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "holdfast.audit")
    client = await client_of(FakeRegistry(live()), token=TOKEN)
    await call(client, "POST", "/models/als/reload?force=true")
    await call(client, "POST", "/models/als/reload", {"X-ADMIN-TOKEN": "wrong"})
    await call(client, "POST", "/models/nobody/load")
    records = [vars(record) for record in caplog.records if record.name == "holdfast.audit"]
    assert [record["outcome"] for record in records] == ["202", "unauthorized", "UnknownModel"]
    assert [record["model"] for record in records] == ["als", "als", "nobody"]
    assert TOKEN not in str(records)


@pytest.mark.parametrize(
    ("method", "path", "command"),
    [
        ("POST", "/models/als/load", ("load", "als")),
        ("POST", "/models/als/unload", ("unload", "als")),
        ("POST", "/models/als/reload", ("reload", "als", False)),
        ("POST", "/models/als/reload?force=true", ("reload", "als", True)),
        ("POST", "/models/reload", ("reload_all", True)),
        ("DELETE", "/models/als/cache", ("clear", "als")),
        ("DELETE", "/models/clear", ("clear", None)),
    ],
)
async def test_a_command_is_passed_on_and_answered_202(client_of: ClientOf, method: str, path: str, command: tuple[Any, ...]) -> None:
    registry = FakeRegistry(live(), live("bpr"))
    status, body, _ = await call(await client_of(registry, token=TOKEN), method, path)
    assert status == 202
    assert registry.commands == [command]
    if method == "DELETE":
        assert body["freed_bytes"] == 4096
    assert body.get("name") == "als" or [model["name"] for model in body["models"]] == ["als", "bpr"]


async def test_waiting_for_a_load_that_succeeds(client_of: ClientOf) -> None:
    registry = FakeRegistry(failed())
    registry.after["load"] = lambda entry: loading()
    client = await client_of(registry, token=TOKEN)
    asked = asyncio.create_task(call(client, "POST", "/models/als/load?wait=30"))
    await wait_until(lambda: registry.commands)
    await registry.put(live())
    status, body, _ = await asked
    assert (status, body["status"]) == (200, "ready")


async def test_waiting_for_an_unload(client_of: ClientOf) -> None:
    registry = FakeRegistry(live())
    registry.after["unload"] = lambda entry: Entry("als", unloaded=True)
    status, body, _ = await call(await client_of(registry, token=TOKEN), "POST", "/models/als/unload?wait=5")
    assert (status, body["status"]) == (200, "unloaded")


async def test_waiting_for_a_load_that_fails(client_of: ClientOf) -> None:
    registry = FakeRegistry(loading())
    registry.after["load"] = lambda entry: failed(next_attempt_at=time.time() + 10)
    status, body, response = await call(await client_of(registry, token=TOKEN), "POST", "/models/als/load?wait=5")
    assert (status, body["model"], body["failure"]["type"]) == (503, "als", "source_unavailable")
    assert int(response.headers["Retry-After"]) >= 1


async def test_waiting_for_a_reload_that_fails_is_503_although_the_old_version_serves(client_of: ClientOf) -> None:
    registry = FakeRegistry(live())
    registry.after["reload"] = lambda entry: replace(entry, failure=failed(type="corrupt_artifact").failure)
    status, body, response = await call(await client_of(registry, token=TOKEN), "POST", "/models/als/reload?wait=5")
    assert (status, body["model_status"], body["failure"]["type"]) == (503, "ready", "corrupt_artifact")
    assert "Retry-After" not in response.headers


async def test_waiting_is_over_before_the_load_is(client_of: ClientOf) -> None:
    status, body, _ = await call(await client_of(FakeRegistry(loading()), token=TOKEN), "POST", "/models/als/load?wait=0.01")
    assert (status, body["status"]) == (202, "loading")


async def test_prefer_wait_does_the_same(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(live()), token=TOKEN)
    status, _, _ = await call(client, "POST", "/models/als/load", {**BEARER, "Prefer": "wait=5"})
    assert status == 200


async def test_waiting_for_all(client_of: ClientOf) -> None:
    registry = FakeRegistry(live(), live("bpr"))
    client = await client_of(registry, token=TOKEN)
    status, body, _ = await call(client, "POST", "/models/reload?wait=5")
    assert (status, [model["status"] for model in body["models"]]) == (200, ["ready", "ready"])
    registry.entries["bpr"] = failed("bpr")
    status, body, _ = await call(client, "POST", "/models/reload?wait=5")
    assert (status, body["failed"]) == (503, ["bpr"])
    registry.entries["bpr"] = loading("bpr")
    status, _, _ = await call(client, "POST", "/models/reload?wait=0.01")
    assert status == 202


async def test_a_stopping_server_keeps_no_operator_waiting(client_of: ClientOf) -> None:
    registry = FakeRegistry(loading())
    client = await client_of(registry, token=TOKEN)
    asked = asyncio.create_task(call(client, "POST", "/models/als/load?wait=60"))
    await wait_until(lambda: registry.commands)
    client.app[STOPPING].set()
    status, _, _ = await asyncio.wait_for(asked, 10)
    assert status == 202


@pytest.mark.parametrize("query", ["wait=soon", "wait=-1", "force=perhaps"])
async def test_a_bad_query_is_422_and_commands_nothing(client_of: ClientOf, query: str) -> None:
    registry = FakeRegistry(live())
    status, problem, _ = await call(await client_of(registry, token=TOKEN), "POST", f"/models/als/reload?{query}")
    assert (status, problem["field"]) == (422, query.partition("=")[0])
    assert not registry.commands
