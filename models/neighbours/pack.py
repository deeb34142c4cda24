"""From an artifact's records to items and how alike they are. Runs in the capped child; never imported by the server.

Covers: content-based dicts (a table of items, with a similarity matrix or features, dense or sparse), implicit's item-item
models bare, saved by themselves (npz) and in a dict with id maps and the users' interactions. Does not cover: ids and columns
of the table (`models.neighbours.item_records`), id maps and sparse matrices (`models.recommender_records`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.packing import Options, PackError, floats
from models.recommender_records import (
    Csr,
    dense_matrix,
    first,
    id_count,
    is_sparse,
    matrix_shape,
    pack_row_ids,
    require,
    row_ids,
    seen_items,
    sparse_matrix,
)
from models.records import Array, Record, is_record, record_class

from .features import MOST_FEATURES
from .item_records import pack_items

TABLES = ("destinations_df", "items_df", "item_df", "df")
FEATURES = ("destination_features", "item_features", "features", "feature_matrix")
SIMILARITIES = ("similarity_matrix", "similarity", "item_similarity", "similarities")
_IDS = ("item_ids", "item_id_map", "item_encoder")
_ENCODERS = ("tfidf_vectorizer", "category_encoder")
IMPLICIT = ("ItemItemRecommender", "CosineRecommender", "TFIDFRecommender", "BM25Recommender")
_MODEL_KEYS = ("model", "user_id_map", "item_id_map")
_SAVED = ("K", "shape", "data", "indptr", "indices")
_CHUNK = 1 << 20


def matches(root: Any) -> str | None:
    """Why this family takes the artifact, or None."""
    if _is_item_item(root):
        return f"a bare {root.class_name}"
    if not isinstance(root, dict):
        return None
    if _is_item_item(root.get("model")):
        return f"a dict whose model is {root['model'].class_name}"
    if all(isinstance(root.get(key), Array) for key in _SAVED[1:]) and "K" in root:
        return "an item-item model saved by implicit"
    table, relation, ids = (_held(root, *keys) for keys in (TABLES, SIMILARITIES + FEATURES, _IDS))
    if relation is not None and (table is not None or (ids is not None and "content_weight" not in root)):
        return f"a dict with {table or ids} and {relation}"
    marks = [key for key in (*_ENCODERS, TABLES[0], FEATURES[0]) if key in root]
    return f"a dict with {' and '.join(marks)}" if len(marks) >= 2 else None


def _held(root: dict[Any, Any], *keys: str) -> str | None:
    """The first of these keys that has a value."""
    return next((key for key in keys if root.get(key) is not None), None)


def _is_item_item(value: Any) -> bool:
    return is_record(value, *IMPLICIT) or (
        isinstance(value, Record) and value.module.startswith("implicit.") and "similarity" in value.attributes
    )


def pack(root: Any, options: Options) -> Bundle:
    """The bundle. Raises PackError: missing_keys, not_trained, corrupt_artifact, unknown_format (ids of a kind that is not served)."""
    if not isinstance(root, dict):
        return _pack_item_item(_neighbours(root), None, root.class_name)
    if _is_item_item(root.get("model")):
        require(root, _MODEL_KEYS)
        return _pack_item_item(_neighbours(root["model"]), root, root["model"].class_name)
    if matches(root) == "an item-item model saved by implicit":
        return _pack_item_item(_saved_by_implicit(root), None, "implicit.nearest_neighbours.ItemItemRecommender")
    return _pack_content(root, options)


# -- content ------------------------------------------------------------------------------------------------------------


def _pack_content(root: dict[Any, Any], options: Options) -> Bundle:
    table, similarity, features = first(root, *TABLES), first(root, *SIMILARITIES), first(root, *FEATURES)
    ids = first(root, *_IDS)
    missing = [] if table is not None or ids is not None else [TABLES[0]]
    if similarity is None and features is None:
        missing += [FEATURES[0], SIMILARITIES[0]]
    if missing:
        wanted = [TABLES[0]] if TABLES[0] in missing else []
        wanted += [f"{FEATURES[0]} or {SIMILARITIES[0]}"] if FEATURES[0] in missing else []
        raise PackError("missing_keys", f"the artifact lacks {' and '.join(wanted)}", missing=missing, found=sorted(map(str, root))[:100])
    what = str(_held(root, *SIMILARITIES, *FEATURES))
    rows, arrays, meta, sizes = _similarity(similarity, what) if similarity is not None else _features(features, what, options)
    vectorizer = first(root, *_ENCODERS, "model")
    details: dict[str, Any] = {"items": rows, **sizes, "model": vectorizer.class_name if isinstance(vectorizer, Record) else "content"}
    if table is not None:
        items = pack_items(table, str(_held(root, *TABLES)), rows, root.get("category_encoder"), options)
        arrays, meta = {**arrays, **items.arrays}, {**meta, **items.meta}
        details |= {"columns": items.columns, "categories": items.categories}
        if items.warnings:
            details["warnings"] = items.warnings
    else:
        packed, meta["item_ids"] = pack_row_ids("item_ids", row_ids(ids, root.get("idx_to_item"), rows, "the ids of the items"), rows)
        arrays.update(packed)
    return Bundle("neighbours", arrays, {**meta, "items": rows, "liked": "mean"}, details)


_Relation = tuple[int, dict[str, NDArray[Any]], dict[str, Any], dict[str, Any]]
"""Rows, arrays, metadata, details."""


def _similarity(matrix: Any, what: str) -> _Relation:
    rows, columns = _shape(matrix, what)
    if rows != columns:
        raise PackError("corrupt_artifact", f"{what} is {rows} x {columns}, not items x items")
    if is_sparse(matrix):
        cells = _cells(matrix, what)
        return rows, _arrays("similarity", cells), {"relation": "sparse similarity"}, {"neighbours": _longest(cells)}
    return rows, {"similarity": floats(Array(dense_matrix(matrix)), what)}, {"relation": "similarity"}, {"neighbours": rows}


def _features(matrix: Any, what: str, options: Options) -> _Relation:
    rows, columns = _shape(matrix, what)
    if not columns or columns > MOST_FEATURES:
        raise PackError("corrupt_artifact", f"{what} has {columns} features")
    scale = options.new_array((rows,), np.dtype(np.float64))
    if is_sparse(matrix):
        cells = _cells(matrix, what)
        _sparse_scale(cells, scale)
        arrays = {**_arrays("features", cells), "features.scale": scale}
        return rows, arrays, {"relation": "sparse features", "features": columns}, {"features": columns}
    dense = floats(Array(dense_matrix(matrix)), what)
    step = max(1, _CHUNK // columns)
    for begin in range(0, rows, step):
        part = dense[begin : begin + step].astype(np.float64)
        scale[begin : begin + step] = _inverse(np.sqrt((part * part).sum(axis=1)))
    return rows, {"features": dense, "features.scale": scale}, {"relation": "features"}, {"features": columns}


def _shape(matrix: Any, what: str) -> tuple[int, int]:
    shape = matrix_shape(matrix)
    if shape is None:
        raise PackError("corrupt_artifact", f"{what} is no matrix of numbers: {str(matrix)[:200]}")
    if not shape[0]:
        raise PackError("corrupt_artifact", f"{what} has no items")
    return shape


def _sparse_scale(cells: Csr, scale: NDArray[np.float64]) -> None:
    assert cells.data is not None  # noqa: S101  _cells reads them
    rows = cells.shape[0]
    lengths = np.zeros(rows)
    for begin in range(0, len(cells.indices), _CHUNK):
        part = cells.data[begin : begin + _CHUNK].astype(np.float64)
        owners = np.searchsorted(cells.indptr, np.arange(begin, begin + len(part)), side="right") - 1
        lengths += np.bincount(owners, part * part, rows)
    scale[:] = _inverse(np.sqrt(lengths))


def _inverse(lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / length, 0 for what has none: as sklearn's `normalize`, which leaves rows of zeros as they are."""
    return np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)


