"""Choosing among scores: the k best with ties in the order of rows, and a diverse k among the best (MMR). numpy only, pure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_MARGIN = 16
"""Candidates beyond k that are scored exactly, so that the order does not depend on how a product was blocked."""


def contenders(scores: NDArray[np.floating], k: int, slack: Callable[[NDArray[np.int64]], float | None]) -> NDArray[np.int64]:
    """Rows, ascending, of the k best scores and of all that tie with them, for all that `slack` of the best can tell.

    `scores` is changed: what is not finite becomes -inf and is never a contender. `slack(rows)` is None where all items tie:
    then the first k rows.
    """
    scores[~np.isfinite(scores)] = -np.inf
    wanted = k + _MARGIN
    if wanted >= len(scores):
        return np.flatnonzero(scores > -np.inf)
    best = np.argpartition(scores, len(scores) - wanted)[len(scores) - wanted :]
    best = best[scores[best] > -np.inf]
    error = slack(best) if len(best) else 0.0
    if error is None:
        return np.flatnonzero(scores > -np.inf)[:k]
    if len(best) < wanted:
        return np.sort(best)
    lowest = scores[best].min() - (error if np.isfinite(error) else 0.0)
    return np.flatnonzero(scores >= lowest)


def diversify(relevance: NDArray[np.float64], similarities: NDArray[np.float64], trade_off: float, k: int) -> NDArray[np.int64]:
    """Positions of k candidates by maximal marginal relevance, in the order they are chosen.

    relevance (n,), brought to 0..1 among the candidates; similarities (n, n); trade_off is lambda: 1 is the order of
    relevance alone. Each step takes the candidate with the greatest lambda * relevance - (1 - lambda) * (its greatest
    similarity to what is chosen); ties go to the earlier one. Source: Carbonell and Goldstein, SIGIR 1998.
    """
    low, high = float(relevance.min()), float(relevance.max())
    scaled = (relevance - low) / (high - low) if high > low else np.ones_like(relevance)
    nearest = np.zeros_like(scaled)
    is_open = np.ones(len(scaled), np.bool_)
    chosen = np.empty(min(k, len(scaled)), np.int64)
    for step in range(len(chosen)):
        worth = np.where(is_open, trade_off * scaled - (1.0 - trade_off) * nearest, -np.inf)
        at = int(np.argmax(worth))
        chosen[step] = at
        is_open[at] = False
        nearest = np.maximum(nearest, similarities[at]) if step else similarities[at].copy()
    return chosen
