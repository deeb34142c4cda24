"""PureSVD (Cremonesi, Koren and Turrin, RecSys 2010): the truncated singular value decomposition of users x items.

Covers: the randomised decomposition (Halko, Martinsson and Tropp, SIAM Review 2011, by scikit-learn) and the number of factors. A
user is what they have, projected on the item vectors, which are orthonormal: so is somebody new.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.errors import Untrainable
from training.judging.metrics import from_factors
from training.trainers.base import Ask, OnProgress, Parameter, Trained
from training.trainers.bundles import factors_bundle
from training.trainers.matrix import EQUAL_WEIGHTS, learned, mark_cold, scaled
from training.trainers.search import Trial, search

GRID = (8, 16, 32, 64, 128)
FALLBACK = 64
"""Factors where nothing can be held out to search them on."""
_OVERSAMPLES = 10


class Svd:
    """See the module."""

    is_floor = False
    parameters: Mapping[str, Parameter] = {
        "factors": Parameter(
            None,
            f"Numbers a user and an item are described by. Unless it is given, {', '.join(map(str, GRID))} are tried on one interaction"
            " held out of each of up to 5,000 users.",
            minimum=1,
            maximum=2048,
            type=int,
        ),
        "power_iterations": Parameter(4, "Passes that make the randomised decomposition more exact.", minimum=0, maximum=100),
        "weights": EQUAL_WEIGHTS,
    }

    def fit(self, ask: Ask, on_progress: OnProgress) -> Trained:
        """See training.trainers.base.Trainer."""
        chosen = dict(ask.parameters)
        notes: dict[str, Any] = {}
        matrix = learned(ask.train, chosen["weights"])
        most = min(matrix.shape) - 1
        if most < 1:
            raise Untrainable(f"{matrix.shape[0]} users and {matrix.shape[1]} items have nothing in common to decompose")
        if chosen["factors"] is None:
            trial = Trial(ask.train, ask.seed)
            chosen["factors"] = FALLBACK
            if not trial.is_empty:
                on_progress("searching factors", 0, 0)
                users, items = _decompose(learned(trial.train, chosen["weights"]), min(most, GRID[-1]), ask)
                grid = sorted({float(min(most, width)) for width in GRID})
                # The vectors of a decomposition do not depend on how many follow: one serves for all widths.
                found = search(
                    "factors",
                    grid,
                    lambda width: trial.measure(from_factors(users[:, : int(width)], items[:, : int(width)])),
                    on_progress,
                    beyond=False,
                )
                chosen["factors"] = int(found.value)
                notes = found.notes("factors", trial.depth)
        chosen["factors"] = min(chosen["factors"], most)
        on_progress("fitting", 0, 1)
        user_factors, item_factors = _decompose(matrix, chosen["factors"], ask)
        on_progress("fitting", 1, 1)
        mark_cold(matrix, ask.seen, user_factors, item_factors)
        bundle = factors_bundle(
            ask.train,
            user_factors,
            item_factors,
            seen=scaled(ask.seen, chosen["weights"]),
            weighting=chosen["weights"],
            algorithm="svd",
            fold_in={"method": "projection"},
            details={"model": "sklearn.decomposition.TruncatedSVD"},
        )
        return Trained(bundle, chosen, notes)


def _decompose(matrix: Any, factors: int, ask: Ask) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(users, f) and (items, f), whose product is the matrix as near as f factors can be; the items' columns are orthonormal."""
    from sklearn.utils.extmath import randomized_svd
    from threadpoolctl import threadpool_limits

    with threadpool_limits(ask.threads, "blas"):
        left, values, right = randomized_svd(
            matrix, factors, n_oversamples=_OVERSAMPLES, n_iter=ask.parameters["power_iterations"], random_state=ask.seed
        )
    return (left * values).astype(np.float32), np.ascontiguousarray(right.T, np.float32)


TRAINER = Svd()
