"""What a training published, through the real loader and its child: adopted where it is, under its own name."""

from __future__ import annotations

import asyncio
import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.schema import ModelSettings, Settings, StoreSettings
from loaders.bundle_file import open_bundle_file
from loaders.checking import check
from loaders.errors import CorruptArtifact, SourceNotFound, UnknownFormat
from loaders.loader import Loader, Version
from loaders.published import PublishedFolder
from models.base import Query
from models.bundle import Bundle
from tests.contracts.families import RecommenderExample, example, examples
from tests.support import wait_until
from tests.unit.models.building import packed
from tests.unit.training.published import TRAINING, bundle_of, name_of, published
from training.versions.publish import activate, roll_back

from .bench_of_one import open_loader

MODEL = ModelSettings(name="m", source=f"training:{TRAINING}")


async def bring(loader: Loader, model: ModelSettings = MODEL, known: str | None = None) -> Version | None:
    artifact = await loader.fetch(model, known=known, on_progress=lambda done, total: None)
    return None if artifact is None else await loader.load(model, artifact, on_phase=lambda phase, reason: None)


async def brought(loader: Loader, model: ModelSettings = MODEL, known: str | None = None) -> Version:
    version = await bring(loader, model, known)
    assert version is not None
    return version


def links_of(store: Path, number: int) -> int:
    return PublishedFolder(store, TRAINING).model_of(name_of(number)).stat().st_nlink


async def test_its_arrays_stay_where_they_are(tmp_path: Path) -> None:
    store = tmp_path / "store"
    published(store, 1)
    async with open_loader(tmp_path) as loader:
        version = await brought(loader)
        arrays = open_bundle_file(PublishedFolder(store, TRAINING).model_of(name_of(1))).arrays
        assert version.load["adopted_bytes"] == sum(array.nbytes for array in arrays.values())
        assert (version.load["streamed_bytes"], version.load["format"]) == (0, "safetensors")
        assert links_of(store, 1) == 2
        assert (version.version, version.revision) == (name_of(1), f"training:{name_of(1)}")
        assert version.details["number"] == 1 and version.details["score_range"]
        assert version.scorer.recommend(Query(users=[0], k=3))[0].items
        await version.close()


FIRST_OF_EACH = {family: (family, name) for family, name in reversed(examples())}


@pytest.mark.parametrize(("family", "name"), FIRST_OF_EACH.values(), ids=FIRST_OF_EACH)
async def test_it_answers_as_the_library_did(tmp_path: Path, family: str, name: str) -> None:
    made: Any = example(family, name)
    published(tmp_path / "store", 1, bundle=packed(made.artifact))
    async with open_loader(tmp_path) as loader:
        version = await brought(loader)
        assert version.family == family and version.version == name_of(1)
        if isinstance(made, RecommenderExample):
            for answer, wanted in zip(version.scorer.recommend(Query(made.users, 5)), made.answers(5), strict=True):
                assert list(answer.items) == [item for item, _ in wanted]
                np.testing.assert_allclose(answer.scores, [score for _, score in wanted], rtol=1e-4, atol=1e-5)
        else:
            np.testing.assert_allclose(version.scorer.predict(made.rows).predictions, made.predictions, rtol=1e-6)
        await version.close()


async def test_a_restart_and_a_rollback_give_back_the_same_names(tmp_path: Path) -> None:
    store = tmp_path / "store"
    published(store, 1)
    published(store, 2)
    async with open_loader(tmp_path) as loader:
        version = await brought(loader)
        assert await bring(loader, known=version.revision) is None
        await version.close()
    async with open_loader(tmp_path) as loader:
        restored = await loader.restore(MODEL)
        assert restored is not None and restored.version == name_of(2) and restored.load["from_segment"]
        roll_back(store, TRAINING)
        older = await brought(loader, known=restored.revision)
        assert older.version == name_of(1) and older.details["number"] == 1
        activate(store, TRAINING, name_of(2))
        again = await brought(loader, known=older.revision)
        assert again.version == name_of(2)
        for each in (restored, older, again):
            await each.close()


async def test_what_serves_outlives_its_pruning(tmp_path: Path) -> None:
    store = tmp_path / "store"
    published(store, 1)
    async with open_loader(tmp_path) as loader:
        version = await brought(loader)
        published(store, 2, keep_versions=1)
        assert PublishedFolder(store, TRAINING).names() == [name_of(2)]
        assert version.scorer.recommend(Query(users=[0], k=3))[0].items
        await version.close()
    async with open_loader(tmp_path) as loader:
        restored = await loader.restore(MODEL)
        assert restored is not None and restored.version == name_of(1)
        await restored.close()


