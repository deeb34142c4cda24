"""HistGradientBoosting's categories: how its trees number the features, and its categorical splits as columns. Runs in the capped child.

Covers: the OrdinalEncoder before the trees, its categories of numbers or strings, the bitsets of the splits. Does not cover:
answering such a split (`models.trees.categories`).
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.packing import PackError, numeric
from models.records import Array, Record, is_record

from .layout import CODES


class Features(NamedTuple):
    """How the trees number the features. order: (features,) int64, the caller's column of each of theirs.

    categorical: of theirs, which are categories, ascending. known: (categorical, 256) bool, the codes seen in training.
    values: the category of each code, a list a categorical feature; None where values are codes.
    """

    order: NDArray[np.int64]
    categorical: NDArray[np.int64]
    known: NDArray[np.bool_]
    values: list[list[Any] | None]


def read_features(state: dict[str, Any], width: int) -> Features:
    """From `is_categorical_`, the OrdinalEncoder and the bin mapper. Raises PackError."""
    order = np.arange(width, dtype=np.int64)
    none = np.zeros(0, np.int64)
    if state.get("is_categorical_") is None:
        return Features(order, none, np.zeros((0, CODES), np.bool_), [])
    is_categorical = numeric(state["is_categorical_"], "is_categorical_", ndim=1)
    if is_categorical.shape != (width,) or is_categorical.dtype.kind != "b":
        raise PackError("corrupt_artifact", f"is_categorical_ is not a flag for each of the {width} features")
    columns = np.flatnonzero(is_categorical)
    encoder = _encoder(state.get("_preprocessor"))
    mapper = state.get("_bin_mapper")
    thresholds = mapper.attributes.get("bin_thresholds_") if isinstance(mapper, Record) else None
    if not isinstance(thresholds, list) or len(thresholds) != width:
        raise PackError("corrupt_artifact", f"_bin_mapper does not know {width} features")
    # The encoder's output has the categorical features first.
    theirs = columns if encoder is None else np.arange(len(columns))
    known = np.zeros((len(columns), CODES), np.bool_)
    for at, position in enumerate(theirs.tolist()):
        codes = numeric(thresholds[position], f"the categories of feature {columns[at]}", ndim=1)
        if len(codes) and not (float(codes.min()) >= 0 and float(codes.max()) < CODES):
            raise PackError("corrupt_artifact", f"feature {columns[at]} has a category outside 0 to {CODES - 1}")
        known[at, codes.astype(np.int64)] = True
    if encoder is None:
        return Features(order, columns, known, [None] * len(columns))
    categories = encoder.attributes.get("categories_")
    if not isinstance(categories, list) or len(categories) != len(columns):
        raise PackError("corrupt_artifact", f"the encoder does not list the categories of {len(columns)} features")
    order = np.concatenate((columns, np.flatnonzero(~is_categorical)))
    return Features(order, theirs, known, [_values(part, int(column)) for part, column in zip(categories, columns, strict=True)])


def _encoder(preprocessor: Any) -> Record | None:
    """The OrdinalEncoder in the ColumnTransformer; None where there was none, before sklearn 1.4. Raises PackError."""
    if preprocessor is None:
        return None
    steps = preprocessor.attributes.get("transformers_") if is_record(preprocessor, "ColumnTransformer") else None
    for step in steps if isinstance(steps, list) else ():
        if isinstance(step, tuple) and len(step) == 3 and step[0] == "encoder" and is_record(step[1], "OrdinalEncoder"):
            encoder: Record = step[1]
            return encoder
    raise PackError("corrupt_artifact", "the categories' encoder is not there")


def _values(value: Any, column: int) -> list[Any]:
    """The categories of one feature as JSON values, in the order of their codes; missing, the last, is left out. Raises PackError."""
    values = value.to_list() if isinstance(value, Array) and len(value.shape) == 1 else None
    if values is not None and values and isinstance(values[-1], float) and values[-1] != values[-1]:
        values = values[:-1]
    if values is None or len(values) > CODES or not all(part is None or isinstance(part, str | int | float) for part in values):
        raise PackError("corrupt_artifact", f"feature {column} has no list of at most {CODES} categories")
    return values


class CategoricalSplits:
    """Categorical splits as further columns, in the order in which trees name them."""

    def __init__(self, features: Features) -> None:
        self._features = features
        self._of_column = np.full(len(features.order), -1, np.int64)
        self._of_column[features.categorical] = np.arange(len(features.categorical))
        self._goes_right: list[NDArray[np.uint8]] = []
        self._split_feature: list[NDArray[np.int64]] = []
        self.count = 0

    def columns(self, tree: Record, nodes: NDArray[Any], what: str) -> NDArray[np.int64]:
        """(n,) of `layout`'s columns; 0 for leaves. Adds the tree's categorical splits. Raises PackError(corrupt_artifact)."""
        width = len(self._features.order)
        is_leaf = nodes["is_leaf"] != 0
        feature = np.where(is_leaf, 0, nodes["feature_idx"]).astype(np.int64)
        if int(feature.min()) < 0 or int(feature.max()) >= width:
            raise PackError("corrupt_artifact", f"{what} asks for a feature outside its {width}")
        goes_left = nodes["missing_go_to_left"] != 0
        column: NDArray[np.int64] = self._features.order[feature] + goes_left * width
        column[is_leaf] = 0
        asks = np.flatnonzero((nodes["is_categorical"] != 0) & ~is_leaf)
        if not len(asks):
            return column
        which = self._of_column[feature[asks]]
        bitsets = numeric(tree.attributes.get("raw_left_cat_bitsets"), f"{what}.raw_left_cat_bitsets", ndim=2)
        at = nodes["bitset_idx"][asks].astype(np.int64)
        if (
            bitsets.shape[1] * 32 != CODES
            or bitsets.dtype != np.uint32
            or int(at.min()) < 0
            or int(at.max()) >= len(bitsets)
            or (which < 0).any()
        ):
            raise PackError("corrupt_artifact", f"{what} has a categorical split without its categories")
        bits = (bitsets[at][:, :, np.newaxis] >> np.arange(32, dtype=np.uint32)) & np.uint32(1)
        is_left = bits.reshape(len(asks), CODES) != 0
        right = np.empty((len(asks), CODES + 1), np.uint8)
        # A code that no bitset knows goes where missing goes.
        missing_right = ~goes_left[asks]
        right[:, :CODES] = np.where(is_left, False, np.where(self._features.known[which], True, missing_right[:, np.newaxis]))
        right[:, CODES] = missing_right
        column[asks] = 2 * width + self.count + np.arange(len(asks))
        self._goes_right.append(right)
        self._split_feature.append(which)
        self.count += len(asks)
        return column

    def arrays(self) -> dict[str, NDArray[Any]]:
        """By the names of `layout`; {} where no feature is categorical."""
        if not len(self._features.categorical):
            return {}
        told = [
            {"column": int(self._features.order[position]), "values": values}
            for position, values in zip(self._features.categorical, self._features.values, strict=True)
        ]
        try:
            text = json.dumps(told, separators=(",", ":"), allow_nan=False).encode()
        except ValueError as error:
            raise PackError("corrupt_artifact", "a category is not a finite number") from error
        return {
            "goes_right": np.concatenate([np.empty((0, CODES + 1), np.uint8), *self._goes_right]),
            "split_feature": np.concatenate([np.empty(0, np.int64), *self._split_feature]),
            "categories": np.frombuffer(text, np.uint8),
        }
