"""Someone new gets the vector the library itself would give them; explanations are the parts of a score."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from models.base import InvalidQuery, Query, Ranking
from models.bundle import BadBundle, Bundle
from models.factors.derived import Factors, derive
from models.factors.score import FactorScorer, open_scorer, warm
from models.factors.solving import non_negative, solve
from models.recommender import Subject
from tests.artifacts.nmf import nmf_dict
from tests.artifacts.recommenders import BARE, ITEMS, als_dict, bare_als, interactions
from tests.artifacts.svd import fitted_svd, svd_dict
from training.made_up.planted import plant

from .building import factors_bundle, packed, scorer_of

LIKED = [3, 11, 30]


def scorer(artifact: Any) -> FactorScorer:
    return open_scorer(packed(artifact))


def one_user(rows: Sequence[int], count: int = ITEMS) -> Any:
    return scipy.sparse.csr_matrix((np.ones(len(rows), np.float32), ([0] * len(rows), list(rows))), shape=(1, count))


def of(answer: Any) -> Ranking:
    assert isinstance(answer, Ranking)
    return answer


# -- explanations -------------------------------------------------------------------------------------------------------


def explained(model: Any, user_items: Any, item: int, total: int) -> dict[int, float]:
    """implicit's own contributions to the score of an item for row 0."""
    with threadpool_limits(1, "blas"):
        _, parts, _ = model.explain(0, user_items, item, N=total)
    return {int(row): float(part) for row, part in parts}


def test_contributions_are_those_of_implicit() -> None:
    model = bare_als()
    seen = interactions()
    found = scorer(als_dict("int"))
    everything = np.arange(ITEMS)
    for user in (0, 7, 59):
        name = list(als_dict("int")["user_id_map"])[user]
        subject = found.user(name)
        assert subject is not None and subject.history.tolist() == sorted(seen[[user]].indices.tolist())
        assert_same_parts(found, subject, model, seen[[user]], everything)
    assert_same_parts(found, found.liking(np.array(LIKED)), model, one_user(LIKED), everything)


def assert_same_parts(found: FactorScorer, subject: Subject, model: Any, user_items: Any, rows: NDArray[Any]) -> None:
    parts = found.contributions(subject, rows)
    for row in rows:
        wanted = explained(model, user_items, int(row), len(subject.history))
        np.testing.assert_allclose(parts[row], [wanted[int(item)] for item in subject.history], rtol=2e-3, atol=1e-5)


def test_an_answer_names_the_greatest_contributions() -> None:
    found = scorer(als_dict("int"))
    ids = list(als_dict("int")["item_id_map"])
    liked = [ids[row] for row in LIKED]
    answer = of(found.recommend(Query(liked=liked, k=4, explain=True))[0])
    for item, named in zip(answer.items, answer.because or [], strict=True):
        parts = explained(bare_als(), one_user(LIKED), ids.index(item), 3)
        wanted = sorted(((part, ids[row]) for row, part in parts.items() if part > 0), reverse=True)
        assert [id for id, _ in named] == [id for _, id in wanted]
        np.testing.assert_allclose([part for _, part in named], [part for part, _ in wanted], rtol=2e-3)


def test_the_parts_of_a_projection_are_its_score() -> None:
    model, user_factors = fitted_svd()
    found = scorer(svd_dict("label"))
    everything = np.arange(ITEMS)
    for user in (0, 33):
        subject = found.user(svd_dict("label")["user_encoder"].classes_[user].item())
        assert subject is not None
        np.testing.assert_allclose(found.contributions(subject, everything).sum(axis=1), user_factors[user] @ model.components_, atol=1e-4)


def test_where_a_score_is_no_sum_the_history_is_named_by_likeness() -> None:
    model = BARE["bpr"]()
    found = scorer(als_dict("int", model=model))
    parts = found.contributions(found.liking(np.array(LIKED)), np.arange(ITEMS))
    unit = model.item_factors[:, :-1] / np.linalg.norm(model.item_factors[:, :-1], axis=1, keepdims=True)
    np.testing.assert_allclose(parts, np.maximum(unit @ unit[LIKED].T, 0.0), atol=1e-6)


def test_what_is_similar_is_explained_by_the_similarity() -> None:
    answer = of(scorer(bare_als()).recommend(Query(similar_to=3, k=5, explain=True))[0])
    assert answer.because == [[(3, score)] if score > 0 else [] for score in answer.scores]


