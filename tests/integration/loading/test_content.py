"""Content-based artifacts and item-item models through the capped child: columns, categories, dates, restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.schema import ModelSettings
from loaders.errors import LoadError
from models.base import Query, Ranking
from tests.artifacts.content import content_dict, expected_like, item_item
from tests.artifacts.frames import WANTED, frames
from tests.artifacts.ids import make_ids
from tests.artifacts.recommenders import ITEMS
from tests.artifacts.writing import OBJECT_WAYS, write

from .bench_of_one import bring, open_loader


def liking(version: Any, ids: list[Any], **query: Any) -> Ranking:
    (answer,) = version.scorer.recommend(Query(liked=ids, **query))
    assert isinstance(answer, Ranking)
    return answer


@pytest.mark.parametrize("way", OBJECT_WAYS)
async def test_a_content_dict_in_every_way_of_saving(way: str, tmp_path: Path) -> None:
    relation = "features" if way in ("pickle2", "joblib") else "both"
    ids = make_ids("str", ITEMS, first=500)
    async with open_loader(tmp_path) as loader:
        version = await bring(loader, write(content_dict("str", relation=relation), tmp_path / "model", way))
        answer = liking(version, [ids[3], ids[11]], k=8, fields=["name"])
        wanted = expected_like([3, 11], 8)
        assert list(answer.items) == [ids[row] for row, _ in wanted]
        np.testing.assert_allclose(answer.scores, [score for _, score in wanted], rtol=1e-6)
        assert list(answer.columns["name"]) == [f"Place {row}" for row, _ in wanted]
        assert version.family == "neighbours" and version.load["family_reason"].startswith("a dict with destinations_df and")
        await version.close()


@pytest.mark.parametrize("way", ["pickle5", "joblib"])
async def test_every_kind_of_column_where_no_module_can_be_imported_any_more(way: str, tmp_path: Path) -> None:
    alike = np.ones((4, 4), np.float32)
    async with open_loader(tmp_path) as loader:
        version = await bring(loader, write({"destinations_df": frames()["plain"], "similarity_matrix": alike}, tmp_path / "model", way))
        names = [name for name in WANTED if name != "destination_id"]
        assert version.details["columns"] == names and version.details["categories"] == 3
        (warning,) = version.details["warnings"]
        assert {"took", "month", "vector"} == set(warning.partition(": ")[2].split(", "))
        answer = liking(version, [11], k=4, fields=names, exclude_seen=False)
        assert list(answer.items) == [11, 7, 42, 5]
        assert {name: list(values) for name, values in answer.columns.items()} == {name: WANTED[name] for name in names}
        assert list(liking(version, [11], categories=["Nature"], exclude_seen=False).items) == [11, 5]
        await version.close()


async def test_a_restart_maps_the_kept_segment(tmp_path: Path) -> None:
    path = write(content_dict("int"), tmp_path / "model", "pickle5")
    ids = make_ids("int", ITEMS, first=500)
    query: dict[str, Any] = {"k": 5, "fields": ["name", "price"], "categories": ["Sea"], "explain": True, "diversity": 0.5}
    async with open_loader(tmp_path) as loader:
        first = await bring(loader, path)
        answer = liking(first, ids[:3], **query)
        await first.close()
    async with open_loader(tmp_path) as loader:
        again = await loader.restore(ModelSettings(name="m", source=str(path)))
        assert again is not None and again.load["from_segment"] is True
        assert liking(again, ids[:3], **query) == answer
        await again.close()


async def test_the_id_column_may_be_named(tmp_path: Path) -> None:
    path = write(content_dict("int"), tmp_path / "model", "pickle5")
    async with open_loader(tmp_path) as loader:
        version = await bring(loader, path, id_column="name")
        assert version.scorer.ids_in_words()["items"] == "str: 'Place 0', 'Place 1', 'Place 2', ..."
        await version.close()
        with pytest.raises(LoadError) as caught:
            await bring(loader, path, id_column="nowhere")
        assert caught.value.type == "missing_keys" and "nowhere" in str(caught.value)


async def test_similarities_that_lie_aligned_are_not_copied(tmp_path: Path) -> None:
    artifact = content_dict("int")
    async with open_loader(tmp_path) as loader:
        version = await bring(loader, write(artifact, tmp_path / "model", "joblib"))
        assert version.load["adopted_bytes"] >= artifact["similarity_matrix"].nbytes
        await version.close()


async def test_an_item_item_model_saved_by_implicit(tmp_path: Path) -> None:
    model = item_item("BM25Recommender")
    model.save(str(tmp_path / "model.npz"))
    async with open_loader(tmp_path) as loader:
        version = await bring(loader, tmp_path / "model.npz")
        rows, scores = model.similar_items(7, N=6)
        (answer,) = version.scorer.recommend(Query(similar_to=7, k=5))
        assert isinstance(answer, Ranking)
        assert (
            list(zip(answer.items, answer.scores, strict=True))
            == [(row, score) for row, score in zip(rows.tolist(), scores.tolist(), strict=True) if row != 7][:5]
        )
        await version.close()
