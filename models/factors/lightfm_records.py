"""LightFM models read from records: feature embeddings folded into one vector a user and an item. Child only.

Covers: a bare `LightFM` (one feature a row: identity features) and dicts around one with feature matrices (scipy sparse or
dense). Does not cover: ids and seen items (`models.factors.pack`), item metadata (`models.factors.metadata_records`).

LightFM's score of a user and an item is q_u . p_i + b_u + b_i, where q_u, p_i, b_u, b_i are sums over features of weight times
embedding (or bias): Kula 2015, section 3; `compute_representation` of lightfm/_lightfm_fast. Here users are [q_u, b_u, 1] and
items [p_i, 1, b_i], so that a score is one dot product.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.packing import NewArray, PackError, floats, numeric
from models.recommender_records import Csr, dense_cells, dense_matrix, is_sparse, sparse_matrix
from models.records import Record, is_record

from .derived import Factors

MODEL_KEYS = ("model", "lightfm_model")
_SLAB = 1 << 20
"""Products of weight and embedding that are held at once."""


def lightfm_of(root: Any) -> Record | None:
    """The LightFM model: the root itself, or what a dict has under one of MODEL_KEYS, else under any key."""
    if is_record(root, "LightFM"):
        found: Record = root
        return found
    if not isinstance(root, dict):
        return None
    values = [root.get(key) for key in MODEL_KEYS] + list(root.values())
    return next((value for value in values if isinstance(value, Record) and is_record(value, "LightFM")), None)


def mapping_of(root: dict[Any, Any], attribute: str) -> Any:
    """An id map of the `lightfm.data.Dataset` that a dict holds; None without one."""
    dataset = root.get("dataset")
    return dataset.attributes.get(attribute) if isinstance(dataset, Record) else None


def lightfm_factors(model: Record, root: dict[Any, Any], named: dict[str, int | None], new_array: NewArray) -> Factors:
    """Users and items of a model and its feature matrices, both float32 (rows, components + 2).

    named: how many ids the maps of "user" and "item" have, None without a map. Raises PackError: not_trained, missing_keys
    (all that lack), corrupt_artifact.
    """
    state = model.attributes
    names = [f"{side}_{part}" for side in ("user", "item") for part in ("embeddings", "biases")]
    missing = [name for name in names if name not in state]
    if not missing and any(state[name] is None for name in names):
        raise PackError("not_trained", "the LightFM model has no embeddings yet: it was saved before fit")
    rows = {} if missing else {side: len(floats(state[f"{side}_embeddings"], f"{side}_embeddings")) for side in ("user", "item")}
    for side, count in rows.items():
        of_features = root.get(f"{side}_features") is None
        if of_features and named[side] not in (None, count):
            missing.append(f"{side}_features")
    if missing:
        counts = {side: f"{named[side]} ids for {count} features" for side, count in rows.items() if f"{side}_features" in missing}
        said = "".join(f"; {side}s: {what}" for side, what in counts.items())
        found = sorted(map(str, root or state))[:100]
        raise PackError("missing_keys", f"the LightFM model lacks {', '.join(missing)}{said}", missing=missing, found=found)
    users, items = (_side(state, side, root.get(f"{side}_features"), new_array) for side in ("user", "item"))
    width = items.shape[1]
    if users.shape[1] != width:
        raise PackError("corrupt_artifact", f"users have {users.shape[1] - 2} components, items {width - 2}")
    return Factors(users, items, model.class_name, width - 2, width - 2, {"method": "mean", "tail": [0.0, 1.0]})


def _side(state: dict[Any, Any], side: str, features: Any, new_array: NewArray) -> NDArray[np.float32]:
    """[embedding, bias, 1] of users or [embedding, 1, bias] of items."""
    embeddings = floats(state[f"{side}_embeddings"], f"{side}_embeddings")
    biases = numeric(state[f"{side}_biases"], f"{side}_biases", ndim=1)
    count, components = embeddings.shape
    if len(biases) != count or not components:
        raise PackError("corrupt_artifact", f"{side}_embeddings of shape {embeddings.shape} stand beside {len(biases)} biases")
    matrix = None if features is None else _features(features, f"{side}_features", count)
    found = new_array((count if matrix is None else matrix.shape[0], components + 2), np.dtype(np.float32))
    bias_at = components if side == "user" else components + 1
    found[:, 2 * components + 1 - bias_at] = 1.0
    if matrix is None:
        found[:, :components], found[:, bias_at] = embeddings, biases
    else:
        fold(matrix, embeddings, found[:, :components])
        fold(matrix, biases[:, np.newaxis], found[:, bias_at : bias_at + 1])
    return found


def _features(features: Any, what: str, count: int) -> Csr:
    dense = dense_matrix(features)
    if dense is None and not is_sparse(features):
        raise PackError("corrupt_artifact", f"{what} is no matrix: {features!r}"[:200])
    matrix = sparse_matrix(features, what, with_data=True) if dense is None else dense_cells(dense, with_data=True)
    if matrix.shape[1] != count:
        raise PackError("corrupt_artifact", f"{what} has {matrix.shape[1]} columns, the model {count} features")
    return matrix


def fold(features: Csr, table: NDArray[Any], found: NDArray[Any]) -> None:
    """Write features @ table into `found` (rows, width), summed in float64 some cells at a time."""
    found[:] = 0.0
    step = max(1, _SLAB // table.shape[1])
    for begin in range(0, len(features.indices), step):
        end = min(begin + step, len(features.indices))
        weighted = table[features.indices[begin:end]].astype(np.float64)
        if features.data is not None:
            weighted *= features.data[begin:end, np.newaxis]
        first = int(np.searchsorted(features.indptr, begin, side="right")) - 1
        last = int(np.searchsorted(features.indptr, end, side="left"))
        bounds = np.clip(features.indptr[first : last + 1], begin, end).astype(np.int64) - begin
        filled = np.flatnonzero(bounds[1:] > bounds[:-1])
        found[first + filled] += np.add.reduceat(weighted, bounds[filled], axis=0)
