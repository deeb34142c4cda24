"""Sources that fail, all in one server: each model ends in its failure, a healthy model answers all the while, little is left.

Does not cover: what the artifact then holds (`test_failures_artifacts`), failures that pass (`test_failures_mended`), each
source's own ways (`tests/contracts`, `tests/integration/sources`).
"""

from __future__ import annotations

import hashlib
import os
import pickle
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.acceptance.failures.endings import ASK, check_failed
from tests.acceptance.failures.leftovers import check_nothing_left, records
from tests.acceptance.failures.steady import HEALTHY, Steady, healthy_model, honest_bytes
from tests.acceptance.running import Beside, Server, serving
from tests.artifacts.hostile.entry import honest
from tests.doubles.drive import DriveDouble, DriveFile
from tests.doubles.faults import FaultProxy, Plan
from tests.doubles.files import FileServer, Served
from tests.doubles.s3_server import s3_service

# The doubles run in this process: a connection of a retry or a poll may be open whenever a test ends.
pytestmark = pytest.mark.leaves("fd")

PAGE = b"<!DOCTYPE html><html><head><title>Welcome</title></head><body>not a model</body></html>"
BIG = honest_bytes() + os.urandom(1 << 20)

WEB: dict[str, tuple[Served, str]] = {
    "forbidden": (Served(b"", status=403), "access_denied"),
    "unauthorized": (Served(b"", status=401), "access_denied"),
    "not-found": (Served(b"", status=404), "source_not_found"),
    "gone": (Served(b"", status=410), "source_not_found"),
    "broken": (Served(b"", status=500), "source_unavailable"),
    "overloaded": (Served(b"", status=503, headers={"Retry-After": "1"}), "source_unavailable"),
    "page": (Served(PAGE, content_type="text/html; charset=utf-8"), "not_a_model"),
    "page-as-bytes": (Served(PAGE), "not_a_model"),
    "empty": (Served(b""), "not_a_model"),
    "announced-too-large": (Served(BIG), "too_large"),
    "streamed-too-large": (Served(BIG, is_chunked=True), "too_large"),
    "wrong-digest": (Served(honest_bytes()), "digest_mismatch"),
    "circle": (Served(b"", redirects_to="/circle"), "source_unavailable"),
}
LIMITS: dict[str, dict[str, Any]] = {
    "announced-too-large": {"max_artifact_bytes": "256KiB"},
    "streamed-too-large": {"max_artifact_bytes": "256KiB"},
    "wrong-digest": {"sha256": hashlib.sha256(b"another").hexdigest()},
}
HARMED: dict[str, tuple[Plan, dict[str, Any], str]] = {
    "reset": (Plan(cut_after=300_000, cut_by_reset=True), {}, "source_unavailable"),
    "cut": (Plan(cut_after=300_000), {}, "source_unavailable"),
    "stalled": (Plan(stall_after=300_000), {"stall_timeout": "1s"}, "fetch_stalled"),
    "silent": (Plan(stall_after=0), {"stall_timeout": "1s"}, "fetch_stalled"),
    "endless": (Plan(bytes_per_s=20_000.0), {"fetch_timeout": "2s"}, "fetch_timeout"),
    "longer-than-said": (Plan(length_delta=-1000), {}, "corrupt_artifact"),
    "shorter-than-said": (Plan(length_delta=1000), {"stall_timeout": "2s"}, "source_unavailable"),
}
RESUMABLE = ("reset", "cut", "stalled", "endless", "shorter-than-said")
DRIVE: dict[str, str] = {
    "quota": "source_unavailable",
    "permission": "access_denied",
    "sign_in": "access_denied",
    "missing": "source_not_found",
    "endless": "source_unavailable",
    "html": "not_a_model",
    "broken": "source_unavailable",
}


@dataclass(frozen=True)
class World:
    """The server with all of them, and what they fetch from."""

    server: Server
    steady: Steady
    files: FileServer