def _cells(matrix: Record, what: str) -> Csr:
    cells = sparse_matrix(matrix, what, with_data=True).ascending()
    if cells.data is not None and cells.data.dtype not in (np.float32, np.float64):
        cells = cells._replace(data=cells.data.astype(np.float32))
    return cells


def _arrays(name: str, cells: Csr) -> dict[str, NDArray[Any]]:
    assert cells.data is not None  # noqa: S101  _cells reads them
    return {f"{name}.indptr": cells.indptr, f"{name}.indices": cells.indices, f"{name}.data": cells.data}


def _longest(cells: Csr) -> int:
    return int(np.diff(cells.indptr).max()) if cells.shape[0] else 0


# -- implicit -----------------------------------------------------------------------------------------------------------


def _neighbours(model: Record) -> Csr:
    matrix = model.attributes.get("similarity")
    if matrix is None:
        raise PackError("not_trained", f"{model.class_name} has no similarities yet: it was saved before fit")
    if not is_sparse(matrix):
        raise PackError("corrupt_artifact", f"the similarity of {model.class_name} is no sparse matrix: {str(matrix)[:200]}")
    return _checked(_cells(matrix, "similarity"))


def _saved_by_implicit(root: dict[Any, Any]) -> Csr:
    """`ItemItemRecommender.save`: the parts of a CSR matrix by name."""
    shape = root["shape"].values
    if shape is None or shape.shape != (2,) or shape.dtype.kind not in "iu":
        raise PackError("corrupt_artifact", "the shape of the similarities is no pair of integers")
    matrix = record_class("scipy.sparse._csr", "csr_matrix")()
    matrix.state = {"_shape": tuple(shape.tolist()), **{name: root[name] for name in ("data", "indptr", "indices")}}
    return _checked(_cells(matrix, "similarity"))


