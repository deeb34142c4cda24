"""Non-negative matrix factorisation of users x items (Lee and Seung, Nature 1999), by scikit-learn's coordinate descent.

Covers: fitting. Factors add up and never cancel, which makes them easy to read and a little less exact than those of `als`. Someone
new is described by the same non-negative least squares.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.trainers.base import Ask, OnProgress, Parameter, Trained
from training.trainers.bundles import factors_bundle
from training.trainers.matrix import EQUAL_WEIGHTS, learned, mark_cold, scaled

_AT_ONCE = 10
"""Sweeps between two steps of progress."""


class Nmf:
    """See the module."""

    is_floor = False
    parameters: Mapping[str, Parameter] = {
        "factors": Parameter(
            64, "Numbers a user and an item are described by; no more than there are users or items.", minimum=1, maximum=2048
        ),
        "sweeps": Parameter(100, "Times that all users and then all items are solved for.", minimum=1, maximum=10_000),
        "weights": EQUAL_WEIGHTS,
    }

    def fit(self, ask: Ask, on_progress: OnProgress) -> Trained:
        """See training.trainers.base.Trainer."""
        chosen = dict(ask.parameters)
        matrix = learned(ask.train, chosen["weights"])
        chosen["factors"] = min(chosen["factors"], *matrix.shape)
        user_factors, item_factors = _fit(matrix, chosen, ask, on_progress)
        mark_cold(matrix, ask.seen, user_factors, item_factors)
        bundle = factors_bundle(
            ask.train,
            user_factors,
            item_factors,
            seen=scaled(ask.seen, chosen["weights"]),
            weighting=chosen["weights"],
            algorithm="nmf",
            fold_in={"method": "nnls", "l1": 0.0, "l2": 0.0},
            details={"model": "sklearn.decomposition.NMF"},
        )
        return Trained(bundle, chosen)


def _fit(matrix: Any, chosen: Mapping[str, Any], ask: Ask, on_progress: OnProgress) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(users, f) and (items, f). In runs of some sweeps, each from where the last one stopped: the same steps, with progress."""
    from sklearn.decomposition import non_negative_factorization
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    sweeps, done = chosen["sweeps"], 0
    start: dict[str, Any] = {"init": "nndsvda"}
    on_progress("fitting", 0, sweeps)
    with threadpool_limits(ask.threads, "blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of sweeps is what was asked for
        while done < sweeps:
            few = min(_AT_ONCE, sweeps - done)
            users, items, _ = non_negative_factorization(
                matrix, n_components=chosen["factors"], max_iter=few, tol=0.0, random_state=ask.seed, **start
            )
            start = {"init": "custom", "W": users, "H": items}
            done += few
            on_progress("fitting", done, sweeps)
    return start["W"].astype(np.float32), np.ascontiguousarray(start["H"].T, np.float32)


TRAINER = Nmf()
