"""The most popular items, the same for everybody: the floor that other models are measured against.

Covers: how many users have an item. A bundle of two columns: one of zeros in place of an embedding, and the number of users as
the item's bias; so every user, and who is none, is answered alike but for what they have. Items are not compared.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from training.trainers.base import Ask, OnProgress, Parameter, Trained
from training.trainers.bundles import factors_bundle
from training.trainers.matrix import learned


class Popular:
    """See the module."""

    is_floor = True
    parameters: Mapping[str, Parameter] = {}

    def fit(self, ask: Ask, on_progress: OnProgress) -> Trained:
        """See training.trainers.base.Trainer."""
        on_progress("counting", 0, 1)
        matrix = learned(ask.train, "equal")
        users, items = matrix.shape
        counts = np.bincount(matrix.indices, minlength=items)
        # Whole numbers are exact in float32 up to 2^24 users.
        dtype = np.float32 if users < 1 << 24 else np.float64
        item_factors = np.stack([np.zeros(items), counts], axis=1).astype(dtype)
        user_factors = np.tile(np.array([0.0, 1.0], dtype), (users, 1))
        on_progress("counting", 1, 1)
        fold_in = {"method": "mean", "tail": [1.0]}
        bundle = factors_bundle(
            ask.train, user_factors, item_factors, seen=ask.seen, algorithm="popular", fold_in=fold_in, embedding=1, compared=0
        )
        return Trained(bundle, {})


TRAINER = Popular()
