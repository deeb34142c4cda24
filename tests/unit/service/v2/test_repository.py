"""The model repository and statistics over HTTP: index, commands that answer when they are done, calls counted.

Does not cover: what each route declares (`tests.contracts.test_routes`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.service.conftest import ClientOf
from tests.unit.service.fakes import VERSION, FakeRegistry, failed, live, loading
from tests.unit.service.v2.asking import ADMIN, INFER, TOKEN, USERS, error_of

# -- the repository -----------------------------------------------------------------------------------------------------


async def test_the_index(client_of: ClientOf) -> None:
    stale = replace(live("stale"), failure=failed().failure)
    draining = replace(live("draining"), live=None, unloaded=True, draining=(VERSION,))
    registry = FakeRegistry(live(), stale, loading("new"), failed("broken", type="digest_mismatch"), draining)
    client = await client_of(registry)
    found = await (await client.post("/v2/repository/index")).json()
    assert [(each["name"], each["state"], each["reason"]) for each in found] == [
        ("als", "READY", ""),
        ("stale", "READY", "the last reload failed: source_unavailable: source_unavailable it is"),
        ("new", "LOADING", "loading (downloading, 25%)"),
        ("broken", "UNAVAILABLE", "digest_mismatch: digest_mismatch it is"),
        ("draining", "UNLOADING", "unloaded"),
    ]
    assert [each.get("version") for each in found] == [VERSION, VERSION, None, None, None]
    ready = await (await client.post("/v2/repository/index", json={"ready": True})).json()
    assert [each["name"] for each in ready] == ["als", "stale"]
    assert await error_of(await client.post("/v2/repository/index", json={"redy": True}), 400)


LOAD, UNLOAD = "/v2/repository/models/als/load", "/v2/repository/models/als/unload"


async def test_load_answers_when_it_is_done(client_of: ClientOf) -> None:
    registry = FakeRegistry(replace(live(), live=None, unloaded=True))
    registry.after["load"] = lambda _: live()
    client = await client_of(registry, token=TOKEN)
    response = await client.post(LOAD, headers=ADMIN)
    assert (response.status, await response.read()) == (200, b"")
    await client.post(LOAD, headers=ADMIN, json={})
    assert registry.commands == [("load", "als"), ("reload", "als", False)]


async def test_a_load_that_fails_says_why(client_of: ClientOf) -> None:
    registry = FakeRegistry(replace(live(), live=None, unloaded=True))
    registry.after["load"] = lambda _: failed(type="digest_mismatch")
    client = await client_of(registry, token=TOKEN)
    response = await client.post(LOAD, headers=ADMIN)
    assert await error_of(response, 503) == "digest_mismatch: digest_mismatch it is"
    assert "Retry-After" not in response.headers


async def test_a_reload_that_fails_says_why_and_disturbs_nothing(client_of: ClientOf) -> None:
    registry = FakeRegistry(live())
    registry.after["reload"] = lambda entry: replace(entry, failure=failed().failure)
    client = await client_of(registry, token=TOKEN)
    assert "source_unavailable" in await error_of(await client.post(LOAD, headers=ADMIN), 503)
    assert (await client.get("/v2/models/als/ready")).status == 200


async def test_unload_as_clients_send_it(client_of: ClientOf) -> None:
    registry = FakeRegistry(live())
    registry.after["unload"] = lambda entry: replace(entry, live=None, unloaded=True)
    client = await client_of(registry, token=TOKEN)
    response = await client.post(UNLOAD, headers=ADMIN, json={"parameters": {"unload_dependents": False}})
    assert (response.status, await response.read(), registry.commands) == (200, b"", [("unload", "als")])


@pytest.mark.parametrize(
    "path, body, told",
    [
        (LOAD, {"parameters": {"config": "{}"}}, "parameters.config: a model is loaded as the server's configuration says"),
        (LOAD, {"parameters": {"file:1/model.pkl": "aGk="}}, "parameters.file:1/model.pkl: a model is loaded"),
        (LOAD, {"force": True}, "force: Object contains unknown field"),
        (UNLOAD, {"parameters": {"unload_dependents": True}}, "parameters.unload_dependents: must be false"),
        (UNLOAD, {"parameters": {"x": 1}}, "parameters.x: unknown"),
    ],
)
async def test_commands_that_say_more_than_is_done_are_refused(client_of: ClientOf, path: str, body: Any, told: str) -> None:
    registry = FakeRegistry(live())
    client = await client_of(registry, token=TOKEN)
    assert (await error_of(await client.post(path, headers=ADMIN, json=body), 400)).startswith(told)
    assert not registry.commands


# -- statistics ---------------------------------------------------------------------------------------------------------


async def test_statistics_of_every_model(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(live(), loading("new")))
    (unasked,) = (await (await client.get("/v2/models/stats")).json())["model_stats"]
    assert (unasked["last_inference"], unasked["execution_count"]) == (0, 0)
    assert unasked["memory_usage"] == [{"type": "CPU", "id": 0, "byte_size": 500}]
    await client.post(INFER, json={"inputs": [USERS]})
    await client.post("/models/als/predict", json={"user_id": 1})
    await client.post(INFER, json={"inputs": [{**USERS, "data": [77, 78]}]})
    (asked,) = (await (await client.get("/v2/models/als/stats")).json())["model_stats"]
    stats = asked["inference_stats"]
    assert (asked["name"], asked["version"], asked["inference_count"], asked["execution_count"]) == ("als", VERSION, 3, 2)
    assert (stats["success"]["count"], stats["fail"]["count"]) == (2, 1)
    assert stats["compute_input"]["ns"] > 0 and stats["success"]["ns"] >= stats["compute_infer"]["ns"] > 0
    assert asked["last_inference"] > 1_600_000_000_000
    assert (await (await client.get("/v2/models/new/stats")).json()) == {"model_stats": []}
