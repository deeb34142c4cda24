"""What users did lately counts at once: as the library itself would fold it in, once, and only what was not learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from models.base import Id, InvalidQuery, Query, Ranking, UnknownEntity
from models.bundle import Bundle
from models.factors.score import FactorScorer
from models.factors.score import open_scorer as open_factors
from models.neighbours.score import NeighbourScorer
from models.recent import Additions, Recent, is_among, learned_until
from models.recommender import Recommender
from tests.artifacts.nmf import nmf_dict
from tests.artifacts.recommenders import ITEMS, als_dict, bare_als, bare_bpr, interactions
from tests.artifacts.svd import fitted_svd, svd_dict

from .building import packed, scorer_of
from .hybrids import COLLABORATIVE_IDS, CONTENT_IDS, NEWCOMER, Parts, ranked
from .test_neighbours import bundle_of
from .test_neighbours import scorer_of as neighbours_of

STRANGER = "a user whom no model has"
WEIGHTS = {3: 2.0, 11: 1.0, 30: 0.5}
"""Item rows and weights of what is done lately."""


def did(ids: Sequence[Any], weights: Mapping[int, float] = WEIGHTS, at: float = 0.0) -> list[Recent]:
    return [Recent(ids[row], weight, at) for row, weight in weights.items()]


def of(answer: Any) -> Ranking:
    assert isinstance(answer, Ranking), answer
    return answer


def ask(scorer: Recommender, user: Id, recent: Sequence[Recent], **query: Any) -> Ranking:
    return of(scorer.recommend(Query([user], recent={user: recent}, **{"k": 1000, **query}))[0])


def scores_of(scorer: Recommender, user: Id, recent: Sequence[Recent]) -> list[float]:
    """Of every item, in the order of rows."""
    answer = ask(scorer, user, recent, exclude_seen=False)
    return [score for _, score in sorted(zip(map(scorer.items.row, answer.items), answer.scores, strict=True))]


@cache
def als_bundle() -> Bundle:
    return packed(als_dict("int"))


@pytest.fixture
def als() -> FactorScorer:
    return open_factors(als_bundle())


def als_ids() -> tuple[list[int], list[int]]:
    return list(als_dict("int")["user_id_map"]), list(als_dict("int")["item_id_map"])


def recalculated(row: int | None, weights: Mapping[int, float] = WEIGHTS) -> NDArray[Any]:
    """implicit's scores of every item for a user's history with what is new, whose own weights count where both have an item."""
    added = {item: weight for item, weight in weights.items() if row is None or not interactions()[row, item]}
    cells = scipy.sparse.csr_matrix((list(added.values()), ([0] * len(added), list(added))), shape=(1, ITEMS), dtype=np.float32)
    with threadpool_limits(1, "blas"):
        vector = bare_als().recalculate_user(0, cells if row is None else interactions()[[row]] + cells)
    scores: NDArray[Any] = np.asarray(vector).reshape(-1) @ bare_als().item_factors.T
    return scores


# -- factors ------------------------------------------------------------------------------------------------------------


def test_als_solves_a_user_again_as_implicit_does(als: FactorScorer) -> None:
    users, items = als_ids()
    for row in (0, 7, 59):
        np.testing.assert_allclose(scores_of(als, users[row], did(items)), recalculated(row), rtol=2e-3, atol=2e-4)


def test_als_answers_a_stranger_from_what_they_did(als: FactorScorer) -> None:
    _, items = als_ids()
    np.testing.assert_allclose(scores_of(als, STRANGER, did(items)), recalculated(None), rtol=2e-3, atol=2e-4)
    answer = ask(als, STRANGER, did(items), k=4, explain=True, fields=())
    assert answer.user == STRANGER and answer.notes == {"folded_in": 3}
    assert not {items[row] for row in WEIGHTS} & set(answer.items), "what they did is seen"
    named = {id for reasons in answer.because or [] for id, _ in reasons}
    assert named and named <= {items[row] for row in WEIGHTS}


def test_explanations_add_up_to_the_score(als: FactorScorer) -> None:
    users, items = als_ids()
    for user in (users[7], STRANGER):
        subject = als.met(user, did(items))
        assert subject is not None and {3, 11, 30} <= set(subject.history.tolist())
        parts = als.contributions(subject, np.arange(ITEMS))
        np.testing.assert_allclose(parts.sum(axis=1), scores_of(als, user, did(items)), rtol=1e-3, atol=1e-4)


def test_interactions_with_one_item_add_up(als: FactorScorer) -> None:
    users, items = als_ids()
    thrice = [Recent(items[3], 0.5, at) for at in (1.0, 2.0, 3.0)]
    assert ask(als, STRANGER, thrice) == ask(als, STRANGER, [Recent(items[3], 1.5, 1.0)])
    assert ask(als, users[0], thrice).notes == {"folded_in": 1}


def test_what_is_in_the_history_already_does_not_count_twice(als: FactorScorer) -> None:
    users, items = als_ids()
    seen = interactions()[[0]].indices.tolist()
    again = did(items, dict.fromkeys(seen, 4.0))
    assert ask(als, users[0], again) == of(als.recommend(Query([users[0]], k=1000))[0])
    assert ask(als, users[0], [*again, *did(items)]) == ask(als, users[0], did(items))


def test_only_what_came_after_learning_counts_unless_the_user_is_unknown() -> None:
    users, items = als_ids()
    bundle = als_bundle()
    cut = replace(bundle, details={**bundle.details, "learned_until": "2026-11-21T00:00:00Z"})
    scorer, at = open_factors(cut), learned_until(cut.details)
    assert at == 1795219200.0
    plain = of(scorer.recommend(Query([users[0]], k=1000))[0])
    assert ask(scorer, users[0], did(items, at=at)) == plain
    assert ask(scorer, users[0], did(items, at=at + 1)).notes == {"folded_in": 3}
    assert ask(scorer, STRANGER, did(items, at=at - 1e6)).notes == {"folded_in": 3}
    # Held out of training, but in the history: the user is solved again from all of it.
    held = interactions()[[0]].indices[:1].tolist()
    np.testing.assert_allclose(
        scores_of(scorer, users[0], did(items, dict.fromkeys(held, 9.0), at=at + 1)), recalculated(0, {}), rtol=2e-3, atol=2e-4
    )


def test_who_did_only_what_is_unknown_stays_unknown(als: FactorScorer) -> None:
    users, items = als_ids()
    (answer,) = als.recommend(Query([STRANGER], recent={STRANGER: [Recent("nothing", 1.0, 0.0)]}))
    assert isinstance(answer, UnknownEntity) and answer.field == "user_id"
    nothing = [Recent(2**70, 1.0, 0.0), Recent(str(items[0]), 1.0, 0.0)]
    assert ask(als, users[0], nothing) == of(als.recommend(Query([users[0]], k=1000))[0])


def test_each_user_of_a_batch_has_their_own(als: FactorScorer) -> None:
    users, items = als_ids()
    recent: dict[Id, list[Recent]] = {users[1]: did(items), STRANGER: did(items, {5: 1.0}), users[3]: []}
    asked: list[Id] = [users[0], users[1], STRANGER, users[3], "nobody"]
    batch = als.recommend(Query(asked, k=9, recent=recent))
    assert batch[:4] == [ask(als, user, recent.get(user, []), k=9) for user in asked[:4]]
    assert isinstance(batch[4], UnknownEntity) and batch[4].field == "users[4]"


def test_folding_in_costs(als: FactorScorer) -> None:
    users, items = als_ids()
    plain, folded = Query([users[0]]), Query([users[0]], recent={users[0]: did(items)})
    assert als.cost(folded) - als.cost(plain) == 8 * 8 * (3 + interactions()[[0]].nnz + 8)


def test_a_projection_adds_what_is_new() -> None:
    model, user_factors = fitted_svd()
    artifact = svd_dict("list")
    scorer = open_factors(packed(artifact))
    users, items = list(artifact["user_encoder"]), list(artifact["item_encoder"])
    fresh = {row: 2.0 for row in range(ITEMS) if not interactions()[5, row]}
    row, *_ = fresh
    wanted = (user_factors[5] + 2.0 * model.components_[:, row]) @ model.components_
    np.testing.assert_allclose(scores_of(scorer, users[5], did(items, {row: 2.0})), wanted, atol=1e-4)


def test_nmf_keeps_who_the_user_was_where_weights_of_the_history_are_not_known() -> None:
    artifact = nmf_dict()
    scorer = open_factors(packed(artifact))
    user, items = scorer.form().some_user, scorer.items.ids(np.arange(scorer.items.count))
    subject = scorer.user(user)  # type: ignore[arg-type]
    assert subject is not None
    fresh = next(row for row in range(len(items)) if row not in subject.history)
    tiny = scorer.met(user, did(items, {fresh: 1e-9}))  # type: ignore[arg-type]
    assert tiny is not None
    np.testing.assert_allclose(tiny.state.vector, subject.state.vector, atol=1e-5)
    before, after = (scores_of(scorer, user, did(items, {fresh: weight}))[fresh] for weight in (1e-9, 3.0))  # type: ignore[arg-type]
    assert after > before


def test_nmf_is_solved_again_where_they_are_known() -> None:
    from sklearn.decomposition import NMF

    with threadpool_limits(1, "blas"):
        model = NMF(6, init="nndsvda", random_state=1, max_iter=20_000, tol=1e-6, alpha_W=0.02).fit(interactions())
        with_new = interactions()[[4]].tolil()
        fresh = next(row for row in range(ITEMS) if not interactions()[4, row])
        with_new[0, fresh] = 2.0
        wanted = (model.transform(with_new.tocsr()) @ model.components_)[0]
    bundle = packed(
        {
            "nmf_model": model,
            "user_factors": model.transform(interactions()),
            "item_factors": model.components_,
            "user_encoder": list(range(60)),
            "item_encoder": list(range(ITEMS)),
            "user_item_matrix": interactions(),
        }
    )
    weighed = replace(bundle, arrays={**bundle.arrays, "seen.weights": interactions().data})
    found = scores_of(open_factors(weighed), 4, did(range(ITEMS), {fresh: 2.0}))
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3)


def test_a_mean_moves_a_user_by_the_share_of_what_is_new() -> None:
    model = bare_bpr()
    scorer = open_factors(packed(als_dict("int", model=model)))
    users, items = als_ids()
    fresh = [row for row in range(ITEMS) if not interactions()[2, row]][:2]
    subject, had = scorer.met(users[2], did(items, dict.fromkeys(fresh, 1.0))), interactions()[[2]].nnz
    assert subject is not None
    old, mean = model.user_factors[2, :-1].astype("f8"), model.item_factors[fresh, :-1].mean(axis=0)
    wanted = (had * old + 2 * np.linalg.norm(old) / np.linalg.norm(mean) * mean) / (had + 2)
    np.testing.assert_allclose(subject.state.vector, [*wanted, 1.0], rtol=1e-4, atol=1e-6)


def test_factors_of_unknown_origin_keep_the_user_and_gain_what_is_new() -> None:
    rng = np.random.default_rng(1)
    users, items = rng.normal(size=(9, 5)), rng.normal(size=(80, 5))
    scorer = scorer_of(users, items, rng.random((9, 80)) < 0.1)
    plain = np.array(scores_of(scorer, 3, []))
    np.testing.assert_allclose(plain, items @ users[3])
    fresh = next(row for row in range(80) if row not in scorer._history(3)[0])
    gram = items.T @ items
    added = items @ np.linalg.solve(gram + 1e-3 * np.trace(gram) / 5 * np.eye(5), items[fresh])
    np.testing.assert_allclose(scores_of(scorer, 3, did(range(1000, 1080), {fresh: 1.0})), plain + added)
    assert scores_of(scorer, 3, did(range(1000, 1080), {fresh: 5.0}))[fresh] > plain[fresh] + added[fresh]


def test_who_has_a_history_and_no_factors_gets_those_of_the_history() -> None:
    rng = np.random.default_rng(1)
    users, items, seen = rng.normal(size=(3, 5)), rng.normal(size=(80, 5)), np.zeros((3, 80), np.bool_)
    users[1:] = 0.0
    seen[1, [4, 9]] = True
    scorer = scorer_of(users, items, seen)
    answer, nobody = scorer.recommend(Query([1, 2], k=80))
    liked = of(scorer.recommend(Query(liked=[1004, 1009], k=80))[0])
    assert of(answer).items == liked.items and of(answer).scores == liked.scores and of(answer).notes == {"folded_in": 2}
    assert set(of(nobody).scores) == {0.0} and not of(nobody).notes


# -- neighbours ---------------------------------------------------------------------------------------------------------


def similar() -> NDArray[Any]:
    half = np.random.default_rng(2).random((40, 40))
    return half + half.T


@pytest.mark.parametrize("liked", ["mean", "sum"])
def test_neighbours_take_what_is_new_into_the_profile(liked: str) -> None:
    matrix, users = similar(), np.zeros((3, 40))
    users[1, [4, 9]] = [2.0, 1.0]
    scorer = neighbours_of("similarity", matrix, liked=liked, users=users)
    items = range(1000, 1040)
    added = 2.0 * matrix[4] + matrix[9] + 2.0 * matrix[3] + matrix[11] + 0.5 * matrix[30]
    np.testing.assert_allclose(scores_of(scorer, 1, did(items)), added / (6.5 if liked == "mean" else 1.0))
    assert ask(scorer, 1, did(items, {4: 7.0})) == of(scorer.recommend(Query([1], k=1000))[0])
    alone = (2.0 * matrix[3] + matrix[11] + 0.5 * matrix[30]) / (3.5 if liked == "mean" else 1.0)
    np.testing.assert_allclose(scores_of(scorer, STRANGER, did(items)), alone)
    equal = ask(scorer, STRANGER, did(items, {3: 1.0, 5: 1.0}), k=9)
    plain = of(scorer.recommend(Query(liked=[1003, 1005], k=9))[0])
    assert (equal.items, equal.scores) == (plain.items, plain.scores)


def test_a_model_without_users_answers_for_whom_it_is_told_of() -> None:
    scorer = neighbours_of("similarity", similar())
    assert not scorer.knows_seen
    answer = ask(scorer, "u", did(range(1000, 1040)), k=5, explain=True)
    assert answer.user == "u" and answer.notes == {"folded_in": 3} and len(answer.items) == 5
    for nothing in ([], [Recent("x", 1.0, 0.0)]):
        with pytest.raises(InvalidQuery, match="liked"):
            scorer.recommend(Query(["u"], recent={"u": nothing}))


def test_a_history_that_is_the_profile_is_never_folded_in_again() -> None:
    users = np.zeros((2, 40))
    users[1, [4, 9]] = 1.0
    bundle = bundle_of("similarity", similar(), users=users)
    scorer = NeighbourScorer(replace(bundle, details={"learned_until": "2026-11-21T00:00:00Z"}))
    assert ask(scorer, 1, did(range(1000, 1040), {4: 1.0}, at=2e9)) == of(scorer.recommend(Query([1], k=1000))[0])


def test_each_item_of_a_profile_costs_a_row_of_similarities() -> None:
    scorer = neighbours_of("similarity", similar())
    recent = did(range(1000, 1040))
    assert scorer.cost(Query(["u"], recent={"u": recent})) - scorer.cost(Query(["u"])) == 3 * 40


# -- hybrids ------------------------------------------------------------------------------------------------------------


def as_query(liked: Sequence[Id]) -> Query:
    return Query(liked=liked)


def test_a_hybrid_asks_both_parts_about_a_stranger() -> None:
    parts = Parts.made()
    hybrid = parts.bind()
    liked: list[Id] = ["i8", "i12", "i2", "i25"]  # i2 only the collaborative part has, i25 only the content part
    recent = [Recent(item, 1.0, 0.0) for item in liked]
    answer = ask(hybrid, STRANGER, recent, k=8)
    wanted = parts.blended(Query(liked=["i8", "i12", "i25"]), Query(liked=["i8", "i12", "i2"]), 0.6)
    items, scores = ranked(wanted, 8, without=liked)
    assert list(answer.items) == items
    np.testing.assert_allclose(answer.scores, scores)
    assert answer.notes["folded_in"] == 4 and answer.notes["answered_by"] == ["content", "collaborative"]


def test_a_hybrid_folds_into_both_parts_of_a_known_user() -> None:
    parts = Parts.made()
    hybrid = parts.bind()
    new: list[Id] = ["i8", "i25", "nowhere"]
    recent = [Recent(item, 1.0, 0.0) for item in new]
    answer = ask(hybrid, NEWCOMER, recent, k=8)
    collaborative = Query([NEWCOMER], recent={NEWCOMER: recent})
    items, scores = ranked(parts.blended(Query(liked=["i8", "i25"]), collaborative, 0.6), 8, without=new)
    assert list(answer.items) == items
    np.testing.assert_allclose(answer.scores, scores)
    assert answer.notes["folded_in"] == 2
    assert hybrid.cost(Query([NEWCOMER], recent={NEWCOMER: recent})) > hybrid.cost(Query([NEWCOMER]))


def test_what_is_liked_joins_what_was_done_lately() -> None:
    parts = Parts.made()
    hybrid = parts.bind()
    recent = [Recent("i8", 1.0, 0.0)]
    for user in (3, STRANGER):
        answer = of(hybrid.recommend(Query([user], k=50, liked=["i9", "i26"], recent={user: recent}))[0])
        assert not {"i8", "i9", "i26"} & set(answer.items)
        assert answer.notes["folded_in"] == 1
    known = of(hybrid.recommend(Query([3], k=50, liked=["i9", "i26"], recent={3: recent}))[0])
    assert set(known.items) <= {*COLLABORATIVE_IDS, *CONTENT_IDS}


# -- the words ----------------------------------------------------------------------------------------------------------


def test_additions_are_rows_in_order() -> None:
    rows: dict[Id, int] = {"a": 1, "b": 7}
    met = [("b", 1.0), ("?", 1.0), ("a", 2.0), ("b", 0.5)]
    found = Additions.of([Recent(item, weight, 0.0) for item, weight in met], lambda item: rows.get(item))
    assert found.rows.tolist() == [1, 7] and found.weights.tolist() == [2.0, 1.5] and found
    assert not Additions.of([], lambda item: 1)


def test_rows_are_looked_up_in_a_history() -> None:
    history = np.array([2, 5, 9])
    assert is_among(np.array([0, 2, 3, 9, 10]), history).tolist() == [False, True, False, True, False]
    assert is_among(np.array([1]), history[:0]).tolist() == [False]


@pytest.mark.parametrize("told", [None, 7, "yesterday"])
def test_a_time_that_is_none_is_not_known(told: object) -> None:
    assert learned_until({"learned_until": told}) is None and learned_until({}) is None
