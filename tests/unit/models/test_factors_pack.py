"""Shapes of artifacts become the same bundle; what contradicts itself is refused, and what is only beside the model is warned of."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from loaders.errors import TooLarge
from loaders.segment import Destination
from loaders.segment_writer import SegmentWriter
from models.base import InvalidQuery, Query, Ranking
from models.factors.lightfm_records import fold
from models.factors.score import FactorScorer, open_scorer
from models.packing import Options, PackError
from models.recommender_records import Csr
from tests.artifacts.ids import make_ids
from tests.artifacts.lightfm import bare_lightfm, lightfm_dict, predicted
from tests.artifacts.nmf import fitted_nmf
from tests.artifacts.recommenders import ITEMS, USERS, als_dict, bare_als, interactions
from tests.artifacts.svd import ENCODERS, fitted_svd, svd_dict

from .building import packed


def scorer(artifact: Any, **options: Any) -> FactorScorer:
    return open_scorer(packed(artifact, Options(**options)))


def top(found: FactorScorer, query: Query) -> Ranking:
    (answer,) = found.recommend(query)
    assert isinstance(answer, Ranking)
    return answer


def refusal(artifact: Any) -> PackError:
    with pytest.raises(PackError) as caught:
        packed(artifact)
    return caught.value


def without(artifact: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in artifact.items() if key not in keys}


def changed(model: Any, **attributes: Any) -> Any:
    """The same model with other attributes; those that are `...` are taken away."""
    other = object.__new__(type(model))
    other.__dict__.update({name: value for name, value in {**vars(model), **attributes}.items() if value is not ...})
    return other


# -- decompositions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("item_factors", ["none", "components", "rows"])
def test_the_svd_dict_whatever_its_encoders_and_however_its_items_lie(encoder: str, item_factors: str) -> None:
    found, wanted = scorer(svd_dict(encoder, item_factors=item_factors)), scorer(svd_dict())
    for query in (Query(["u1"], 9), Query(["u33"], 9, exclude_seen=False), Query(liked=["u500", "u511"], k=9)):
        answer, other = top(found, query), top(wanted, query)
        assert answer.items == other.items
        np.testing.assert_allclose(answer.scores, other.scores, rtol=1e-5)
    assert found.details["seen"] and found.details["fold_in"] == "projection"


def test_all_keys_that_lack_are_listed() -> None:
    whole = svd_dict()
    assert refusal(without(whole, "user_factors", "item_encoder")).detail["missing"] == ["user_factors", "item_encoder"]
    error = refusal({"nmf_model": fitted_nmf()[0], "user_encoder": {}})
    assert error.type == "missing_keys"
    assert error.detail["missing"] == ["user_factors", "item_factors", "item_encoder"]
    unfitted = changed(whole["svd_model"], components_=...)
    assert refusal({**whole, "svd_model": unfitted}).detail["missing"] == ["item_factors"]


def test_other_names_for_the_encoders() -> None:
    whole = svd_dict()
    renamed = without(whole, "user_encoder", "item_encoder") | {"user_id_map": whole["user_encoder"], "item_mapping": whole["item_encoder"]}
    assert top(scorer(renamed), Query(["u1"])) == top(scorer(whole), Query(["u1"]))


def test_a_bare_decomposition_names_its_items_by_its_features() -> None:
    from sklearn.decomposition import TruncatedSVD

    frame = pandas.DataFrame(interactions().toarray(), columns=[f"i{row}" for row in range(ITEMS)])
    answer = top(scorer(TruncatedSVD(4, random_state=1).fit(frame)), Query(liked=["i3"], k=3))
    assert all(str(id).startswith("i") for id in answer.items)
    assert refusal(TruncatedSVD(4)).type == "not_trained"


# -- implicit -----------------------------------------------------------------------------------------------------------


def test_als_folds_in_with_its_own_parameters() -> None:
    model = bare_als()
    for given_ in ({}, {"regularization": np.float64(model.regularization), "alpha": np.float32(model.alpha)}):
        assert packed(changed(model, **given_)).meta["fold_in"] == {"method": "als", "regularization": 2.0, "alpha": 8.0}
    assert packed(changed(model, alpha=...)).meta["fold_in"]["alpha"] == 1.0
    for forged in ("much", float("nan"), -1.0, None, [1.0], float("inf"), 10**400):
        assert refusal(changed(model, regularization=forged)).type == "corrupt_artifact"


def test_what_implicit_s_own_save_writes_is_als(tmp_path: Path) -> None:
    model = bare_als()
    file = io.BytesIO()
    model.save(file)
    saved = tmp_path / "als.npz"
    saved.write_bytes(file.getvalue())
    bundle = packed(saved)
    assert bundle.meta["fold_in"] == {"method": "als", "regularization": 2.0, "alpha": 8.0}
    assert top(open_scorer(bundle), Query(liked=[3, 11], k=9)) == top(scorer(model), Query(liked=[3, 11], k=9))


def test_weights_are_kept_only_where_they_say_something() -> None:
    seen = interactions()
    assert packed(als_dict()).arrays["seen.weights"].tolist() == seen.sorted_indices().data.tolist()
    alike = {**als_dict(), "user_item_matrix": (seen > 0).astype(np.float32)}
    assert "seen.weights" not in packed(alike).arrays
    assert (
        "seen.weights"
        not in packed(
            {"user_factors": bare_als().user_factors, **without(als_dict(), "model"), "item_factors": bare_als().item_factors}
        ).arrays
    )


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_matrix", "coo_matrix", "csr_array", "coo_array"])
@pytest.mark.parametrize("transposed", [False, True])
def test_seen_items_of_every_sparse_kind(kind: str, transposed: bool) -> None:
    matrix = interactions().T if transposed else interactions()
    bundle, wanted = packed({**als_dict(), "user_item_matrix": getattr(scipy.sparse, kind)(matrix)}), packed(als_dict())
    for name in ("seen.indptr", "seen.indices", "seen.weights"):
        assert bundle.arrays[name].tolist() == wanted.arrays[name].tolist()


@pytest.mark.parametrize(
    "change",
    [
        {"coords": (np.array([0, USERS]), np.array([0, 1])), "data": np.ones(2)},
        {"coords": (np.array([0, 1]), np.array([0, -1])), "data": np.ones(2)},
        {"coords": (np.array([0, 1]), np.array([0])), "data": np.ones(2)},
        {"coords": (np.array([0.0, 1.0]), np.array([0, 1])), "data": np.ones(2)},
        {"coords": (np.array([0, 1]), np.array([0, 1])), "data": np.ones(1)},
        {"coords": (np.array([0, 1]),), "data": np.ones(2)},
        {"coords": None, "data": np.ones(2)},
    ],
)
def test_coordinates_that_lead_nowhere(change: dict[str, Any]) -> None:
    assert refusal({**als_dict(), "user_item_matrix": changed(interactions().tocoo(), **change)}).type == "corrupt_artifact"


# -- LightFM ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model_key", ["model", "lightfm_model", "recommender"])
@pytest.mark.parametrize("maps", ["maps", "dataset"])
def test_lightfm_dicts(model_key: str, maps: str) -> None:
    artifact = lightfm_dict("int", maps=maps, model_key=model_key)
    found = scorer(artifact)
    wanted = predicted(artifact[model_key], artifact["user_features"], artifact["item_features"])
    for row, user in enumerate(make_ids("int", USERS)):
        answer = top(found, Query([user], ITEMS, exclude_seen=False))
        rows = [found.items.row(id) for id in answer.items]
        assert rows == np.argsort(-wanted[row], kind="stable").tolist()
        np.testing.assert_allclose(answer.scores, wanted[row][rows], rtol=1e-6, atol=1e-6)
    assert found.details["factors"] == 8 and found.knows_seen


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_matrix", "coo_matrix", "csr_array", "dense"])
def test_feature_matrices_of_every_kind(kind: str) -> None:
    artifact = lightfm_dict()
    matrices = {
        key: artifact[key].toarray() if kind == "dense" else getattr(scipy.sparse, kind)(artifact[key])
        for key in ("user_features", "item_features")
    }
    bundle, wanted = packed({**artifact, **matrices}), packed(artifact)
    for name in ("user_factors", "item_factors"):
        np.testing.assert_allclose(bundle.arrays[name], wanted.arrays[name], rtol=1e-6)


def test_what_a_lightfm_dict_lacks() -> None:
    artifact = lightfm_dict()
    error = refusal(without(artifact, "user_features", "item_features"))
    assert error.type == "missing_keys" and error.detail["missing"] == ["user_features", "item_features"]
    assert "60 ids for 63 features" in error.message
    error = refusal(changed(bare_lightfm(), user_biases=..., item_embeddings=...))
    assert error.type == "missing_keys" and error.detail["missing"] == ["user_biases", "item_embeddings"]
    assert refusal(changed(bare_lightfm(), item_biases=None)).type == "not_trained"


@pytest.mark.parametrize(
    "change",
    [
        {"user_biases": np.ones(USERS - 1, "f4")},
        {"item_embeddings": np.ones(ITEMS, "f4")},
        {"item_embeddings": np.ones((ITEMS, 3), "f4")},
        {"item_embeddings": np.ones((ITEMS, 0), "f4")},
        {"item_embeddings": np.array(["a"] * ITEMS)},
        {"user_embeddings": np.ones((0, 8), "f4"), "user_biases": np.ones(0, "f4")},
        {"user_embeddings": "many"},
    ],
)
def test_lightfm_arrays_that_contradict_each_other(change: dict[str, Any]) -> None:
    assert refusal(changed(bare_lightfm(), **change)).type == "corrupt_artifact"


@pytest.mark.parametrize("features", ["many", np.ones((USERS, 2)), scipy.sparse.csr_matrix((USERS, 62)), scipy.sparse.csr_matrix((59, 63))])
def test_feature_matrices_that_do_not_fit(features: Any) -> None:
    assert refusal({**lightfm_dict(), "user_features": features}).type == "corrupt_artifact"


@given(seed=st.integers(0, 10_000), rows=st.integers(0, 12), columns=st.integers(1, 9), width=st.integers(1, 4), slab=st.integers(1, 20))
@settings(deadline=None, max_examples=150)
def test_folding_is_the_product(seed: int, rows: int, columns: int, width: int, slab: int) -> None:
    rng = np.random.default_rng(seed)
    cells = np.where(rng.random((rows, columns)) < 0.4, rng.normal(size=(rows, columns)), 0.0)
    matrix = scipy.sparse.csr_matrix(cells)
    table, found = rng.normal(size=(columns, width)), np.full((rows, width), np.nan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.factors.lightfm_records._SLAB", slab)
        fold(Csr(matrix.indptr, matrix.indices, matrix.data, (rows, columns)), table, found)
    np.testing.assert_allclose(found, cells @ table, atol=1e-12)


def test_what_is_computed_is_written_into_the_segment(tmp_path: Path) -> None:
    destination = Destination(tmp_path)
    try:
        writer = SegmentWriter(destination.fd, 1 << 20)
        made = writer.new_array((7, 3), np.dtype("f4"))
        assert made.shape == (7, 3) and not made.any()
        made[:] = 2.0
        assert writer.place(made) == writer.offset_of(made)
        assert writer.new_array((0, 3), np.dtype("f4")).shape == (0, 3)
        with pytest.raises(TooLarge, match="segment limit"):
            writer.new_array((1 << 20, 1), np.dtype("f4"))
    finally:
        del made, writer
        destination.close()


# -- what is told of the items ------------------------------------------------------------------------------------------


def test_metadata_by_item_id() -> None:
    artifact = lightfm_dict("str")
    found = scorer(artifact)
    answer = top(found, Query(["u1"], 5, fields=["title", "likes"]))
    rows = [found.items.row(id) for id in answer.items]
    assert answer.columns == {"title": [f"Post {row}" for row in rows], "likes": rows}
    some = top(found, Query(["u1"], ITEMS, categories=["c1"]))
    assert some.items and {list(artifact["item_id_map"]).index(id) % 3 for id in some.items} == {1}
    assert found.details["metadata"] == {"entries": ITEMS, "items": ITEMS}


@pytest.mark.parametrize("by", ["post_id", "index", "slug"])
def test_metadata_as_a_table(by: str) -> None:
    ids = make_ids("str", ITEMS, first=500)
    frame = pandas.DataFrame(
        {"title": [f"Post {row}" for row in range(ITEMS)], "genres": [["x", "y"][: 1 + row % 2] for row in range(ITEMS)]}
    )
    frame = frame.set_index(pandas.Index(ids)) if by == "index" else frame.assign(**{by: ids})
    shuffled = frame.iloc[np.random.default_rng(1).permutation(ITEMS)][:40]
    found = scorer({**lightfm_dict("str"), "posts_metadata": shuffled}, id_column="slug" if by == "slug" else "")
    answer = top(found, Query(["u1"], ITEMS, fields=["title", "genres"]))
    titles = dict(zip(frame.index if by == "index" else frame[by], frame["title"], strict=True))
    there = set(shuffled.index if by == "index" else shuffled[by])
    assert answer.columns["title"] == [titles[id] if id in there else None for id in answer.items]
    assert len(top(found, Query(["u1"], ITEMS, categories=["y"])).items) < len(answer.items)
    assert found.details["metadata"] == {"entries": 40, "items": 40}


def test_metadata_of_one_value_and_of_other_items() -> None:
    artifact = als_dict("int", seen=False)
    ids = list(artifact["item_id_map"])
    found = scorer({**artifact, "items_metadata": {ids[0]: "first", "elsewhere": "no item", None: 3}})
    assert found.details["metadata"] == {"entries": 3, "items": 1}
    answer = top(found, Query(liked=ids[1:2], k=ITEMS, fields=["metadata"]))
    assert answer.columns["metadata"] == ["first" if id == ids[0] else None for id in answer.items]


def test_metadata_in_no_form_that_is_read_are_warned_of() -> None:
    found = scorer({**lightfm_dict(), "posts_metadata": "see the wiki", "interactions": np.ones((3, 3))})
    assert [words.split(":")[0] for words in found.details["warnings"]] == [
        "interactions is of shape (3, 3), not 60 x 45",
        "what is told of the items is not read",
    ]
    with pytest.raises(InvalidQuery):
        found.recommend(Query(["u1"], fields=["title"]))


def test_a_fitted_model_is_needed_for_components() -> None:
    model, user_factors = fitted_svd()
    wrong = {**svd_dict(), "user_factors": user_factors[:, :3], "svd_model": model}
    assert refusal(wrong).type == "corrupt_artifact"
