"""kill -9 of whoever trains, at every stage of a run: a whole version serves before and after, and the next run works.

The victims are the capped child, the server, and `holdfast train --local` beside nobody. Does not cover: the moments between two
changes to the disk (`tests/unit/training/test_publish_power_cut.py`), a database that dies (`test_training_loop`).
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from loaders.published import MODEL_FILE, RECORD_FILE, STAGING, PublishedFolder
from tests.acceptance.running import TOKEN, Config, Server, environment, program, run, serving, toml
from tests.acceptance.shop import LONG, config_of, make_shop
from tests.doubles.postgres import PostgresDatabase
from tests.support import wait_until_sync
from tests.unit.training.published import name_of, published
from training.running.lock import holder_of

WITHIN_S = 120.0
OLD = name_of(1)
WITH_TOKEN = {"ADMIN_LOAD_TOKEN": TOKEN}
STAGES = ("reading", "fitting", "evaluating", "publishing")
HELD = ("reading", "fitting")
"""Stages that last until the kill. The others are over in milliseconds, so that the kill may come after the run."""
VICTIMS = ("child", "server", "command")


def config_at(shop: PostgresDatabase, stage: str) -> Config:
    """With a run that stays in that stage, if it can."""
    return config_of(shop, parameters=LONG) if stage == "fitting" else config_of(shop)


def trainer_of(pid: int) -> psutil.Process | None:
    """The capped child of a process that trains."""
    for child in psutil.Process(pid).children(recursive=True):
        try:
            if "training.running.child" in child.cmdline():
                return child
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return None


def wait_stage(shop: PostgresDatabase, store: Path, stage: str, pid: int) -> psutil.Process:
    """The child, once its run is in that stage: it waits for a table, it has computed for long, or its files say so."""
    child: psutil.Process = wait_until_sync(lambda: trainer_of(pid), WITHIN_S, what="a run has its process")
    waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    reached: dict[str, Callable[[], object]] = {
        "reading": lambda: shop.run(waits) != "0",
        "fitting": lambda: child.nice() >= 10 and child.cpu_times().user > 2.0,
        "evaluating": lambda: list((store / "als").glob(f"{STAGING}*/{MODEL_FILE}")),
        "publishing": lambda: list((store / "als").glob(f"*2*/{RECORD_FILE}"))[1:],
    }
    if stage in HELD:
        wait_until_sync(reached[stage], WITHIN_S, what=f"the run is {stage}")
    else:
        ends_at = time.monotonic() + WITHIN_S
        while not reached[stage]():
            assert time.monotonic() < ends_at, f"the run was never {stage}"
    return child


@contextmanager
def stopped_there(shop: PostgresDatabase, stage: str) -> Iterator[None]:
    """Whoever reads waits, where that is the stage."""
    if stage == "reading":
        with shop.held("interactions"):
            yield
    else:
        yield


def kill_in_server(folder: Path, shop: PostgresDatabase, stage: str, victim: str) -> None:
    with serving(folder, config_at(shop, stage), expects_clean_end=False) as server:
        server.wait_ready("als")
        with stopped_there(shop, stage):
            begun = server.command("POST", "/models/als/train").body["run"]
            child = wait_stage(shop, server.store, stage, server.pid)
            if victim == "server":
                server.process.kill()
                server.process.wait()
            else:
                _kill(child)
                ended = wait_until_sync(lambda: _over(server, begun["id"]), WITHIN_S, what="the run is over")
                assert ended == "crashed" or (ended == "published" and stage not in HELD)
                assert server.predict("als", {"user_id": 1}).status == 200
        wait_until_sync(lambda: not child.is_running(), what="the child is gone")


def kill_the_command(folder: Path, shop: PostgresDatabase, stage: str) -> None:
    (folder / "holdfast.toml").write_text(toml(config_at(shop, stage)))
    with stopped_there(shop, stage):
        with subprocess.Popen(
            [*program(), "train", "als", "--local"],
            cwd=folder,
            env=environment(WITH_TOKEN),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                child = wait_stage(shop, folder / "var", stage, process.pid)
            finally:
                process.kill()
        wait_until_sync(lambda: not child.is_running(), what="the child is gone")


def _kill(child: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):  # what it had to say, it has said in this very moment
        child.send_signal(signal.SIGKILL)


def _over(server: Server, run_id: str) -> str | None:
    found = server.get(f"/training/runs/{run_id}").body
    return str(found["status"]) if found["ended_at"] else None


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("victim", VICTIMS)
def test_whoever_is_killed_a_whole_version_serves_and_the_next_run_works(
    postgres: PostgresDatabase, tmp_path: Path, victim: str, stage: str
) -> None:
    make_shop(postgres)
    store = tmp_path / "var"
    store.mkdir(mode=0o700)
    published(store, 1)
    if victim == "command":
        kill_the_command(tmp_path, postgres, stage)
    else:
        kill_in_server(tmp_path, postgres, stage, victim)
    assert holder_of(store, "als") is None, "the lock is free"
    folder = PublishedFolder(store, "als")
    live = folder.current()
    assert live is not None and (live == OLD or stage not in HELD)
    assert folder.record(live).version == live
    with serving(tmp_path, config_of(postgres)) as server:
        # A version that was live when the server died serves first, until the one published in that moment is loaded.
        server.wait_model("als", lambda model: model["version"] == live, "what was published serves")
        answer = server.predict("als", {"user_id": 1})
        assert (answer.status, answer.body["version"]) == (200, live)
        (killed,) = server.get("/training/runs").body["runs"]
        if live == OLD:
            assert (killed["status"], killed["failure"]["type"]) == ("crashed", "child_crashed")
        found = run(tmp_path, "train", "als", "--force", "--json", environ=WITH_TOKEN)
        assert found.returncode == 0, found.stderr
        new = json.loads(found.stdout)["version"]
        server.wait_model("als", lambda model: model["version"] == new, "the new version serves")
        assert {path.name for path in folder.path.iterdir()} == {*folder.names(), "current", "lock", "switch.lock"}
        assert {OLD, new} <= set(folder.names()), "nothing else is left but what is whole"
        assert all(folder.record(name).version == name for name in folder.names())
