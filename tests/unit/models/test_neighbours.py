"""Scores from similarities and features equal numpy's own, however they are stored and asked for; forged bundles are refused."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.base import InvalidQuery, Query, Ranking, UnknownEntity
from models.bundle import BadBundle, Bundle
from models.ids import pack_ids
from models.neighbours.features import MOST_FEATURES
from models.neighbours.relations import open_relation
from models.neighbours.score import NeighbourScorer, open_scorer, warm
from models.recommender import _PER_ID

Arrays = dict[str, NDArray[Any]]


def csr(name: str, matrix: Any, data: str = "data") -> Arrays:
    sparse = scipy.sparse.csr_matrix(matrix)
    return {f"{name}.indptr": sparse.indptr, f"{name}.indices": sparse.indices, f"{name}.{data}": sparse.data}


def bundle_of(relation: str, matrix: NDArray[Any], *, liked: str = "mean", users: NDArray[Any] | None = None) -> Bundle:
    """Items are 1000, 1001, ...; users 0, 1, ..., their interactions the rows of `users`."""
    count = len(matrix)
    arrays: Arrays = {}
    meta: dict[str, Any] = {"relation": relation, "items": count, "liked": liked}
    if relation in ("similarity", "weights"):
        arrays["similarity"] = matrix
    elif relation in ("sparse similarity", "neighbours"):
        arrays |= csr("similarity", matrix)
    else:
        lengths = np.linalg.norm(matrix.astype("f8"), axis=1)
        arrays["features.scale"] = np.divide(1.0, lengths, out=np.zeros(count), where=lengths > 0)
        meta["features"] = matrix.shape[1]
        arrays |= {"features": matrix} if relation == "features" else csr("features", matrix)
    packed, meta["item_ids"] = pack_ids("item_ids", np.arange(1000, 1000 + count))
    arrays |= packed
    if users is not None:
        packed, meta["user_ids"] = pack_ids("user_ids", np.arange(len(users)))
        arrays |= {**packed, **csr("seen", users, "weights")}
    return Bundle("neighbours", arrays, meta)


def scorer_of(*args: Any, **options: Any) -> NeighbourScorer:
    return open_scorer(bundle_of(*args, **options))


def ranking(answer: Ranking | UnknownEntity) -> list[tuple[int, float]]:
    assert isinstance(answer, Ranking)
    json.dumps([answer.items, answer.scores, answer.because], allow_nan=False)
    return [(int(item) - 1000, score) for item, score in zip(answer.items, answer.scores, strict=True)]


def best(scores: NDArray[Any], k: int, left_out: Any = ()) -> list[int]:
    return [row for row in np.argsort(-scores, kind="stable").tolist() if np.isfinite(scores[row]) and row not in left_out][:k]


def cosines(features: NDArray[Any]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(features.astype("f8"), axis=1, keepdims=True)
    unit = np.divide(features.astype("f8"), lengths, out=np.zeros(features.shape), where=lengths > 0)
    alike: NDArray[np.float64] = unit @ unit.T
    return alike


KINDS = ("similarity", "sparse similarity", "features", "sparse features")


@st.composite
def features(draw: st.DrawFn) -> NDArray[Any]:
    """Whole numbers (many ties, rows of zeros) or normal ones, dense or sparse, float32 or float64."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    shape = draw(st.integers(1, 60)), draw(st.integers(1, 9))
    made = rng.integers(0, 3, shape) if draw(st.booleans()) else rng.normal(size=shape)
    return np.where(rng.random(shape) < draw(st.sampled_from([0.0, 0.6])), 0, made).astype(draw(st.sampled_from(["f4", "f8"])))


