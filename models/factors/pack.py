"""From an artifact's records to factors, ids and seen items. Runs in the capped child; never imported by the server.

Covers: bare implicit models (ALS, BPR, LMF: their bias columns are already part of the factors), dicts around such a model
(`model, user_id_map, item_id_map`), and dicts of `user_factors, item_factors` with encoders (the NMF shape), also from
npz and safetensors. Does not cover: LightFM, SVD (their own shapes come with their features).
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from models.bundle import Bundle
from models.packing import Options, PackError, floats
from models.recommender_records import first, id_count, matrix_shape, pack_row_ids, require, row_ids, seen_items
from models.records import Record, is_record

IMPLICIT = ("AlternatingLeastSquares", "BayesianPersonalizedRanking", "LogisticMatrixFactorization")
_ALS_KEYS = ("model", "user_id_map", "item_id_map")
_FACTOR_KEYS = ("user_factors", "item_factors")
_NMF_MARKS = ("nmf_model", "user_encoder", "item_encoder")


def matches(root: Any) -> str | None:
    """Why this family takes the artifact, or None."""
    if _is_implicit(root):
        return f"a bare {root.class_name} with user_factors and item_factors"
    if not isinstance(root, dict):
        return None
    if "model" in root and _is_implicit(root["model"]):
        return f"a dict whose model is {root['model'].class_name}"
    if all(key in root for key in _FACTOR_KEYS):
        return "a dict with user_factors and item_factors"
    if sum(key in root for key in _NMF_MARKS) >= 2:
        return "a dict with an nmf_model and its encoders"
    return None


def _is_implicit(value: Any) -> bool:
    return is_record(value, *IMPLICIT) or (
        isinstance(value, Record) and value.module.startswith("implicit.") and set(_FACTOR_KEYS) <= set(value.attributes)
    )


def pack(root: Any, options: Options) -> Bundle:
    """The bundle. Raises PackError: missing_keys, not_trained, corrupt_artifact, unknown_format (ids of a kind that is not served)."""
    if isinstance(root, dict):
        return _pack_als_dict(root) if "model" in root and _is_implicit(root["model"]) else _pack_factor_dict(root)
    users, items = _implicit_factors(root)
    return _bundle(users, items, None, None, None, root.class_name)


def _pack_als_dict(root: dict[Any, Any]) -> Bundle:
    require(root, _ALS_KEYS)
    users, items = _implicit_factors(root["model"])
    user_ids = row_ids(root["user_id_map"], root.get("idx_to_user"), len(users), "user_id_map")
    item_ids = row_ids(root["item_id_map"], root.get("idx_to_item"), len(items), "item_id_map")
    return _bundle(users, items, user_ids, item_ids, root.get("user_item_matrix"), root["model"].class_name)


def _pack_factor_dict(root: dict[Any, Any]) -> Bundle:
    wanted = (*_FACTOR_KEYS, "user_encoder", "item_encoder") if "nmf_model" in root else _FACTOR_KEYS
    require(root, wanted)
    users, items = floats(root["user_factors"], "user_factors"), floats(root["item_factors"], "item_factors")
    user_encoder = first(root, "user_encoder", "user_ids", "user_id_map", "user_mapping")
    item_encoder = first(root, "item_encoder", "item_ids", "item_id_map", "item_mapping")
    if users.shape[1] != items.shape[1] or (id_count(item_encoder) not in (None, len(items)) and id_count(item_encoder) == items.shape[1]):
        items = items.T  # components_ of sklearn is factors x items
    if users.shape[1] != items.shape[1]:
        raise PackError("corrupt_artifact", f"user_factors {users.shape} and item_factors {items.shape[::-1]} share no factor count")
    user_ids = row_ids(user_encoder, root.get("user_decoder"), len(users), "user_encoder")
    item_ids = row_ids(item_encoder, root.get("item_decoder"), len(items), "item_encoder")
    model = root.get("nmf_model") or root.get("model")
    return _bundle(
        users, items, user_ids, item_ids, root.get("user_item_matrix"), model.class_name if isinstance(model, Record) else "factors"
    )


def _implicit_factors(model: Record) -> tuple[NDArray[Any], NDArray[Any]]:
    state = model.attributes
    if state.get("user_factors") is None or state.get("item_factors") is None:
        missing = [key for key in _FACTOR_KEYS if key not in state]
        if missing:
            raise PackError(
                "missing_keys", f"{model.class_name} lacks {', '.join(missing)}", missing=missing, found=sorted(map(str, state))[:100]
            )
        raise PackError("not_trained", f"{model.class_name} has no factors yet: it was saved before fit")
    users, items = floats(state["user_factors"], "user_factors"), floats(state["item_factors"], "item_factors")
    if users.shape[1] != items.shape[1]:
        raise PackError("corrupt_artifact", f"user_factors {users.shape} and item_factors {items.shape} share no factor count")
    return users, items


def _bundle(users: Any, items: Any, user_ids: Any, item_ids: Any, matrix: Any, model: str) -> Bundle:
    for what, matrix_of in (("users", users), ("items", items)):
        if not matrix_of.size:
            raise PackError("corrupt_artifact", f"the model has no {what}: factors of shape {matrix_of.shape}")
    arrays = {"user_factors": users, "item_factors": items}
    meta: dict[str, Any] = {}
    for name, ids, rows in (("user_ids", user_ids, len(users)), ("item_ids", item_ids, len(items))):
        packed, meta[name] = pack_row_ids(name, ids, rows)
        arrays.update(packed)
    seen = seen_items(matrix, len(users), len(items))
    if seen is not None:
        arrays["seen.indptr"], arrays["seen.indices"] = seen.indptr, seen.indices
    details: dict[str, Any] = {
        "users": len(users),
        "items": len(items),
        "factors": int(users.shape[1]),
        "model": model,
        "seen": seen is not None,
    }
    if matrix is not None and seen is None:
        # It serves all the same: which items are seen is only left out, and said to be.
        shape = matrix_shape(matrix)
        found = f"of shape {shape}" if shape is not None else "in a form that is not read"
        details["warnings"] = [f"user_item_matrix is {found}, not {len(users)} x {len(items)}: seen items are not known"]
    return Bundle("factors", arrays, meta, details)
