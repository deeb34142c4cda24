"""What every recommender does with its family's scores: filters, diversity, explanations, their bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.base import Query, Ranking, UnknownEntity
from models.recommender import Rows

from .building import scorer_of


def top(found: Any, query: Query) -> Ranking:
    (answer,) = found.recommend(query)
    assert isinstance(answer, Ranking)
    return answer


def some(users: int = 4, items: int = 300, width: int = 6, seed: int = 1) -> Any:
    rng = np.random.default_rng(seed)
    return scorer_of(rng.normal(size=(users, width)), rng.normal(size=(items, width)), rng.random((users, items)) < 0.1)


def test_a_diverse_answer_begins_with_the_best_and_scores_stay_what_they_are() -> None:
    found = some()
    plain, diverse = (top(found, Query([1], 12, diversity=trade_off)) for trade_off in (1.0, 0.3))
    assert diverse.items[0] == plain.items[0] and list(diverse.items) != list(plain.items)
    everything = top(found, Query([1], 300))
    score_of = dict(zip(everything.items, everything.scores, strict=True))
    assert [score_of[item] for item in diverse.items] == list(diverse.scores)


def test_a_default_of_the_model_applies_unless_the_question_says_otherwise() -> None:
    found = some()
    plain, mixed = top(found, Query([1], 12)), top(found, Query([1], 12, diversity=0.3))
    found.default_diversity = 0.3
    assert top(found, Query([1], 12)) == mixed and top(found, Query([1], 12, diversity=1.0)) == plain
    assert top(found, Query(similar_to=1003, k=12)) == top(found, Query(similar_to=1003, k=12, diversity=1.0))


def test_diversity_over_a_whole_catalogue_orders_the_best_and_keeps_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.recommender._MMR_MOST", 50)
    found = some()
    asked: list[int] = []
    similarities = found.similarities

    def counted(rows: Rows) -> NDArray[np.float64]:
        asked.append(len(rows))
        of_rows: NDArray[np.float64] = similarities(rows)
        return of_rows

    monkeypatch.setattr(found, "similarities", counted)
    plain, mixed = (top(found, Query([1], 200, exclude_seen=False, diversity=trade_off)) for trade_off in (1.0, 0.3))
    assert asked == [50]
    assert set(mixed.items[:50]) == set(plain.items[:50]) and mixed.items[:50] != plain.items[:50]
    assert mixed.items[50:] == plain.items[50:] and mixed.scores[50:] == plain.scores[50:]
    assert len(top(found, Query([1], 20, diversity=0.3)).items) == 20 and asked == [50, 50]


def test_explanations_of_a_whole_catalogue_are_made_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    found = some()
    whole = top(found, Query([1], 300, explain=True))
    sizes: list[int] = []
    contributions = found.contributions

    def counted(subject: Any, rows: Rows) -> NDArray[np.float64]:
        parts: NDArray[np.float64] = contributions(subject, rows)
        sizes.append(parts.size)
        return parts

    monkeypatch.setattr(found, "contributions", counted)
    monkeypatch.setattr("models.recommender._CHUNK_PARTS", 500)
    parts = top(found, Query([1], 300, explain=True))
    assert max(sizes) <= 500 and sum(sizes) == len(whole.items) * len(found.user(1).history)
    assert parts.items == whole.items and whole.because is not None and parts.because is not None
    for line, other in zip(whole.because, parts.because, strict=True):
        assert [id for id, _ in line] == [id for id, _ in other]


def test_contributions_that_are_no_numbers_or_take_away_are_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = some()
    parts = np.array([[np.nan, 2.0, -1.0, np.inf, 0.0, 5.0]])
    monkeypatch.setattr(found, "contributions", lambda subject, rows: np.repeat(parts, len(rows), axis=0))
    answer = top(found, Query(liked=list(range(1000, 1006)), k=2, explain=True))
    assert all({id for id, _ in line} <= {1001, 1005} for line in answer.because or [])
    assert answer.because == [[(1005, 5.0), (1001, 2.0)]] * 2


def test_without_a_history_there_is_nothing_to_explain() -> None:
    rng = np.random.default_rng(1)
    found = scorer_of(rng.normal(size=(2, 3)), rng.normal(size=(40, 3)))
    assert top(found, Query([1], 3, explain=True)).because == [[], [], []]
    assert top(found, Query([1], 3)).because is None


def test_exclusions_meet() -> None:
    found = some()
    seen = set(found.items.ids(found.user(1).history))
    best = list(top(found, Query([1], 300, exclude_seen=False)).items)
    only = best[:30]
    wanted = [id for id in only if id not in seen and id != only[2]]
    assert list(top(found, Query([1], 300, exclude=[only[2]], only=only)).items) == wanted
    assert list(top(found, Query([1], 300, only=only, exclude_seen=False)).items) == only
    liked = only[:3]
    assert set(top(found, Query(liked=liked, only=only, k=300)).items) == set(only) - set(liked)


def test_an_id_of_the_other_kind_is_told_from_one_that_nobody_knows() -> None:
    found = some(users=4)
    one, nobody, spelt = found.recommend(Query(["3", 9, "03"], 3))
    assert all(isinstance(answer, UnknownEntity) for answer in (one, nobody, spelt))
    assert one.message == "user '3' is not in the model, but 3 is: ids keep their kind"
    assert (one.field, nobody.field, nobody.message) == ("users[0]", "users[1]", "user 9 is not in the model")
    with pytest.raises(UnknownEntity, match="none of these items is in the model, but 1007 is"):
        found.recommend(Query(liked=["1007", "8"]))
    with pytest.raises(UnknownEntity, match=r"in the model$"):
        found.recommend(Query(liked=["x", "²", "9" * 5000]))


def test_the_same_item_twice_is_liked_once() -> None:
    found = some()
    assert top(found, Query(liked=[1004, 1002, 1004], k=9)) == top(found, Query(liked=[1002, 1004], k=9))


def test_numbers_beyond_their_range_make_no_noise() -> None:
    found = scorer_of(np.full((1, 2), 1e200), np.full((40, 2), 1e200))
    for query in (Query([0]), Query(liked=[1001]), Query(similar_to=1001), Query([0], diversity=0.2, explain=True)):
        (answer,) = found.recommend(query)
        assert not isinstance(answer, UnknownEntity) and np.isfinite(answer.scores).all()
