"""The addresses that others chose: which model they mean, and the fields that their callers read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loaders.sources.file import revision_of
from service.lifecycle.lease import Held
from service.lifecycle.state import Entry
from tests.doubles.files import FileServer, Served
from tests.support import wait_until
from tests.unit.service.conftest import ClientOf
from tests.unit.service.fakes import VERSION, FakeLoaded, FakeRegistry, FakeScorer, failed, live, loading

TOKEN = "s3cret-token"
DETAILS = {"users": 60, "items": 45, "model": "implicit.cpu.als.AlternatingLeastSquares", "metadata": {"entries": 40, "items": 39}}


async def ask(client: Any, method: str, path: str) -> tuple[int, Any, Any]:
    async with client.request(method, path, headers={"X-ADMIN-TOKEN": TOKEN}) as response:
        return response.status, await response.json(content_type=None), response


def serving(registry: FakeRegistry, **loaded: Any) -> None:
    """What serves is this from now on."""
    registry.held = Held("als", FakeLoaded(registry.scorer, **loaded))


@pytest.mark.parametrize("path", ["/ml/load", "/ml/load?model=als", "/ml/load/als-worker"])
async def test_each_address_loads_the_model(client_of: ClientOf, path: str) -> None:
    registry = FakeRegistry(live())
    status, body, response = await ask(await client_of(registry, token=TOKEN), "POST", path)
    assert (status, body["name"], response.headers["Location"]) == (202, "als", "/models/als")
    assert registry.commands == [("load", "als")]


async def test_a_load_is_waited_for_as_elsewhere(client_of: ClientOf) -> None:
    registry = FakeRegistry(live(), failed("bpr"))
    client = await client_of(registry, token=TOKEN)
    assert (await ask(client, "POST", "/ml/load?model=als&wait=5"))[0] == 200
    assert (await ask(client, "POST", "/ml/load/bpr-worker?wait=5"))[0] == 503


async def test_the_name_of_a_model_may_end_like_the_address(client_of: ClientOf) -> None:
    registry = FakeRegistry(live("als-worker"))
    assert (await ask(await client_of(registry, token=TOKEN), "POST", "/ml/load/als-worker-worker"))[0] == 202
    assert registry.commands == [("load", "als-worker")]


@pytest.mark.parametrize(("method", "path"), [("POST", "/ml/load"), ("POST", "/admin/reload-model"), ("GET", "/admin/model-status")])
async def test_the_model_that_is_meant(client_of: ClientOf, method: str, path: str) -> None:
    several = await client_of(FakeRegistry(live(), live("bpr")), token=TOKEN)
    status, problem, _ = await ask(several, method, path)
    assert (status, problem["field"]) == (422, "model")
    assert (await ask(several, method, f"{path}?model=bpr"))[0] < 300
    assert (await ask(several, method, f"{path}?model=nobody"))[0] == 404
    chosen = await client_of(FakeRegistry(live(), live("bpr")), token=TOKEN, default_model="bpr")
    assert (await ask(chosen, method, path))[0] < 300
    assert (await ask(chosen, method, f"{path}?modle=als"))[1]["field"] == "modle"


@pytest.mark.parametrize(
    ("after", "reloaded", "reason"),
    [
        ({}, False, "unchanged"),
        ({"version": "20261122T000000-000000", "revision": "etag:2"}, True, "changed"),
        ({"version": "20261122T000000-000000"}, True, "forced"),
    ],
    ids=["unchanged", "changed", "forced"],
)
async def test_a_reload_says_what_came_of_it(client_of: ClientOf, after: dict[str, str], reloaded: bool, reason: str) -> None:
    registry = FakeRegistry(live())

    def bring(entry: Entry) -> Entry:
        serving(registry, **after)
        return entry

    registry.after["reload"] = bring
    status, body, _ = await ask(await client_of(registry, token=TOKEN), "POST", "/admin/reload-model")
    version = after.get("version", VERSION)
    details = {"reloaded": reloaded, "reason": reason, "model": "als", "version": version, "previous_version": VERSION}
    assert (status, body["success"], body["details"]) == (200, True, details)
    assert "als" in body["message"]
    assert registry.commands == [("reload", "als", False)]


async def test_a_reload_of_what_did_not_serve_loads_it_and_is_waited_for(client_of: ClientOf) -> None:
    registry = FakeRegistry(Entry("als", unloaded=True))
    registry.after["reload"] = lambda entry: loading()
    client = await client_of(registry, token=TOKEN)
    asked = asyncio.create_task(ask(client, "POST", "/admin/reload-model"))
    await wait_until(lambda: registry.commands)
    assert not asked.done()
    await registry.put(live())
    status, body, _ = await asked
    assert (status, body["details"]["reason"], body["details"]["previous_version"]) == (200, "loaded", None)


async def test_a_reload_that_fails_is_503_although_the_old_version_serves(client_of: ClientOf) -> None:
    registry = FakeRegistry(live())
    registry.after["reload"] = lambda entry: replace(entry, failure=failed(type="corrupt_artifact").failure)
    status, body, _ = await ask(await client_of(registry, token=TOKEN), "POST", "/admin/reload-model?force=true")
    assert (status, body["model_status"], body["failure"]["type"]) == (503, "ready", "corrupt_artifact")
    assert registry.commands == [("reload", "als", True)]


async def test_a_reload_of_what_is_unloaded_meanwhile_is_503(client_of: ClientOf) -> None:
    registry = FakeRegistry(live())
    registry.after["reload"] = lambda entry: Entry("als", unloaded=True)
    status, body, _ = await ask(await client_of(registry, token=TOKEN), "POST", "/admin/reload-model")
    assert (status, body["model_status"]) == (503, "unloaded")


async def test_a_reload_that_takes_longer_than_the_wait_runs_on(client_of: ClientOf) -> None:
    registry = FakeRegistry(live())
    registry.after["reload"] = lambda entry: replace(entry, attempt=loading().attempt)
    status, body, response = await ask(await client_of(registry, token=TOKEN), "POST", "/admin/reload-model?wait=0.01")
    assert (status, body["success"], body["details"]["reloaded"], body["details"]["reason"]) == (202, False, False, "running")
    assert response.headers["Location"] == "/models/als"


async def test_the_status_of_what_serves(client_of: ClientOf) -> None:
    registry = FakeRegistry(live())
    serving(registry, details=DETAILS)
    status, body, _ = await ask(await client_of(registry, token=TOKEN), "GET", "/admin/model-status")
    assert status == 200
    assert body == {
        "is_loaded": True,
        "num_users": 60,
        "num_items": 45,
        "num_posts_metadata": 40,
        "model_type": "AlternatingLeastSquares",
        "model_path": "als.pkl",
        "last_reload_time": "2023-11-14T22:13:20.000Z",
        "file_updated": None,  # there is no such file
    }


@pytest.mark.parametrize(
    ("details", "family", "expected"),
    [
        ({"items": 45}, "neighbours", (0, 45, 0, "neighbours")),
        ({"features": 3}, "linear", (None, None, None, "linear")),
        ({"parts": {}}, "hybrid", (None, None, None, "hybrid")),
    ],
    ids=["no users", "no items", "of parts"],
)
async def test_what_a_model_does_not_have(client_of: ClientOf, details: dict[str, Any], family: str, expected: tuple[Any, ...]) -> None:
    registry = FakeRegistry(live())
    serving(registry, details=details, family=family)
    _, body, _ = await ask(await client_of(registry, token=TOKEN), "GET", "/admin/model-status")
    assert (body["num_users"], body["num_items"], body["num_posts_metadata"], body["model_type"]) == expected


@pytest.mark.parametrize("entries", [(loading(),), ()], ids=["loading", "nothing configured"])
async def test_the_status_of_what_does_not_serve(client_of: ClientOf, entries: tuple[Entry, ...]) -> None:
    status, body, _ = await ask(await client_of(FakeRegistry(*entries), token=TOKEN), "GET", "/admin/model-status")
    counts = {"num_users": 0, "num_items": 0, "num_posts_metadata": 0}
    unknown = {"model_type": None, "last_reload_time": None, "file_updated": None}
    assert status == 200
    assert body == {"is_loaded": False, **counts, **unknown, "model_path": "als.pkl" if entries else None}


def of_the_file(file: Path) -> str:
    return revision_of(file.stat()).token


@pytest.mark.parametrize(("revision", "is_updated"), [(of_the_file, False), (lambda file: "file:1:2:3:4:5", True)], ids=["same", "another"])
async def test_whether_the_file_is_another_one_by_now(
    client_of: ClientOf, tmp_path: Path, revision: Callable[[Path], str], is_updated: bool
) -> None:
    file = tmp_path / "als.pkl"
    file.write_bytes(b"\x80\x04N.")
    registry = FakeRegistry(live(), scorer=FakeScorer())
    registry.settings["als"] = replace(registry.settings["als"], source=str(file))
    serving(registry, revision=revision(file))
    _, body, _ = await ask(await client_of(registry, token=TOKEN), "GET", "/admin/model-status")
    assert (body["file_updated"], body["model_path"]) == (is_updated, str(file))


async def test_a_remote_source_is_not_asked(client_of: ClientOf) -> None:
    registry = FakeRegistry(live())
    async with FileServer({"/als.pkl": Served(b"another one")}) as files:
        address = files.url.replace("http://", "http://user:secret@")
        registry.settings["als"] = replace(registry.settings["als"], source=f"{address}/als.pkl?sig=secret")
        _, body, _ = await ask(await client_of(registry, token=TOKEN), "GET", "/admin/model-status")
        assert (body["file_updated"], files.requests) == (None, [])
    assert body["model_path"] == f"{files.url}/als.pkl?sig=***"
