"""kill -9 of the loading child and of the server in every phase: the child's model is retried and becomes ready, the server starts clean.

Each phase is met by letting the child run in small steps. Does not cover: children that do harm (`tests/integration/loading`).
"""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import psutil
import pytest
from scipy.sparse import csr_matrix

from tests.acceptance.failures.endings import ASK, check_failed, check_loading
from tests.acceptance.failures.leftovers import check_nothing_left, records
from tests.acceptance.failures.steady import HEALTHY, Steady, healthy_model
from tests.acceptance.failures.stepping import loading_child, stopped_in
from tests.acceptance.running import ADMIN, Beside, Server, serving
from tests.doubles.faults import FaultProxy, Plan
from tests.doubles.files import FileServer, Served
from tests.support import wait_until_sync

CHILD_PHASES = ("verifying", "loading", "warming")
STARTED_BYTES = 8 << 20
"""What a child reads of its own program before it looks at the artifact, generously."""
VICTIM = "victim"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Something to do in every phase: bytes to hash, to decompress, and ids, seen items and scores to look through."""
    users, items, seen_each = 40_000, 20_000, 10
    rng = np.random.default_rng(1)
    seen = np.sort(rng.integers(items // seen_each, size=(users, seen_each)) + np.arange(0, items, items // seen_each)).astype(np.int32)
    starts = np.arange(0, users * seen_each + 1, seen_each, dtype=np.int32)
    model = {
        "user_factors": rng.standard_normal((users, 32)).astype(np.float32),
        "item_factors": rng.standard_normal((items, 32)).astype(np.float32),
        "user_ids": np.arange(1, 2 * users, 2),
        "item_ids": np.arange(1, 2 * items, 2),
        "user_item_matrix": csr_matrix((np.ones(seen.size, np.float32), seen.ravel(), starts), shape=(users, items)),
    }
    model["extra"] = np.frombuffer(rng.bytes(2 * STARTED_BYTES), np.uint8)
    path = tmp_path_factory.mktemp("artifact") / "big.joblib"
    joblib.dump(model, str(path), compress=("gzip", 1))
    assert path.stat().st_size > 2 * STARTED_BYTES
    return path


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def is_at_work(child: psutil.Process) -> bool:
    """Its walls stand, its death signal is set, and it is at the artifact's bytes."""
    status = Path(f"/proc/{child.pid}/status").read_text()
    return "NoNewPrivs:\t1" in status and child.io_counters().read_chars > STARTED_BYTES


@pytest.fixture(scope="module")
def server(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A healthy model, and one for each phase that loads when it is asked for."""
    folder = tmp_path_factory.mktemp("killed")
    waiting = {"source": str(artifact), "load": "on_demand", "sha256": sha256_of(artifact)}
    models: dict[str, dict[str, Any]] = {HEALTHY: healthy_model(folder), "thrice": waiting}
    models |= {f"killed-{phase}": waiting for phase in CHILD_PHASES}
    with serving(folder, {"server": {"default_model": HEALTHY}, "models": models}) as server:
        yield server


@pytest.mark.parametrize("phase", CHILD_PHASES)
def test_a_killed_child_is_retried_and_then_ready(phase: str, server: Server) -> None:
    name = f"killed-{phase}"
    with Steady(server):
        check_loading(server.predict(name, ASK), name)
        child = stopped_in(server, name, phase, is_at_work)
        shown = server.predict(name, ASK)
        check_loading(shown, name)
        assert shown.body["phase"] == phase
        child.kill()
        failure = check_failed(server, name, "child_crashed")
        assert (failure["retryable"], failure["attempts"]) == (True, 1)
        assert "SIGKILL" in failure["message"]
        server.wait_model(name, lambda model: model["status"] == "ready", f"{name} is ready after all")
        assert server.predict(name, ASK).status == 200
    model = server.model(name)
    (failed,) = [line for line in model["story"] if line["event"] == "failed"]
    assert (failed["from"], failed["to"]) == (phase, "failed")
    assert failed["cause"].startswith("child_crashed")
    assert (model["failure"], model["stale"]) == (None, False)
    check_nothing_left(server)


def test_three_dead_children_are_enough_until_somebody_asks(server: Server) -> None:
    with Steady(server):
        check_loading(server.predict("thrice", ASK), "thrice")
        for attempt in (1, 2, 3):
            stopped_in(server, "thrice", "verifying").kill()
            failure = check_failed(server, "thrice", "child_crashed")
            assert (failure["attempts"], failure["retryable"]) == (attempt, attempt < 3)
        check_nothing_left(server)
        loaded = server.ask("POST", "/models/thrice/load?wait=60", headers=ADMIN)
        assert (loaded.status, loaded.body["status"], loaded.body["failure"]) == (200, "ready", None)
        assert server.predict("thrice", ASK).status == 200


def killed_server(folder: Path, config: dict[str, Any], phase: str, is_there: Callable[[Server], Any]) -> None:
    """A server that is killed when `is_there` says so, and its child with it."""
    with serving(folder, config, expects_clean_end=False) as server:
        server.wait_ready(HEALTHY)
        check_loading(server.predict(VICTIM, ASK), VICTIM)
        is_there(server)
        assert server.model(VICTIM)["phase"] == phase
        child = loading_child(server)
        assert (child is None) is (phase == "downloading")
        server.stop(signal.SIGKILL)
        if child is not None:
            # Stopped as it was: only a kill ends it.
            wait_until_sync(lambda: not child.is_running(), what="the child dies with its server")


@pytest.mark.parametrize("phase", ["downloading", *CHILD_PHASES])
def test_a_killed_server_starts_clean(phase: str, artifact: Path, tmp_path: Path) -> None:
    content = artifact.read_bytes()
    with Beside() as beside:
        files = beside.enter(FileServer({"/big": Served(content)}))
        proxy = beside.enter(FaultProxy(files.address, Plan(bytes_per_s=4e6) if phase == "downloading" else None))
        # From a file: a download is hashed on its way, and to verify it is then only to start.
        source = f"{proxy.url}/big" if phase == "downloading" else str(artifact)
        victim = {"source": source, "load": "on_demand", "sha256": sha256_of(artifact)}
        config = {"server": {"default_model": HEALTHY}, "models": {HEALTHY: healthy_model(tmp_path), VICTIM: victim}}

        def is_there(server: Server) -> Any:
            if phase != "downloading":
                return stopped_in(server, VICTIM, phase, is_at_work)
            return server.wait_model(VICTIM, lambda model: (model["bytes_done"] or 0) > len(content) // 4, "some of it is here")

        killed_server(tmp_path, config, phase, is_there)
        proxy.heal()
        with serving(tmp_path, config) as server:
            # What was ready is mapped again at once; what was not is asked for anew.
            server.wait_ready(HEALTHY)
            assert server.model(HEALTHY)["load"]["from_segment"] is True
            check_nothing_left(server, resumable=[VICTIM])
            with Steady(server):
                assert server.predict(VICTIM, ASK, {"Prefer": "wait=60"}).status == 200
            assert server.model(VICTIM)["load"]["from_segment"] is False
            assert records(server.store) == {HEALTHY, VICTIM}
            check_nothing_left(server)
        ranges = [request.headers["Range"] for request in files.requests if "Range" in request.headers]
        assert len(ranges) == (1 if phase == "downloading" else 0)
        assert not (tmp_path / "var" / "server.json").exists()