# -- the four methods ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", [{}, {"alpha_W": 0.02, "l1_ratio": 0.5}, {"alpha_W": 0.05, "l1_ratio": 0.0}])
def test_nmf_solves_what_its_transform_solves(penalty: dict[str, float]) -> None:
    from sklearn.decomposition import NMF

    with threadpool_limits(1, "blas"):
        model = NMF(6, init="nndsvda", random_state=1, max_iter=20_000, tol=1e-6, **penalty)
        model.fit(interactions())
        wanted = (model.transform(one_user(LIKED)) @ model.components_)[0]
    answer = of(scorer(model).recommend(Query(liked=LIKED, k=ITEMS, exclude_seen=False))[0])
    np.testing.assert_allclose(answer.scores, wanted[list(answer.items)], rtol=1e-3, atol=1e-4)
    assert (wanted > 1e-3).sum() > 10


@given(seed=st.integers(0, 10_000), width=st.integers(1, 12), rank=st.integers(1, 12))
@settings(deadline=None, max_examples=100)
def test_non_negative_least_squares_meet_their_conditions(seed: int, width: int, rank: int) -> None:
    rng = np.random.default_rng(seed)
    basis = rng.random((rank, width))
    gram, right = basis.T @ basis + 1e-2 * np.eye(width), rng.normal(size=width)
    found = non_negative(gram, right)
    slope = gram @ found - right
    assert (found >= 0).all()
    assert (slope >= -1e-5).all() and np.abs(slope[found > 0]).max(initial=0.0) < 1e-5


def test_a_component_that_is_nowhere_takes_no_part() -> None:
    gram = np.array([[0.0, 0.0], [0.0, 2.0]])
    assert non_negative(gram, np.array([1.0, 4.0])).tolist() == [0.0, 2.0]


def test_systems_without_one_solution() -> None:
    singular = np.array([[1.0, 1.0], [1.0, 1.0]])
    np.testing.assert_allclose(solve(singular, np.array([2.0, 2.0])), [1.0, 1.0])
    for bad in (np.nan, np.inf):
        assert np.isnan(solve(singular * bad, np.array([2.0, 2.0]))).all()
        assert np.isnan(non_negative(singular * bad, np.array([2.0, 2.0]))).all()


@pytest.mark.parametrize(("name", "tail"), [("bpr", [1.0]), ("lmf", [1.0, 0.0])])
def test_models_without_a_closed_form_take_the_mean_and_a_user_s_bias_columns(name: str, tail: list[float]) -> None:
    model = BARE[name]()
    found = scorer(model)
    width = model.item_factors.shape[1] - len(tail)
    assert (model.user_factors[:, width] == 1.0).all()
    wanted = np.concatenate([model.item_factors[LIKED, :width].mean(axis=0), tail])
    np.testing.assert_allclose(found.liking(np.array(LIKED)).state.vector, wanted, rtol=1e-6)
    assert found.details["factors"] == width and found.details["fold_in"] == "mean"


def test_factors_of_unknown_origin_score_the_same_in_whatever_basis_they_are() -> None:
    rng = np.random.default_rng(1)
    users, items = rng.normal(size=(9, 5)), rng.normal(size=(80, 5))
    turn = np.diag([0.5, 0.7, 1.0, 1.5, 2.0])
    scores = []
    for each in (scorer_of(users, items), scorer_of(users @ np.linalg.inv(turn), items @ turn)):
        answer = of(each.recommend(Query(liked=[1001, 1007, 1050], k=80))[0])
        scores.append([score for _, score in sorted(zip(answer.items, answer.scores, strict=True))])
    np.testing.assert_allclose(scores[0], scores[1], atol=0.01 * max(scores[0]))


def test_components_that_are_not_orthonormal_are_not_projected_on() -> None:
    model, user_factors = fitted_svd()
    scaled = {**svd_dict("list"), "user_factors": user_factors / 3.0, "item_factors": model.components_ * 3.0}
    assert scorer(scaled).details["fold_in"] == "als" and scorer(svd_dict("list")).details["fold_in"] == "projection"
    items = list(svd_dict("list")["item_encoder"])
    plain, other = (of(scorer(artifact).recommend(Query(liked=items[:3], k=10))[0]) for artifact in (svd_dict("list"), scaled))
    assert plain.items == other.items


def test_too_many_factors_for_a_system_of_equations() -> None:
    wide = Factors(None, np.ones((3, 3000), "f4"), "wide", 2999, 3000)
    arrays, plan = derive(wide)
    assert set(arrays) == {"item_norms"} and plan == {"method": "mean", "tail": [0.0]}


