"""EASE (Steck, Embarrassingly shallow autoencoders for sparse data, WWW 2019): how much each item says for each other one.

Covers: the closed form  P = (X'X + lambda I)^-1,  B = I - P diag(1 / P_ii),  in place, and choosing lambda. The score of an item is
the sum over what a user has of B. Memory is checked before anything is computed: it grows with the square of the catalogue.

It is served as lists of neighbours: of the weights that say something for or against an item, the greatest `neighbours` are kept.
The lists take a fraction of the memory of the dense matrix, answer faster, and an item that nobody has is in none of them, so that
it has no score instead of one in the midst of all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.bundles import neighbours_bundle
from training.errors import Untrainable
from training.metrics import Score
from training.trainers.base import Ask, OnProgress, Parameter, Trained
from training.trainers.matrix import WEIGHTS, is_cold_item, learned, scaled
from training.trainers.search import Trial, search

GRID = (30.0, 100.0, 300.0, 1000.0, 3000.0)
FALLBACK = 300.0
"""lambda where nothing can be held out to search it on."""
_BASE_BYTES = 256 << 20
"""What the process takes besides: libraries, interactions."""
_SLAB = 1 << 23
"""Numbers of a dense slab of X'X or of B that are worked on at once."""


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
        "neighbours": Parameter(1000, "Weights kept for each item: the greatest, for or against it. 0: all.", minimum=0),
        "weights": Parameter("equal", WEIGHTS.help, choices=WEIGHTS.choices),
    }

    def fit(self, ask: Ask, on_progress: OnProgress) -> Trained:
        """See training.trainers.base.Trainer."""
        from threadpoolctl import threadpool_limits

        chosen = dict(ask.parameters)
        notes: dict[str, Any] = {}
        matrix = learned(ask.train, chosen["weights"])
        check_memory(matrix.shape[1], chosen["neighbours"], ask.memory_bytes)
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
        on_progress("fitting", 1, 1)
        relation = _lists(weights, chosen["neighbours"], is_cold_item(matrix))
        bundle = neighbours_bundle(
            ask.train,
            "neighbours",
            relation,
            liked="sum",
            seen=scaled(ask.seen, chosen["weights"]),
            algorithm="ease",
            details={"neighbours": int(np.diff(relation["similarity.indptr"]).max()), "regularization": chosen["regularization"]},
        )
        return Trained(bundle, chosen, notes)


def check_memory(items: int, neighbours: int, memory_bytes: int) -> None:
    """Raise Untrainable, with the numbers, where the closed form for so many items is more than the process may have.

    Two float64 matrices of items x items at the search (X'X, and what is made of it), then one beside the lists.
    """
    kept = min(items, neighbours) if neighbours else items
    needed = _BASE_BYTES + max(2 * 8 * items * items, 8 * items * items + 3 * 8 * items * kept)
    if needed > memory_bytes:
        gib = 1 << 30
        raise Untrainable(
            f"ease needs about {needed / gib:.1f} GiB for {items:,} items ({items:,} x {items:,} numbers, twice), and may have"
            f" {memory_bytes / gib:.1f} GiB: raise the memory of this training, or use als",
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


def _mirror(lower: NDArray[np.float64]) -> None:
    """Fill the upper triangle from the lower one, in place."""
    step = 512
    for begin in range(0, len(lower), step):
        end = min(begin + step, len(lower))
        block = lower[begin:end, begin:end]
        block[...] = np.tril(block) + np.tril(block, -1).T
        lower[begin:end, end:] = lower[end:, begin:end].T


def _weights(gram: NDArray[np.float64], regularization: float) -> NDArray[np.float64]:
    """(items, items) B in the memory of G: B[l, i] is what having l says for i; 0 on the diagonal."""
    found = _inverse(gram, regularization)
    _mirror(found)
    diagonal = found.diagonal().copy()
    for begin in range(0, len(found), 512):
        found[:, begin : begin + 512] /= -diagonal[begin : begin + 512]
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


def _lists(weights: NDArray[np.float64], most: int, is_cold: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    """The matrix by rows, of each column the `most` weights furthest from 0 (0: all); nothing of items that nobody has."""
    from scipy.sparse import csc_matrix

    items = len(weights)
    kept = min(items, most) if most else items
    warm = np.flatnonzero(~is_cold)
    rows = np.empty((len(warm), kept), np.int32)
    values = np.empty((len(warm), kept), np.float32)
    step = max(1, _SLAB // items)
    for begin in range(0, len(warm), step):
        some = weights[:, warm[begin : begin + step]].T
        far = np.sort(np.argpartition(-np.abs(some), kept - 1, axis=1)[:, :kept], axis=1)
        rows[begin : begin + step] = far
        values[begin : begin + step] = np.take_along_axis(some, far, axis=1)
    lengths = np.where(is_cold, 0, kept)
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    matrix = csc_matrix((values.reshape(-1), rows.reshape(-1), indptr), shape=(items, items)).tocsr()
    matrix.eliminate_zeros()  # the diagonal, and what has nothing to do with each other: neighbours of nobody
    matrix.sort_indices()
    return {
        "similarity.indptr": matrix.indptr.astype(np.int64),
        "similarity.indices": matrix.indices.astype(np.int32, copy=False),
        "similarity.data": matrix.data,
    }


TRAINER = Ease()
