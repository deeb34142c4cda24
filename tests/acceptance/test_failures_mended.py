"""Failures that pass: a source that comes back, an operator who mends, a poll that finds a better revision, a change in the middle.

Does not cover: versions that serve meanwhile (`test_reload`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.failures.endings import ASK, check_failed, seconds
from tests.acceptance.failures.leftovers import check_nothing_left
from tests.acceptance.failures.steady import HEALTHY, Steady, healthy_model, honest_bytes
from tests.acceptance.running import ADMIN, Beside, Server, serving
from tests.doubles.faults import FaultProxy, Plan
from tests.doubles.files import FileServer, Request, Served
from tests.support import wait_until_sync

# The doubles run in this process: a connection of a retry or a poll may be open whenever a test ends.
pytestmark = pytest.mark.leaves("fd")

PAGE = b"<!DOCTYPE html><html><title>Welcome</title></html>"
CUT = honest_bytes()[:-1000]
OLD, NEW = honest_bytes(2.0), honest_bytes(3.0)
CHANGED_AT = 100_000
POLLED: dict[str, tuple[Served, dict[str, Any], str]] = {
    "polled-page": (Served(PAGE, "text/html"), {}, "not_a_model"),
    "polled-cut": (Served(CUT), {}, "corrupt_artifact"),
    "polled-digest": (Served(OLD), {"sha256": hashlib.sha256(NEW).hexdigest()}, "digest_mismatch"),
}
CHANGED: dict[str, Served] = {
    "changed": Served(OLD),
    "changed-unconditional": Served(OLD, minds_if_range=False),
    "changed-unnamed": Served(OLD, etag="", sends_modified=False),
    "changed-dated": Served(OLD, etag=""),
}


@dataclass
class World:
    """The server, and what it fetches from: `files` directly, `proxies` by the name of the model."""

    server: Server
    files: FileServer
    proxies: dict[str, FaultProxy]
    beside: Beside

    def requests(self, name: str) -> list[Request]:
        return [request for request in self.files.requests if request.path == f"/{name}"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("mended")
    with Beside() as beside:
        files = beside.enter(FileServer({f"/{name}": served for name, (served, _, _) in POLLED.items()}))
        files.files |= {f"/{name}": served for name, served in CHANGED.items()}
        files.files |= {"/down": Served(NEW, status=500), "/page": Served(PAGE, "text/html")}
        proxies = {name: beside.enter(FaultProxy(files.address)) for name in CHANGED}
        models: dict[str, dict[str, Any]] = {HEALTHY: healthy_model(folder)}
        models |= {name: {"source": f"{files.url}/{name}"} for name in ("down", "page")}
        models |= {name: {"source": f"{files.url}/{name}", "poll": "100ms", **keys} for name, (_, keys, _) in POLLED.items()}
        models |= {name: {"source": f"{proxy.url}/{name}", "load": "on_demand"} for name, proxy in proxies.items()}
        with serving(folder, {"server": {"default_model": HEALTHY}, "models": models}) as server, Steady(server):
            yield World(server, files, proxies, beside)


def test_a_source_that_comes_back_after_two_failures(world: World) -> None:
    server = world.server
    first = check_failed(server, "down", "source_unavailable")  # a busy machine may have tried it again already
    attempts = first["attempts"] + 1
    found = server.wait_model("down", lambda model: model["status"] == "error" and model["failure"]["attempts"] == attempts, "the next")
    second = found["failure"]
    assert seconds(second["next_attempt_at"]) - seconds(second["at"]) > seconds(first["next_attempt_at"]) - seconds(first["at"])
    world.files.change("/down", status=200)
    # Nobody asks for it: the retry comes by itself, when it was said to.
    ready = server.wait_model("down", lambda model: model["status"] == "ready", "down is up again")
    assert ready["failure"] is None
    assert seconds(ready["loaded_at"]) >= seconds(second["next_attempt_at"])
    assert server.predict("down", ASK).status == 200
    assert len(world.requests("down")) == attempts + 1


def test_what_ends_for_good_waits_for_an_operator(world: World) -> None:
    server = world.server
    failure = check_failed(server, "page", "not_a_model")
    # The other one's two retries took longer than any first retry of this one would have.
    server.wait_model("down", lambda model: model["status"] == "ready", "down is up again")
    assert len(world.requests("page")) == 1
    assert server.model("page")["failure"] == failure
    again = server.ask("POST", "/models/page/reload?wait=30", headers=ADMIN)
    assert (again.status, again.body["failure"]["type"], again.headers["Retry-After"]) == (503, "not_a_model", None)
    assert len(world.requests("page")) == 2
    world.files.change("/page", content=NEW, content_type="application/octet-stream")
    mended = server.ask("POST", "/models/page/reload?wait=60", headers=ADMIN)
    assert (mended.status, mended.body["status"], mended.body["failure"]) == (200, "ready", None)
    assert server.predict("page", ASK).status == 200


@pytest.mark.parametrize("name", POLLED)
def test_a_poll_asks_but_tries_only_another_revision(name: str, world: World) -> None:
    server = world.server
    check_failed(server, name, POLLED[name][2])
    asked = len(world.requests(name))
    wait_until_sync(lambda: len(world.requests(name)) >= asked + 3, 30, what="three polls")
    # What was refused is not brought again: a page is not read, whatever else is answered "unchanged".
    if POLLED[name][0].content_type != "text/html":
        assert all("If-None-Match" in request.headers for request in world.requests(name)[1:])
    failure = check_failed(server, name, POLLED[name][2])
    assert failure["retryable"] is False
    world.files.change(f"/{name}", content=NEW, content_type="application/octet-stream")
    mended = server.wait_model(name, lambda model: model["status"] == "ready", f"{name} found the mended revision")
    assert (mended["failure"], mended["stale"]) == (None, False)
    assert server.predict(name, ASK).body["items"] == answer_of(world, NEW)


@pytest.mark.parametrize("name", CHANGED)
def test_a_change_in_the_middle_of_a_download_is_never_a_mixture(name: str, world: World) -> None:
    async def change() -> None:
        world.files.change(f"/{name}", content=NEW, modified_at=CHANGED[name].modified_at + 60)

    # Slowly, so that what was sent before the cut has been received.
    world.proxies[name].plan = Plan(cut_after=CHANGED_AT, bytes_per_s=2e6, at=(CHANGED_AT, change))
    world.server.predict(name, ASK)
    wait_until_sync(lambda: world.files.files[f"/{name}"].content == NEW, 30, what="the file changed on its way")
    world.proxies[name].heal()
    world.server.wait_model(name, lambda model: model["status"] == "ready", f"{name} is ready")
    assert world.server.predict(name, ASK).body["items"] == answer_of(world, NEW)
    resumed = [request.headers["Range"] for request in world.requests(name) if "Range" in request.headers]
    assert len(resumed) == (0 if name == "changed-unnamed" else 1), "a part is gone on with where the source names its revisions"
    assert sha256_of_artifact(world.server.store, name) == hashlib.sha256(NEW).hexdigest()


def test_nothing_is_left(world: World) -> None:
    names = [model["name"] for model in world.server.get("/models").body["models"] if model["status"] != "not_started"]
    for name in names:
        world.server.wait_model(name, lambda model: model["status"] != "loading", f"{name} is settled")
    check_nothing_left(world.server)


def answer_of(world: World, content: bytes) -> Any:
    """What the model with these bytes answers: the healthy model's items, with scores as many times as large as its factors are."""
    scale = {OLD: 2.0, NEW: 3.0}[content]
    items = world.server.predict(HEALTHY, ASK).body["items"]
    return [{"item_id": item["item_id"], "score": pytest.approx(item["score"] * scale, rel=1e-6)} for item in items]


def sha256_of_artifact(store: Path, name: str) -> str:
    kept = json.loads((store / "kept" / f"{name}.json").read_text())
    content = (store / "artifacts" / kept["artifact"]["name"]).read_bytes()
    return hashlib.sha256(content).hexdigest()