def drive_model(kind: str) -> str:
    return f"drive-{kind}".replace("_", "-")


def refusing_port(stack: ExitStack) -> int:
    """A port that refuses connections as long as the stack lives: bound, so that nobody else gets it, and not listened on."""
    bound = stack.enter_context(socket.socket())
    bound.bind(("127.0.0.1", 0))
    port: int = bound.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("sources")
    with ExitStack() as stack:
        beside = stack.enter_context(Beside())
        files = beside.enter(FileServer({f"/{name}": served for name, (served, _) in WEB.items()}))
        files.files["/whole"] = Served(pickle_of_a_megabyte())
        drive = beside.enter(DriveDouble({f"{kind}-0123456789": DriveFile(honest_bytes(), kind) for kind in DRIVE}))
        s3 = beside.enter(s3_service())
        models: dict[str, dict[str, Any]] = {HEALTHY: healthy_model(folder)}
        models |= {name: {"source": f"{files.url}/{name}", **LIMITS.get(name, {})} for name in WEB}
        for name, (plan, keys, _) in HARMED.items():
            models[name] = {"source": f"{beside.enter(FaultProxy(files.address, plan)).url}/whole", **keys}
        models["refused"] = {"source": f"http://127.0.0.1:{refusing_port(stack)}/model.pkl"}
        models |= {drive_model(kind): {"source": f"gdrive://{kind}-0123456789"} for kind in DRIVE}
        models["no-such-key"] = {"source": f"s3://{s3.bucket}/nowhere.pkl"}
        models["no-such-bucket"] = {"source": "s3://nowhere/model.pkl"}
        config = {"server": {"default_model": HEALTHY}, "models": models}
        server = stack.enter_context(serving(folder, config, environ={**drive.environment, **s3.environment}))
        yield World(server, stack.enter_context(Steady(server)), files)


def pickle_of_a_megabyte() -> bytes:
    """A whole model in one large matrix, so that a part of it is never a model."""
    return pickle.dumps(honest(user_factors=np.ones((1000, 300), np.float32), user_id_map={id: id for id in range(1000)}), 4)


@pytest.mark.parametrize("name", WEB)
def test_web_server(name: str, world: World) -> None:
    failure = check_failed(world.server, name, WEB[name][1])
    if name in ("forbidden", "not-found", "broken"):
        assert str(WEB[name][0].status) in failure["message"]


@pytest.mark.parametrize("name", HARMED)
def test_network(name: str, world: World) -> None:
    check_failed(world.server, name, HARMED[name][2])


def test_connection_refused(world: World) -> None:
    check_failed(world.server, "refused", "source_unavailable")


@pytest.mark.parametrize("kind", DRIVE)
def test_google_drive(kind: str, world: World) -> None:
    failure = check_failed(world.server, drive_model(kind), DRIVE[kind])
    if kind == "quota":
        assert "Too many users" in failure["message"]


@pytest.mark.parametrize("name", ["no-such-key", "no-such-bucket"])
def test_s3(name: str, world: World) -> None:
    check_failed(world.server, name, "source_not_found")


def test_attempts_grow_while_a_source_stays_down(world: World) -> None:
    found = world.server.wait_model("broken", lambda model: model["failure"] and model["failure"]["attempts"] >= 3, "three attempts")
    events = [line for line in found["story"] if line["event"] == "failed"]
    assert len(events) >= 3
    # Whatever ends for good was asked for once, however long the others have been retried.
    for name in ("page", "empty", "announced-too-large", "streamed-too-large", "wrong-digest"):
        assert [request.path for request in world.files.requests].count(f"/{name}") == 1, name
        assert world.server.model(name)["failure"]["attempts"] == 1
        assert world.server.predict(name, ASK).headers["Retry-After"] is None


def test_nothing_is_left_but_what_the_next_attempt_goes_on_with(world: World) -> None:
    assert records(world.server.store) == {HEALTHY}
    check_nothing_left(world.server, resumable=RESUMABLE)
    world.steady.check()
