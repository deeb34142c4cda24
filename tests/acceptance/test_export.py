"""`holdfast export`: a published version as a file, and why there is none.

Does not cover: what is in the file of each trainer (`tests/contracts/test_exports`).
"""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.acceptance.running import run
from tests.unit.models.building import factors_bundle
from tests.unit.training.published import bundle_of, name_of, published

CONFIG = """
[data]
url = "sqlite:///no.db"
[training.als]
algorithm = "als"
[models.taste]
source = "training:als"
[models.other]
source = "other.pkl"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two published versions, and a configuration that names them."""
    (tmp_path / "holdfast.toml").write_text(CONFIG)
    for number in (1, 2):
        published(tmp_path / "var", number)
    return tmp_path


@pytest.mark.parametrize("name", ["als", "taste"])
def test_the_current_version_is_written_and_loads(folder: Path, name: str) -> None:
    done = run(folder, "export", name)
    assert (done.returncode, done.stderr) == (0, "")
    output = folder / f"als-{name_of(2)}.joblib"
    assert done.stdout.startswith(f"als {name_of(2)}: {output.name}, ")
    checked = run(folder, "check", str(output), "--json")
    report = json.loads(checked.stdout)
    assert (report["verdict"], report["family"], report["details"]["users"]) == ("ok", "factors", 4)


def test_a_version_in_another_format_to_another_place(folder: Path) -> None:
    (folder / "there").mkdir()
    output = folder / "there" / "als.pkl"
    output.write_bytes(b"an older one")
    done = run(folder, "export", "als", "--version", name_of(1), "--format", "pickle", "--output", "there/als.pkl")
    assert (done.returncode, done.stderr) == (0, "")
    made = pickle.loads(output.read_bytes())
    assert (made["is_trained"], made["model"].factors, len(made["idx_to_item"])) == (True, 3, 9)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["nobody"], "it is no training, nor a model that takes what one publishes: als"),
        (["other"], "it is no training, nor a model that takes what one publishes: als"),
        (["als", "--version", name_of(9)], f"no version {name_of(9)} is kept: {name_of(2)}, {name_of(1)}"),
        (["als", "--output", "nowhere/als.joblib"], "No such file or directory"),
    ],
    ids=["unknown", "not trained here", "version", "folder"],
)
def test_why_not(folder: Path, words: list[str], why: str) -> None:
    done = run(folder, "export", *words)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith(f"holdfast: cannot export {words[0]}: ") and why in done.stderr and done.stderr.count("\n") == 1


def test_nothing_is_published(tmp_path: Path) -> None:
    (tmp_path / "holdfast.toml").write_text(CONFIG)
    done = run(tmp_path, "export", "als")
    assert (done.returncode, done.stderr) == (1, "holdfast: cannot export als: nothing is published yet: holdfast train als\n")


def test_what_no_training_published_has_no_shape(folder: Path) -> None:
    (folder / "var").rename(folder / "gone")
    made = bundle_of(3)
    published(folder / "var", 3, bundle=replace(made, details={**made.details, "algorithm": "guessing"}))
    done = run(folder, "export", "als")
    assert (done.returncode, done.stderr) == (1, "holdfast: cannot export als: there is no shape for what 'guessing' publishes\n")
    assert run(folder, "export", "als", "--format", "safetensors").returncode == 0


def test_it_has_the_memory_that_its_training_has(folder: Path) -> None:
    users = 3_000_000
    made = factors_bundle(np.ones((users, 1), "f4"), np.ones((2, 1), "f4"), np.zeros((users, 2), bool))
    published(folder / "var", 3, bundle=replace(made, details=bundle_of(3).details))
    done = run(folder, "export", "als", "--set", "training.als.memory=320MiB")
    why = "it needs more than the memory cap of 335544320 bytes; raise `memory` of this training"
    assert (done.returncode, done.stderr) == (1, f"holdfast: cannot export als: {why}\n")
    assert {path.name for path in folder.iterdir()} == {"holdfast.toml", "var"}, "nothing half is left"
    assert run(folder, "export", "als", "--version", name_of(2), "--set", "training.als.memory=256MiB").returncode == 0
