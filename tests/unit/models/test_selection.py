"""The k best with their ties, and a diverse k among them, equal what the definitions say one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.selection import contenders, diversify


@given(seed=st.integers(0, 10_000), count=st.integers(1, 120), k=st.integers(1, 130), error=st.sampled_from([0.0, 0.1]))
@settings(deadline=None, max_examples=200)
def test_contenders_hold_the_k_best_and_all_that_may_tie(seed: int, count: int, k: int, error: float) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(-3, 4, count).astype("f4")
    scores[rng.random(count) < 0.2] = rng.choice([np.nan, np.inf, -np.inf])
    is_score = np.isfinite(scores)
    rows = contenders(scores.copy(), k, lambda best: error)
    assert rows.tolist() == sorted(set(rows.tolist())) and is_score[rows].all()
    ranked = np.sort(scores[is_score])[::-1]
    least = ranked[min(k, len(ranked)) - 1] - error if len(ranked) else np.inf
    assert set(np.flatnonzero(is_score & (scores >= least))) <= set(rows.tolist())


def test_where_all_tie_the_first_ones_are_taken() -> None:
    scores = np.zeros(100)
    scores[3] = np.nan
    assert contenders(scores, 5, lambda best: None).tolist() == [0, 1, 2, 4, 5]


def test_an_error_that_is_no_number_counts_as_none() -> None:
    scores = np.arange(100.0)
    assert contenders(scores, 4, lambda best: np.nan).tolist() == list(range(80, 100))


def by_definition(relevance: np.ndarray, alike: np.ndarray, trade_off: float, k: int) -> list[int]:
    """Maximal marginal relevance, one candidate at a time."""
    spread = relevance.max() - relevance.min()
    scaled = (relevance - relevance.min()) / spread if spread else np.ones(len(relevance))
    chosen: list[int] = []
    while len(chosen) < min(k, len(relevance)):
        worth = {
            at: trade_off * scaled[at] - (1 - trade_off) * max((alike[at, other] for other in chosen), default=0.0)
            for at in range(len(relevance))
            if at not in chosen
        }
        chosen.append(max(worth, key=lambda at: (worth[at], -at)))
    return chosen


@given(seed=st.integers(0, 10_000), count=st.integers(1, 25), k=st.integers(1, 30), trade_off=st.sampled_from([0.0, 0.3, 0.9, 1.0]))
@settings(deadline=None, max_examples=150)
def test_diversity_is_maximal_marginal_relevance(seed: int, count: int, k: int, trade_off: float) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    relevance, alike = np.sort(rng.normal(size=count))[::-1], vectors @ vectors.T
    assert diversify(relevance, alike, trade_off, k).tolist() == by_definition(relevance, alike, trade_off, k)


def test_what_is_wholly_relevant_or_wholly_alike() -> None:
    assert diversify(np.full(4, 2.0), np.ones((4, 4)), 0.5, 4).tolist() == [0, 1, 2, 3]
    assert diversify(np.array([3.0, 2.0, 1.0]), np.eye(3), 1.0, 3).tolist() == [0, 1, 2]
