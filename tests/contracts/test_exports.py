"""What every trainer of `training.trainers.TRAINERS` publishes can be exported: loaded again it answers the same, and the libraries
answer from it as Holdfast does. Does not cover: the command (`tests/acceptance`).
"""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loaders.bundle_file import open_bundle_file, open_published_scorer, write_bundle_file
from loaders.published import MODEL_FILE, PublishedFolder
from models.base import Query, Ranking
from models.opening import open_scorer_of
from tests.contracts.learning import KINDS, ask_for, data, fit, grouped
from tests.unit.models.building import packed
from tests.unit.training.published import name_of, record_of
from training.dataset.base import Dataset
from training.trainers import TRAINERS
from training.versions.export import export, main
from training.versions.publish import publish as publish_staged
from training.versions.publish import stage_folder, write_record

ALL = sorted(TRAINERS)
BOUND_TO = {"content": "content", "collaborative": "svd"}
"""Role -> algorithm of the parts that both hybrids are asked with."""
TOLD_OF_ITEMS = ("als", "bpr", "nmf", "svd", "content")
"""Whose columns of items are read again. A table beside an item-item model is for other tools; a hybrid answers with its parts'."""
WITH_A_FOLD_IN_OF_THEIR_OWN = ("features", "popular")
"""Whose dict is factors alone: how someone new gets a vector from it is another tool's matter."""


def publish(algorithm: str, dataset: Dataset, store: Path) -> Path:
    """The folder of a version."""
    folder = PublishedFolder(store, algorithm).folder_of(name_of(1))
    if not folder.exists():
        trained = fit(algorithm, ask_for(algorithm, dataset, store.with_name("parts")))
        staging = stage_folder(store, algorithm, name_of(1))
        size, digest = write_bundle_file(staging / MODEL_FILE, trained.bundle)
        write_record(staging, replace(record_of(1, size, digest, algorithm), parameters=trained.parameters))
        publish_staged(store, algorithm, staging, 1)
    return folder


