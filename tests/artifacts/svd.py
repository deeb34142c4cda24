"""The SVD dict: a really fitted sklearn TruncatedSVD with the users' factors and encoders of every kind, and the answers it implies."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from tests.artifacts.ids import make_ids
from tests.artifacts.recommenders import FACTORS, ITEMS, TRAINED_AT, USERS, interactions

ENCODERS = ("dict", "list", "array", "label")


@cache
def fitted_svd(users: int = USERS, items: int = ITEMS, factors: int = FACTORS) -> tuple[Any, Any]:
    """The estimator and the users' factors (users x factors)."""
    from sklearn.decomposition import TruncatedSVD

    with threadpool_limits(1, "blas"):
        model = TruncatedSVD(factors, random_state=1)
        user_factors = model.fit_transform(interactions(users, items))
    return model, user_factors


def encoder_of(ids: list[Any], kind: str) -> Any:
    """The ids of rows 0, 1, ... in one of ENCODERS; "label" needs them in ascending order."""
    if kind == "label":
        from sklearn.preprocessing import LabelEncoder

        return LabelEncoder().fit(ids)
    return {"dict": {id: row for row, id in enumerate(ids)}, "list": ids, "array": np.array(ids)}[kind]


def svd_dict(encoder: str = "dict", *, item_factors: str = "none", seen: bool = True) -> dict[str, Any]:
    """svd_model, user_factors, encoders, with `seen` a user_item_matrix. Ids are ascending text.

    item_factors: "none" (the model's components_ stand for them), "components" (factors x items), "rows" (items x factors).
    """
    model, user_factors = fitted_svd()
    artifact: dict[str, Any] = {
        "svd_model": model,
        "user_factors": user_factors,
        "user_encoder": encoder_of(sorted(make_ids("str", USERS)), encoder),
        "item_encoder": encoder_of(sorted(make_ids("str", ITEMS, first=500)), encoder),
        "is_trained": True,
        "trained_at": TRAINED_AT,
    }
    if item_factors != "none":
        artifact["item_factors"] = model.components_ if item_factors == "components" else np.ascontiguousarray(model.components_.T)
    return artifact | ({"user_item_matrix": interactions()} if seen else {})