# -- odd numbers --------------------------------------------------------------------------------------------------------


def test_liked_items_that_are_no_numbers() -> None:
    rng = np.random.default_rng(2)
    items = rng.normal(size=(60, 4)).astype("f4")
    items[5] = np.nan
    found = scorer_of(np.ones((2, 4), "f4"), items)
    both, one, none = (of(found.recommend(Query(liked=liked, k=5))[0]) for liked in ([1003, 1005], [1003], [1005]))
    assert both == Ranking(None, both.items, both.scores) and list(both.items) == list(one.items) and len(both.items) == 5
    assert set(none.scores) <= {0.0}
    assert 1005 not in of(found.recommend(Query(similar_to=1003, k=60))[0]).items
    assert list(of(found.recommend(Query(similar_to=1005, k=60))[0]).items) == []


def test_an_item_that_is_nowhere_is_like_nothing() -> None:
    items = np.eye(4, dtype="f4")[[0, 1, 2, 3, 0, 1]]
    items[2] = 0.0
    found = scorer_of(np.ones((1, 4), "f4"), items)
    assert set(of(found.recommend(Query(similar_to=1002, k=9))[0]).scores) == {0.0}
    near = of(found.recommend(Query(similar_to=1000, k=9))[0])
    assert list(near.items) == [1004, 1001, 1002, 1003, 1005] and list(near.scores) == [1.0, 0.0, 0.0, 0.0, 0.0]
    np.testing.assert_array_equal(found.similarities(np.array([0, 2, 4]))[0], [1.0, 0.0, 1.0])


def test_similar_ranks_by_the_exact_cosine() -> None:
    items = np.random.default_rng(4).normal(size=(300, 3)).astype("f4")
    items[::7] *= 1e-20
    wide = items.astype("f8")
    unit = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    found = scorer_of(np.ones((1, 3), "f4"), items)
    for row in (0, 5, 7):
        cosines = unit @ unit[row]
        wanted = [at for at in np.argsort(-cosines, kind="stable").tolist() if at != row][:20]
        answer = of(found.recommend(Query(similar_to=1000 + row, k=20))[0])
        assert [int(id) - 1000 for id in answer.items] == wanted
        np.testing.assert_allclose(answer.scores, cosines[wanted], atol=1e-6)


def test_cosines_that_float32_cannot_tell_apart_are_ranked_all_the_same() -> None:
    rng = np.random.default_rng(6)
    items = (np.ones((2_000, 24)) + 1e-4 * rng.normal(size=(2_000, 24))).astype("f4") * rng.integers(1, 9, (2_000, 1)).astype("f4")
    wide = items.astype("f8")
    unit = wide / np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    cosines = unit @ unit[7].astype("f4").astype("f8")
    answer = of(scorer_of(np.ones((1, 24), "f4"), items).recommend(Query(similar_to=1007, k=5))[0])
    assert [int(id) - 1000 for id in answer.items] == [at for at in np.argsort(-cosines, kind="stable").tolist() if at != 7][:5]


def test_large_histories_are_taken_a_slab_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    found = scorer(als_dict("int"))
    liked = list(als_dict("int")["item_id_map"])[:20]
    whole = of(found.recommend(Query(liked=liked, k=9, explain=True))[0])
    monkeypatch.setattr("models.factors.fold_in._SLAB", 8 * 3)
    monkeypatch.setattr("models.recommender._CHUNK_PARTS", 50)
    parts = of(found.recommend(Query(liked=liked, k=9, explain=True))[0])
    assert parts.items == whole.items and [[id for id, _ in line] for line in parts.because or []] == [
        [id for id, _ in line] for line in whole.because or []
    ]
    np.testing.assert_allclose(parts.scores, whole.scores, rtol=1e-6)


