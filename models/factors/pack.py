"""From an artifact's records to factors, ids and seen items. Runs in the capped child; never imported by the server.

Covers: bare implicit models (ALS, BPR, LMF: their bias columns are already part of the factors), dicts around such a model
(`model, user_id_map, item_id_map`), and dicts of `user_factors, item_factors` with encoders (the NMF shape), also from
npz and safetensors. Does not cover: LightFM, SVD (their own shapes come with their features).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.ids import UnsupportedId, falls, pack_ids
from models.packing import Options, PackError, floats, numeric
from models.records import Array, Record, is_record

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
    _require(root, _ALS_KEYS)
    users, items = _implicit_factors(root["model"])
    user_ids = _ids(root["user_id_map"], root.get("idx_to_user"), len(users), "user_id_map")
    item_ids = _ids(root["item_id_map"], root.get("idx_to_item"), len(items), "item_id_map")
    return _bundle(users, items, user_ids, item_ids, root.get("user_item_matrix"), root["model"].class_name)


def _pack_factor_dict(root: dict[Any, Any]) -> Bundle:
    wanted = (*_FACTOR_KEYS, "user_encoder", "item_encoder") if "nmf_model" in root else _FACTOR_KEYS
    _require(root, wanted)
    users, items = floats(root["user_factors"], "user_factors"), floats(root["item_factors"], "item_factors")
    user_encoder = _first(root, "user_encoder", "user_ids", "user_id_map", "user_mapping")
    item_encoder = _first(root, "item_encoder", "item_ids", "item_id_map", "item_mapping")
    if users.shape[1] != items.shape[1] or (_count(item_encoder) not in (None, len(items)) and _count(item_encoder) == items.shape[1]):
        items = items.T  # components_ of sklearn is factors x items
    if users.shape[1] != items.shape[1]:
        raise PackError("corrupt_artifact", f"user_factors {users.shape} and item_factors {items.shape[::-1]} share no factor count")
    user_ids = _ids(user_encoder, root.get("user_decoder"), len(users), "user_encoder")
    item_ids = _ids(item_encoder, root.get("item_decoder"), len(items), "item_encoder")
    model = root.get("nmf_model") or root.get("model")
    return _bundle(
        users, items, user_ids, item_ids, root.get("user_item_matrix"), model.class_name if isinstance(model, Record) else "factors"
    )


def _require(root: dict[Any, Any], keys: tuple[str, ...]) -> None:
    missing = [key for key in keys if key not in root]
    if missing:
        raise PackError(
            "missing_keys", f"the artifact lacks {', '.join(missing)}", missing=missing, found=sorted(str(key) for key in root)[:100]
        )


def _first(root: dict[Any, Any], *keys: str) -> Any:
    return next((root[key] for key in keys if root.get(key) is not None), None)


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


def _count(encoder: Any) -> int | None:
    """How many ids an encoder holds."""
    if is_record(encoder, "LabelEncoder"):
        encoder = encoder.attributes.get("classes_")
    if isinstance(encoder, Array):
        return int(np.prod(encoder.shape))
    return len(encoder) if isinstance(encoder, (dict, list, tuple)) else None


def _ids(encoder: Any, decoder: Any, rows: int, what: str) -> list[Any] | NDArray[Any] | None:
    """The id of each row, from a dict id -> row (or row -> id), a list or array in row order, or a LabelEncoder; None for no ids at all."""
    if encoder is None and decoder is None:
        return None
    if is_record(encoder, "LabelEncoder"):
        encoder = encoder.attributes.get("classes_")
    if isinstance(encoder, Array):
        encoder = encoder.values if encoder.values is not None and encoder.values.dtype.kind in "iu" else encoder.to_list()
    if isinstance(encoder, (list, tuple, np.ndarray)):
        table: list[Any] | NDArray[Any] = list(encoder) if isinstance(encoder, tuple) else encoder
        if len(table) != rows:
            raise PackError("corrupt_artifact", f"{what} names {len(table)} ids for {rows} rows")
        return table
    if isinstance(encoder, dict) and _are_rows(encoder.values(), rows):
        return _by_row(zip(encoder.values(), encoder.keys(), strict=True), rows, what)
    for pairs in (decoder, encoder):
        if isinstance(pairs, dict) and _are_rows(pairs.keys(), rows):
            return _by_row(pairs.items(), rows, what)
        if isinstance(pairs, (list, tuple)) and len(pairs) == rows:
            return list(pairs)
    raise PackError("corrupt_artifact", f"{what} does not map ids to the {rows} rows of the factors")


def _are_rows(values: Any, rows: int) -> bool:
    return all(isinstance(value, int) and not isinstance(value, bool) and 0 <= value < rows for value in values)


def _by_row(pairs: Any, rows: int, what: str) -> list[Any]:
    table: list[Any] = [None] * rows
    for row, id in pairs:
        table[row] = id
    missing = sum(id is None for id in table)
    if missing:
        raise PackError("corrupt_artifact", f"{what} leaves {missing} of {rows} rows without an id")
    return table


def _bundle(users: Any, items: Any, user_ids: Any, item_ids: Any, matrix: Any, model: str) -> Bundle:
    for what, matrix_of in (("users", users), ("items", items)):
        if not matrix_of.size:
            raise PackError("corrupt_artifact", f"the model has no {what}: factors of shape {matrix_of.shape}")
    arrays = {"user_factors": users, "item_factors": items}
    meta: dict[str, Any] = {}
    for name, ids, rows in (("user_ids", user_ids, len(users)), ("item_ids", item_ids, len(items))):
        try:
            packed, meta[name] = pack_ids(name, np.arange(rows) if ids is None else ids)
        except UnsupportedId as error:
            raise PackError("unknown_format", f"{name}: {error}") from error
        except ValueError as error:
            raise PackError("corrupt_artifact", f"{name}: {error}") from error
        arrays.update(packed)
    shape = _shape_of(matrix)
    fits = shape in ((len(users), len(items)), (len(items), len(users)))
    seen = _seen(matrix, len(users), len(items)) if fits else None
    if seen is not None:
        arrays["seen.indptr"], arrays["seen.indices"] = seen
    details: dict[str, Any] = {
        "users": len(users),
        "items": len(items),
        "factors": int(users.shape[1]),
        "model": model,
        "seen": seen is not None,
    }
    if matrix is not None and seen is None:
        # It serves all the same: which items are seen is only left out, and said to be.
        found = f"of shape {shape}" if shape is not None else "in a form that is not read"
        details["warnings"] = [f"user_item_matrix is {found}, not {len(users)} x {len(items)}: seen items are not known"]
    return Bundle("factors", arrays, meta, details)


def _shape_of(matrix: Any) -> tuple[Any, ...] | None:
    """Rows and columns of a matrix whose filled cells can be read: scipy CSR or CSC, dense, a DataFrame of numbers; else None."""
    if isinstance(matrix, Record) and matrix.name in _COMPRESSED:
        shape = matrix.attributes.get("_shape", matrix.attributes.get("shape"))
        return shape if isinstance(shape, tuple) else None
    dense = _dense(matrix)
    return None if dense is None else dense.shape


def _dense(matrix: Any) -> NDArray[Any] | None:
    values = (_frame_values(matrix) if is_record(matrix, "DataFrame") else matrix) if matrix is not None else None
    array = values.values if isinstance(values, Array) else None
    return array if array is not None and array.ndim == 2 and array.dtype.kind in "biuf" else None


def _seen(matrix: Any, users: int, items: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Row bounds and columns of the filled cells of a matrix of users x items, or of its transpose. Raises PackError."""
    dense = _dense(matrix)
    if dense is not None:
        return _dense_seen(dense if dense.shape == (users, items) else dense.T)
    state = matrix.attributes
    shape = state.get("_shape", state.get("shape"))
    if not {"indptr", "indices"} <= set(state):
        raise PackError("corrupt_artifact", "user_item_matrix is a sparse matrix without its indices")
    by_row = matrix.name.startswith("csr")
    major, minor = (shape[0], shape[1]) if by_row else (shape[1], shape[0])
    indptr = numeric(state["indptr"], "user_item_matrix.indptr", ndim=1)
    indices = numeric(state["indices"], "user_item_matrix.indices", ndim=1)
    if indptr.dtype.kind not in "iu" or indices.dtype.kind not in "iu":
        raise PackError("corrupt_artifact", "user_item_matrix has indices that are no integers")
    if len(indptr) != major + 1 or int(indptr[0]) != 0 or int(indptr[-1]) > len(indices) or falls(indptr):
        raise PackError("corrupt_artifact", "user_item_matrix has row bounds out of order")
    indices = indices[: int(indptr[-1])]
    if len(indices) and (int(indices.min()) < 0 or int(indices.max()) >= minor):
        raise PackError("corrupt_artifact", "user_item_matrix points outside its columns")
    return (indptr, indices) if by_row == (shape == (users, items)) else _swap(indptr, indices, minor)


