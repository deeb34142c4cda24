"""Publishing, rolling back, pinning, taking back and pruning, one after the other. Crashes in between: `test_publish_power_cut`."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loaders.bundle_file import open_bundle_file
from loaders.published import MOST_RECORD_BYTES, PINNED, RECORD_FILE, BadRecord, PublishedFolder
from tests.unit.training.published import TRAINING, name_of, published, record_of, staged
from training.versions.publish import (
    NoEarlierVersion,
    UnknownVersion,
    activate,
    clean,
    prune,
    publish,
    roll_back,
    stage_folder,
    unpin,
    withdraw,
    write_record,
)

FAILURE = {"type": "corrupt_artifact", "message": "it does not answer"}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "var"


@pytest.fixture
def folder(store: Path) -> PublishedFolder:
    return PublishedFolder(store, TRAINING)


def numbers(names: list[str]) -> list[int]:
    return [int(name[9:15]) for name in names]


def test_nothing_is_published(folder: PublishedFolder) -> None:
    assert (folder.names(), folder.current(), folder.pinned()) == ([], None, None)


def test_what_is_published_is_current_whole_and_private(store: Path, folder: PublishedFolder) -> None:
    record = published(store, 1)
    assert folder.names() == [record.version] and folder.current() == record.version and folder.pinned() is None
    assert folder.record(record.version) == record
    assert open_bundle_file(folder.model_of(record.version)).details["number"] == 1
    modes = {stat.S_IMODE(path.stat(follow_symlinks=False).st_mode) for path in folder.path.rglob("*") if not path.is_symlink()}
    assert modes == {0o600, 0o700}
    assert sorted(path.name for path in folder.path.iterdir()) == [record.version, "current"]


def test_only_the_newest_versions_are_kept(store: Path, folder: PublishedFolder) -> None:
    for number in range(1, 8):
        published(store, number, keep_versions=3)
    assert numbers(folder.names()) == [7, 6, 5]
    assert not (folder.path / name_of(1)).exists()


def test_what_is_pinned_stays_and_is_not_switched_from(store: Path, folder: PublishedFolder) -> None:
    for number in (1, 2, 3):
        published(store, number)
    assert roll_back(store, TRAINING).version == name_of(2)
    for number in (4, 5, 6, 7, 8):
        published(store, number, keep_versions=3)
    assert folder.current() == folder.pinned() == name_of(2)
    assert numbers(folder.names()) == [8, 7, 6, 2]


def test_unpinning_switches_nothing_and_the_next_one_does(store: Path, folder: PublishedFolder) -> None:
    for number in (1, 2, 3):
        published(store, number)
    roll_back(store, TRAINING, name_of(1))
    assert unpin(store, TRAINING) == name_of(1) == folder.current()
    assert folder.pinned() is None
    published(store, 4)
    assert folder.current() == name_of(4)


def test_activating_switches_and_unpins(store: Path, folder: PublishedFolder) -> None:
    for number in (1, 2, 3):
        published(store, number)
    roll_back(store, TRAINING)
    assert activate(store, TRAINING, name_of(3), by="a person").version == name_of(3)
    assert (folder.current(), folder.pinned()) == (name_of(3), None)


def test_going_back_again_goes_further(store: Path, folder: PublishedFolder) -> None:
    for number in (1, 2, 3):
        published(store, number)
    assert [roll_back(store, TRAINING).version for _ in range(2)] == [name_of(2), name_of(1)]
    with pytest.raises(NoEarlierVersion, match=r"^als keeps no version before the one that is current$"):
        roll_back(store, TRAINING)
    assert folder.current() == name_of(1)


def taken_back(store: Path, training: str, version: str) -> None:
    withdraw(store, training, version, FAILURE)


@pytest.mark.parametrize("command", [roll_back, activate, taken_back])
def test_a_version_that_is_not_kept(store: Path, command: Any) -> None:
    published(store, 1)
    for version in (name_of(2), "../als", ""):
        with pytest.raises(UnknownVersion):
            command(store, TRAINING, version)


def test_a_withdrawn_version_is_not_current_and_not_gone_back_to(store: Path, folder: PublishedFolder) -> None:
    for number in (1, 2, 3):
        published(store, number)
    now = withdraw(store, TRAINING, name_of(3), FAILURE)
    assert now is not None and now.version == name_of(2) == folder.current()
    told = folder.withdrawn(name_of(3))
    assert told is not None and {"type": told["type"], "message": told["message"]} == FAILURE and told["at"] > 1e9
    published(store, 4)
    assert roll_back(store, TRAINING).version == name_of(2)


def test_a_withdrawn_version_leaves_to_the_one_that_serves(store: Path, folder: PublishedFolder) -> None:
    for number in (1, 2, 3):
        published(store, number)
    activate(store, TRAINING, name_of(1))
    published(store, 4)
    withdraw(store, TRAINING, name_of(4), FAILURE, serving=name_of(1))
    assert folder.current() == name_of(1)


def test_a_pinned_version_that_is_withdrawn_takes_the_pin_along(store: Path, folder: PublishedFolder) -> None:
    for number in (1, 2, 3):
        published(store, number)
    roll_back(store, TRAINING)
    withdraw(store, TRAINING, name_of(2), FAILURE, serving="not kept any more")
    assert folder.current() == folder.pinned() == name_of(3)


def test_the_only_version_stays_current_though_it_is_withdrawn(store: Path, folder: PublishedFolder) -> None:
    published(store, 1)
    now = withdraw(store, TRAINING, name_of(1), FAILURE)
    assert now is not None and now.version == name_of(1)
    assert folder.current() == name_of(1) and folder.withdrawn(name_of(1)) is not None


def test_withdrawing_what_is_not_current_switches_nothing(store: Path, folder: PublishedFolder) -> None:
    for number in (1, 2, 3):
        published(store, number)
    withdraw(store, TRAINING, name_of(1), FAILURE)
    assert folder.current() == name_of(3)


@pytest.mark.parametrize("command", [roll_back, activate], ids=["roll back", "activate"])
def test_a_person_may_choose_a_withdrawn_version(store: Path, folder: PublishedFolder, command: Any) -> None:
    for number in (1, 2):
        published(store, number)
    withdraw(store, TRAINING, name_of(1), FAILURE)
    command(store, TRAINING, name_of(1))
    assert folder.current() == name_of(1) and folder.withdrawn(name_of(1)) is None


def test_withdrawn_versions_go_before_others(store: Path, folder: PublishedFolder) -> None:
    for number in (1, 2, 3):
        published(store, number)
    withdraw(store, TRAINING, name_of(2), FAILURE)
    published(store, 4, keep_versions=3)
    assert numbers(folder.names()) == [4, 3, 1]
    assert folder.withdrawn(name_of(2)) is None and list((folder.path / "withdrawn").iterdir()) == []


def test_what_dead_runs_left_is_deleted(store: Path, folder: PublishedFolder) -> None:
    published(store, 1)
    staged(store, 2)
    (folder.path / ".gone-20260101T000000-000000").mkdir()
    (folder.path / ".new-current").symlink_to("nowhere")
    (folder.path / "lock").touch()
    clean(store, TRAINING)
    assert sorted(path.name for path in folder.path.iterdir()) == [name_of(1), "current", "lock"]


def test_cleaning_where_nothing_was_published(store: Path) -> None:
    clean(store, TRAINING)
    assert not (store / TRAINING).exists()


def test_a_run_that_is_staged_again_begins_empty(store: Path) -> None:
    first = staged(store, 1)
    assert list(stage_folder(store, TRAINING, name_of(1)).iterdir()) == [] and first.is_dir()


@pytest.mark.parametrize("run_id", ["", "..", "20260101T000001", "20260101T000001-00000g"])
def test_a_run_whose_id_names_no_version(store: Path, run_id: str) -> None:
    with pytest.raises(ValueError, match="is no name of a version"):
        stage_folder(store, TRAINING, run_id)


def another_training(folder: Path) -> None:
    write_record(folder, record_of(1, (folder / "model.safetensors").stat().st_size, "", training="bpr"))


def a_shorter_file(folder: Path) -> None:
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(1000)


def no_file(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def no_record(folder: Path) -> None:
    (folder / RECORD_FILE).unlink()


def half_a_record(folder: Path) -> None:
    (folder / RECORD_FILE).write_text((folder / RECORD_FILE).read_text()[:100])


def unknown_fields(folder: Path) -> None:
    (folder / RECORD_FILE).write_text(json.dumps({"version": name_of(1)}))


@pytest.mark.parametrize("damage", [another_training, a_shorter_file, no_file, no_record, half_a_record, unknown_fields])
def test_what_is_not_whole_is_not_published(store: Path, folder: PublishedFolder, damage: Any) -> None:
    staging = staged(store, 1)
    damage(staging)
    with pytest.raises(BadRecord):
        publish(store, TRAINING, staging, 5)
    assert folder.names() == [] and folder.current() is None


@pytest.mark.parametrize(
    "forged",
    [
        {"trained_at": "yesterday"},
        {"published_at": 1e300},
        {"published_at": None},
        {"cut_at": -1e18},
        {"bytes": "many"},
        {"bytes": -1},
        {"metrics": {"ndcg@10": {"deep": [None]}}},
        {"metrics": [1]},
        {"verdict": [1]},
        {"verdict": {"cut_at": "soon"}},
        {"verdict": {"cut_at": 1e300}},
        {"notes": "x" * (MOST_RECORD_BYTES + 1)},
    ],
    ids=lambda forged: "-".join(forged) + (f"-{str(*forged.values())[:20]}"),
)
def test_a_record_that_is_forged_or_rotten_is_none(store: Path, folder: PublishedFolder, forged: dict[str, Any]) -> None:
    version = published(store, 1).version
    record = json.loads((folder.path / version / RECORD_FILE).read_text())
    (folder.path / version / RECORD_FILE).write_text(json.dumps(record | forged))
    with pytest.raises(BadRecord, match="no record that can be read"):
        folder.record(version)


def test_a_record_is_not_read_whole_where_it_is_endless(store: Path, folder: PublishedFolder) -> None:
    version = published(store, 1).version
    with (folder.path / version / RECORD_FILE).open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(BadRecord, match="longer than"):
        folder.record(version)


def test_fields_of_a_newer_program_are_let_be(store: Path, folder: PublishedFolder) -> None:
    record = published(store, 1)
    path = folder.path / record.version / RECORD_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"of_tomorrow": 1}))
    assert folder.record(record.version) == record


@pytest.mark.parametrize("at", [1e300, float("nan"), -1e18])
def test_a_mark_whose_time_is_none_still_takes_the_version_back(store: Path, folder: PublishedFolder, at: float) -> None:
    version = published(store, 1).version
    withdraw(store, TRAINING, version, FAILURE)
    (folder.path / "withdrawn" / version).write_text(json.dumps({"at": at, "type": "x", "message": "y"}))
    told = folder.withdrawn(version)
    assert told is not None and told["type"] == "unknown"


def test_what_somebody_put_into_the_folder_keeps_no_run_from_beginning(store: Path, folder: PublishedFolder, tmp_path: Path) -> None:
    published(store, 1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    for name in (".gone-link", ".staging-link", ".new-link", ".link.partial"):
        (folder.path / name).symlink_to(elsewhere)
    (folder.path / ".gone-file").touch()
    for name in (".new-current", ".folder.partial"):
        (folder.path / name / "within").mkdir(parents=True)
    clean(store, TRAINING)
    assert sorted(path.name for path in folder.path.iterdir()) == [name_of(1), "current"]
    assert (elsewhere / "kept").exists()


def test_a_version_that_is_a_link_is_pruned_and_what_it_leads_to_stays(store: Path, folder: PublishedFolder, tmp_path: Path) -> None:
    published(store, 1)
    moved = tmp_path / "moved"
    (folder.path / name_of(1)).rename(moved)
    (folder.path / name_of(1)).symlink_to(moved)
    published(store, 2, keep_versions=1)
    assert folder.names() == [name_of(2)] and (moved / RECORD_FILE).is_file()
    assert not any(path.name.startswith(".gone-") for path in folder.path.iterdir())


def test_a_version_is_not_published_twice(store: Path, folder: PublishedFolder) -> None:
    published(store, 1)
    staging = staged(store, 1)
    with pytest.raises(FileExistsError):
        publish(store, TRAINING, staging, 5)
    assert folder.current() == name_of(1)


def test_a_metric_that_is_no_number_is_not_recorded(store: Path) -> None:
    staging = stage_folder(store, TRAINING, name_of(1))
    with pytest.raises(ValueError, match="JSON"):
        write_record(staging, replace(record_of(1, 1, ""), metrics={"ndcg@10": float("nan")}))


def test_old_versions_that_cannot_be_deleted_do_not_undo_a_publication(
    store: Path, folder: PublishedFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    published(store, 1)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("training.versions.durable.remove_folder", refuse)
    monkeypatch.setattr("training.versions.publish.stage_folder", lambda *given: None)
    staging = folder.path / ".staging-by-hand"
    staging.mkdir()
    monkeypatch.setattr("tests.unit.training.published.stage_folder", lambda *given: staging)
    assert published(store, 2, keep_versions=1).version == folder.current()
    assert "could not be deleted" in caplog.text


def test_a_rollback_that_was_interrupted_is_completed(store: Path, folder: PublishedFolder) -> None:
    for number in (1, 2):
        published(store, number)
    (folder.path / PINNED).symlink_to(name_of(1))
    assert folder.current() == name_of(1) and folder.current_link() == name_of(2)
    clean(store, TRAINING)
    assert folder.current_link() == name_of(1)


def test_a_first_publication_that_was_interrupted_is_completed(store: Path, folder: PublishedFolder) -> None:
    published(store, 1)
    (folder.path / "current").unlink()
    clean(store, TRAINING)
    assert folder.current() == name_of(1)


class Model:
    """What the folder is to hold, in sets."""

    def __init__(self) -> None:
        self.kept: list[int] = []
        self.withdrawn: set[int] = set()
        self.current: int | None = None
        self.pinned: int | None = None

    def sound(self) -> list[int]:
        return [number for number in sorted(self.kept, reverse=True) if number not in self.withdrawn]

    def publish(self, number: int, keep: int) -> None:
        self.kept.append(number)
        if self.pinned is None:
            self.current = number
        ranked = self.sound() + sorted(self.withdrawn, reverse=True)
        self.kept = [each for each in self.kept if each in {*ranked[:keep], self.current, self.pinned}]
        self.withdrawn &= set(self.kept)

    def choose(self, number: int, *, is_pinned: bool) -> None:
        self.withdrawn.discard(number)
        self.current, self.pinned = number, number if is_pinned else None

    def withdraw(self, number: int) -> None:
        self.withdrawn.add(number)
        if number == self.current and self.sound():
            self.current = self.sound()[0]
            self.pinned = self.current if self.pinned is not None else None


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["publish", "roll back", "roll back to", "activate", "unpin", "withdraw", "clean"]),
        st.integers(0, 5),
        st.integers(1, 4),
    ),
    max_size=14,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_any_sequence_leaves_what_it_says(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]) -> None:
    store, model = tmp_path_factory.mktemp("var"), Model()
    folder = PublishedFolder(store, TRAINING)
    for at, (step, which, keep) in enumerate([("publish", 0, 3), *steps]):
        chosen = sorted(model.kept)[which % len(model.kept)] if model.kept else 0
        if step == "publish":
            published(store, at + 1, keep)
            model.publish(at + 1, keep)
        elif step == "roll back":
            earlier = [number for number in model.sound() if number < (model.current or 0)]
            if earlier:
                roll_back(store, TRAINING)
                model.choose(earlier[0], is_pinned=True)
            else:
                with pytest.raises(NoEarlierVersion):
                    roll_back(store, TRAINING)
        elif step in ("roll back to", "activate"):
            (roll_back if step != "activate" else activate)(store, TRAINING, name_of(chosen))
            model.choose(chosen, is_pinned=step != "activate")
        elif step == "unpin":
            unpin(store, TRAINING)
            model.pinned = None
        elif step == "withdraw":
            withdraw(store, TRAINING, name_of(chosen), FAILURE)
            model.withdraw(chosen)
        else:
            clean(store, TRAINING)
        assert numbers(folder.names()) == sorted(model.kept, reverse=True)
        assert folder.current() == folder.current_link() == name_of(model.current or 0)
        assert folder.pinned() == (None if model.pinned is None else name_of(model.pinned))
        assert {number for number in model.kept if folder.withdrawn(name_of(number))} == model.withdrawn
    assert prune(store, TRAINING, 100) == []
