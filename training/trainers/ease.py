"""EASE (Steck, Embarrassingly shallow autoencoders for sparse data, WWW 2019): how much each item says for each other one.

Covers: the closed form  P = (X'X + lambda I)^-1,  B = I - P diag(1 / P_ii),  in place, and choosing lambda. The score of an item is
the sum over what a user has of B. Memory is checked before anything is computed: it grows with the square of the catalogue.

B is served whole, in float32. Keeping the greatest thousand weights of 3,706 items was tried: it took a percent of the hits, and as
long to answer. An item that nobody has is NaN in its column: it has no score, instead of one in the midst of all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.errors import Untrainable
from training.judging.metrics import Score
from training.trainers.base import Ask, OnProgress, Parameter, Trained
from training.trainers.bundles import neighbours_bundle
from training.trainers.matrix import WEIGHTS, is_cold_item, learned, scaled
from training.trainers.search import Trial, search

GRID = (30.0, 100.0, 300.0, 1000.0, 3000.0)
FALLBACK = 300.0
"""lambda where nothing can be held out to search it on."""
_BASE_BYTES = 256 << 20
"""What the process takes besides: libraries, interactions."""
_SLAB = 1 << 23
"""Numbers of X'X that are computed at once."""
_BLOCK = 512
"""Rows that are worked on at once."""


class Ease:
    """See the module."""

    is_floor = False
    parameters: Mapping[str, Parameter] = {
        "regularization": Parameter(
            None,
            f"lambda: the more, the less an item says for others. Unless it is given, {', '.join(f'{each:g}' for each in GRID)}, and"
            " beyond if it is at an end of them, are tried on one interaction held out of each of up to 5,000 users.",
            minimum=0.001,
        ),
        "weights": WEIGHTS,
    }

    def fit(self, ask: Ask, on_progress: OnProgress) -> Trained:
        """See training.trainers.base.Trainer."""
        from threadpoolctl import threadpool_limits

        chosen = dict(ask.parameters)
        notes: dict[str, Any] = {}
        matrix = learned(ask.train, chosen["weights"])
        check_memory(matrix.shape[1], ask.memory_bytes)
        with threadpool_limits(ask.threads, "blas"):
            if chosen["regularization"] is None:
                chosen["regularization"] = FALLBACK
                trial = Trial(ask.train, ask.seed)
                if not trial.is_empty:
                    found = _search(learned(trial.train, chosen["weights"]), trial, on_progress)
                    chosen["regularization"] = found.value
                    notes = found.notes("regularization", trial.depth)
            on_progress("fitting", 0, 1)
            weights = _weights(_gram(matrix), chosen["regularization"])
        weights[:, is_cold_item(matrix)] = np.nan
        on_progress("fitting", 1, 1)
        bundle = neighbours_bundle(
            ask.train,
            "weights",
            {"similarity": weights.astype(np.float32)},
            liked="sum",
            seen=scaled(ask.seen, chosen["weights"]),
            weighting=chosen["weights"],
            algorithm="ease",
            details={"regularization": chosen["regularization"]},
        )
        return Trained(bundle, chosen, notes)


def check_memory(items: int, memory_bytes: int) -> None:
    """Raise Untrainable, with the numbers, where the closed form for so many items is more than the process may have.

    Two float64 matrices of items x items at a time: X'X and what is made of it.
    """
    needed = _BASE_BYTES + 2 * 8 * items * items
    if needed > memory_bytes:
        gib = 1 << 30
        raise Untrainable(
            f"ease needs about {needed / gib:.1f} GiB for {items:,} items (two matrices of {items:,} x {items:,} numbers) and may have"
            f" {memory_bytes / gib:.1f} GiB: raise the memory of this training, or train als",
            items=items,
            needed_bytes=needed,
            memory_bytes=memory_bytes,
        )


def _gram(matrix: Any) -> NDArray[np.float64]:
    """(items, items) X'X, Fortran order, a slab of columns at a time: the sparse product would take more than the dense one."""
    items = matrix.shape[1]
    by_item = matrix.T.tocsr().astype(np.float64)
    found = np.empty((items, items), order="F")
    step = max(1, _SLAB // items)
    for begin in range(0, items, step):
        found[:, begin : begin + step] = (by_item[begin : begin + step] @ by_item.T).toarray().T
    return found


def _inverse(gram: NDArray[np.float64], regularization: float) -> NDArray[np.float64]:
    """(G + lambda I)^-1 in the memory of G: the lower triangle holds, by Cholesky. Raises Untrainable where it is singular."""
    from scipy.linalg.lapack import dpotrf, dpotri

    gram.flat[:: len(gram) + 1] += regularization
    factor, failed = dpotrf(gram, lower=1, clean=0, overwrite_a=1)
    if not failed:
        factor, failed = dpotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise Untrainable(f"the items' matrix is singular with regularization {regularization:g}: give a greater one")
    inverse: NDArray[np.float64] = factor
    return inverse


def _weights(gram: NDArray[np.float64], regularization: float) -> NDArray[np.float64]:
    """(items, items) B in the memory of G, C order: B[l, i] is what having l says for i; 0 on the diagonal."""
    found = _inverse(gram, regularization)
    items = len(found)
    for begin in range(0, items, _BLOCK):
        end = min(begin + _BLOCK, items)
        block = found[begin:end, begin:end]
        block[...] = np.tril(block) + np.tril(block, -1).T
        found[begin:end, end:] = found[end:, begin:end].T
    found = found.T  # the same, being symmetric, but by rows
    diagonal = found.diagonal().copy()
    for begin in range(0, items, _BLOCK):
        found[begin : begin + _BLOCK] /= -diagonal
    np.fill_diagonal(found, 0.0)
    return found


def _search(matrix: Any, trial: Trial, on_progress: OnProgress) -> Any:
    gram = _gram(matrix)

    def measure(regularization: float) -> float:
        return trial.measure(_scores(matrix, _weights(gram.copy(order="F"), regularization)))

    return search("regularization", GRID, measure, on_progress)


def _scores(matrix: Any, weights: NDArray[np.float64]) -> Score:
    def score(users: NDArray[np.int64]) -> NDArray[Any]:
        found: NDArray[Any] = matrix[users] @ weights
        return found

    return score


TRAINER = Ease()
