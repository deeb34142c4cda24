"""A factorisation that knows users and items also by their features, so that someone or something new can be scored at once.

Covers: the trainer: features as they are used, choosing the regularization, the bundle. What LightFM is used for, by another
objective: see docs/decisions/0016-feature-factorisation.md. Does not cover: the solver (`training.trainers.feature_als`).

Served as factors: a warm row has its own, drawn towards what its features say; a cold one has what its features say. An item without
interactions and features has no score; a user without both is as in `training.trainers.matrix.mark_cold`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from training.dataset.base import Dataset
from training.errors import Untrainable
from training.judging.metrics import from_factors
from training.trainers import feature_als
from training.trainers.base import Ask, OnProgress, Parameter, Trained
from training.trainers.bundles import factors_bundle
from training.trainers.feature_matrix import described, feature_matrix
from training.trainers.matrix import WEIGHTS, is_cold_item, learned, mark_cold, scaled
from training.trainers.search import Found, Trial, search

GRID = (1.0, 3.0, 10.0, 30.0, 60.0, 100.0)
FALLBACK = 30.0
"""Regularization where nothing can be held out to search it on."""
_SEARCH_FACTORS, _SEARCH_SWEEPS = 32, 6


class FeatureFactorisation:
    """See the module."""

    is_floor = False
    parameters: Mapping[str, Parameter] = {
        "factors": Parameter(64, "Numbers a user and an item are described by.", minimum=1, maximum=512),
        "alpha": Parameter(8.0, "Confidence of a pair of weight 1; that of a pair nobody has is 1.", minimum=0.001),
        "regularization": Parameter(
            None,
            "How strongly users and items are drawn towards what their features say. Unless it is given,"
            f" {', '.join(f'{each:g}' for each in GRID)}, and beyond if it is at an end of them, are tried on one interaction held out of"
            " each of up to 5,000 users.",
            minimum=0.001,
        ),
        "feature_regularization": Parameter(
            1.0, "How many users or items with a feature weigh as much as knowing nothing of it.", minimum=0.0
        ),
        "sweeps": Parameter(15, "Times that all users and then all items are solved for.", minimum=1, maximum=1000),
        "max_features": Parameter(
            2_000, "So many features of users, and of items, are used: those that most have.", minimum=1, maximum=20_000
        ),
        "use_categories": Parameter(True, "Whether the items' categories are features, too."),
        "weights": WEIGHTS,
    }

    def fit(self, ask: Ask, on_progress: OnProgress) -> Trained:
        """See training.trainers.base.Trainer. Raises Untrainable without interactions, and where neither users nor items have features."""
        chosen = dict(ask.parameters)
        matrix = learned(ask.train, chosen["weights"])
        user_features, item_features = _features(ask.train, chosen)
        if user_features is None and item_features is None:
            raise Untrainable(
                "neither users nor items have features ([data] user_features, item_features) or categories: als learns from"
                " interactions alone"
            )
        notes: dict[str, Any] = {}
        if chosen["regularization"] is None:
            trial = Trial(ask.train, ask.seed)
            found = _search(trial, user_features, item_features, ask, on_progress)
            chosen["regularization"] = found.value
            notes = found.notes("regularization", trial.depth)
        fitted = feature_als.fit(
            matrix,
            user_features,
            item_features,
            **_numbers(chosen),
            seed=ask.seed,
            threads=ask.threads,
            on_sweep=lambda sweep, sweeps: on_progress("fitting", sweep, sweeps),
        )
        cold_users, cold_items = np.diff(matrix.indptr) == 0, is_cold_item(matrix)
        told_users, told_items = (
            np.zeros(len(is_cold), np.bool_) if features is None else is_cold & described(features)
            for features, is_cold in ((user_features, cold_users), (item_features, cold_items))
        )
        of_users, of_items = fitted.users[told_users], fitted.items[told_items]
        mark_cold(matrix, ask.seen, fitted.users, fitted.items)
        fitted.users[told_users], fitted.items[told_items] = of_users, of_items
        told = {
            "user_features": 0 if user_features is None else user_features.shape[1] - 1,
            "item_features": 0 if item_features is None else item_features.shape[1] - 1,
            "cold_users": int(told_users.sum()),
            "cold_items": int(told_items.sum()),
        }
        bundle = factors_bundle(
            ask.train,
            fitted.users,
            fitted.items,
            seen=scaled(ask.seen, chosen["weights"]),
            weighting=chosen["weights"],
            algorithm="features",
            fold_in={"method": "als", "regularization": chosen["regularization"], "alpha": chosen["alpha"]},
            details={**told, "regularization": chosen["regularization"]},
        )
        # Cold items are no evidence against anyone: who is folded in is solved for as the users were, without them.
        bundle = replace(bundle, arrays={**bundle.arrays, "gram": fitted.gram})
        return Trained(bundle, chosen, {**notes, **told})


def _features(dataset: Dataset, chosen: Mapping[str, Any]) -> tuple[Any, Any]:
    """Matrices of users and of items; None where there are no features."""
    categories = dataset.items.categories if dataset.items is not None and chosen["use_categories"] else None
    return (
        feature_matrix(dataset.user_features, None, len(dataset.user_ids), chosen["max_features"]),
        feature_matrix(dataset.item_features, categories, len(dataset.item_ids), chosen["max_features"]),
    )


def _numbers(chosen: Mapping[str, Any]) -> dict[str, Any]:
    return {name: chosen[name] for name in ("factors", "alpha", "regularization", "feature_regularization", "sweeps")}


def _search(trial: Trial, user_features: Any, item_features: Any, ask: Ask, on_progress: OnProgress) -> Found:
    """At fewer factors and sweeps: which regularization is best hardly depends on either."""
    if trial.is_empty:
        return Found(FALLBACK, {})
    cheap = {
        **ask.parameters,
        "factors": min(ask.parameters["factors"], _SEARCH_FACTORS),
        "sweeps": min(ask.parameters["sweeps"], _SEARCH_SWEEPS),
    }
    matrix = learned(trial.train, cheap["weights"])

    def measure(regularization: float) -> float:
        fitted = feature_als.fit(
            matrix,
            user_features,
            item_features,
            **_numbers({**cheap, "regularization": regularization}),
            seed=ask.seed,
            threads=ask.threads,
            on_sweep=lambda sweep, sweeps: None,
        )
        return trial.measure(from_factors(fitted.users, fitted.items))

    return search("regularization", GRID, measure, on_progress)


TRAINER = FeatureFactorisation()