@given(matrix=features(), data=st.data())
@settings(deadline=None, max_examples=150)
def test_liked_items_score_the_mean_of_cosines_however_they_are_stored(matrix: NDArray[Any], data: st.DataObject) -> None:
    count = len(matrix)
    liked = sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=5)))
    k = data.draw(st.integers(1, 70))
    wanted = cosines(matrix)
    scores = wanted[liked].mean(axis=0)
    for kind in KINDS:
        scorer = scorer_of(kind, wanted if "similarity" in kind else matrix)
        found = ranking(scorer.recommend(Query(liked=[row + 1000 for row in liked[::-1]], k=k))[0])
        assert len(found) == min(k, count - len(liked)) and not {row for row, _ in found} & set(liked)
        np.testing.assert_allclose([score for _, score in found], [scores[row] for row, _ in found], atol=1e-7)
        np.testing.assert_allclose([score for _, score in found], np.sort(np.delete(scores, liked))[::-1][: len(found)], atol=1e-7)
        whole = ranking(scorer.recommend(Query(liked=[row + 1000 for row in liked], k=count))[0])
        assert found == whole[: len(found)]  # what else is asked for changes no score and no order
        for one, next_one in pairwise(whole):
            assert one[1] > next_one[1] or (one[1] == next_one[1] and one[0] < next_one[0])


@pytest.mark.parametrize("kind", KINDS)
def test_similar_items_and_what_contributes(kind: str) -> None:
    matrix = np.random.default_rng(1).normal(size=(30, 6))
    wanted = cosines(matrix)
    scorer = scorer_of(kind, wanted if "similarity" in kind else matrix)
    found = ranking(scorer.recommend(Query(similar_to=1004, k=30))[0])
    assert [row for row, _ in found] == best(wanted[4], 30, [4])
    np.testing.assert_allclose([score for _, score in found], [wanted[4, row] for row, _ in found])
    (answer,) = scorer.recommend(Query(liked=[1001, 1002, 1020], k=5, explain=True))
    assert isinstance(answer, Ranking) and answer.because is not None
    for (row, score), named in zip(ranking(answer), answer.because, strict=True):
        parts: dict[Any, float] = {1000 + liked: float(wanted[liked, row]) / 3 for liked in (1, 2, 20)}
        assert [id for id, _ in named] == [id for id, part in sorted(parts.items(), key=lambda pair: -pair[1]) if part > 0]
        np.testing.assert_allclose([part for _, part in named], [parts[id] for id, _ in named])
        np.testing.assert_allclose(sum(parts.values()), score)
    rows = np.array([3, 9, 4])
    np.testing.assert_allclose(scorer.similarities(rows), wanted[np.ix_(rows, rows)], atol=1e-12)