_COMPRESSED = ("csr_matrix", "csr_array", "csc_matrix", "csc_array")


def _frame_values(frame: Record) -> Array | None:
    """The values of a DataFrame of one kind of number, as a pivot table is (pandas 1.3 to 3); None for any other."""
    manager = frame.attributes.get("_mgr")
    blocks = manager.args[0] if isinstance(manager, Record) and manager.args else None
    if not (isinstance(blocks, tuple) and len(blocks) == 1 and isinstance(blocks[0], Record) and blocks[0].args):
        return None
    values = blocks[0].args[0]
    return Array(values.values.T) if isinstance(values, Array) and values.values is not None and values.values.ndim == 2 else None


def _swap(indptr: NDArray[Any], indices: NDArray[Any], minor: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """The same cells, compressed along the other axis."""
    majors = np.repeat(np.arange(len(indptr) - 1, dtype=np.int32), np.diff(indptr))
    counts = np.bincount(indices, minlength=minor)
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64), majors[np.argsort(indices, kind="stable")]


def _dense_seen(matrix: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    step = max(1, (8 << 20) // max(1, matrix.shape[1]))
    counts, columns = [np.zeros(1, np.int64)], []
    for begin in range(0, len(matrix), step):
        part = matrix[begin : begin + step]
        rows, cols = np.nonzero((part != 0) & (part == part))  # NaN is how a pivot table writes nothing
        counts.append(np.bincount(rows, minlength=min(step, len(matrix) - begin)))
        columns.append(cols.astype(np.int32))
    return np.cumsum(np.concatenate(counts)), np.concatenate(columns) if columns else np.zeros(0, np.int32)
