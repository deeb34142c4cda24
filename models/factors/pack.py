"""From an artifact's records to factors, ids and seen items. Runs in the capped child; never imported by the server.

Covers: bare implicit models (ALS, BPR, LMF: their bias columns are already part of the factors), dicts around such a model
(`model, user_id_map, item_id_map`), dicts of `user_factors, item_factors` with encoders (the NMF and SVD shapes; also from
npz and safetensors), bare sklearn NMF and TruncatedSVD (no users: `liked` alone), LightFM (`models.factors.lightfm_records`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.columns import pack_columns
from models.estimator_records import as_number, is_sklearn
from models.estimator_records import require as require_fitted
from models.packing import Options, PackError, floats
from models.recommender_records import first, id_count, matrix_shape, pack_row_ids, require, row_ids, seen_items
from models.records import Record, is_record

from .derived import Factors, derive
from .lightfm_records import lightfm_factors, lightfm_of, mapping_of
from .metadata_records import KEYS as METADATA_KEYS
from .metadata_records import read_metadata

IMPLICIT = ("AlternatingLeastSquares", "BayesianPersonalizedRanking", "LogisticMatrixFactorization")
DECOMPOSITIONS = ("NMF", "MiniBatchNMF", "TruncatedSVD")
_ALS_KEYS = ("model", "user_id_map", "item_id_map")
_FACTOR_KEYS = ("user_factors", "item_factors")
_USER_KEYS = ("user_encoder", "user_id_map", "user_ids", "user_mapping")
_ITEM_KEYS = ("item_encoder", "item_id_map", "item_ids", "item_mapping")
_MODEL_KEYS = ("nmf_model", "svd_model")
_SEEN_KEYS = ("user_item_matrix", "interactions")


def matches(root: Any) -> str | None:
    """Why this family takes the artifact, or None."""
    if _is_implicit(root):
        return f"a bare {root.class_name} with user_factors and item_factors"
    if is_sklearn(root, *DECOMPOSITIONS):
        return f"a bare {root.class_name}: its components are item factors"
    if lightfm_of(root) is not None:
        return "a LightFM model" if not isinstance(root, dict) else "a dict with a LightFM model"
    if not isinstance(root, dict):
        return None
    if "model" in root and _is_implicit(root["model"]):
        return f"a dict whose model is {root['model'].class_name}"
    if all(key in root for key in _FACTOR_KEYS):
        return "a dict with user_factors and item_factors"
    found = [key for key in _MODEL_KEYS if key in root]
    if found and ("user_factors" in root or first(root, *_USER_KEYS) is not None or first(root, *_ITEM_KEYS) is not None):
        return f"a dict with an {found[0]} and its encoders"
    if "user_encoder" in root and "item_encoder" in root:
        return "a dict with user and item encoders"
    return None


def _is_implicit(value: Any) -> bool:
    return is_record(value, *IMPLICIT) or (
        isinstance(value, Record) and value.module.startswith("implicit.") and set(_FACTOR_KEYS) <= set(value.attributes)
    )


def pack(root: Any, options: Options) -> Bundle:
    """The bundle. Raises PackError: missing_keys, not_trained, corrupt_artifact, unknown_format (ids of a kind that is not served)."""
    tables = root if isinstance(root, dict) else {}
    if (lightfm := lightfm_of(root)) is not None:
        return _pack_lightfm(lightfm, tables, options)
    if is_sklearn(root, *DECOMPOSITIONS):
        found = _decomposition(root, None, _components(root))
        return _bundle(found, {"item_ids": root.attributes.get("feature_names_in_")}, options)
    if isinstance(root, Record):
        return _bundle(_implicit_factors(root), tables, options)
    if _is_implicit(root.get("model")):
        require(root, _ALS_KEYS)
        return _bundle(_implicit_factors(root["model"]), root, options)
    return _bundle(_dict_factors(root), root, options)


def _pack_lightfm(model: Record, root: dict[Any, Any], options: Options) -> Bundle:
    tables = dict(root)
    for side, keys in (("user", _USER_KEYS), ("item", _ITEM_KEYS)):
        if first(root, *keys) is None:
            tables[f"{side}_id_map"] = mapping_of(root, f"_{side}_id_mapping")
    named = {"user": id_count(first(tables, *_USER_KEYS)), "item": id_count(first(tables, *_ITEM_KEYS))}
    return _bundle(lightfm_factors(model, root, named, options.new_array), tables, options)


# -- implicit -----------------------------------------------------------------------------------------------------------


def _implicit_factors(model: Record) -> Factors:
    state = model.attributes
    if state.get("user_factors") is None or state.get("item_factors") is None:
        missing = [key for key in _FACTOR_KEYS if key not in state]
        if missing:
            raise PackError(
                "missing_keys", f"{model.class_name} lacks {', '.join(missing)}", missing=missing, found=sorted(map(str, state))[:100]
            )
        raise PackError("not_trained", f"{model.class_name} has no factors yet: it was saved before fit")
    users, items = floats(state["user_factors"], "user_factors"), floats(state["item_factors"], "item_factors")
    width = items.shape[1]
    if users.shape[1] != width:
        raise PackError("corrupt_artifact", f"user_factors {users.shape} and item_factors {items.shape} share no factor count")
    if is_record(model, "AlternatingLeastSquares"):
        return Factors(users, items, model.class_name, width, width, _als(state), uses_weights=True)
    # BPR: the item's bias, for which every user has 1. LMF: the item's bias (1), then 1 for the user's bias (0: unknown).
    tail = [1.0] if is_record(model, "BayesianPersonalizedRanking") else [1.0, 0.0]
    biases = len(tail) if state.get("factors") == width - len(tail) and width > len(tail) else 0
    return Factors(users, items, model.class_name, width - biases, width, {"method": "mean", "tail": tail[:biases]})


def _als(state: dict[Any, Any]) -> dict[str, Any]:
    """How ALS folds in: with its own regularisation and alpha (1 before implicit 0.5, where weights came multiplied)."""
    regularization = _not_negative(state.get("regularization", 0.01), "regularization")
    return {"method": "als", "regularization": regularization, "alpha": _not_negative(state.get("alpha", 1.0), "alpha")}


def _not_negative(value: Any, what: str) -> float:
    number = as_number(value, what)
    if not 0.0 <= number < 1e300:
        raise PackError("corrupt_artifact", f"{what} is {number!r}"[:200] if isinstance(number, float) else f"{what} is out of range")
    return float(number)


# -- factors and encoders -----------------------------------------------------------------------------------------------


def _dict_factors(root: dict[Any, Any]) -> Factors:
    name = next((key for key in _MODEL_KEYS if key in root), None)
    model = root[name] if name is not None else root.get("model")
    decomposition = model if isinstance(model, Record) and is_sklearn(model, *DECOMPOSITIONS) else None
    has_items = "item_factors" in root or name != "svd_model" or decomposition is None or "components_" not in decomposition.attributes
    wanted = [*_FACTOR_KEYS] if has_items else ["user_factors"]
    if name is not None:
        wanted += [keys[0] for keys in (_USER_KEYS, _ITEM_KEYS) if first(root, *keys) is None]
    require(root, tuple(wanted))
    users = floats(root["user_factors"], "user_factors")
    items = floats(root["item_factors"], "item_factors") if has_items or decomposition is None else _components(decomposition)
    named = id_count(first(root, *_ITEM_KEYS))
    if users.shape[1] != items.shape[1] or (named not in (None, len(items)) and named == items.shape[1]):
        items = items.T  # components_ of sklearn is factors x items
    width = items.shape[1]
    if users.shape[1] != width:
        raise PackError("corrupt_artifact", f"user_factors {users.shape} and item_factors {items.shape[::-1]} share no factor count")
    if decomposition is not None:
        return _decomposition(decomposition, users, items)
    if {"regularization", "use_cg"} <= set(root):  # what implicit's own ALS.save writes
        return Factors(users, items, "implicit.cpu.als.AlternatingLeastSquares", width, width, _als(root), uses_weights=True)
    return Factors(users, items, model.class_name if isinstance(model, Record) else "factors", width, width)


def _components(model: Record) -> NDArray[Any]:
    """(items, f) of a fitted decomposition. Raises PackError."""
    return floats(require_fitted(model, "components_")["components_"], "components_").T


def _decomposition(model: Record, users: NDArray[Any] | None, items: NDArray[Any]) -> Factors:
    width = items.shape[1]
    if is_record(model, "TruncatedSVD"):
        return Factors(users, items, model.class_name, width, width, {"method": "projection"}, uses_weights=True)
    # sklearn's NMF._compute_regularization: both grow with the number of features, which are the items.
    alpha = _not_negative(model.attributes.get("alpha_W", 0.0), "alpha_W") * len(items)
    ratio = min(1.0, _not_negative(model.attributes.get("l1_ratio", 0.0), "l1_ratio"))
    fold_in = {"method": "nnls", "l1": alpha * ratio, "l2": alpha * (1.0 - ratio)}
    return Factors(users, items, model.class_name, width, width, fold_in)


# -- the bundle ---------------------------------------------------------------------------------------------------------


def _bundle(found: Factors, root: dict[Any, Any], options: Options) -> Bundle:
    for what, matrix in (("users", found.users), ("items", found.items)):
        if matrix is not None and not matrix.size:
            raise PackError("corrupt_artifact", f"the model has no {what}: factors of shape {matrix.shape}")
    users = 0 if found.users is None else len(found.users)
    derived, fold_in = derive(found)
    arrays = {"item_factors": found.items, **derived}
    meta: dict[str, Any] = {"fold_in": fold_in, "widths": {"embedding": found.embedding, "compared": found.compared}}
    details: dict[str, Any] = {"users": users, "items": len(found.items), "factors": found.embedding, "model": found.model}
    for name, keys, decoders, rows in (
        ("user_ids", _USER_KEYS, ("user_decoder", "idx_to_user"), users),
        ("item_ids", _ITEM_KEYS, ("item_decoder", "idx_to_item"), len(found.items)),
    ):
        if rows:
            key = next((key for key in keys if root.get(key) is not None), keys[0])
            ids = row_ids(root.get(key), first(root, *decoders), rows, key)
            packed, meta[name] = pack_row_ids(name, ids, rows)
            arrays.update(packed)
    if found.users is not None:
        arrays["user_factors"] = found.users
        arrays.update(_seen(root, found, details))
    if first(root, *METADATA_KEYS) is not None:
        packed, meta["columns"] = _columns(first(root, *METADATA_KEYS), ids, options, details)
        arrays.update(packed)
    details["seen"] = "seen.indptr" in arrays
    details["fold_in"] = fold_in["method"]
    return Bundle("factors", arrays, meta, details)


def _seen(root: dict[Any, Any], found: Factors, details: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """Seen items by user as arrays. Without a matrix that fits there are none, and the details warn of it."""
    users, items = details["users"], details["items"]
    key = next((key for key in _SEEN_KEYS if root.get(key) is not None), None)
    cells = None if key is None else seen_items(root[key], users, items, with_data=found.uses_weights)
    if key is not None and cells is None:  # it serves all the same: which items are seen is only left out, and said to be
        shape = matrix_shape(root[key])
        was = f"of shape {shape}" if shape is not None else "in a form that is not read"
        _warn(details, f"{key} is {was}, not {users} x {items}: seen items are not known")
    if cells is None:
        return {}
    arrays = {"seen.indptr": cells.indptr, "seen.indices": cells.indices}
    if cells.data is not None and not _are_ones(cells.data):
        arrays["seen.weights"] = cells.data
    return arrays


def _columns(metadata: Any, ids: Any, options: Options, details: dict[str, Any]) -> tuple[dict[str, NDArray[Any]], list[dict[str, Any]]]:
    """Item columns; of metadata that are not read the details warn, and the model serves all the same."""
    try:
        found = read_metadata(metadata, ids, details["items"], options.id_column)
        details["metadata"] = {"entries": found.entries, "items": found.known}
        return pack_columns(found.columns, found.categories)
    except PackError as error:
        _warn(details, f"what is told of the items is not read: {error.message}")
        return {}, []


def _warn(details: dict[str, Any], words: str) -> None:
    details.setdefault("warnings", []).append(words)


def _are_ones(weights: NDArray[Any]) -> bool:
    return all(bool(np.all(weights[begin : begin + (1 << 20)] == 1)) for begin in range(0, len(weights), 1 << 20))