@given(matrix=features(), block=st.integers(1, 300), data=st.data())
@settings(deadline=None)
def test_how_alike_some_items_are_to_some_others(matrix: NDArray[Any], block: int, data: st.DataObject) -> None:
    some, others = (np.array(data.draw(st.lists(st.integers(0, len(matrix) - 1), max_size=9)), np.int64) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.neighbours.features._BLOCK", block)
        for kind in ("features", "sparse features"):
            found = open_relation(bundle_of(kind, matrix), len(matrix)).pairs(some, others)
            np.testing.assert_allclose(found, cosines(matrix)[np.ix_(some, others)], atol=1e-7)


def test_features_of_float32_are_ranked_as_in_float64() -> None:
    matrix = np.random.default_rng(2).normal(size=(3000, 40)).astype("f4")
    matrix[1500:] = matrix[:1500] * 2  # the same directions: equal but for rounding
    scores = cosines(matrix)[[7, 8]].mean(axis=0)
    found = ranking(scorer_of("features", matrix).recommend(Query(liked=[1007, 1008], k=400))[0])
    np.testing.assert_allclose([score for _, score in found], np.sort(np.delete(scores, [7, 8]))[::-1][:400], rtol=1e-12)
    assert found == sorted(found, key=lambda pair: (-pair[1], pair[0]))


def test_order_and_scores_do_not_depend_on_how_many_are_asked_for() -> None:
    rng = np.random.default_rng(8)
    direction = rng.normal(size=(1, 64))
    alike = (direction * rng.uniform(1, 9, (500, 1))).astype("f4")  # all the same but for the last bits
    apart = rng.normal(size=(500, 301))
    for matrix in (alike, apart, np.asfortranarray(apart), np.asfortranarray(alike)):
        scorer = scorer_of("features", matrix)
        whole = ranking(scorer.recommend(Query(liked=[1003], k=500))[0])
        for k in (1, 2, 7, 60):
            assert ranking(scorer.recommend(Query(liked=[1003], k=k))[0]) == whole[:k]
        (only,) = scorer.recommend(Query(liked=[1003], only=[1000 + whole[9][0]]))
        assert ranking(only) == [whole[9]]


@pytest.mark.parametrize("kind", ["features", "sparse features"])
def test_many_items_are_scored_in_parts(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = np.where(np.random.default_rng(3).random((200, 9)) < 0.5, 0, np.random.default_rng(4).normal(size=(200, 9)))
    query = Query(liked=[1001, 1005], k=40, explain=True, diversity=0.5)
    whole = scorer_of(kind, matrix).recommend(query)
    monkeypatch.setattr("models.neighbours.features._CHUNK", 20)
    monkeypatch.setattr("models.neighbours.features._BLOCK", 900)
    monkeypatch.setattr("models.sparse._CHUNK", 7)
    (answer,), (wanted,) = scorer_of(kind, matrix).recommend(query), whole
    assert isinstance(answer, Ranking) and isinstance(wanted, Ranking)
    assert (answer.items, answer.scores) == (wanted.items, wanted.scores)


@pytest.mark.parametrize("kind", KINDS)
def test_an_item_that_is_like_nothing(kind: str) -> None:
    matrix = np.zeros((40, 3))
    matrix[5:] = np.random.default_rng(5).random((35, 3))
    scorer = scorer_of(kind, cosines(matrix) if "similarity" in kind else matrix)
    assert ranking(scorer.recommend(Query(similar_to=1002, k=4))[0]) == [(0, 0.0), (1, 0.0), (3, 0.0), (4, 0.0)]
    assert [row for row, _ in ranking(scorer.recommend(Query(liked=[1002, 1010], k=50))[0])][-4:] == [0, 1, 3, 4]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_take_no_place(kind: str, value: float) -> None:
    matrix = np.random.default_rng(6).random((40, 3))
    wanted = cosines(matrix) if "similarity" in kind else matrix.copy()
    wanted[3] = value
    if "similarity" in kind:
        wanted[:, 3] = value
    scorer = scorer_of(kind, wanted)
    found = [row for row, _ in ranking(scorer.recommend(Query(liked=[1001], k=50, diversity=0.5, explain=True))[0])]
    assert sorted(found) in ([row for row in range(40) if row not in (1, 3)], [row for row in range(40) if row != 1])
    assert all(np.isfinite(score) for _, score in ranking(scorer.recommend(Query(liked=[1003], k=50))[0]))


# -- neighbours of item-item models -------------------------------------------------------------------------------------


@given(seed=st.integers(0, 1000), k=st.integers(1, 40))
@settings(deadline=None, max_examples=60)
def test_users_score_their_weights_times_the_neighbours(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 40))
    near = np.where(rng.random((count, count)) < 0.2, rng.integers(1, 4, (count, count)), 0).astype("f8")
    users = np.where(rng.random((7, count)) < 0.2, rng.integers(1, 6, (7, count)), 0).astype("f4")
    scorer = scorer_of("neighbours", near, liked="sum", users=users)
    batch = scorer.recommend(Query(list(range(7)), k))
    for user in range(7):
        scores = users[user].astype("f8") @ near
        reached = (users[user][:, np.newaxis] > 0) & (near > 0)
        scores[~reached.any(axis=0)] = np.nan  # nobody's neighbour is no answer
        found = ranking(batch[user])
        assert [row for row, _ in found] == best(scores, k, np.flatnonzero(users[user]))
        assert [score for _, score in found] == [scores[row] for row, _ in found]
        assert scorer.recommend(Query([user], k)) == [batch[user]]
        again = ranking(scorer.recommend(Query([user], k, exclude_seen=False))[0])
        assert [row for row, _ in again] == best(scores, k)


def test_liked_items_of_an_item_item_model_count_one_each() -> None:
    near = np.array([[9, 3, 0, 1], [3, 9, 2, 0], [0, 2, 9, 0], [0, 0, 0, 9]], "f8")
    scorer = scorer_of("neighbours", near, liked="sum")
    assert ranking(scorer.recommend(Query(liked=[1000, 1001], k=9))[0]) == [(2, 2.0), (3, 1.0)]
    assert ranking(scorer.recommend(Query(similar_to=1001, k=9))[0]) == [(0, 3.0), (2, 2.0)]
    alike = scorer.similarities(np.array([0, 1, 3]))
    np.testing.assert_allclose(alike, [[1, 1 / 3, 1 / 9], [1 / 3, 1, 0], [1 / 9, 0, 1]])


def test_users_of_a_model_that_knows_none() -> None:
    scorer = scorer_of("similarity", np.eye(3))
    with pytest.raises(InvalidQuery) as caught:
        scorer.recommend(Query([1]))
    assert caught.value.field == "user_id" and "`liked`" in caught.value.message
    assert not scorer.knows_seen and set(scorer.ids_in_words()) == {"items"}
    known = scorer_of("neighbours", np.eye(3), liked="sum", users=np.eye(3))
    assert known.knows_seen and set(known.ids_in_words()) == {"users", "items"}
    unknown = known.recommend(Query([7]))[0]
    assert isinstance(unknown, UnknownEntity) and unknown.field == "user_id"


def test_what_more_liked_items_cost() -> None:
    few, many = Query(liked=[100]), Query(liked=list(range(100, 200)))
    for kind in KINDS:
        scorer = scorer_of(kind, np.ones((500, 500 if "similarity" in kind else 4), "f4"))
        apart = scorer.cost(many) - scorer.cost(few) - 99 * _PER_ID
        assert apart >= 99 * 500 if "similarity" in kind else apart == 0


# -- forged -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("similarity", {"similarity": None}),
        ("similarity", {"similarity": np.zeros((4, 3))}),
        ("similarity", {"similarity": np.zeros((3, 3))}),
        ("similarity", {"similarity": np.zeros((4, 4), "i4")}),
        *(
            (kind, change)
            for kind in ("neighbours", "sparse similarity")
            for change in (
                {"similarity.indptr": np.array([0, 2, 1, 3, 4])},
                {"similarity.indptr": np.array([0, 1, 2, 3, 9])},
                {"similarity.indptr": np.array([-1, 1, 2, 3, 4])},
                {"similarity.indptr": np.array([0, 100, -100, 3, 4], "i1")},
                {"similarity.indices": np.array([0, 1, 2, 4])},
                {"similarity.indices": np.array([0, 1, 2, -1])},
                {"similarity.data": np.ones(3)},
                {"similarity.data": np.ones(4, "i4")},
            )
        ),
        ("features", {"features": np.zeros((3, 4))}),
        ("features", {"features": np.zeros((4, 4, 1))}),
        ("features", {"features.scale": np.zeros(3)}),
        ("features", {"features.scale": None}),
        ("sparse features", {"features.indices": np.array([0, 1, 2, 4])}),
        ("sparse features", {"features.scale": np.zeros(3)}),
        ("sparse features", {"features.indptr": np.array([0, 1, 2, 3])}),
    ],
    ids=str,
)
def test_arrays_that_contradict_each_other(kind: str, change: dict[str, NDArray[Any] | None]) -> None:
    good = bundle_of(kind, np.eye(4))
    open_scorer(good)
    arrays = {name: array for name, array in {**good.arrays, **change}.items() if array is not None}
    with pytest.raises(BadBundle):
        open_scorer(Bundle(good.family, arrays, good.meta))


