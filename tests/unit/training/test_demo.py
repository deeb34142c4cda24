"""The demo is made once, whole, and what is in it is really found by the models.

Covers: training.demo and its worker through the real process. Does not cover: serving what was made.
"""

from __future__ import annotations

import os
import pickle
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import joblib
import pytest

from loaders.errors import DiskFull, MissingLibrary
from training import demo as demo_module
from training.demo import DemoFailed, DemoModels, prepare
from training.demo_worker import save_joblib, save_pickle

Step = tuple[str, int, int]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[DemoModels, list[Step]]:
    steps: list[Step] = []
    made = prepare(tmp_path_factory.mktemp("demo") / "var", on_progress=lambda *step: steps.append(step))
    return made, steps


def load(path: Path) -> dict[str, Any]:
    if path.suffix == ".pkl":
        return dict(pickle.loads(path.read_bytes()))
    return dict(joblib.load(path))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_first_run_makes_database_and_artifacts(made: tuple[DemoModels, list[Step]]) -> None:
    demo, steps = made
    assert demo.is_complete
    assert set(demo.models) == {"als", "bpr"}
    assert {path.name for path in demo.database.parent.iterdir()} == {"demo.db", "als.joblib", "bpr.pkl", ".demo.lock"}
    with closing(sqlite3.connect(demo.database)) as database:
        users, items = database.execute("SELECT count(DISTINCT user_id), min(user_id) FROM interactions").fetchone()
        assert (users, items) == (2_000, 1)
        assert database.execute("SELECT count(*), count(DISTINCT title), min(item_id) FROM items").fetchone() == (1_000, 1_000, 1)
        (rows,) = database.execute("SELECT count(*) FROM interactions").fetchone()
        assert 55_000 < rows < 65_000
    stages = list(dict.fromkeys(stage for stage, _, _ in steps))
    assert stages == ["making interactions", "training als", "training bpr"]
    for stage in stages:
        done = [step[1] for step in steps if step[0] == stage]
        assert done == sorted(done)
        assert done[-1] == next(step[2] for step in steps if step[0] == stage)


@pytest.mark.parametrize("name", ["als", "bpr"])
def test_artifact_holds_what_a_loader_looks_for(made: tuple[DemoModels, list[Step]], name: str) -> None:
    artifact = load(made[0].models[name])
    keys = {"model", "user_id_map", "item_id_map", "idx_to_user", "idx_to_item", "user_item_matrix", "trained_at", "is_trained"}
    assert set(artifact) == keys
    assert artifact["is_trained"] is True
    assert artifact["user_id_map"][1] == 0
    assert artifact["idx_to_item"][0] == 1
    assert artifact["user_item_matrix"].shape == (len(artifact["user_id_map"]), len(artifact["item_id_map"])) == (2_000, 1_000)
    assert artifact["model"].user_factors.shape[0] == 2_000


def test_artifacts_are_of_the_formats_their_names_say(made: tuple[DemoModels, list[Step]]) -> None:
    models = made[0].models
    assert models["bpr"].read_bytes()[:2] == b"\x80\x05"
    assert b"NumpyArrayWrapper" in models["als"].read_bytes()[:4096]  # so not compressed either


