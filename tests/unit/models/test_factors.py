"""Top-k over factors equals a naive ranking, however it is asked; what is no number never leaves."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.base import InvalidQuery, Query, Ranking, UnknownEntity
from models.bundle import BadBundle, Bundle
from models.factors.score import open_scorer, warm

from .building import factors_bundle, naive, scorer_of


def ranking(answer: Ranking | UnknownEntity) -> list[tuple[int, float]]:
    assert isinstance(answer, Ranking)
    return [(int(item) - 1000, score) for item, score in zip(answer.items, answer.scores, strict=True)]


@st.composite
def models(draw: st.DrawFn) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Factors with many ties (small whole numbers) or none, some of them no numbers; and what was seen."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    users, items, width = draw(st.integers(1, 6)), draw(st.integers(1, 90)), draw(st.integers(1, 9))
    dtype = draw(st.sampled_from(["f4", "f8"]))
    if draw(st.booleans()):
        made = [rng.integers(-1, 2, (rows, width)).astype(dtype) for rows in (users, items)]
    else:
        made = [rng.normal(size=(rows, width)).astype(dtype) for rows in (users, items)]
    if draw(st.booleans()):
        for value in (np.nan, np.inf, -np.inf):
            made[1][rng.random(made[1].shape) < 0.05] = value
    return made[0], made[1], rng.random((users, items)) < 0.3


@given(model=models(), k=st.integers(1, 100), data=st.data())
@settings(deadline=None, max_examples=150)
def test_equals_a_naive_ranking(model: tuple[NDArray[Any], NDArray[Any], NDArray[Any]], k: int, data: st.DataObject) -> None:
    users, items, seen = model
    seen[~users.any(axis=1)] = False  # who has a history and no factors gets those of the history: see test_recent
    scorer = scorer_of(users, items, seen)
    exclude = data.draw(st.lists(st.integers(0, len(items) + 3), max_size=5))
    exclude_seen = data.draw(st.sampled_from([None, True, False]))
    everyone = list(range(len(users)))
    batch = scorer.recommend(Query(everyone, k, [row + 1000 for row in exclude], exclude_seen))
    for user in everyone:
        left_out = [*exclude, *(np.flatnonzero(seen[user]).tolist() if exclude_seen is not False else [])]
        found, wanted = ranking(batch[user]), naive(users, items, user, k, left_out)
        assert found == wanted
        assert scorer.recommend(Query([user], k, [row + 1000 for row in exclude], exclude_seen)) == [batch[user]]
        json.dumps(batch[user].scores, allow_nan=False)  # type: ignore[union-attr]


def test_ties_are_in_the_order_of_rows_however_many_there_are() -> None:
    items = np.repeat(np.random.default_rng(3).normal(size=(1, 7)), 700, axis=0).astype("f4")
    items[350] *= 2
    users = np.concatenate([items[:1], np.zeros((1, 7), "f4")])
    scorer = scorer_of(users, items)
    first, nobody = scorer.recommend(Query([0, 1], k=40))
    assert [row for row, _ in ranking(first)] == [350, *range(39)]
    assert ranking(nobody) == [(row, 0.0) for row in range(40)]
    assert scorer.recommend(Query([0], 40)) == [first] and scorer.recommend(Query([1], 40)) == [nobody]


def test_items_that_are_no_numbers_take_no_place() -> None:
    items = np.ones((300, 3), "f4")
    items[:200] = np.nan
    items[200] = np.inf
    answer = scorer_of(np.ones((1, 3), "f4"), items).recommend(Query([0], 5))[0]
    assert ranking(answer) == [(row, 3.0) for row in range(201, 206)]


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e200])
def test_users_that_are_no_numbers_get_nothing(value: float) -> None:
    users, items = np.full((2, 3), value), np.full((60, 3), 1e150)
    seen = np.zeros((2, 60), bool)
    seen[:, :59] = True
    assert [ranking(answer) for answer in scorer_of(users, items, seen).recommend(Query([0, 1], 5))] == [[], []]


def test_numbers_at_the_edge_of_their_range_exclude_what_is_excluded() -> None:
    users, items = np.full((1, 2), 1e200), np.full((80, 2), 1e-200)
    scorer = scorer_of(users, items)
    assert [row for row, _ in ranking(scorer.recommend(Query([0], 80, exclude=list(range(1000, 1070))))[0])] == list(range(70, 80))
    assert [row for row, _ in ranking(scorer.recommend(Query([0], 5, exclude=[1000, 1001]))[0])] == [2, 3, 4, 5, 6]


def test_scores_that_overflow_in_one_order_of_summing_are_left_out() -> None:
    rng = np.random.default_rng(3)
    users, items = rng.normal(size=(20, 31)) * 1e8, rng.normal(size=(1900, 31)) * 1e300
    scorer = scorer_of(users, items)
    for k in (1, 10, 1900):
        for answer in scorer.recommend(Query(users=list(range(20)), k=k)):
            assert isinstance(answer, Ranking)
            json.dumps(list(answer.scores), allow_nan=False)


def test_an_unknown_user_in_a_batch() -> None:
    scorer = scorer_of(np.eye(3), np.eye(3))
    answers = scorer.recommend(Query([1, 99, "1", 2], 1))
    assert [type(answer) for answer in answers] == [Ranking, UnknownEntity, UnknownEntity, Ranking]
    assert [answer.field for answer in answers if isinstance(answer, UnknownEntity)] == ["users[1]", "users[2]"]
    alone = scorer.recommend(Query([99]))[0]
    assert isinstance(alone, UnknownEntity) and alone.field == "user_id" and "99" in alone.message


def test_what_no_user_could_be_answered() -> None:
    scorer = scorer_of(np.eye(2), np.eye(2))
    with pytest.raises(InvalidQuery) as caught:
        scorer.recommend(Query([0], exclude_seen=True))
    assert caught.value.field == "exclude_seen"
    with pytest.raises(InvalidQuery) as caught:
        scorer.recommend(Query([0], fields=["name"]))
    assert caught.value.field == "fields[0]"
    assert scorer_of(np.eye(2), np.eye(2), np.eye(2, dtype=bool)).recommend(Query([0], exclude_seen=True))


def test_a_large_batch_is_computed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    users, items = rng.normal(size=(40, 6)).astype("f4"), rng.normal(size=(50, 6)).astype("f4")
    scorer = scorer_of(users, items)
    whole = scorer.recommend(Query(list(range(40)), 7))
    monkeypatch.setattr("models.recommender._CHUNK_SCORES", 150)
    monkeypatch.setattr("models.factors.score._CHUNK_ROWS", 4)
    assert scorer.recommend(Query(list(range(40)), 7)) == whole


def test_many_threads_ask_one_scorer() -> None:
    rng = np.random.default_rng(6)
    scorer = scorer_of(rng.normal(size=(64, 8)).astype("f4"), rng.normal(size=(500, 8)).astype("f4"), rng.random((64, 500)) < 0.1)
    wanted = scorer.recommend(Query(list(range(64)), 9))
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda user: scorer.recommend(Query([user % 64], 9))[0], range(512)):
            assert found == wanted[int(found.user)]  # type: ignore[union-attr, arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"user_factors": None},
        {"item_factors": np.ones((5, 3), "f4")},
        {"item_factors": np.ones((5, 0), "f4"), "user_factors": np.ones((4, 0), "f4")},
        {"user_factors": np.ones((4, 2), "i4")},
        {"user_factors": np.ones(8, "f4")},
        {"user_factors": np.ones((3, 2), "f4")},
        {"seen.indptr": np.array([0, 1, 2, 3])},
        {"seen.indptr": np.array([0, 2, 1, 3, 4])},
        {"seen.indptr": np.array([1, 1, 2, 3, 4])},
        {"seen.indptr": np.array([0, 1, 2, 3, 5])},
        {"seen.indices": np.array([0, 1, 2, 5], "i4")},
        {"seen.indices": np.array([0, -1, 2, 3], "i4")},
        {"seen.indices": np.array([0, 1, 2, 3], "f4")},
        {"seen.indices": None},
    ],
)
def test_arrays_that_contradict_each_other(change: dict[str, Any]) -> None:
    good = factors_bundle(np.ones((4, 2), "f4"), np.ones((5, 2), "f4"), np.eye(4, 5, dtype=bool))
    open_scorer(good)
    arrays = {name: array for name, array in {**good.arrays, **change}.items() if array is not None}
    with pytest.raises(BadBundle):
        open_scorer(Bundle(good.family, arrays, good.meta))


def test_warming_scores_a_sample() -> None:
    rng = np.random.default_rng(7)
    found = warm(scorer_of(rng.normal(size=(500, 4)), rng.normal(size=(9000, 4))))["score_range"]
    assert found["min"] < found["p50"] < found["p99"] < found["max"]
    json.dumps(found, allow_nan=False)
    with pytest.raises(BadBundle), np.errstate(all="ignore"):
        warm(scorer_of(np.full((3, 2), np.nan), np.ones((3, 2))))