async def test_a_link_takes_no_room_and_clearing_leaves_what_is_published(tmp_path: Path) -> None:
    store = tmp_path / "store"
    published(store, 1, bundle=replace(bundle_of(1), arrays={**bundle_of(1).arrays, "more": np.ones(1 << 20, "u1")}))
    folder = PublishedFolder(store, TRAINING)
    async with open_loader(tmp_path) as loader:
        first, second = await brought(loader), await brought(loader, replace(MODEL, name="n"))
        assert 1 << 20 < loader.store.used_bytes() < 2 << 20
        for version in (first, second):
            await version.close()
        freed = await loader.clear(None)
        assert 0 < freed < 1 << 20
        assert loader.store.used_bytes() == 0
        assert links_of(store, 1) == 1 and folder.current() == name_of(1)
        open_bundle_file(folder.model_of(name_of(1)))


async def test_where_no_link_can_be_had_it_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store"
    published(store, 1)

    def refuse(*given: object, **how: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    async with open_loader(tmp_path) as loader:
        with monkeypatch.context() as patched:
            patched.setattr("loaders.sources.training.os.link", refuse)
            artifact = await loader.fetch(MODEL, known=None, on_progress=lambda done, total: None)
        assert artifact is not None and links_of(store, 1) == 1
        version = await loader.load(MODEL, artifact, on_phase=lambda phase, reason: None)
        assert version.version == name_of(1) and version.load["adopted_bytes"]
        await version.close()


async def test_nothing_is_published(tmp_path: Path) -> None:
    async with open_loader(tmp_path) as loader:
        with pytest.raises(SourceNotFound, match="als has published nothing yet: holdfast train als"):
            await bring(loader)


async def test_nothing_is_current(tmp_path: Path) -> None:
    published(tmp_path / "store", 1)
    (tmp_path / "store" / TRAINING / "current").unlink()
    async with open_loader(tmp_path) as loader:
        with pytest.raises(SourceNotFound, match=f"none of its 1 versions is current: holdfast versions als --activate {name_of(1)}"):
            await bring(loader)


def contradicting() -> Bundle:
    made = bundle_of(1)
    return replace(made, arrays={**made.arrays, "user_factors": np.ones((4, 7), "f4")})


def without_words() -> Bundle:
    return replace(bundle_of(1), meta={"widths": [], "fold_in": 1})


@pytest.mark.parametrize("forge", [contradicting, without_words])
async def test_what_cannot_answer_is_corrupt(tmp_path: Path, forge: Any) -> None:
    published(tmp_path / "store", 1, bundle=forge())
    async with open_loader(tmp_path) as loader:
        with pytest.raises(CorruptArtifact, match="the model cannot answer"):
            await bring(loader)
        assert loader.store.used_bytes() == 0 and links_of(tmp_path / "store", 1) == 1


async def test_a_bit_that_the_disk_changed_makes_it_no_model(tmp_path: Path) -> None:
    published(tmp_path / "store", 1)
    file = PublishedFolder(tmp_path / "store", TRAINING).model_of(name_of(1))
    rotten = bytearray(file.read_bytes())
    rotten[-1] ^= 1
    file.write_bytes(rotten)
    async with open_loader(tmp_path) as loader:
        with pytest.raises(CorruptArtifact, match="is not the one that was published: its SHA-256 is") as caught:
            await bring(loader)
        assert caught.value.detail["revision"] == f"training:{name_of(1)}", "or it could not be taken back"
        assert loader.store.used_bytes() == 0 and links_of(tmp_path / "store", 1) == 1


async def test_another_family_is_configured(tmp_path: Path) -> None:
    published(tmp_path / "store", 1)
    async with open_loader(tmp_path) as loader:
        with pytest.raises(UnknownFormat, match="a bundle of family factors"):
            await bring(loader, replace(MODEL, family="trees"))


async def test_it_can_be_checked(tmp_path: Path) -> None:
    store = tmp_path / "store"
    published(store, 1)
    report = await check(Settings(store=StoreSettings(path=store)), MODEL)
    assert report["family"] == "factors" and report["adopted_bytes"]
    assert not [component["name"] for component in report["components"] if "__pad" in component["name"]]
    assert sorted(path.name for path in store.iterdir()) == [TRAINING]


async def test_a_switch_is_noticed(tmp_path: Path) -> None:
    store = tmp_path / "store"
    published(store, 1)
    published(store, 2)
    async with open_loader(tmp_path) as loader:
        changes = loader.watch(MODEL)
        assert changes is not None
        heard: list[str | None] = []

        async def hear() -> None:
            async for _ in changes:
                heard.append(PublishedFolder(store, TRAINING).current())

        task = asyncio.create_task(hear())
        try:
            roll_back(store, TRAINING)
            await wait_until(lambda: heard == [name_of(1)], 20.0)
            published(store, 3)
            activate(store, TRAINING, name_of(3))
            await wait_until(lambda: heard[-1] == name_of(3), 20.0)
            assert heard == [name_of(1), name_of(3)]
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
