"""From a data set and what a trainer learned to a bundle that serves.

Covers: the interactions as a matrix (`Cells`), bundles of the families `factors` and `neighbours` straight from arrays: ids, item
columns and categories, seen items, and what their scorers want to find computed. Does not cover: learning (`training.trainers`),
writing bundles (`loaders.bundle_file`), bundles of artifacts of others (`models.packing`). Capped child only.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.columns import pack_columns
from models.confidence import LINEAR
from models.factors.derived import Factors, derive
from models.ids import pack_ids
from training.dataset.base import Dataset, Interactions

Arrays = dict[str, NDArray[Any]]


class Cells(NamedTuple):
    """A sparse matrix users x items by rows, as its three arrays; the columns of a row ascend and are distinct.

    indptr: (users + 1,) int64. indices: (n,) int32. weights: (n,) float32.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    weights: NDArray[np.float32]

    @classmethod
    def of(cls, interactions: Interactions, users: int, items: int) -> Self:
        """The matrix of these interactions. Weights of a pair that appears several times are added up (in float64)."""
        keys = interactions.users.astype(np.int64) * items + interactions.items
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1]))) if len(keys) else np.empty(0, np.int64)
        weights = np.add.reduceat(interactions.weights[order], starts, dtype=np.float64) if len(keys) else np.empty(0)
        keys = keys[starts]
        indptr = np.searchsorted(keys, np.arange(users + 1, dtype=np.int64) * items).astype(np.int64)
        return cls(indptr, (keys % max(1, items)).astype(np.int32), weights.astype(np.float32))


def factors_bundle(
    dataset: Dataset,
    user_factors: NDArray[Any],
    item_factors: NDArray[Any],
    *,
    seen: Cells,
    algorithm: str,
    fold_in: Mapping[str, Any] | None = None,
    embedding: int | None = None,
    compared: int | None = None,
    weighting: str = LINEAR,
    details: Mapping[str, Any] | None = None,
) -> Bundle:
    """A bundle of the family `factors`: the score of a user and an item is the dot product of their rows.

    user_factors: (users, f) and item_factors: (items, f), both float32 or both float64, rows as in `dataset`. An item whose
    row is NaN has no score and is never answered; it may be asked about like any other. fold_in: how someone new gets a vector
    (`models.factors.fold_in`), None for least squares. embedding: leading columns that are no biases; compared: those that
    cosines of similar items are made of (0: items are not compared); None for all. weighting: how the weights of `seen` were made,
    so that what users do later counts likewise (`models.confidence`). details: more for status pages.
    """
    users, items, width = len(dataset.user_ids), len(dataset.item_ids), item_factors.shape[1]
    if user_factors.shape != (users, width) or item_factors.shape != (items, width):
        raise ValueError(f"factors of shapes {user_factors.shape} and {item_factors.shape} for {users} users and {items} items")
    embedding = width if embedding is None else embedding
    compared = embedding if compared is None else compared
    user_factors, item_factors = np.ascontiguousarray(user_factors), np.ascontiguousarray(item_factors)
    derived, plan = derive(Factors(user_factors, item_factors, algorithm, embedding, compared, None if fold_in is None else dict(fold_in)))
    arrays: Arrays = {"user_factors": user_factors, "item_factors": item_factors, **derived}
    meta: dict[str, Any] = {"fold_in": plan, "widths": {"embedding": embedding, "compared": compared}, "weights": weighting}
    _add_seen(arrays, seen, users, leave_out_ones=True)
    told = _add_entities(arrays, meta, dataset)
    sizes = {"users": users, "items": items, "factors": embedding, "seen": True, "fold_in": plan["method"]}
    return Bundle("factors", arrays, meta, {**sizes, **told, **_origin(algorithm), **(details or {})})


def neighbours_bundle(
    dataset: Dataset,
    relation: str,
    relation_arrays: Mapping[str, NDArray[Any]],
    *,
    liked: str,
    seen: Cells | None,
    algorithm: str,
    features: int | None = None,
    weighting: str = LINEAR,
    details: Mapping[str, Any] | None = None,
) -> Bundle:
    """A bundle of the family `neighbours`: a score is what someone's items add up to, by how alike items are.

    relation: "similarity", "weights", "sparse similarity", "neighbours", "features" or "sparse features", with the arrays it
    wants (`models.neighbours.relations`), rows as in `dataset`; sparse features want their number in `features`. liked: "mean" or
    "sum" of several. seen: what users have and how much each counts, None for a model that knows no users. weighting: see above.
    """
    arrays: Arrays = {name: np.ascontiguousarray(array) for name, array in relation_arrays.items()}
    meta: dict[str, Any] = {"relation": relation, "items": len(dataset.item_ids), "liked": liked, "weights": weighting}
    if features is not None:
        meta["features"] = features
    sizes: dict[str, Any] = {"items": len(dataset.item_ids)}
    if seen is not None:
        _add_seen(arrays, seen, len(dataset.user_ids), leave_out_ones=False)
        sizes |= {"users": len(dataset.user_ids), "seen": True}
    told = _add_entities(arrays, meta, dataset, with_users=seen is not None)
    return Bundle("neighbours", arrays, meta, {**sizes, **told, **_origin(algorithm), **(details or {})})


def _add_seen(arrays: Arrays, seen: Cells, users: int, *, leave_out_ones: bool) -> None:
    if len(seen.indptr) != users + 1:
        raise ValueError(f"seen items of {len(seen.indptr) - 1} users where there are {users}")
    arrays |= {"seen.indptr": seen.indptr, "seen.indices": seen.indices}
    if not (leave_out_ones and bool(np.all(seen.weights == 1))):
        arrays["seen.weights"] = seen.weights


def _add_entities(arrays: Arrays, meta: dict[str, Any], dataset: Dataset, *, with_users: bool = True) -> dict[str, Any]:
    """Ids, columns and categories; the details that tell of them."""
    for name, ids in (("user_ids", dataset.user_ids), ("item_ids", dataset.item_ids)):
        if with_users or name == "item_ids":
            packed, meta[name] = pack_ids(name, ids)
            arrays |= packed
    if dataset.items is None:
        return {}
    has_categories = any(dataset.items.categories)
    packed, columns = pack_columns(dataset.items.columns, dataset.items.categories if has_categories else None)
    arrays |= packed
    meta["columns"] = columns
    told: dict[str, Any] = {"columns": [entry["name"] for entry in columns if entry["shown"]]}
    if has_categories:
        told["categories"] = len({category for each in dataset.items.categories for category in each})
    return told


def _origin(algorithm: str) -> dict[str, str]:
    return {
        "model": algorithm,
        "algorithm": algorithm,
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