@pytest.mark.parametrize(
    "meta",
    [
        {"relation": "other"},
        {"relation": None},
        {"items": "4"},
        {"items": 0},
        {"items": 5},
        {"items": True},
        {"liked": "other"},
        {"features": None},
        {"features": 3},
        {"features": -1},
        {"features": MOST_FEATURES + 1},
        {"features": 2**70},
        {"user_ids": []},
        {"user_ids": {"kind": "range", "start": 0, "count": 9}},
        {"user_ids": {"kind": "range", "start": 0, "count": -1}},
        {"user_ids": {"kind": "range", "start": 0, "count": "4"}},
        {"columns": 1},
    ],
    ids=str,
)
def test_metadata_that_contradicts_the_arrays(meta: dict[str, Any]) -> None:
    good = bundle_of("sparse features", np.eye(4), users=np.eye(4))
    open_scorer(good)
    with pytest.raises(BadBundle):
        open_scorer(Bundle(good.family, good.arrays, {**good.meta, **meta}))


def test_what_users_have_lies_in_the_catalogue() -> None:
    good = bundle_of("neighbours", np.eye(4), users=np.eye(4))
    with pytest.raises(BadBundle, match="points outside"):
        open_scorer(Bundle(good.family, {**good.arrays, "seen.indices": np.array([0, 1, 2, 4])}, good.meta))


