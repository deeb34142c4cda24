"""The honest factories: what is written is read back equal by the real libraries, and is the same every time."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.artifacts import ids, nmf, recommenders, writing
from tests.artifacts.recommenders import ITEMS, USERS


def read(path: Path, how: str) -> Any:
    if how in writing.PICKLES:
        return pickle.loads(path.read_bytes())
    if how.startswith("joblib"):
        return joblib.load(path)
    if how == "safetensors":
        return load_file(path)
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("how", writing.OBJECT_WAYS)
def test_als_dict_survives_writing(tmp_path: Path, how: str) -> None:
    artifact = recommenders.als_dict("str")
    path = writing.write(artifact, tmp_path / "model", how)
    assert path.stat().st_size < 2 << 20
    back = read(path, how)
    assert list(back) == list(artifact)
    assert back["user_id_map"] == artifact["user_id_map"]
    assert (back["model"].user_factors == artifact["model"].user_factors).all()
    assert (back["user_item_matrix"] != artifact["user_item_matrix"]).nnz == 0


@pytest.mark.parametrize("how", writing.ARRAY_WAYS)
def test_factor_arrays_survive_writing(tmp_path: Path, how: str) -> None:
    artifact = recommenders.factor_arrays("int")
    back = read(writing.write(artifact, tmp_path / "model", how), how)
    assert back.keys() == artifact.keys()
    assert all((back[name] == artifact[name]).all() and back[name].dtype == artifact[name].dtype for name in artifact)


# gzip writes the time and the name of its making.
@pytest.mark.parametrize("how", [how for how in writing.WAYS if how != "joblib_gzip"])
def test_writing_twice_gives_the_same_bytes(tmp_path: Path, how: str) -> None:
    artifact = recommenders.factor_arrays("int")
    one, two = (writing.write(artifact, tmp_path / name, how) for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickles_are_of_their_protocol(tmp_path: Path, protocol: int) -> None:
    path = writing.write(recommenders.als_dict(), tmp_path / "model", f"pickle{protocol}")
    assert path.read_bytes()[:2] == bytes([0x80, protocol])


@pytest.mark.parametrize("kind", ids.KINDS)
def test_ids_are_different_and_not_their_rows(kind: str) -> None:
    for count in (USERS, ITEMS, 49):
        made = ids.make_ids(kind, count)
        assert len(set(made)) == len(made) == count
        assert made != list(range(count))
        assert made != sorted(made, key=str)
    assert Counter(type(id) for id in ids.make_ids("mixed", 60)).keys() == {int, str}
    assert {type(ids.plain(id)) for id in made} <= {int, str}


@pytest.mark.parametrize("name", recommenders.BARE)
def test_bare_models_answer_as_their_factors_say(name: str) -> None:
    model, seen = recommenders.BARE[name](), recommenders.interactions()
    answers = recommenders.expected_recommend(model, list(range(USERS)), 5, seen)
    scores = model.user_factors @ model.item_factors.T
    for user, top in enumerate(answers):
        assert not set(top.items) & set(seen[user].indices)
        assert top.scores == sorted(top.scores, reverse=True)
        np.testing.assert_allclose(top.scores, scores[user, top.items], rtol=1e-4)


def test_more_than_there_is_gives_what_there_is() -> None:
    seen = recommenders.interactions()
    (top,) = recommenders.expected_recommend(recommenders.bare_als(), [3], ITEMS, seen)
    assert len(top.items) == ITEMS - seen[3].nnz
    (top,) = recommenders.expected_recommend(recommenders.bare_als(), [3], ITEMS)
    assert sorted(top.items) == list(range(ITEMS))


def test_als_dict_leaves_out_what_it_is_told_to() -> None:
    least = recommenders.als_dict(seen=False, reverse_maps=False, is_trained=None)
    assert list(least) == ["model", "user_id_map", "item_id_map"]
    assert recommenders.als_dict(is_trained=False)["is_trained"] is False


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("encoder", ["dict", "label"])
def test_nmf_dict_has_the_keys_and_the_orientation(transposed: bool, encoder: str) -> None:
    artifact = nmf.nmf_dict(transposed=transposed, encoder=encoder)
    assert set(artifact) == {
        *("nmf_model", "user_item_matrix", "user_factors", "item_factors", "user_encoder", "item_encoder"),
        *("user_decoder", "item_decoder", "user_similarities", "is_trained", "trained_at"),
    }
    components = artifact["item_factors"].T if transposed else artifact["item_factors"]
    assert components.shape[1] == ITEMS
    fit = artifact["user_factors"] @ components
    seen = recommenders.interactions().toarray()
    assert fit[seen > 0].mean() > 2 * fit[seen == 0].mean()


def test_expected_nmf_is_the_best_of_the_rest() -> None:
    seen = recommenders.interactions()
    for user, top in enumerate(nmf.expected_nmf(list(range(USERS)), 6)):
        assert len(top.items) == 6
        assert not set(top.items) & set(seen[user].indices)
        assert top.scores == sorted(top.scores, reverse=True)
