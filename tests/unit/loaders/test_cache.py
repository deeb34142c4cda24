"""What the store deletes, and what it must leave alone.

Does not cover: loads that use it (`tests/integration/loading`), the program (`tests/acceptance`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.schema import ModelSettings
from loaders.cache import FileIdentity, Kept, Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store", max_bytes=1 << 30)
    opened.open()
    yield opened
    opened.close()


def fetched(store: Store, model: str, name: str) -> Path:
    """A whole download, taken into the store."""
    part = store.partial_path(ModelSettings(name=model, source=f"/{model}"))
    part.write_bytes(b"artifact")
    return store.take(model, part, name)


def segment(store: Store, model: str, name: str) -> Path:
    store.hold(model, name)
    path = store.segments / name
    path.write_bytes(b"segment")
    return path


def record(store: Store, model: str, artifact: Path, mapped: Path) -> Kept:
    identities = FileIdentity.of(artifact), FileIdentity.of(mapped)
    return Kept(model, "key", "revision", 8, None, *identities, False, "version", "factors", 1.0, 7)


def names(store: Store) -> set[str]:
    return {path.name for path in (*store.artifacts.iterdir(), *store.segments.iterdir())}


def test_a_load_that_ends_leaves_the_files_of_those_that_still_run(store: Store) -> None:
    waiting = fetched(store, "other", "1")
    segment(store, "other", "other-1.seg")
    store.keep(record(store, "als", fetched(store, "als", "1"), segment(store, "als", "als-1.seg")))
    assert names(store) == {"als-1", "als-1.seg", "other-1", "other-1.seg"}
    assert store.collect() == 0
    assert waiting.read_bytes() == b"artifact"


def test_a_load_that_ends_leaves_the_segment_that_another_is_writing(store: Store) -> None:
    unfinished = store.segments / ".segment-1-00ff"
    unfinished.write_bytes(b"half")
    store.keep(record(store, "als", fetched(store, "als", "1"), segment(store, "als", "als-1.seg")))
    assert unfinished.exists()
    store.close()
    store.open()
    assert not unfinished.exists()


def test_a_load_that_failed_leaves_nothing_but_what_was_kept_before(store: Store) -> None:
    store.keep(record(store, "als", fetched(store, "als", "1"), segment(store, "als", "als-1.seg")))
    fetched(store, "als", "2")
    segment(store, "als", "als-2.seg")
    store.let_go("als")
    assert names(store) == {"als-1", "als-1.seg"}


def test_a_new_revision_replaces_the_files_of_the_old_one(store: Store) -> None:
    for number in ("1", "2"):
        store.keep(record(store, "als", fetched(store, "als", number), segment(store, "als", f"als-{number}.seg")))
    assert names(store) == {"als-2", "als-2.seg"}


def test_an_artifact_that_was_never_loaded_goes_when_the_next_one_ends(store: Store) -> None:
    fetched(store, "als", "1")
    store.keep(record(store, "als", fetched(store, "als", "2"), segment(store, "als", "als-2.seg")))
    assert names(store) == {"als-2", "als-2.seg"}


def test_clear_leaves_what_a_load_has_in_hand(store: Store) -> None:
    store.keep(record(store, "als", fetched(store, "als", "1"), segment(store, "als", "als-1.seg")))
    fetched(store, "other", "1")
    assert store.clear(None) > 0
    assert names(store) == {"other-1"}


def test_clear_leaves_a_download_under_way_and_what_stands_beside_it(store: Store) -> None:
    part = store.partial_path(ModelSettings(name="als", source="/als"))
    left_over = store.partial_path(ModelSettings(name="als", source="/elsewhere"))
    for path in (part, part.with_name(part.name + ".json"), left_over):
        path.write_bytes(b"part")
    store.hold("als", part.name)
    store.clear("als")
    assert {path.name for path in store.partial.iterdir()} == {part.name, f"{part.name}.json"}
    store.let_go("als")
    store.clear("als")
    assert list(store.partial.iterdir()) == []


def test_clear_takes_the_downloads_of_one_model_only(store: Store) -> None:
    for name in ("als", "als-2"):
        store.partial_path(ModelSettings(name=name, source="/x")).write_bytes(b"part")
    store.clear("als")
    assert [path.name.partition(".")[0].rpartition("-")[0] for path in store.partial.iterdir()] == ["als-2"]


def test_clear_takes_the_folder_that_a_killed_download_left(store: Store) -> None:
    part = store.partial_path(ModelSettings(name="als", source="gdrive://x"))
    folder = part.with_name(part.name + ".gdown")
    folder.mkdir()
    (folder / "artifact.part").write_bytes(b"part" * 4096)
    assert store.used_bytes() >= 16384
    assert store.clear("als") >= 16384
    assert list(store.partial.iterdir()) == []


def test_what_is_over_the_budget_stays_while_a_load_has_it_in_hand(store: Store) -> None:
    artifact = fetched(store, "als", "1")
    store.keep(record(store, "als", artifact, segment(store, "als", "als-1.seg")))
    store.max_bytes = 0
    store.hold("als", artifact.name)
    store.collect()
    assert artifact.exists()
    store.let_go("als")
    assert not artifact.exists()


def test_what_a_killed_process_had_in_hand_goes_at_the_next_start(store: Store) -> None:
    fetched(store, "als", "1")
    store.close()
    again = Store(store.root, store.max_bytes)
    again.open()
    assert names(again) == set()
    again.close()


@pytest.mark.parametrize(
    "damage",
    [
        {"loaded_at": "x"},
        {"loaded_at": float("nan")},
        {"load": []},
        {"load": {"peak_bytes": "x"}},
        {"size": None},
        {"revision": 5},
        {"sha256": 5},
        {"adopts": 1},
        {"model": "another"},
        {"artifact": {"name": []}},
        {"artifact": {"name": "../outside"}},
        {"artifact": {"name": "a\0b"}},
        {"artifact": {"name": ".."}},
        {"artifact": {"name": "/outside"}},
        {"segment": {"name": 5}},
        {"segment": {"size": "x"}},
        {"segment": {"sample": None}},
    ],
    ids=repr,
)
def test_a_damaged_record_is_none_and_no_start_fails_by_it(store: Store, damage: dict[str, Any]) -> None:
    outside = store.root / "outside"
    outside.write_bytes(b"not of this store")
    store.keep(record(store, "als", fetched(store, "als", "1"), segment(store, "als", "als-1.seg")))
    path = store.root / "kept" / "als.json"
    fields = json.loads(path.read_text())
    for name, value in damage.items():
        fields[name] = {**fields[name], **value} if name in ("artifact", "segment") else value
    path.write_text(json.dumps(fields))
    store.close()
    again = Store(store.root, max_bytes=0)
    again.open()
    assert again.kept("als") is None
    assert names(again) == set()
    assert outside.exists()
    again.close()


def test_a_record_nested_without_end_is_none(store: Store) -> None:
    (store.root / "kept" / "als.json").write_text("[" * 100_000)
    assert store.kept("als") is None


def test_a_store_whose_sweep_fails_is_not_held(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.close()
    with monkeypatch.context() as patched:
        patched.setattr(Store, "collect", lambda self: (_ for _ in ()).throw(PermissionError()))
        with pytest.raises(PermissionError):
            store.open()
    again = Store(store.root, store.max_bytes)
    again.open()
    again.close()
