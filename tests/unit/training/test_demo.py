"""The demo is made once, whole, and stands in the way of nothing that is configured or published.

Covers: training.demo. Does not cover: training and serving what it configures (tests/acceptance/test_demo).
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from config.load import load_settings
from config.schema import ModelSettings, Settings, TrainingSettings
from loaders.errors import MissingLibrary
from tests.support import ROOT, python_environment
from training import demo as demo_module
from training.demo import TRAININGS, DemoRefused, check, demo_settings, make_database, write_configuration
from training.made_up.interactions import write_database
from training.made_up.planted import plant
from training.trainers import TRAINERS
from training.trainers.parameters import check as check_parameters

MAKE = "import sys, pathlib; from training.demo import make_database; make_database(pathlib.Path(sys.argv[1]), on_begin=lambda: {})"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_database(tmp_path_factory.mktemp("demo") / "var" / "demo")


def settings_at(store: Path) -> Settings:
    return load_settings({"store.path": str(store)}, environ={}, cwd=store)


def maker(folder: Path, begun: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", MAKE.format(begun), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=python_environment({"PYTHONPATH": str(ROOT)}),
        text=True,
    )


def test_the_data_are_whole_and_of_users_and_items_from_1(made: Path) -> None:
    with closing(sqlite3.connect(made)) as database:
        users = "SELECT count(DISTINCT user_id), min(user_id), max(user_id) FROM interactions"
        assert database.execute(users).fetchone() == (2_000, 1, 2_000)
        assert database.execute("SELECT count(*), count(DISTINCT title), min(item_id) FROM items").fetchone() == (1_000, 1_000, 1)
        (rows,) = database.execute("SELECT count(*) FROM interactions").fetchone()
        assert 55_000 < rows < 65_000
    assert [path.name for path in made.parent.iterdir()] == [made.name]


def test_the_same_data_every_time(made: Path, tmp_path: Path) -> None:
    write_database(tmp_path / "again.db", plant())
    assert (tmp_path / "again.db").read_bytes() == made.read_bytes()


def test_what_is_there_is_not_made_again(made: Path) -> None:
    before, begun = made.stat(), []
    assert make_database(made.parent, on_begin=lambda: begun.append("again")) == made
    assert (made.stat(), begun) == (before, [])


def test_interrupted_nothing_half_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(path: Path, planted: object) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("training.made_up.interactions.write_database", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_database(tmp_path / "demo")
    assert list((tmp_path / "demo").iterdir()) == []


def test_who_comes_second_waits_and_finds_it_made(tmp_path: Path) -> None:
    with maker(tmp_path, "(print('begun', flush=True), sys.stdin.readline())") as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "begun\n"
        with maker(tmp_path, "print('begun', flush=True)") as second:
            first.communicate("\n")
            assert second.communicate()[0] == ""
    assert (first.returncode, second.returncode) == (0, 0)


def test_who_was_killed_is_in_nobodys_way(tmp_path: Path) -> None:
    with maker(tmp_path, "(print('begun', flush=True), sys.stdin.readline())") as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "begun\n"
        os.kill(killed.pid, signal.SIGKILL)
    assert make_database(tmp_path).exists()


def test_a_configuration_with_trainings_is_not_trained_over(tmp_path: Path) -> None:
    settings = replace(settings_at(tmp_path), training={"mine": TrainingSettings("mine", algorithm="als")})
    with pytest.raises(DemoRefused, match=r"\[training.mine\]"):
        check(settings, tmp_path / "demo")


def test_what_somebody_else_published_is_not_replaced(tmp_path: Path, made: Path) -> None:
    version = tmp_path / "als" / "20261121T101500-3fa9c1"
    version.mkdir(parents=True)
    (version / "version.json").write_text("{}")
    settings = settings_at(tmp_path)
    with pytest.raises(DemoRefused, match=str(tmp_path / "als")):
        check(settings, tmp_path / "demo")
    check(settings, made.parent)  # with the demo's data beside it, it is the demo's


def test_a_missing_library_names_the_line_that_brings_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_module, "_LIBRARIES", ("implicit", "a_library_that_nobody_has"))
    with pytest.raises(MissingLibrary, match=r'a_library_that_nobody_has: pip install "holdfast\[train\]"'):
        check(settings_at(tmp_path), tmp_path / "demo")


def test_what_the_operator_asked_for_counts(tmp_path: Path) -> None:
    given = load_settings(
        {"server.port": "9000", "server.default_model": "mine", "models.mine.source": "/srv/mine.pkl", "data.ingest_token": "theirs"},
        environ={"ADMIN_LOAD_TOKEN": "secret"},
        cwd=tmp_path,
    )
    settings = demo_settings(given, tmp_path / "demo.db")
    assert settings.server == given.server
    assert settings.data.ingest_token == "theirs"
    assert settings.models["mine"] == given.models["mine"]
    assert set(settings.models) == {"mine", "als", "content", "features", "hybrid"}


def test_without_a_word_the_hybrid_answers_and_nobody_knows_the_token(tmp_path: Path) -> None:
    one, other = (demo_settings(settings_at(tmp_path), tmp_path / "demo.db") for _ in range(2))
    assert one.server.default_model == "hybrid"
    assert one.data.url == f"sqlite:///{tmp_path}/demo.db"
    assert one.data.ingest_token and one.data.ingest_token != other.data.ingest_token
    assert one.models["als"] == ModelSettings("als", source="training:als", watch=True, fallback="training:als")


def test_its_trainings_are_such_as_one_could_configure() -> None:
    names = {training.name for training in TRAININGS}
    for training in TRAININGS:
        assert training.algorithm in TRAINERS
        check_parameters(training.algorithm, training.parameters)
        assert set(training.parts.values()) < names


def test_the_file_beside_the_data_configures_the_same(tmp_path: Path) -> None:
    given = replace(settings_at(tmp_path / 'a "store" of mé'), models={"mine": ModelSettings("mine", source="/srv/mine.pkl")})
    database = tmp_path / 'de"mo' / "demo.db"
    database.parent.mkdir()
    path = write_configuration(given, database)
    read, served = load_settings(config_file=path, environ={}, cwd=tmp_path), demo_settings(given, database)
    assert read.training == served.training
    assert read.models == {name: model for name, model in served.models.items() if name != "mine"}
    assert (read.store.path, read.data.url, read.server.default_model) == (given.store.path, served.data.url, "hybrid")
    assert read.data.ingest_token == "" and served.data.ingest_token not in path.read_text()
    assert write_configuration(given, database) == path, "it is written anew at each start"
