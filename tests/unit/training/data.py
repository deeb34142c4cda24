"""Small data sets for trainers, and what a trainer is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import Query, Ranking
from models.bundle import Bundle
from models.opening import open_scorer_of
from training.dataset.base import Dataset, Fingerprint, Interactions, Items
from training.trainers import open_trainer
from training.trainers.base import Ask, Trained
from training.trainers.bundles import Cells
from training.trainers.parameters import check

FIRST_ITEM = 1000


def grouped(users: int = 60, items: int = 40, each: int = 8, seed: int = 0, *, weighted: bool = False) -> NDArray[np.float32]:
    """(users, items) weights: users and items are of two groups, and a user has `each` items, mostly of their own."""
    rng = np.random.default_rng(seed)
    chances = np.where(np.arange(users)[:, np.newaxis] % 2 == np.arange(items) % 2, 9.0, 1.0) * (items + np.arange(items)[::-1])
    order = np.argsort(-(np.log(chances) + rng.gumbel(size=chances.shape)), axis=1)[:, :each]
    matrix = np.zeros((users, items), np.float32)
    np.put_along_axis(matrix, order, rng.integers(1, 9, order.shape).astype(np.float32) if weighted else np.float32(1.0), axis=1)
    return matrix


def dataset_of(matrix: NDArray[Any], described: Items | None = None) -> Dataset:
    """A data set whose users are "u0", "u1", ..., its items FIRST_ITEM and on; cells of 0 are no interactions."""
    users, items = np.nonzero(matrix)
    interactions = Interactions(users.astype(np.int32), items.astype(np.int32), matrix[users, items].astype(np.float32))
    user_ids = [f"u{row}" for row in range(len(matrix))]
    item_ids = range(FIRST_ITEM, FIRST_ITEM + matrix.shape[1])
    return Dataset(user_ids, item_ids, interactions, Fingerprint(len(users), None, ""), described)


def ask_of(
    algorithm: str, train: Dataset, *, seen: Dataset | None = None, memory_bytes: int = 1 << 30, threads: int = 1, **given: Any
) -> Ask:
    known = (seen or train).interactions
    cells = Cells.of(known, len(train.user_ids), len(train.item_ids))
    return Ask(train, cells, check(algorithm, given), seed=3, memory_bytes=memory_bytes, threads=threads)


def trained(algorithm: str, train: Dataset, **options: Any) -> Trained:
    return open_trainer(algorithm).fit(ask_of(algorithm, train, **options), lambda step, done, total: None)


def answered(bundle: Bundle, query: Query) -> tuple[list[int], list[float]]:
    """Rows of the items and their scores."""
    scorer: Any = open_scorer_of(bundle)
    [ranking] = scorer.recommend(query)
    assert isinstance(ranking, Ranking)
    return [int(item) - FIRST_ITEM for item in ranking.items], list(ranking.scores)


def ranked(scores: NDArray[Any], left_out: Sequence[int], k: int) -> list[int]:
    """Rows of the k greatest, ties in their order."""
    return [row for row in np.argsort(-scores, kind="stable").tolist() if row not in left_out][:k]
