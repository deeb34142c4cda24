"""The two models of the demo, fitted with implicit: ALS and BPR.

Covers: parameters, fitting with progress, and the dict that is saved. Deterministic: a fixed seed and one thread.
Does not cover: choosing parameters on a holdout, evaluation, publishing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from training.interactions import Interactions

OnEpoch = Callable[[int, int], None]
"""Epochs done, epochs in all."""

FACTORS = 64
SEED = 7
_ALS_ALPHA = 8.0
_ALS_SWEEPS = 15
_BPR_EPOCHS = 100


def als_regularization(user_items: Any) -> float:
    """Half of a user's mean number of interactions.

    The penalty competes with sums over a user's interactions, so it must grow with them: between a third and a half was
    best on film ratings, and implicit's own default of 0.01 is thousands of times too small.
    """
    return 0.5 * float(user_items.nnz) / max(1, int(user_items.shape[0]))


def fit_als(user_items: Any, on_epoch: OnEpoch) -> Any:
    """A fitted implicit.cpu.als.AlternatingLeastSquares."""
    from implicit.cpu.als import AlternatingLeastSquares

    parameters = {
        "factors": FACTORS,
        "alpha": _ALS_ALPHA,
        "regularization": als_regularization(user_items),
        "iterations": _ALS_SWEEPS,
    }
    return _fit(AlternatingLeastSquares, parameters, user_items, on_epoch)


def fit_bpr(user_items: Any, on_epoch: OnEpoch) -> Any:
    """A fitted implicit.cpu.bpr.BayesianPersonalizedRanking."""
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    return _fit(BayesianPersonalizedRanking, {"factors": FACTORS, "iterations": _BPR_EPOCHS}, user_items, on_epoch)


def _fit(recommender: Callable[..., Any], parameters: dict[str, Any], user_items: Any, on_epoch: OnEpoch) -> Any:
    from threadpoolctl import threadpool_limits

    epochs = parameters["iterations"]
    on_epoch(0, epochs)
    # One thread: several threads of BPR update the factors without locks, and two runs differ. BLAS likewise, and
    # implicit warns, already when a model is made, that its own threads and those of BLAS slow each other down.
    with threadpool_limits(1, "blas"):
        model = recommender(**parameters, num_threads=1, random_state=SEED)
        model.fit(user_items, show_progress=False, callback=lambda epoch, *_: on_epoch(int(epoch) + 1, epochs))
    return model


def model_dict(model: Any, interactions: Interactions, trained_at: str) -> dict[str, Any]:
    """What is saved: the model, what its rows mean, what was seen. `trained_at` is RFC 3339."""
    return {
        "model": model,
        "user_id_map": {user: row for row, user in enumerate(interactions.user_ids)},
        "item_id_map": {item: row for row, item in enumerate(interactions.item_ids)},
        "idx_to_user": dict(enumerate(interactions.user_ids)),
        "idx_to_item": dict(enumerate(interactions.item_ids)),
        "user_item_matrix": interactions.user_items,
        "trained_at": trained_at,
        "is_trained": True,
    }
