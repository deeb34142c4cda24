"""How good rankings are: precision, recall, NDCG, average precision, hit rate, coverage. Pure numpy.

Covers: the formulas, a user at a time in float64, and a quick mean for searching parameters. Does not cover: what is held out
(`training.judging.split`), how a model that serves is ranked and compared (`training.judging.evaluate`).

Of a user, R is the set of held-out items (never empty) and hit(i) is 1 where the i-th answer is one of them, i from 1:

    precision@k = sum_{i<=k} hit(i) / k
    recall@k    = sum_{i<=k} hit(i) / |R|
    ndcg@k      = sum_{i<=k} hit(i) / log2(i + 1)  /  sum_{i<=min(k,|R|)} 1 / log2(i + 1)
    map@k       = sum_{i<=k} hit(i) * precision@i / min(k, |R|)
    hit_rate@k  = 1 where any of the first k is a hit
    coverage@k  = distinct items among all users' first k / items that could be recommended

An answer shorter than k counts as one with misses at its end. Sources: Jarvelin and Kekalainen, Cumulated gain-based
evaluation of IR techniques, TOIS 2002 (NDCG, here with binary gains); Manning, Raghavan and Schutze, Introduction to
Information Retrieval, 2008, chapter 8 (precision, recall, MAP; cut at k, so normalised by what k answers can reach).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Hits = NDArray[np.bool_]
"""(users, k): whether the answer in that place was held out."""
PerUser = NDArray[np.float64]
Formula = Callable[[Hits, NDArray[np.int64]], PerUser]
Score = Callable[[NDArray[np.int64]], NDArray[Any]]
"""User rows -> (those users, items) scores, the callee's own array, which may be changed."""

_SCORES_AT_ONCE = 4 << 20
"""Scores computed at once: bounds their memory to 32 MiB of float64."""
_FIRST_USERS = 16
"""Users asked for before it is known how many items there are."""


class Held(Protocol):
    """What is held out: users (n,) rows, ascending; indptr (n + 1,); items, those of users[i] at indptr[i]:indptr[i + 1]."""

    @property
    def users(self) -> NDArray[np.int64]: ...
    @property
    def indptr(self) -> NDArray[np.int64]: ...
    @property
    def items(self) -> NDArray[np.int32]: ...


class Seen(Protocol):
    """What users have: the cells of a CSR matrix (all users, items)."""

    @property
    def indptr(self) -> NDArray[np.int64]: ...
    @property
    def indices(self) -> NDArray[np.int32]: ...


def precision(hits: Hits, relevant: NDArray[np.int64]) -> PerUser:
    """(users,) precision@k, where k is the width of `hits` (users, k); `relevant` (users,) is |R|."""
    found: PerUser = hits.sum(axis=1) / np.float64(hits.shape[1])
    return found


def recall(hits: Hits, relevant: NDArray[np.int64]) -> PerUser:
    """(users,) recall@k."""
    found: PerUser = hits.sum(axis=1) / relevant.astype(np.float64)
    return found


def ndcg(hits: Hits, relevant: NDArray[np.int64]) -> PerUser:
    """(users,) NDCG@k with binary gains; the ideal ranking has min(k, |R|) hits first."""
    k = hits.shape[1]
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discounts)[np.minimum(relevant, k) - 1]
    found: PerUser = (hits * discounts).sum(axis=1) / ideal
    return found


def average_precision(hits: Hits, relevant: NDArray[np.int64]) -> PerUser:
    """(users,) AP@k; its mean over users is MAP@k."""
    k = hits.shape[1]
    precisions = np.cumsum(hits, axis=1) / np.arange(1, k + 1)
    found: PerUser = (precisions * hits).sum(axis=1) / np.minimum(relevant, k).astype(np.float64)
    return found


def hit_rate(hits: Hits, relevant: NDArray[np.int64]) -> PerUser:
    """(users,) 1.0 where any of the k answers is a hit."""
    found: PerUser = np.asarray(hits.any(axis=1), np.float64)
    return found


FORMULAS: Mapping[str, Formula] = MappingProxyType(
    {"precision": precision, "recall": recall, "ndcg": ndcg, "map": average_precision, "hit_rate": hit_rate}
)
"""By the name that stands before the @ in a metric."""


def parse(metric: str) -> tuple[str, int]:
    """ "ndcg@10" as ("ndcg", 10). Raises ValueError for what is no metric."""
    name, _, k = metric.partition("@")
    if name not in FORMULAS or not (k.isascii() and k.isdigit()) or not int(k):
        raise ValueError(f"{metric!r} is none of {', '.join(f'{each}@K' for each in FORMULAS)}")
    return name, int(k)


def mean_ndcg(score: Score, seen: Seen, held: Held, *, k: int = 10) -> float:
    """Mean NDCG@k over the users of `held`, ranking every item that is not in `seen`: what a search of parameters compares.

    `score` is asked for runs of user rows, so that memory stays bounded. `seen` is what is learned from (the train side of the
    same split), over all users. Equal scores rank in no promised order. 0.0 where nobody is held. See `from_factors`.
    """
    total, begin, step = 0.0, 0, _FIRST_USERS
    while begin < len(held.users):
        users = held.users[begin : begin + step]
        scores = score(users)
        for line, user in zip(scores, users.tolist(), strict=True):
            line[seen.indices[seen.indptr[user] : seen.indptr[user + 1]]] = -np.inf
        bounds = held.indptr[begin : begin + len(users) + 1]
        hits = hits_of(best(scores, k), held.items, bounds, scores.shape[1])
        total += float(ndcg(hits, np.diff(bounds)).sum())
        begin, step = begin + len(users), max(1, _SCORES_AT_ONCE // scores.shape[1])
    return total / len(held.users) if len(held.users) else 0.0


def from_factors(user_factors: NDArray[Any], item_factors: NDArray[Any]) -> Score:
    """The scores of a factor model: (users, f) and (items, f), any float dtype, as their products."""

    def score(users: NDArray[np.int64]) -> NDArray[Any]:
        found: NDArray[Any] = user_factors[users] @ item_factors.T
        return found

    return score


def best(scores: NDArray[Any], k: int) -> NDArray[np.int64]:
    """(users, k) rows of the k best items of each line, best first; -1 where fewer than k have a finite score."""
    scores = np.where(np.isfinite(scores), scores, -np.inf)
    items = scores.shape[1]
    width = min(k, items)
    if width < items:
        some = np.argpartition(scores, items - width, axis=1)[:, items - width :]
    else:
        some = np.broadcast_to(np.arange(items), scores.shape)
    values = np.take_along_axis(scores, some, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    found = np.where(np.isfinite(np.take_along_axis(values, order, axis=1)), np.take_along_axis(some, order, axis=1), -1)
    return np.pad(found, ((0, 0), (0, k - width)), constant_values=-1)


def hits_of(ranked: NDArray[np.int64], items: NDArray[np.int32], bounds: NDArray[np.int64], count: int) -> Hits:
    """(users, k) whether ranked[i, j] is one of items[bounds[i]:bounds[i + 1]]; -1 never is. `count`: items there are."""
    users = len(bounds) - 1
    wanted = np.repeat(np.arange(users), np.diff(bounds)) * count + items[bounds[0] : bounds[-1]]
    asked = np.arange(users)[:, np.newaxis] * count + ranked
    return (ranked >= 0) & np.isin(asked, wanted)