def test_cells_that_repeat_in_a_forged_row_end_in_no_crash() -> None:
    good = bundle_of("neighbours", np.eye(4), users=np.eye(4), liked="sum")
    forged = {
        "seen.indptr": np.array([0, 4, 4, 4, 4]),
        "seen.indices": np.array([2, 2, 2, 2]),
        "similarity.indices": np.array([0, 1, 1, 3]),
    }
    scorer = open_scorer(Bundle(good.family, {**good.arrays, **forged}, good.meta))
    ranking(scorer.recommend(Query([0], k=3, explain=True, diversity=0.4, exclude_seen=False))[0])


@pytest.mark.parametrize("kind", [*KINDS, "neighbours"])
def test_warming_scores_a_sample_without_what_is_had(kind: str) -> None:
    matrix = np.random.default_rng(7).random((300, 5))
    wanted = cosines(matrix)
    np.fill_diagonal(wanted, 50.0)
    scorer = scorer_of(kind, matrix if "features" in kind else wanted)
    found = warm(scorer)["score_range"]
    assert 0 < found["min"] < found["p50"] < found["p99"] <= found["max"] < 1.0
    json.dumps(found, allow_nan=False)


def test_warming_where_there_is_nothing_to_score() -> None:
    assert warm(scorer_of("neighbours", np.eye(5))) == {"score_range": None}
    assert warm(scorer_of("similarity", np.ones((1, 1)))) == {"score_range": None}
    assert warm(scorer_of("neighbours", np.ones((5, 5)), users=np.zeros((2, 5)))) == {"score_range": None}
    with pytest.raises(BadBundle, match="finite"), np.errstate(all="ignore"):
        warm(scorer_of("similarity", np.full((4, 4), np.nan)))


def test_weights_add_up_and_what_is_unknown_adds_nothing_and_has_no_score() -> None:
    rng = np.random.default_rng(4)
    weights = rng.normal(size=(40, 40)).astype("f4")
    np.fill_diagonal(weights, 0.0)
    weights[:, 7] = np.nan
    users = np.zeros((3, 40))
    users[0, [2, 7, 11]] = 1.0, 5.0, 2.0
    users[1, 7] = 1.0
    scorer = scorer_of("weights", weights, liked="sum", users=users)
    wanted = weights[2].astype("f8") + 2.0 * weights[11]
    [someone, lost, nobody] = scorer.recommend(Query([0, 1, 2], 50))
    assert ranking(someone) == [(row, wanted[row]) for row in best(wanted, 50, [2, 7, 11])]
    assert ranking(lost) == ranking(nobody) == []
    assert ranking(scorer.recommend(Query(similar_to=1007))[0]) == []
    assert ranking(scorer.recommend(Query([0], 3, explain=True))[0]) == ranking(someone)[:3]
    assert warm(scorer)["score_range"]["max"] == pytest.approx(max(score for _, score in ranking(someone)))


def test_weights_are_brought_to_one_scale_for_diversity() -> None:
    """Item 1 is all but item 0; the weights are small, as those of EASE are."""
    weights = np.full((30, 30), 1e-4, "f4")
    weights[0, 1] = weights[1, 0] = 0.01
    weights[29] = 0.02 - np.arange(30) * 1e-4
    weights[29, :2] = 0.03, 0.0299
    np.fill_diagonal(weights, 0.0)
    scorer = scorer_of("weights", weights, liked="sum")
    plain, diverse = (ranking(scorer.recommend(Query(liked=[1029], k=2, diversity=at))[0]) for at in (1.0, 0.5))
    assert [row for row, _ in plain] == [0, 1] and diverse[0][0] == 0 and diverse[1][0] not in (0, 1)
