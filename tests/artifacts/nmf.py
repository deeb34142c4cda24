"""The collaborative dict: a really fitted sklearn NMF with what people save around it, and the answers it implies."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from tests.artifacts.ids import make_ids
from tests.artifacts.recommenders import FACTORS, ITEMS, TRAINED_AT, USERS, Top, interactions


@cache
def fitted_nmf(users: int = USERS, items: int = ITEMS, factors: int = FACTORS) -> tuple[Any, Any, Any]:
    """The estimator, W (users x factors) and H (factors x items), float32 in and out."""
    from sklearn.decomposition import NMF
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        model = NMF(n_components=factors, init="nndsvda", random_state=1, max_iter=400, tol=1e-3)
        user_factors = model.fit_transform(interactions(users, items))
    return model, user_factors, model.components_


def nmf_dict(
    ids: str = "int",
    *,
    transposed: bool = False,
    matrix: str = "csr",
    encoder: str = "dict",
    users: int = USERS,
    items: int = ITEMS,
    is_trained: bool = True,
) -> dict[str, Any]:
    """All eleven keys.

    item_factors is H (factors x items), `transposed` (items x factors); user_item_matrix is "csr", "dense",
    "frame" (a pivot table, with NaN where nothing is) or "none" (None);
    `encoder` is "dict" (id to row, decoder row to id) or "label" (sklearn's LabelEncoder as both; rows then in ascending
    order of id, so one kind of id only).
    """
    model, user_factors, components = fitted_nmf(users, items)
    user_ids, item_ids = make_ids(ids, users), make_ids(ids, items, first=500)
    if encoder == "label":
        from sklearn.preprocessing import LabelEncoder

        encoders = {"user": LabelEncoder().fit(user_ids), "item": LabelEncoder().fit(item_ids)}
        decoders: dict[str, Any] = encoders
    else:
        encoders = {"user": {id: row for row, id in enumerate(user_ids)}, "item": {id: row for row, id in enumerate(item_ids)}}
        decoders = {"user": dict(enumerate(user_ids)), "item": dict(enumerate(item_ids))}
    unit = user_factors / np.maximum(np.linalg.norm(user_factors, axis=1, keepdims=True), 1e-12)
    seen = interactions(users, items)
    return {
        "nmf_model": model,
        "user_item_matrix": _matrix(seen, matrix),
        "user_factors": user_factors,
        "item_factors": np.ascontiguousarray(components.T) if transposed else components,
        "user_encoder": encoders["user"],
        "item_encoder": encoders["item"],
        "user_decoder": decoders["user"],
        "item_decoder": decoders["item"],
        "user_similarities": unit @ unit.T,
        "is_trained": is_trained,
        "trained_at": TRAINED_AT,
    }


def expected_nmf(users: list[int], k: int, *, exclude_seen: bool = True, total_users: int = USERS, total_items: int = ITEMS) -> list[Top]:
    """Top-k of W @ H for rows `users`, ties in the order of rows, seen items left out."""
    _, user_factors, components = fitted_nmf(total_users, total_items)
    scores = user_factors[users] @ components
    if exclude_seen:
        scores = np.where(interactions(total_users, total_items)[users].toarray() > 0, -np.inf, scores)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    best = [(items[np.isfinite(row[items])], row) for items, row in zip(order, scores, strict=True)]
    return [Top(items.tolist(), row[items].tolist()) for items, row in best]


def _matrix(seen: Any, kind: str) -> Any:
    if kind == "frame":
        import pandas

        dense = seen.toarray()
        return pandas.DataFrame(np.where(dense == 0, np.nan, dense))
    return {"csr": seen, "dense": seen.toarray(), "none": None}[kind]
