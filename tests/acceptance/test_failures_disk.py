"""A store on a disk of 4 MB: what does not fit ends in disk_full wherever it is noticed, what fits is served, room made is used.

Does not cover: quotas, read-only disks.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from tests.acceptance.failures.endings import ASK, check_failed
from tests.acceptance.failures.leftovers import check_nothing_left, records
from tests.acceptance.failures.small_disk import python_on_small_disk, seen_by
from tests.acceptance.failures.steady import HEALTHY, Steady, healthy_model
from tests.acceptance.running import ADMIN, Beside, Server, serving
from tests.artifacts.hostile.entry import honest
from tests.doubles.files import FileServer, Served

# The doubles run in this process: a connection of a retry or a poll may be open whenever a test ends.
pytestmark = pytest.mark.leaves("fd")

DISK_BYTES = 4 << 20
FULL = ("announced", "streamed", "copied", "expanded")


@dataclass(frozen=True)
class World:
    """The server on its small disk, and where its models come from."""

    server: Server
    files: FileServer
    steady: Steady


def model_of(array_bytes: int) -> dict[str, Any]:
    """A model whose user factors are that many bytes of ones."""
    users = array_bytes // (300 * 4)
    return honest(user_factors=np.ones((users, 300), np.float32), user_id_map={id: id for id in range(users)})


def compressed(model: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    joblib.dump(model, file, compress=("zlib", 3))
    return file.getvalue()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("disk")
    store = folder / "var"
    large = pickle.dumps(model_of(8 << 20), 4)
    (folder / "large.pkl").write_bytes(large)
    with Beside() as beside:
        served = {
            "/announced": Served(large),
            "/streamed": Served(large, is_chunked=True),
            "/expanded": Served(compressed(model_of(8 << 20))),
        }
        files = beside.enter(FileServer(served))
        sources = {path.removeprefix("/"): files.url + path for path in served} | {"copied": str(folder / "large.pkl")}
        # Asked for when the healthy model is there: one that fills the disk would be in its way too.
        models: dict[str, dict[str, Any]] = {name: {"source": source, "load": "on_demand"} for name, source in sources.items()}
        config = {"server": {"default_model": HEALTHY}, "models": {HEALTHY: healthy_model(folder), **models}}
        python = python_on_small_disk(folder, store, DISK_BYTES)
        with serving(folder, config, python=python) as server:
            server.store = seen_by(server.pid, store)
            with Steady(server) as steady:
                yield World(server, files, steady)
    assert list(store.iterdir()) == [], "the disk was the program's own"


@pytest.mark.parametrize("name", FULL)
def test_what_does_not_fit(name: str, world: World) -> None:
    check_failed(world.server, name, "disk_full")


def test_the_disk_is_as_free_as_before(world: World) -> None:
    for name in FULL:
        check_failed(world.server, name, "disk_full")
    assert records(world.server.store) == {HEALTHY}
    # The one that could be fetched need not be fetched again.
    check_nothing_left(world.server, reused=["expanded"])
    assert [request.path for request in world.files.requests if "If-None-Match" not in request.headers].count("/expanded") == 1
    world.steady.check()


def test_what_fits_by_now_is_loaded(world: World) -> None:
    for name in FULL[1:]:  # else their retries would fill the disk just then
        unloaded = world.server.ask("POST", f"/models/{name}/unload?wait=30", headers=ADMIN)
        assert (unloaded.status, unloaded.body["status"], unloaded.body["failure"]) == (200, "unloaded", None)
    world.files.change("/announced", content=pickle.dumps(model_of(1 << 20), 4))
    loaded = world.server.ask("POST", "/models/announced/reload?wait=60", headers=ADMIN)
    assert (loaded.status, loaded.body["status"], loaded.body["failure"]) == (200, "ready", None)
    assert world.server.predict("announced", ASK).status == 200
    world.steady.check()


def test_the_disk_is_no_mount_of_this_system(world: World) -> None:
    store = Path(str(world.server.store).partition("/root")[2])
    assert str(store) not in Path("/proc/self/mountinfo").read_text()
    assert str(store) in Path(f"/proc/{world.server.pid}/mountinfo").read_text()