@pytest.fixture(params=["str-ids-without-times", "weights"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def exported(algorithm: str, kind: str, tmp_path: Path, format: str = "pickle") -> tuple[Path, Path]:
    """The folder of a version, and the file."""
    folder, output = publish(algorithm, KINDS[kind](), tmp_path / "store"), tmp_path / f"exported.{format}"
    export(folder, format, output)
    return folder, output


def objects(output: Path) -> dict[str, Any]:
    made: dict[str, Any] = pickle.loads(output.read_bytes())
    return made


def answering(scorer: Any, tmp_path: Path, kind: str) -> Any:
    """The scorer itself; a hybrid bound to its parts."""
    if not hasattr(scorer, "bind"):
        return scorer
    parts = {role: open_published_scorer(publish(name, KINDS[kind](), tmp_path / "store") / MODEL_FILE) for role, name in BOUND_TO.items()}
    return scorer.bind(parts, dict.fromkeys(parts, name_of(1)))


def assert_same(found: list[Any], wanted: list[Any]) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert isinstance(one, Ranking) and isinstance(other, Ranking)
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-5, atol=1e-7)
        assert dict(zip(one.items, np.round(one.scores, 5), strict=True)).keys() == dict(zip(other.items, other.scores, strict=True)).keys()


@pytest.mark.parametrize("algorithm", ALL)
def test_loaded_again_it_answers_the_same(algorithm: str, kind: str, tmp_path: Path) -> None:
    folder, output = exported(algorithm, kind, tmp_path)
    bundle = packed(output)
    assert bundle.family == open_bundle_file(folder / MODEL_FILE).family
    assert bundle.details["trained_at"]
    published = answering(open_published_scorer(folder / MODEL_FILE), tmp_path, kind)
    again = answering(open_scorer_of(bundle), tmp_path, kind)
    dataset = KINDS[kind]()
    liked = list(dataset.item_ids)[2:4]
    queries = [Query(liked=liked, k=30)] if algorithm not in WITH_A_FOLD_IN_OF_THEIR_OWN else []
    if algorithm != "content":  # its dict knows no users
        queries += [Query(users=list(dataset.user_ids), k=30), Query(users=list(dataset.user_ids)[:5], k=30, exclude_seen=False)]
    if algorithm in TOLD_OF_ITEMS:
        queries.append(Query(liked=liked, k=30, categories=["lake"]))
    for query in queries:
        assert_same(again.recommend(query), published.recommend(query))
    if algorithm in TOLD_OF_ITEMS:
        rows = np.arange(4)
        assert again.items.values(["title", "price"], rows) == published.items.values(["title", "price"], rows)


@pytest.mark.parametrize("algorithm", ["als", "bpr", "ease"])
def test_implicit_answers_the_same(algorithm: str, kind: str, tmp_path: Path) -> None:
    folder, output = exported(algorithm, kind, tmp_path)
    made, scorer = objects(output), answering(open_published_scorer(folder / MODEL_FILE), tmp_path, kind)
    cells = made["user_item_matrix"]
    for user in list(made["user_id_map"])[:6]:
        row = made["user_id_map"][user]
        items, scores = made["model"].recommend(row, cells[row], N=10)
        (wanted,) = scorer.recommend(Query(users=[user], k=10))
        # Beyond the last item implicit fills up with what it left out, and its item-item models do so beyond the last score above 0.
        there = scores > (0.0 if algorithm == "ease" else -1e30)
        count = int(there.sum())
        assert count >= 3
        np.testing.assert_allclose(scores[there], wanted.scores[:count], rtol=1e-4, atol=1e-5)
        assert [made["idx_to_item"][item] for item in items[there].tolist()] == list(wanted.items)[:count]


@pytest.mark.parametrize("algorithm", ["nmf", "svd"])
def test_scikit_learn_transforms_by_it(algorithm: str, tmp_path: Path) -> None:
    _, output = exported(algorithm, "int-ids-and-times", tmp_path)
    made = objects(output)
    vectors = made[f"{algorithm}_model"].transform(made["user_item_matrix"].astype(made["item_factors"].dtype))
    scores, wanted = vectors @ made["item_factors"].T, made["user_factors"] @ made["item_factors"].T
    assert np.corrcoef(scores.ravel(), wanted.ravel())[0, 1] > 0.95
    assert made["user_decoder"][made["user_encoder"][3]] == 3 and made["item_decoder"][made["item_encoder"][5]] == 5
    assert made.get("user_similarities") is None and ("user_similarities" in made) == (algorithm == "nmf")


def test_scikit_learn_makes_the_same_features_of_texts_and_categories(tmp_path: Path) -> None:
    _, output = exported("content", "int-ids-and-times", tmp_path)
    made, items = objects(output), KINDS["int-ids-and-times"]().items
    assert items is not None and made["similarity_matrix"] is None
    text = made["tfidf_vectorizer"].transform(items.text)
    categories = made["category_encoder"].transform(items.categories)
    np.testing.assert_allclose(made["destination_features"].toarray(), np.hstack([text.toarray(), categories]), rtol=1e-5)
    table = made["destinations_df"]
    assert list(table["item_id"]) == list(range(1, 19)) and list(table["title"]) == list(items.text)


def test_items_that_nobody_had_have_no_nan(tmp_path: Path) -> None:
    for algorithm in ("als", "bpr", "nmf", "svd"):
        _, output = exported(algorithm, "cold-users-and-items", tmp_path)
        made = objects(output)
        factors = made["model"].item_factors if "model" in made else made["item_factors"]
        assert len(factors) == 25 and np.isfinite(factors).all()
    made = objects(exported("ease", "cold-users-and-items", tmp_path)[1])
    assert np.isfinite(made["model"].similarity.data).all()


@pytest.mark.parametrize("algorithm", ["als", "content", "hybrid"])
def test_joblib_holds_the_same(algorithm: str, tmp_path: Path) -> None:
    folder, output = exported(algorithm, "int-ids-and-times", tmp_path, "joblib")
    again = answering(open_scorer_of(packed(output)), tmp_path, "int-ids-and-times")
    published = answering(open_published_scorer(folder / MODEL_FILE), tmp_path, "int-ids-and-times")
    query = Query(liked=[1, 5], k=10)
    assert_same(again.recommend(query), published.recommend(query))


def test_safetensors_is_the_published_file(tmp_path: Path) -> None:
    folder, output = exported("als", "int-ids-and-times", tmp_path, "safetensors")
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / MODEL_FILE, output)}
    assert len(digests) == 1


def test_what_cannot_be_exported_leaves_the_file_that_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "als.pkl"
    output.write_bytes(b"an older one")
    for broken in ("empty", "damaged"):
        folder = publish("als", data(grouped(), 24, 18), tmp_path / broken)
        (folder / MODEL_FILE).write_bytes(b"" if broken == "empty" else (folder / MODEL_FILE).read_bytes()[:-1])
        assert main([str(folder), "pickle", str(output)]) == 1
        assert capsys.readouterr().err.startswith("model.safetensors is no whole bundle file: ")
    assert output.read_bytes() == b"an older one" and sorted(path.name for path in tmp_path.iterdir()) == ["als.pkl", "damaged", "empty"]
