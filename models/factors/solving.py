"""Small dense systems: what folding someone in solves, in float64. numpy only; runs in the server.

Does not cover: which system a method has (`models.factors.fold_in`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_SWEEPS = 500
_CONVERGED = 1e-9


def with_diagonal(gram: NDArray[Any], amount: float) -> Floats:
    """A float64 copy with `amount` added along the diagonal."""
    found = gram.astype(np.float64)
    found.flat[:: len(found) + 1] += amount
    return found


def solve(system: Floats, right: Floats) -> NDArray[Any]:
    """The solution of a symmetric system; of a singular one that of least norm, NaN where the numbers are none."""
    if not (np.isfinite(system).all() and np.isfinite(right).all()):
        return np.full(right.shape, np.nan)
    found: NDArray[Any]
    try:
        found = np.linalg.solve(system, right)
    except np.linalg.LinAlgError:
        found = np.linalg.lstsq(system, right, rcond=None)[0]
    return found


def non_negative(gram: Floats, right: Floats) -> Floats:
    """argmin over h >= 0 of h' gram h / 2 - right' h; `gram` is symmetric and positive semidefinite. NaN where the numbers are none.

    By active sets (`_active_sets`), which end after about as many small systems as components are positive; then by cyclic
    coordinate descent to convergence (at most 500 sweeps), which changes nothing but where a system was nearly singular. The step
    is that of sklearn's NMF solver (`_update_cdnmf_fast`; Cichocki and Phan 2009), on the Gram matrix alone.
    """
    if not (np.isfinite(gram).all() and np.isfinite(right).all()):
        return np.full(right.shape, np.nan)
    found = _active_sets(gram, right)
    gradient = gram @ found - right
    steepest = gram.diagonal().tolist()
    for _ in range(_SWEEPS):
        moved = 0.0
        for at, slope in enumerate(steepest):
            if slope <= 0.0:
                continue
            before = float(found[at])
            after = max(before - float(gradient[at]) / slope, 0.0)
            if after != before:
                found[at] = after
                gradient += (after - before) * gram[at]
                moved = max(moved, abs(after - before))
        if moved <= _CONVERGED * float(found.max(initial=0.0)):
            break
    return found


def _active_sets(gram: Floats, right: Floats) -> Floats:
    """The same by the method of Bro and de Jong (1997, FNNLS), which is Lawson and Hanson's on the Gram matrix.

    At most 3 changes a component: one that rounding leaves undecided would go in and out for ever.
    """
    found = np.zeros(len(right))
    is_free = np.zeros(len(right), np.bool_)
    is_usable = gram.diagonal() > 0.0
    least = _CONVERGED * float(np.abs(right).max(initial=0.0))
    for _ in range(3 * len(right)):
        slope = np.where(is_usable & ~is_free, right - gram @ found, -np.inf)
        at = int(np.argmax(slope))
        if not slope[at] > least:
            break
        is_free[at] = True
        while True:
            solved = np.zeros(len(right))
            solved[is_free] = solve(gram[np.ix_(is_free, is_free)], right[is_free])
            below = np.flatnonzero(is_free & ~(solved > 0.0))
            if not len(below):
                found = solved
                break
            # Towards the solution as far as the first of them reaches zero, where it is bound again.
            way = found[below] - solved[below]
            reach = np.divide(found[below], way, out=np.zeros(len(below)), where=way > 0.0)
            bound = below[reach <= reach.min()]
            found = np.maximum(found + reach.min() * (solved - found), 0.0)
            found[bound], is_free[bound] = 0.0, False
    return found if np.isfinite(found).all() else np.zeros(len(right))


def unit(vectors: NDArray[Any]) -> Floats:
    """Rows in float64, each divided by its length (a row of zeros stays)."""
    wide = vectors.astype(np.float64)
    lengths = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    return wide / np.where(lengths > 0.0, lengths, 1.0)
