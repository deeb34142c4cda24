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
    """argmin over h >= 0 of h' gram h / 2 - right' h, by cyclic coordinate descent to convergence (at most 500 sweeps).

    The step is that of sklearn's NMF solver (`_update_cdnmf_fast`; Cichocki and Phan 2009), on the Gram matrix alone.
    """
    found = np.zeros(len(right))
    if not (np.isfinite(gram).all() and np.isfinite(right).all()):
        return np.full(right.shape, np.nan)
    gradient = -right
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


def unit(vectors: NDArray[Any]) -> Floats:
    """Rows in float64, each divided by its length (a row of zeros stays)."""
    wide = vectors.astype(np.float64)
    lengths = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    return wide / np.where(lengths > 0.0, lengths, 1.0)
