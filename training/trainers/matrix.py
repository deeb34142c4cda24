"""What the trainers that learn from interactions alone have in common: the matrix they learn from, and what is cold.

Covers: weights as confidences, users x items as a scipy matrix, rows of users and items that nothing was learned of. Does not
cover: learning (one file an algorithm), the bundle (`training.trainers.bundles`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.confidence import WEIGHTINGS, confidences
from training.dataset.base import Dataset
from training.errors import Untrainable
from training.trainers.base import Parameter
from training.trainers.bundles import Cells

WEIGHTS = Parameter(
    "log",
    "How the weight w of a pair counts (that of a pair that appears several times is added up first): log is log2(1 + w), so that"
    " the thousandth play counts less than the first; linear is w; equal is 1 whatever was given. A weight of 1 is 1 in all of them.",
    choices=WEIGHTINGS,
)

EQUAL_WEIGHTS = replace(WEIGHTS, default="equal")
"""For models that reproduce the weights themselves, where great ones drown what everybody else did."""


def scaled(cells: Cells, how: str) -> Cells:
    """Cells whose weights are confidences: see WEIGHTS."""
    return cells._replace(weights=confidences(cells.weights, how).astype(np.float32))


def learned(dataset: Dataset, how: str) -> Any:
    """The interactions of a data set as a scipy.sparse.csr_matrix, users x items, float32. Raises Untrainable where there are none."""
    from scipy.sparse import csr_matrix

    users, items = len(dataset.user_ids), len(dataset.item_ids)
    if not len(dataset.interactions):
        raise Untrainable("there are no interactions to learn from")
    cells = scaled(Cells.of(dataset.interactions, users, items), how)
    return csr_matrix((cells.weights, cells.indices, cells.indptr), shape=(users, items))


def mark_cold(matrix: Any, seen: Cells, user_factors: NDArray[Any], item_factors: NDArray[Any]) -> None:
    """Say of rows without an interaction in `matrix` what they are, in place. `seen` (users, items) is all that users have.

    An item becomes NaN: it has no score, so that it never stands before one that somebody liked little. A user who has nothing at
    all gets the mean of the others: what suits everybody, which is near to what is popular. A user of whom only what they have
    was not learned from becomes 0: whoever serves the model folds it in (`models.factors.score`).
    """
    is_warm_user = np.diff(matrix.indptr) > 0
    mean = user_factors[is_warm_user].mean(axis=0)
    user_factors[~is_warm_user] = np.where(np.diff(seen.indptr)[~is_warm_user, np.newaxis] > 0, 0.0, mean)
    item_factors[is_cold_item(matrix)] = np.nan


def is_cold_item(matrix: Any) -> NDArray[np.bool_]:
    """(items,) whether nobody has it."""
    found: NDArray[np.bool_] = np.bincount(matrix.indices, minlength=matrix.shape[1]) == 0
    return found
