"""Commands, and the token in front of them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from service.admin import guarded
from service.keys import STOPPING
from service.lifecycle.errors import ArchiveUnavailable
from service.lifecycle.state import Entry
from service.routes.admin import load
from service.wrong_tokens import FREE
from tests.support import wait_until
from tests.unit.service.conftest import ClientOf
from tests.unit.service.fakes import VERSION, FakeRegistry, failed, live, loading

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
    assert [record["status"] for record in records] == [202, 401, 404]
    assert [record["levelname"] for record in records] == ["INFO", "WARNING", "WARNING"]
    assert all(record["duration_ms"] >= 0 and record["remote"] == "127.0.0.1" for record in records)
    assert TOKEN not in str(records)


async def test_the_audit_line_names_the_model_of_the_query_and_what_a_proxy_says(
    client_of: ClientOf, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "holdfast.audit")
    client = await client_of(FakeRegistry(live()), token=TOKEN)
    await call(client, "POST", f"/ml/load?model=als&wait={'0' * 500}", {**BEARER, "X-Forwarded-For": "198.51.100.7, " + "x" * 500})
    (record,) = (vars(record) for record in caplog.records if record.name == "holdfast.audit")
    assert (record["model"], record["remote"]) == ("als", "127.0.0.1")
    assert record["forwarded_for"].startswith("198.51.100.7, ")
    assert len(record["forwarded_for"]) == len(record["query"]) == 200


async def test_a_defect_has_its_audit_line_with_the_number_that_was_answered(client_of: ClientOf, caplog: pytest.LogCaptureFixture) -> None:
    registry = FakeRegistry(live())
    client = await client_of(registry, token=TOKEN)
    registry.failing = RuntimeError("a defect")
    assert (await call(client, "POST", "/models/als/load"))[0] == 500
    (record,) = (vars(record) for record in caplog.records if record.name == "holdfast.audit")
    assert (record["status"], record["outcome"]) == (500, "RuntimeError")


async def test_a_call_that_is_cancelled_has_its_audit_line_too(client_of: ClientOf, caplog: pytest.LogCaptureFixture) -> None:
    registry = FakeRegistry(loading())
    client = await client_of(registry, token=TOKEN)
    request = make_mocked_request("POST", "/models/als/load?wait=60", headers=BEARER, app=client.app, match_info={"model": "als"})
    asked = asyncio.ensure_future(guarded(load)(request))
    await wait_until(lambda: registry.commands)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    (record,) = (vars(record) for record in caplog.records if record.name == "holdfast.audit")
    assert (record["outcome"], "status" in record and record["status"]) == ("cancelled", None)


async def test_wrong_tokens_are_told_to_stay_away_and_the_right_one_never_is(client_of: ClientOf) -> None:
    registry = FakeRegistry(live())
    client = await client_of(registry, token=TOKEN)
    wrong = {"X-ADMIN-TOKEN": "wrong"}
    assert [(await call(client, "POST", "/models/als/load", wrong))[0] for _ in range(FREE)] == [401] * FREE
    for expected_s in (2, 4, 8):
        status, problem, response = await call(client, "DELETE", "/models/clear", wrong)
        assert (status, problem["type"]) == (429, "urn:holdfast:problem:too-many-attempts")
        assert (problem["retry_after_s"], response.headers["Retry-After"]) == (expected_s, str(expected_s))
    assert not registry.commands
    assert (await call(client, "POST", "/models/als/load", {}))[0] == 401
    assert (await call(client, "POST", "/models/als/load"))[0] == 202
    assert (await call(client, "POST", "/models/als/load", wrong))[0] == 429


async def test_who_sends_no_token_guesses_none(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(live()), token=TOKEN)
    assert {(await call(client, "POST", "/models/als/load", {}))[0] for _ in range(3 * FREE)} == {401}


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


async def test_where_to_see_what_comes_of_a_command(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(live()), token=TOKEN)
    assert (await call(client, "POST", "/models/als/reload"))[2].headers["Location"] == "/models/als"
    assert (await call(client, "POST", "/models/reload"))[2].headers["Location"] == "/models"
    assert "Location" not in (await call(client, "POST", "/models/als/reload?wait=5"))[2].headers


@pytest.mark.parametrize("path", ["/models/als/cache", "/models/clear"])
async def test_what_was_waited_for_is_done(client_of: ClientOf, path: str) -> None:
    assert (await call(await client_of(FakeRegistry(live()), token=TOKEN), "DELETE", f"{path}?wait=5"))[0] == 200


@pytest.mark.parametrize("query", ["", "?wait=5"])
async def test_without_an_earlier_version_there_is_nothing_to_roll_back_to(client_of: ClientOf, query: str) -> None:
    registry = FakeRegistry(live())
    status, problem, _ = await call(await client_of(registry, token=TOKEN), "POST", f"/models/als/rollback{query}")
    assert (status, problem["type"], problem["model"]) == (409, "urn:holdfast:problem:no-earlier-version", "als")


async def test_a_roll_back_is_answered_like_any_command(client_of: ClientOf) -> None:
    registry = FakeRegistry(live())
    registry.rolled_back = ["als"]
    client = await client_of(registry, token=TOKEN)
    status, body, _ = await call(client, "POST", "/models/als/rollback")
    assert (status, body["name"]) == (202, "als")
    assert (await call(client, "POST", "/models/als/rollback?wait=5"))[0] == 200
    assert (await call(client, "POST", f"/models/als/rollback?to={VERSION}"))[0] == 202
    assert (await call(client, "POST", "/models/als/rollback?unpin=true"))[0] == 202
    assert (await call(client, "POST", f"/models/als/activate?version={VERSION}&wait=5"))[0] == 200
    assert (await call(client, "POST", f"/models/als/rollback?to={VERSION}&unpin=true"))[0] == 202
    went = ("rollback", "als", VERSION), ("unpin", "als"), ("activate", "als", VERSION), ("activate", "als", VERSION)
    told = [("rollback", "als"), ("rollback", "als"), *went]
    assert registry.commands == told


@pytest.mark.parametrize(
    ("address", "status", "field"),
    [
        ("rollback?to=v0", 404, "to"),
        ("activate?version=v0", 404, "version"),
        ("rollback?to=v0&unpin=true", 404, "to"),
        ("rollback?unpin=perhaps", 422, "unpin"),
        ("activate", 422, "version"),
        ("activate?version=", 422, "version"),
        (f"activate?version={VERSION}&to={VERSION}", 422, "to"),
    ],
)
async def test_a_version_that_is_not_kept_is_named_by_its_parameter(client_of: ClientOf, address: str, status: int, field: str) -> None:
    registry = FakeRegistry(live())
    registry.rolled_back = ["als"]
    told, problem, _ = await call(await client_of(registry, token=TOKEN), "POST", f"/models/als/{address}")
    assert (told, problem["field"]) == (status, field)
    assert registry.commands == []


async def test_an_archive_that_cannot_be_read_is_503(client_of: ClientOf) -> None:
    registry = FakeRegistry(live())
    registry.failing = ArchiveUnavailable("als cannot be read: Input/output error")
    client = await client_of(registry, token=TOKEN)
    for method, path in (("GET", "/models/als/versions"), ("POST", "/models/als/rollback")):
        status, problem, _ = await call(client, method, path)
        assert (status, problem["type"]) == (503, "urn:holdfast:problem:store-unavailable")
        assert "Input/output error" in problem["detail"]


async def test_the_versions_that_are_kept(client_of: ClientOf) -> None:
    registry = FakeRegistry(live(), loading("bpr"))
    client = await client_of(registry)
    _, body, _ = await call(client, "GET", "/models/als/versions", {})
    of_it = {"revision": "etag:1", "family": "factors", "loaded_at": "2023-11-14T22:13:20.000Z", "artifact_bytes": 1000}
    untrained = ("metrics", "published_at", "trained_at", "algorithm", "parameters", "verdict", "withdrawn")
    version = {"version": VERSION, "live": True, "pinned": False, **of_it, "segment_bytes": 500, **dict.fromkeys(untrained)}
    assert body == {"model": "als", "live": VERSION, "current": None, "pinned": None, "versions": [version]}
    _, body, _ = await call(client, "GET", "/models/bpr/versions", {})
    assert body == {"model": "bpr", "live": None, "current": None, "pinned": None, "versions": []}
    assert (await call(client, "GET", "/models/nobody/versions", {}))[0] == 404