# -- what a bundle may say ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"fold_in": None},
        {"fold_in": {"method": "magic"}},
        {"fold_in": {"method": "als", "alpha": 1.0}},
        {"fold_in": {"method": "als", "alpha": float("nan"), "regularization": 1.0}},
        {"fold_in": {"method": "als", "alpha": True, "regularization": 1.0}},
        {"fold_in": {"method": "nnls", "l1": 0.0, "l2": "0"}},
        {"fold_in": {"method": "mean"}},
        {"fold_in": {"method": "mean", "tail": [1.0]}},
        {"widths": None},
        {"widths": {"embedding": 3, "compared": 2}},
        {"widths": {"embedding": 2, "compared": -1}},
        {"widths": {"embedding": True, "compared": 2}},
        {"user_ids": None},
        {"gram": None},
        {"gram": np.ones((2, 3))},
        {"gram": np.ones((3, 3))},
        {"item_norms": None},
        {"item_norms": np.ones(4)},
    ],
)
def test_bundles_that_do_not_say_how(change: dict[str, Any]) -> None:
    good = factors_bundle(np.ones((4, 2), "f4"), np.ones((5, 2), "f4"))
    arrays = {name: array for name, array in {**good.arrays, **change}.items() if isinstance(array, np.ndarray)}
    meta = {name: value for name, value in {**good.meta, **change}.items() if not isinstance(value, np.ndarray)}
    with pytest.raises(BadBundle):
        open_scorer(Bundle(good.family, arrays, meta))


def test_numbers_a_forged_segment_may_hold_end_in_an_answer() -> None:
    good = factors_bundle(np.ones((4, 2), "f4"), np.eye(5, 2, dtype="f4"), np.eye(4, 5, dtype=bool))
    for name, value in itertools.product(("gram", "item_norms", "item_factors"), (np.nan, np.inf, 0.0, -1.0, 1e308)):
        with np.errstate(all="ignore"):
            arrays = {**good.arrays, name: np.full_like(good.arrays[name], value)}
        forged = open_scorer(Bundle(good.family, arrays, good.meta))
        for query in (Query(liked=[1000]), Query(similar_to=1000), Query([1], explain=True), Query(liked=[1000], diversity=0.5)):
            assert all(np.isfinite(of(answer).scores).all() for answer in forged.recommend(query))


def test_a_model_without_users() -> None:
    found = scorer(fitted_svd()[0])
    assert found.details["users"] == 0 and not found.knows_seen and set(found.ids_in_words()) == {"items"}
    with pytest.raises(InvalidQuery, match="liked") as caught:
        found.recommend(Query([0]))
    assert caught.value.field == "user_id"
    spread = warm(found)["score_range"]
    assert spread["min"] < spread["max"]


def test_cost_grows_with_what_is_asked() -> None:
    for artifact in (als_dict("int"), nmf_dict("int")):
        found = scorer(artifact)
        plain = found.cost(Query([1]))
        assert found.cost(Query(liked=[500])) > plain
        assert found.cost(Query([1], explain=True)) > plain and found.cost(Query([1], diversity=0.5)) > plain


# -- quality ------------------------------------------------------------------------------------------------------------


@cache
def liked_by() -> Any:
    """Planted interactions, unweighted: 1,000 users x 600 items."""
    drawn = plant(users=1_000, items=600, likes_per_user=30)
    return scipy.sparse.csr_matrix((np.ones(len(drawn.users), np.float32), (drawn.users, drawn.items)), shape=(1_000, 600))


def overlap(model: Any) -> float:
    """Mean number of items that 500 users' own top 10 and the top 10 for what they like have in common."""
    seen = liked_by()
    found = scorer(
        {"model": model, "user_id_map": dict(enumerate(range(1_000))), "item_id_map": dict(enumerate(range(600))), "user_item_matrix": seen}
    )
    shared = []
    for user in range(0, 1_000, 2):
        (own,), (new,) = found.recommend(Query([user], 10)), found.recommend(Query(liked=seen[[user]].indices.tolist(), k=10))
        shared.append(len(set(of(own).items) & set(of(new).items)))
    return float(np.mean(shared))


def fitted(make: Callable[..., Any], **parameters: Any) -> Any:
    with threadpool_limits(1, "blas"):
        model = make(**parameters, num_threads=1, random_state=1)
        model.fit(liked_by(), show_progress=False)
    return model


@pytest.mark.parametrize("parameters", [{"factors": 32}, {"factors": 64, "alpha": 8.0, "regularization": 15.0}])
def test_what_training_users_like_brings_back_their_own_answers(parameters: dict[str, Any]) -> None:
    from implicit.cpu.als import AlternatingLeastSquares

    assert overlap(fitted(AlternatingLeastSquares, iterations=15, **parameters)) >= 9.0


def test_the_mean_of_what_they_like_comes_near_for_bpr() -> None:
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    assert overlap(fitted(BayesianPersonalizedRanking, factors=32, iterations=100)) >= 7.0
