"""Every format a team saves a recommender in loads as it is, and answers as implicit itself does."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.schema import ModelSettings
from models.base import Query, Ranking
from tests.artifacts.ids import make_ids, plain
from tests.artifacts.nmf import expected_nmf, nmf_dict
from tests.artifacts.recommenders import BARE, als_dict, expected_recommend, factor_arrays, interactions
from tests.artifacts.writing import ARRAY_WAYS, OBJECT_WAYS, write

from .bench_of_one import bring, open_loader

ROWS = [0, 1, 7, 20]


def check(answers: list[Any], expected: list[Any], item_ids: list[Any]) -> None:
    for answer, wanted in zip(answers, expected, strict=True):
        assert isinstance(answer, Ranking), answer
        assert list(answer.items) == [item_ids[row] for row in wanted.items]
        np.testing.assert_allclose(answer.scores, wanted.scores, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("way", OBJECT_WAYS)
async def test_als_dict_answers_as_implicit_does(way: str, tmp_path: Path) -> None:
    artifact = als_dict("str")
    user_ids, item_ids = list(artifact["user_id_map"]), list(artifact["item_id_map"])
    phases: list[str] = []
    async with open_loader(tmp_path) as loader:
        version = await bring(loader, write(artifact, tmp_path / "model", way), phases)
        answers = version.scorer.recommend(Query([user_ids[row] for row in ROWS], k=10))
        check(answers, expected_recommend(artifact["model"], ROWS, 10, interactions()), item_ids)
        answers = version.scorer.recommend(Query([user_ids[3]], k=10, exclude_seen=False))
        check(answers, expected_recommend(artifact["model"], [3], 10), item_ids)
        assert phases == ["loading", "warming"]
        assert version.details["trained_at"] == artifact["trained_at"]
        await version.close()


@pytest.mark.parametrize("kind", BARE)
@pytest.mark.parametrize("way", ["pickle2", "pickle5", "joblib", "joblib_lz4"])
async def test_bare_model_answers_by_row(kind: str, way: str, tmp_path: Path) -> None:
    model = BARE[kind]()
    async with open_loader(tmp_path) as loader:
        version = await bring(loader, write(model, tmp_path / "model", way))
        check(version.scorer.recommend(Query(ROWS, k=7)), expected_recommend(model, ROWS, 7), list(range(model.item_factors.shape[0])))
        assert version.details["seen"] is False
        await version.close()


@pytest.mark.parametrize("matrix", ["csr", "dense", "frame", "none"])
@pytest.mark.parametrize(("ids", "encoder", "transposed"), [("int", "dict", False), ("str", "label", True), ("mixed", "dict", False)])
async def test_nmf_dict(matrix: str, ids: str, encoder: str, transposed: bool, tmp_path: Path) -> None:
    artifact = nmf_dict(ids, matrix=matrix, encoder=encoder, transposed=transposed)
    count = artifact["user_factors"].shape[0]
    user_ids, item_ids = [plain(id) for id in make_ids(ids, count)], [plain(id) for id in make_ids(ids, interactions().shape[1], first=500)]
    if encoder == "label":
        user_ids, item_ids = sorted(user_ids), sorted(item_ids)
    async with open_loader(tmp_path) as loader:
        version = await bring(loader, write(artifact, tmp_path / "model", "pickle4"))
        check(
            version.scorer.recommend(Query([user_ids[row] for row in ROWS], k=8)),
            expected_nmf(ROWS, 8, exclude_seen=matrix != "none"),
            item_ids,
        )
        await version.close()


@pytest.mark.parametrize("way", ARRAY_WAYS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
async def test_plain_arrays(way: str, dtype: str, tmp_path: Path) -> None:
    arrays = factor_arrays("int", dtype=dtype)
    async with open_loader(tmp_path) as loader:
        version = await bring(loader, write(arrays, tmp_path / "model", way))
        scores = arrays["user_factors"][4].astype("f8") @ arrays["item_factors"].T.astype("f8")
        best = np.argsort(-scores, kind="stable")[:5]
        answer = version.scorer.recommend(Query([int(arrays["user_ids"][4])], k=5))[0]
        assert list(answer.items) == arrays["item_ids"][best].tolist()
        await version.close()


async def test_arrays_that_lie_raw_and_aligned_are_not_copied(tmp_path: Path) -> None:
    artifact = als_dict("int")
    async with open_loader(tmp_path) as loader:
        for way in ("joblib", "safetensors"):
            saved = artifact if way == "joblib" else factor_arrays("int")
            version = await bring(loader, write(saved, tmp_path / way, way))
            assert version.load["adopted_bytes"] >= artifact["model"].item_factors.nbytes + artifact["model"].user_factors.nbytes
            assert version.load["streamed_bytes"] == 0
            # The file the operator may rewrite is not the one that is mapped.
            (tmp_path / way).write_bytes(b"rewritten")
            assert isinstance(version.scorer.recommend(Query([artifact_user(artifact)], k=3))[0], Ranking)
            await version.close()


def artifact_user(artifact: dict[str, Any]) -> Any:
    return next(iter(artifact["user_id_map"]))


async def test_restart_maps_the_kept_segment(tmp_path: Path) -> None:
    path = write(als_dict("str"), tmp_path / "model", "pickle5")
    async with open_loader(tmp_path) as loader:
        first = await bring(loader, path)
        answer = first.scorer.recommend(Query([artifact_user(als_dict("str"))], k=5))[0]
        await first.close()
    async with open_loader(tmp_path) as loader:
        model = ModelSettings(name="m", source=str(path))
        again = await loader.restore(model)
        assert again is not None and again.version == first.version and again.load["from_segment"] is True
        assert again.scorer.recommend(Query([answer.user], k=5)) == [answer]
        await again.close()
        assert await loader.restore(ModelSettings(name="m", source=str(path), family="factors")) is None
        assert await loader.restore(ModelSettings(name="m", source=str(path) + "x")) is None
        segment = next(loader.store.segments.iterdir())
        segment.write_bytes(segment.read_bytes()[:-1])
        assert await loader.restore(model) is None


async def test_a_segment_in_memory_leaves_no_file(tmp_path: Path) -> None:
    artifact = als_dict("int")
    async with open_loader(tmp_path) as loader:
        version = await bring(loader, write(artifact, tmp_path / "model", "pickle4"), segment="memory")
        assert isinstance(version.scorer.recommend(Query([artifact_user(artifact)], k=3))[0], Ranking)
        assert not list(loader.store.segments.iterdir())
        await version.close()


@pytest.mark.parametrize("way", ["pickle5", "joblib"])
async def test_a_copied_store_serves_without_its_source(way: str, tmp_path: Path) -> None:
    """As when `holdfast fetch` baked the models into an image: other inodes, other times."""
    path = write(als_dict("str"), tmp_path / "model", way)
    model = ModelSettings(name="m", source=str(path))
    async with open_loader(tmp_path / "built") as loader:
        first = await bring(loader, path)
        await first.close()
    shutil.copytree(tmp_path / "built", tmp_path / "copied", copy_function=shutil.copyfile)
    path.unlink()
    async with open_loader(tmp_path / "copied") as loader:
        again = await loader.restore(model)
        assert again is not None and again.version == first.version
        await again.close()
        cut = next((loader.store.artifacts if way == "joblib" else loader.store.segments).iterdir())
        data = cut.read_bytes()
        cut.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
        assert await loader.restore(model) is None


@pytest.mark.parametrize("matrix", [np.ones((3, 4), np.float32), {"user": [1]}], ids=["another shape", "another form"])
async def test_a_matrix_that_does_not_fit_is_left_out_and_said_to_be(matrix: Any, tmp_path: Path) -> None:
    artifact = nmf_dict("int") | {"user_item_matrix": matrix}
    async with open_loader(tmp_path) as loader:
        version = await bring(loader, write(artifact, tmp_path / "model", "pickle5"))
        assert version.details["seen"] is False and "user_item_matrix" in version.details["warnings"][0]
        assert isinstance(version.scorer.recommend(Query([next(iter(artifact["user_encoder"]))], k=3))[0], Ranking)
        await version.close()