def test_second_run_does_nothing(made: tuple[DemoModels, list[Step]], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a complete demo starts no process")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    before = files(made[0].database.parent)
    assert prepare(made[0].database.parent, on_progress=refuse) == made[0]
    assert files(made[0].database.parent) == before


def test_what_is_missing_is_made_again_and_equal(made: tuple[DemoModels, list[Step]], tmp_path: Path) -> None:
    demo, _ = made
    for path in (demo.database, demo.models["bpr"]):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    steps: list[Step] = []
    again = prepare(tmp_path, on_progress=lambda *step: steps.append(step))
    assert {stage for stage, _, _ in steps} == {"training als"}
    old, new = load(demo.models["als"]), load(again.models["als"])
    assert (old["model"].user_factors == new["model"].user_factors).all()
    assert (old["model"].item_factors == new["model"].item_factors).all()


def test_files_depend_on_nothing_but_the_data(made: tuple[DemoModels, list[Step]], tmp_path: Path) -> None:
    from training.interactions import read_interactions, write_database
    from training.planted import plant
    from training.recommenders import fit_bpr, model_dict

    write_database(tmp_path / "demo.db", plant())
    assert (tmp_path / "demo.db").read_bytes() == made[0].database.read_bytes()
    interactions = read_interactions(tmp_path / "demo.db")
    for name in ("one", "two"):
        artifact = model_dict(fit_bpr(interactions.user_items, lambda *_: None), interactions, "2026-01-01T00:00:00Z")
        save_pickle(tmp_path / f"{name}.pkl", artifact)
        save_joblib(tmp_path / f"{name}.joblib", artifact)
    assert (tmp_path / "one.pkl").read_bytes() == (tmp_path / "two.pkl").read_bytes()
    assert (tmp_path / "one.joblib").read_bytes() == (tmp_path / "two.joblib").read_bytes()


@pytest.mark.parametrize("stage", ["making interactions", "training als", "training bpr"])
def test_interrupted_run_leaves_only_whole_files(made: tuple[DemoModels, list[Step]], tmp_path: Path, stage: str) -> None:
    def interrupt(now: str, *_: int) -> None:
        if now == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path, on_progress=interrupt)
    whole = {"demo.db": made[0].database.stat().st_size, "als.joblib": made[0].models["als"].stat().st_size, "bpr.pkl": None}
    left = {path.name: path.stat().st_size for path in tmp_path.iterdir() if path.name != ".demo.lock"}
    assert left.keys() <= whole.keys()
    assert all(whole[name] in (None, size) for name, size in left.items())


def test_worker_ends_when_its_parent_was_killed(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from training.demo import prepare\n"
        "prepare(pathlib.Path(sys.argv[1]), on_progress=lambda stage, done, total: (print(stage, flush=True), sys.stdin.read()))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "making interactions\n"
        os.kill(parent.pid, signal.SIGKILL)
    # The lock is inherited, so it is free only when the worker is gone too.
    with demo_module._locked(tmp_path, lambda *_: None):
        left = {path.name for path in tmp_path.iterdir()}
    assert not [name for name in left if name.endswith(".partial")]
    assert prepare(tmp_path, on_progress=lambda *_: None).is_complete


def test_two_runs_at_once_make_it_once(tmp_path: Path) -> None:
    code = "import sys, pathlib; from training.demo import prepare; prepare(pathlib.Path(sys.argv[1]), on_progress=print)"
    runs = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert sum("training als" in output for output in outputs) == 1


def test_missing_library_names_the_line_that_brings_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_module, "_LIBRARIES", ("implicit", "a_library_that_nobody_has"))
    with pytest.raises(MissingLibrary, match=r'a_library_that_nobody_has: pip install "holdfast\[train\]"'):
        prepare(tmp_path / "var", on_progress=lambda *_: None)
    assert not (tmp_path / "var").exists()


def test_full_disk_and_other_failures_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = tmp_path / "worker"
    monkeypatch.setattr(sys, "executable", str(worker))
    for lines, error, message in (
        ('["failed", "disk_full", "No space left"]', DiskFull, "No space left"),
        ('["failed", null, "a table is locked"]', DemoFailed, "a table is locked"),
        ('["progress", "x", 0, 1]', DemoFailed, "ended with 1"),
    ):
        worker.write_text(f"#!/bin/sh\necho '{lines}'\nexit 1\n")
        worker.chmod(0o755)
        with pytest.raises(error, match=message):
            prepare(tmp_path / "var", on_progress=lambda *_: None)


def test_settings_name_the_artifacts(made: tuple[DemoModels, list[Step]]) -> None:
    settings = {model.name: model for model in made[0].settings()}
    assert {name: model.source for name, model in settings.items()} == {name: str(path) for name, path in made[0].models.items()}
