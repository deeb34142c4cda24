"""Every shape of content-based and item-item artifact becomes a bundle; what is missing or contradicts itself is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas
import pytest
import scipy.sparse

from models.base import InvalidQuery, Query, Ranking
from models.bundle import Bundle
from models.neighbours.item_records import split_categories
from models.neighbours.pack import matches
from models.neighbours.score import NeighbourScorer, open_scorer
from models.packing import Options, PackError, pack
from tests.artifacts.content import GENRES, content_dict, expected_like, item_item, similarities, texts
from tests.artifacts.ids import make_ids
from tests.artifacts.recommenders import ITEMS, USERS, als_dict, interactions

from .in_memory import records_of


def packed(artifact: Any, **options: Any) -> Bundle:
    bundle, reason = pack(records_of(artifact), "auto", Options(**options))
    assert bundle.family == "neighbours" and reason == matches(records_of(artifact))
    return bundle


def scorer(artifact: Any, **options: Any) -> NeighbourScorer:
    return open_scorer(packed(artifact, **options))


def refusal(artifact: Any, **options: Any) -> PackError:
    with pytest.raises(PackError) as caught:
        packed(artifact, **options)
    return caught.value


def liking(found: NeighbourScorer, rows: list[int], ids: list[Any], **query: Any) -> Ranking:
    (answer,) = found.recommend(Query(liked=[ids[row] for row in rows], **query))
    assert isinstance(answer, Ranking)
    return answer


def assert_like(answer: Ranking, rows: list[int], ids: list[Any]) -> None:
    wanted = expected_like(rows, len(answer.items))
    assert list(answer.items) == [ids[row] for row, _ in wanted]
    np.testing.assert_allclose(answer.scores, [score for _, score in wanted], rtol=1e-5, atol=1e-6)


IDS = list(range(500, 500 + ITEMS))


def small(**change: Any) -> dict[str, Any]:
    """A content dict with plain ids and few columns; a key changed to `...` is taken away."""
    frame = pandas.DataFrame({"item_id": IDS, "name": [f"n{row}" for row in range(ITEMS)]})
    artifact = {**content_dict("int"), "destinations_df": frame, **change}
    return {key: value for key, value in artifact.items() if value is not ...}


# -- content ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("matrix", ["coo", "csr_array", "csc", "dense", "frame", "fortran", "big_endian", "counts", "float16"])
@pytest.mark.parametrize("relation", ["similarity_matrix", "destination_features"])
def test_matrices_of_every_form(relation: str, matrix: str) -> None:
    features = np.random.default_rng(1).integers(0, 4, (ITEMS, 7)).astype(float)
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    alike = np.round(unit @ unit.T, 3) if relation == "similarity_matrix" else features
    if matrix in ("counts", "float16"):
        alike = np.round(alike * 4)
    made: Any = {
        "coo": scipy.sparse.coo_matrix,
        "csr_array": scipy.sparse.csr_array,
        "csc": scipy.sparse.csc_matrix,
        "dense": np.asarray,
        "frame": pandas.DataFrame,
        "fortran": np.asfortranarray,
        "big_endian": lambda values: values.astype(">f8"),
        "counts": lambda values: values.astype("i4"),
        "float16": lambda values: values.astype("f2"),
    }[matrix](alike)
    other = "destination_features" if relation == "similarity_matrix" else "similarity_matrix"
    answer = liking(scorer(small(**{relation: made, other: None})), [3, 9], IDS, k=10)
    lengths = np.linalg.norm(alike, axis=1)
    cosine = alike @ alike.T / np.maximum(np.outer(lengths, lengths), 1e-12)
    scores = (alike if relation == "similarity_matrix" else cosine)[[3, 9]].mean(axis=0)
    np.testing.assert_allclose(answer.scores, np.sort(np.delete(scores, [3, 9]))[::-1][:10], rtol=1e-5)
    np.testing.assert_allclose(answer.scores, [scores[IDS.index(int(id))] for id in answer.items], rtol=1e-5)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("similarity_matrix", "similarity"),
        ("destination_features", "item_features"),
        ("destination_features", "features"),
        ("destinations_df", "items_df"),
    ],
)
def test_other_names_that_people_use(old: str, new: str) -> None:
    artifact = small(**({"similarity_matrix": ...} if old == "destination_features" else {}))
    artifact[new] = artifact.pop(old)
    assert_like(liking(scorer(artifact), [3, 9], IDS, k=10), [3, 9], IDS)


def test_a_similarity_matrix_with_its_ids_and_nothing_else() -> None:
    alike, ids = similarities(), [f"u{row}" for row in range(ITEMS)]
    for named in ({"item_ids": ids}, {"item_ids": np.array(ids)}, {"item_id_map": {id: row for row, id in enumerate(ids)}}):
        assert_like(liking(scorer({"similarity": alike, **named}), [3, 9], ids, k=10), [3, 9], ids)


def test_rows_of_the_table_may_be_dicts_or_columns() -> None:
    names = [f"n{row}" for row in range(ITEMS)]
    by_row = [{"id": id, "name": name} for id, name in zip(IDS, names, strict=True)]
    for table in (by_row, {"id": IDS, "name": names}, {"id": np.array(IDS), "name": names}):
        answer = liking(scorer(small(destinations_df=table)), [3, 9], IDS, k=10, fields=["name"])
        assert_like(answer, [3, 9], IDS)
        assert list(answer.columns["name"]) == [names[IDS.index(int(id))] for id in answer.items]


def test_columns_come_back_and_categories_filter() -> None:
    artifact = content_dict("str")
    frame, ids = artifact["destinations_df"], make_ids("str", ITEMS, first=500)
    found = scorer(artifact)
    answer = liking(found, [3, 9], ids, k=ITEMS, fields=["price", "name", "category", "rating"])
    rows = [ids.index(id) for id in answer.items]
    assert {name: list(values) for name, values in answer.columns.items()} == {
        "price": [None if row % 7 == 3 else row * 0.5 for row in rows],
        "name": [f"Place {row}" for row in rows],
        "category": frame["category"].iloc[rows].tolist(),
        "rating": [row % 5 for row in rows],
    }
    for wanted in (["Sea"], ["Sea", "Food"]):
        some = liking(found, [3, 9], ids, k=ITEMS, categories=wanted)
        assert set(some.items) == {ids[row] for row in rows if set(wanted) & set(texts()[1][row])} and some.items
    with pytest.raises(InvalidQuery) as caught:
        liking(found, [3], ids, categories=["Sea", "sea"])
    assert caught.value.field == "categories[1]"
    for field in ("destination_id", "categories"):
        with pytest.raises(InvalidQuery, match=field):
            liking(found, [3], ids, fields=[field])
    details = found.details
    assert (details["items"], details["neighbours"], details["categories"]) == (ITEMS, ITEMS, len(GENRES))
    assert details["columns"] == ["name", "description", "price", "rating", "category"] and "warnings" not in details
    assert details["trained_at"] and details["model"] == "sklearn.feature_extraction.text.TfidfVectorizer"


def test_columns_that_are_not_kept_are_named_and_harm_nothing() -> None:
    frame = small()["destinations_df"].assign(vector=[np.zeros(2)] * ITEMS, took=pandas.to_timedelta(range(ITEMS), unit="h"))
    details = packed(small(destinations_df=frame)).details
    assert details["columns"] == ["name"]
    assert details["warnings"] == ["columns of destinations_df that are not kept: took, vector"]


@pytest.mark.parametrize(
    ("names", "index", "wanted"),
    [
        (["id", "destination_id", "item_id", "dest_id"], None, "item_id"),
        (["dest_id", "destination_id", "id"], None, "id"),
        (["dest_id", "destination_id"], None, "destination_id"),
        (["dest_id", "Id"], None, "dest_id"),
        (["Id"], None, None),
        (["Id"], "key", "index"),
        (["id"], "key", "id"),
    ],
)
def test_which_column_holds_the_ids(names: list[str], index: str | None, wanted: str | None) -> None:
    frame = pandas.DataFrame({name: [f"{name}{row}" for row in range(ITEMS)] for name in names})
    if index is not None:
        frame.index = pandas.Index([f"index{row}" for row in range(ITEMS)], name=index)
    found = scorer(small(destinations_df=frame))
    assert found.items.ids(np.array([3])) == ([3] if wanted is None else [f"{wanted}3"])


def test_the_operator_names_the_id_column() -> None:
    frame = small()["destinations_df"]
    assert scorer(small(), id_column="name").items.ids(np.array([3])) == ["n3"]
    indexed = frame.set_index("name")
    assert scorer(small(destinations_df=indexed), id_column="name").items.ids(np.array([3])) == ["n3"]
    error = refusal(small(), id_column="other")
    assert (error.type, error.detail["missing"]) == ("missing_keys", ["other"])


@pytest.mark.parametrize(
    ("column", "type"),
    [
        ([1] * ITEMS, "corrupt_artifact"),
        ([None, *range(ITEMS - 1)], "unknown_format"),
        ([0.5, *range(ITEMS - 1)], "unknown_format"),
        (pandas.period_range("2020-01", periods=ITEMS, freq="M"), "corrupt_artifact"),
        ([[row] for row in range(ITEMS)], "unknown_format"),
    ],
    ids=["repeated", "missing", "broken", "unread", "lists"],
)
def test_ids_that_are_none(column: Any, type: str) -> None:
    assert refusal(small(destinations_df=pandas.DataFrame({"id": column, "name": ["x"] * ITEMS}))).type == type


def test_an_index_of_several_levels_is_no_id() -> None:
    frame = pandas.DataFrame({"a": range(ITEMS), "b": range(ITEMS), "name": ["x"] * ITEMS}).set_index(["a", "b"])
    error = refusal(small(destinations_df=frame))
    assert error.type == "corrupt_artifact" and "index" in error.message


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"destinations_df": ...}, ["destinations_df"]),
        ({"destinations_df": None}, ["destinations_df"]),
        ({"similarity_matrix": ..., "destination_features": ...}, ["destination_features", "similarity_matrix"]),
        ({"similarity_matrix": None, "destination_features": None}, ["destination_features", "similarity_matrix"]),
        (
            {"similarity_matrix": ..., "destination_features": ..., "destinations_df": ...},
            ["destinations_df", "destination_features", "similarity_matrix"],
        ),
    ],
    ids=str,
)
def test_all_that_is_missing_is_listed(change: dict[str, Any], missing: list[str]) -> None:
    error = refusal(small(**change))
    assert (error.type, error.detail["missing"]) == ("missing_keys", missing)
    assert all(name in error.message for name in missing)


@pytest.mark.parametrize(
    "change",
    [
        {"similarity_matrix": np.zeros((ITEMS, ITEMS + 1))},
        {"similarity_matrix": np.zeros((3, 3))},
        {"similarity_matrix": np.zeros((0, 0)), "destinations_df": pandas.DataFrame({"id": []})},
        {"similarity_matrix": np.zeros(ITEMS)},
        {"similarity_matrix": "no matrix"},
        {"similarity_matrix": np.full((ITEMS, ITEMS), "x")},
        {"similarity_matrix": scipy.sparse.csr_matrix((ITEMS, 3))},
        {"similarity_matrix": None, "destination_features": np.zeros((ITEMS, 0))},
        {"similarity_matrix": None, "destination_features": np.zeros((3, 3))},
        {"similarity_matrix": None, "destination_features": scipy.sparse.csr_matrix((ITEMS, 1 << 25))},
        {"destinations_df": pandas.DataFrame({"id": [1, 2]})},
        {"destinations_df": "no table"},
    ],
    ids=str,
)
def test_what_contradicts_itself(change: dict[str, Any]) -> None:
    assert refusal(small(**change)).type == "corrupt_artifact"


@pytest.mark.parametrize(
    "change",
    [
        {"indptr": np.array([0, 2, 1, *[3] * (ITEMS - 2)])},
        {"indices": np.full(ITEMS, ITEMS)},
        {"indices": np.full(ITEMS, -1)},
        {"data": np.ones(3)},
        {"data": np.full(ITEMS, "x")},
    ],
    ids=str,
)
@pytest.mark.parametrize("relation", ["similarity_matrix", "destination_features"])
def test_forged_sparse_matrices(relation: str, change: dict[str, Any]) -> None:
    matrix = scipy.sparse.csr_matrix(np.eye(ITEMS))
    vars(matrix).update(change)
    other = "destination_features" if relation == "similarity_matrix" else "similarity_matrix"
    assert refusal(small(**{relation: matrix, other: None})).type == "corrupt_artifact"


@pytest.mark.filterwarnings("error")
def test_features_too_long_to_be_measured_are_like_nothing() -> None:
    features = np.ones((ITEMS, 3))
    features[0] = 1e200
    answer = liking(scorer(small(similarity_matrix=..., destination_features=features)), [1], IDS, k=ITEMS)
    assert dict(zip(answer.items, answer.scores, strict=True)).get(IDS[0], 0.0) == 0.0 and max(answer.scores) == pytest.approx(1.0)


def test_not_trained() -> None:
    assert refusal(content_dict("int", is_trained=False)).type == "not_trained"


@pytest.mark.parametrize(
    "root",
    [
        {},
        {"similarity_matrix": None, "content_weight": 0.6, "collaborative_weight": 0.4, "default_lambda": 0.7},
        {"similarity_matrix": np.eye(3), "content_weight": 0.6, "item_ids": [1, 2, 3]},
        {"similarity_matrix": np.eye(3)},
        {"item_features": np.eye(3), "user_features": np.eye(3)},
        {"features": np.eye(3), "data": 1},
        [1],
        None,
    ],
    ids=str,
)
def test_what_other_families_take(root: Any) -> None:
    assert matches(records_of(root)) is None


# -- categories ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "known", "wanted"),
    [
        ("Sea", {"Sea"}, ["Sea"]),
        ("Sea|Food", {"Sea", "Food"}, ["Sea", "Food"]),
        ("Sea, Food", {"Sea", "Food"}, ["Sea", "Food"]),
        ("Sea, Food", {"Sea, Food", "Sea", "Food"}, ["Sea, Food"]),
        ("Sea, Food", {"Sea"}, ["Sea, Food"]),
        ("Sea/Food;x", {"Sea", "Food"}, ["Sea/Food;x"]),
        ("Sea; Food; ", {"Sea", "Food"}, ["Sea", "Food"]),
        ("Sea, Food", set(), ["Sea, Food"]),
        ("Sea|Food", set(), ["Sea", "Food"]),
        ("['Sea', \"Food\"]", {"Sea", "Food"}, ["Sea", "Food"]),
        ("[]", set(), []),
        (" ", set(), []),
        ("|", set(), ["|"]),
    ],
)
def test_how_text_is_split(text: str, known: set[str], wanted: list[str]) -> None:
    assert split_categories(text, frozenset(known)) == wanted


@pytest.mark.parametrize(
    ("columns", "wanted"),
    [
        ({"genres": [["a", "b"], [], ["b"]]}, [["a", "b"], [], ["b"]]),
        ({"type": ["a", None, "b"]}, [["a"], [], ["b"]]),
        ({"tags": [["x"], [], []], "category": ["a", "b", "x"]}, [["a", "x"], ["b"], ["x"]]),
        ({"categories": ["a|b", "", "b"]}, [["a", "b"], [], ["b"]]),
        ({"genre": pandas.Categorical(["a", None, "b|c"])}, [["a"], [], ["b", "c"]]),
        ({"genre": [1, 2, 3]}, None),
        ({"genre": ["a", 2, "b"]}, None),
        ({"genre": [["a"], [2], []]}, None),
        ({"genre": [None, None, None]}, None),
        ({"name": ["a", "b", "c"]}, None),
    ],
    ids=str,
)
def test_columns_that_hold_categories(columns: dict[str, Any], wanted: list[list[str]] | None) -> None:
    frame = pandas.DataFrame({"id": [0, 1, 2], **columns})
    found = scorer({"destinations_df": frame, "similarity_matrix": np.ones((3, 3))})
    words = {word for words in wanted or [] for word in words}
    assert found.details["categories"] == (len(words) if wanted is not None else None)
    for word in words:
        assert found.items.in_categories([word]).tolist() == [word in words for words in wanted or []]
    if wanted is None:
        with pytest.raises(InvalidQuery):
            found.items.in_categories(["a"])
    if "categories" in columns:
        assert found.items.values(["categories"], np.arange(3)) == {"categories": wanted}


@pytest.mark.parametrize("encoder", ["label", "one_hot", "multi"])
def test_the_encoder_says_which_categories_there_are(encoder: str) -> None:
    from sklearn.preprocessing import LabelEncoder, MultiLabelBinarizer, OneHotEncoder

    words = ["Sea, Sand", "Food", "Art"]
    fitted = {
        "label": lambda: LabelEncoder().fit(words),
        "one_hot": lambda: OneHotEncoder().fit([[word] for word in words]),
        "multi": lambda: MultiLabelBinarizer().fit([words]),
    }[encoder]()
    frame = pandas.DataFrame({"id": [0, 1, 2], "category": ["Sea, Sand", "Food, Art", "Food"]})
    found = scorer({"destinations_df": frame, "similarity_matrix": np.ones((3, 3)), "category_encoder": fitted})
    assert found.items.in_categories(["Sea, Sand"]).tolist() == [True, False, False]
    assert found.items.in_categories(["Food"]).tolist() == [False, True, True]


# -- implicit -----------------------------------------------------------------------------------------------------------


def changed(model: Any, **attributes: Any) -> Any:
    other = object.__new__(type(model))
    vars(other).update({**vars(model), **attributes})
    return other


def test_implicit_s_own_file(tmp_path: Any) -> None:
    model = item_item("TFIDFRecommender")
    model.save(tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz") as saved:
        arrays = dict(saved)
    found = scorer(arrays)
    rows, _ = model.similar_items(4, N=5)
    (answer,) = found.recommend(Query(similar_to=4, k=4))
    assert isinstance(answer, Ranking) and list(answer.items) == [row for row in rows.tolist() if row != 4][:4]
    for shape in (np.array([ITEMS]), np.array([ITEMS, 3]), np.array([0.5, 1.0]), np.array([-1, -1]), np.array([0, 0])):
        assert refusal({**arrays, "shape": shape}).type == "corrupt_artifact"


def test_item_item_models_that_are_not_whole() -> None:
    model = item_item()
    assert refusal(changed(model, similarity=None)).type == "not_trained"
    for matrix in ("no matrix", np.eye(3), scipy.sparse.csr_matrix((3, 4)), scipy.sparse.csr_matrix((0, 0))):
        assert refusal(changed(model, similarity=matrix)).type == "corrupt_artifact"
    error = refusal({"model": model})
    assert (error.type, error.detail["missing"]) == ("missing_keys", ["user_id_map", "item_id_map"])
    assert refusal({**als_dict(model=model), "item_id_map": {1: 0}}).type == "corrupt_artifact"


@pytest.mark.parametrize("matrix", ["csr", "transposed", "csc", "dense", "frame"])
def test_what_users_have_in_every_form(matrix: str) -> None:
    seen = interactions()
    made: Any = {
        "csr": lambda: seen,
        "transposed": lambda: seen.T.tocsr(),
        "csc": seen.tocsc,
        "dense": seen.toarray,
        "frame": lambda: pandas.DataFrame(seen.toarray()).replace(0, np.nan),
    }[matrix]()
    artifact = als_dict("int", model=item_item())
    found = scorer({**artifact, "user_item_matrix": made})
    assert (found.details["users"], found.details["seen"]) == (USERS, True)
    users = list(artifact["user_id_map"])[:5]
    assert found.recommend(Query(users, 5)) == scorer(artifact).recommend(Query(users, 5))


@pytest.mark.parametrize("matrix", [None, np.eye(3), "no matrix", ...])
def test_without_what_users_have_only_liked_items_are_answered(matrix: Any) -> None:
    artifact = {**als_dict("int", model=item_item()), "user_item_matrix": matrix}
    if matrix is ...:
        del artifact["user_item_matrix"]
    found = scorer(artifact)
    with pytest.raises(InvalidQuery, match="liked"):
        found.recommend(Query([1]))
    assert ("warnings" in found.details) == (matrix is not None and matrix is not ...) and "users" not in found.details
    assert liking(found, [3], list(artifact["item_id_map"]), k=3).items
