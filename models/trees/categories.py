"""Categorical features: values to codes, codes to the answers of the splits that ask them. numpy only; runs in the server.

Covers: what HistGradientBoosting's OrdinalEncoder and bitsets do at predict time, for categories that are numbers or
strings. Does not cover: numerical splits (`models.trees.walking`), reading the encoder (`models.trees.histogram`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import InvalidQuery
from models.bundle import BadBundle, Bundle

from .layout import CODES


class _Feature:
    """One categorical feature. values: the category of each code, None where values are codes themselves."""

    def __init__(self, column: int, values: list[Any] | None) -> None:
        self.column = column
        self.codes = None if values is None else {value: code for code, value in enumerate(values)}
        self.is_text = values is not None and any(isinstance(value, str) for value in values)

    def code(self, value: float) -> int:
        """The code of a number of the matrix; CODES where it is missing or unknown."""
        if self.codes is not None and not self.is_text:
            return self.codes.get(value, CODES)
        return int(value) if 0 <= value < CODES else CODES  # truncated, as sklearn's predictor does


class Categories:
    """The categorical features and splits of a bundle. Read-only and thread-safe."""

    def __init__(self, bundle: Bundle, features: int, names: Sequence[str] | None) -> None:
        """Raises models.bundle.BadBundle."""
        self._goes_right = bundle.array("goes_right", ndim=2, kinds="u")
        self._split_feature = bundle.array("split_feature", ndim=1, kinds="i", rows=len(self._goes_right))
        if self._goes_right.shape[1] != CODES + 1 or self._goes_right.itemsize != 1 or self._split_feature.itemsize != 8:
            raise BadBundle(f"the categorical splits' table is {self._goes_right.dtype} of shape {self._goes_right.shape}")
        self._features = _read(bundle, features)
        if not bundle.is_checked and len(self._split_feature):
            if int(self._split_feature.min()) < 0 or int(self._split_feature.max()) >= len(self._features):
                raise BadBundle("a categorical split asks a feature that is none")
            if int(self._goes_right.max()) > 1:
                raise BadBundle("a categorical split has a third side")
        self._width = features
        self._text = [(feature, names[feature.column] if names else None) for feature in self._features if feature.is_text]
        self._first = np.arange(len(self._split_feature), dtype=np.int64) * (CODES + 1)

    @property
    def splits(self) -> int:
        return len(self._split_feature)

    @property
    def text(self) -> frozenset[int]:
        """The columns whose categories are strings."""
        return frozenset(feature.column for feature, _ in self._text)

    def encode(self, instances: Sequence[Any]) -> Sequence[Any]:
        """The rows with numbers for strings in categorical features of strings; the rows themselves where there are none.

        Raises InvalidQuery for a number there. What is no row is left for the signature to refuse.
        """
        if not self._text or not isinstance(instances, list | tuple):
            return instances
        return [self._encode_row(at, row) for at, row in enumerate(instances)]

    def _encode_row(self, at: int, row: Any) -> Any:
        if not isinstance(row, list | tuple | Mapping) or (not isinstance(row, Mapping) and len(row) != self._width):
            return row
        encoded: Any = dict(row) if isinstance(row, Mapping) else list(row)
        for feature, name in self._text:
            key: Any = name if isinstance(row, Mapping) else feature.column
            if key is None or (isinstance(row, Mapping) and key not in row):
                continue
            value = row[key]
            if isinstance(value, bool | int | float):
                field = f"instances[{at}].{key}" if isinstance(row, Mapping) else f"instances[{at}][{key}]"
                raise InvalidQuery(field, "must be a string: the feature is a category")
            if value is None or isinstance(value, str):
                encoded[key] = None if feature.codes is None else feature.codes.get(value)
        return encoded

    def answers(self, matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
        """(rows, splits) uint8: 1 where a row of `matrix`, (rows, features), goes right."""
        codes = np.empty((len(matrix), len(self._features)), np.int64)
        for at, feature in enumerate(self._features):
            codes[:, at] = [feature.code(value) for value in matrix[:, feature.column].tolist()]
        cells = codes.take(self._split_feature, axis=1)
        cells += self._first
        return self._goes_right.reshape(-1).take(cells)


def _read(bundle: Bundle, features: int) -> list[_Feature]:
    text = bundle.array("categories", ndim=1, kinds="u")
    if text.itemsize != 1:
        raise BadBundle("the categories are not text")
    try:
        told = json.loads(text.tobytes())
    except (ValueError, RecursionError) as error:
        raise BadBundle("the categories are not JSON") from error
    if not isinstance(told, list):
        raise BadBundle("the categories are not a list")
    return [_feature(part, features) for part in told]


def _feature(told: Any, features: int) -> _Feature:
    column, values = (told.get("column"), told.get("values")) if isinstance(told, dict) else (None, None)
    if not isinstance(column, int) or isinstance(column, bool) or not 0 <= column < features:
        raise BadBundle("a categorical feature has no column")
    if values is not None and not (
        isinstance(values, list) and len(values) <= CODES and all(value is None or isinstance(value, str | int | float) for value in values)
    ):
        raise BadBundle("a categorical feature has no list of values")
    return _Feature(column, values)