def _checked(cells: Csr) -> Csr:
    if not cells.shape[0] or cells.shape[0] != cells.shape[1]:
        raise PackError("corrupt_artifact", f"the similarities are {cells.shape[0]} x {cells.shape[1]}, not items x items")
    return cells


def _pack_item_item(cells: Csr, root: dict[Any, Any] | None, model: str) -> Bundle:
    rows = cells.shape[0]
    arrays = _arrays("similarity", cells)
    meta: dict[str, Any] = {"relation": "neighbours", "items": rows, "liked": "sum"}
    details: dict[str, Any] = {"items": rows, "neighbours": _longest(cells), "model": model}
    ids = None if root is None else row_ids(root["item_id_map"], root.get("idx_to_item"), rows, "item_id_map")
    packed, meta["item_ids"] = pack_row_ids("item_ids", ids, rows)
    arrays.update(packed)
    if root is not None:
        users = _users(root, rows, arrays, meta)
        details |= {"users": users, "seen": True} if users else {}
        if not users and root.get("user_item_matrix") is not None:
            found = matrix_shape(root["user_item_matrix"])
            details["warnings"] = [f"user_item_matrix is {found or 'in a form that is not read'}, not users x {rows}: users are not known"]
    return Bundle("neighbours", arrays, meta, details)


def _users(root: dict[Any, Any], rows: int, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]) -> int:
    """Adds the users and what they have, weights included; 0 where the interactions are not there, or of another shape."""
    users = id_count(root["user_id_map"])
    seen = seen_items(root.get("user_item_matrix"), users, rows, with_data=True) if users else None
    if not users or seen is None or seen.data is None:
        return 0
    ids = row_ids(root["user_id_map"], root.get("idx_to_user"), users, "user_id_map")
    packed, meta["user_ids"] = pack_row_ids("user_ids", ids, users)
    arrays.update(packed)
    arrays |= {"seen.indptr": seen.indptr, "seen.indices": seen.indices, "seen.weights": seen.data}
    return users
