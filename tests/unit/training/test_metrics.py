"""Metrics against figures made by hand, against scikit-learn, and against the definition written as a loop."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from training.judging import metrics
from training.judging.split import Held, SeenItems

HITS = np.array([[False, True, False, True], [False, False, False, False], [True, True, True, True]])
RELEVANT = np.array([2, 3, 9])


def test_precision_by_hand() -> None:
    assert metrics.precision(HITS, RELEVANT).tolist() == [0.5, 0.0, 1.0]


def test_recall_by_hand() -> None:
    assert metrics.recall(HITS, RELEVANT).tolist() == pytest.approx([1.0, 0.0, 4 / 9])


def test_ndcg_by_hand() -> None:
    ideal = 1 + 1 / log2(3)
    assert metrics.ndcg(HITS, RELEVANT).tolist() == pytest.approx([(1 / log2(3) + 1 / log2(5)) / ideal, 0.0, 1.0])


def test_average_precision_by_hand() -> None:
    # Of nine held-out items four answers can meet four: all met is 1.
    assert metrics.average_precision(HITS, RELEVANT).tolist() == pytest.approx([(1 / 2 + 2 / 4) / 2, 0.0, 1.0])


def test_hit_rate_by_hand() -> None:
    assert metrics.hit_rate(HITS, RELEVANT).tolist() == [1.0, 0.0, 1.0]


def _looped(name: str, hits: list[bool], relevant: int) -> float:
    k = len(hits)
    found = 0.0
    if name == "precision":
        return sum(hits) / k
    if name == "recall":
        return sum(hits) / relevant
    if name == "hit_rate":
        return float(any(hits))
    for i, hit in enumerate(hits, start=1):
        if hit:
            found += 1 / log2(i + 1) if name == "ndcg" else sum(hits[:i]) / i
    best = min(k, relevant)
    return found / (sum(1 / log2(i + 1) for i in range(1, best + 1)) if name == "ndcg" else best)


@pytest.mark.parametrize("name", sorted(metrics.FORMULAS))
@settings(deadline=None)
@given(hits=st.lists(st.booleans(), min_size=1, max_size=12), more=st.integers(0, 5))
def test_every_formula_is_what_its_definition_says(name: str, hits: list[bool], more: int) -> None:
    relevant = max(1, sum(hits) + more)
    found = metrics.FORMULAS[name](np.array([hits]), np.array([relevant]))
    assert found.dtype == np.float64
    assert found.tolist() == pytest.approx([_looped(name, hits, relevant)])
    assert 0.0 <= found[0] <= 1.0


@settings(deadline=None)
@given(seed=st.integers(0, 1000), k=st.integers(1, 12))
def test_ndcg_of_a_ranking_is_that_of_scikit_learn(seed: int, k: int) -> None:
    from sklearn.metrics import ndcg_score

    rng = np.random.default_rng(seed)
    scores = rng.permutation(10).astype(np.float64)[np.newaxis]
    truth = np.zeros((1, 10))
    truth[0, rng.choice(10, rng.integers(1, 6), replace=False)] = 1
    items = np.flatnonzero(truth[0]).astype(np.int32)
    hits = metrics.hits_of(metrics.best(scores, k), items, np.array([0, len(items)]), 10)
    assert metrics.ndcg(hits, np.array([len(items)]))[0] == pytest.approx(ndcg_score(truth, scores, k=k))


@settings(deadline=None)
@given(seed=st.integers(0, 200), k=st.integers(1, 8))
def test_the_best_are_those_of_a_full_sort(seed: int, k: int) -> None:
    scores = np.random.default_rng(seed).permutation(30).reshape(5, 6).astype(np.float32)
    expected = np.argsort(-scores, axis=1)[:, :k]
    assert metrics.best(scores, k)[:, :6].tolist() == expected.tolist()


def test_an_item_without_a_score_is_no_answer() -> None:
    scores = np.array([[np.nan, 1.0, -np.inf, 2.0, np.inf]])
    assert metrics.best(scores, 5).tolist() == [[3, 1, -1, -1, -1]]


def test_no_answer_is_no_hit() -> None:
    ranked = np.array([[1, -1], [-1, 0]])
    hits = metrics.hits_of(ranked, np.array([2, 0], np.int32), np.array([0, 1, 2]), 3)  # -1 of line 1 is not item 2 of line 0
    assert hits.tolist() == [[False, False], [False, True]]


def _one_each(items: list[int]) -> Held:
    return Held(np.arange(len(items)), np.arange(len(items) + 1), np.array(items, np.int32))


def test_mean_ndcg_ranks_what_is_not_seen() -> None:
    table = np.array([[5.0, 4.0, 3.0], [1.0, 2.0, 3.0]])
    seen = SeenItems(np.array([0, 1, 1]), np.array([0], np.int32))
    found = metrics.mean_ndcg(lambda users: table[users], seen, _one_each([1, 0]), k=2)
    assert found == pytest.approx((1.0 + 0.0) / 2)  # user 0 has item 0, so item 1 comes first; user 1's item 0 is third


def test_mean_ndcg_is_the_same_however_users_are_divided() -> None:
    rng = np.random.default_rng(3)
    users, items = rng.normal(size=(700, 4)), rng.normal(size=(9, 4))
    seen, held = SeenItems(np.zeros(701, np.int64), np.empty(0, np.int32)), _one_each(rng.integers(9, size=700).tolist())
    sizes: list[int] = []

    def score(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        sizes.append(len(rows))
        return users[rows] @ items.T

    whole = metrics.ndcg(metrics.hits_of(metrics.best(users @ items.T, 3), held.items, held.indptr, 9), np.ones(700, np.int64)).mean()
    assert metrics.mean_ndcg(score, seen, held, k=3) == pytest.approx(whole)
    assert len(sizes) > 1
    assert sum(sizes) == 700
    assert metrics.mean_ndcg(metrics.from_factors(users, items), seen, held, k=3) == pytest.approx(whole)


def test_mean_ndcg_of_nobody_is_zero() -> None:
    nobody = Held(np.empty(0, np.int64), np.zeros(1, np.int64), np.empty(0, np.int32))
    seen = SeenItems(np.zeros(1, np.int64), np.empty(0, np.int32))
    assert metrics.mean_ndcg(lambda users: np.zeros((len(users), 3)), seen, nobody) == 0.0


@pytest.mark.parametrize("metric", ["ndcg", "ndcg@", "ndcg@0", "ndcg@x", "auc@10", "@10", "ndcg@-1"])
def test_what_is_no_metric_is_refused(metric: str) -> None:
    with pytest.raises(ValueError, match="is none of precision@K"):
        metrics.parse(metric)


def test_a_metric_has_a_name_and_a_k() -> None:
    assert metrics.parse("map@25") == ("map", 25)
