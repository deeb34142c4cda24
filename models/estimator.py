"""What an estimator takes and how rows of JSON become a matrix. numpy only, both halves.

Covers: the signature (width, names, missing values, classes), how it travels in a bundle, and the checks of `instances`
against it. Does not cover: predicting (each family's `score.py`), reading a pickled estimator (`models.estimator_records`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import isfinite
from types import NoneType
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from .base import InvalidQuery
from .bundle import BadBundle, Bundle

WRAPPER_KEYS = ("model", "estimator", "classifier", "regressor", "pipeline")
"""Keys of a dict under which people save an estimator, beside a date, metrics and the like."""

_NUMBERS = frozenset((int, float, bool, NoneType))
_FLOAT32_LIMIT = (2.0 - 2.0**-24) * 2.0**127
"""The smallest magnitude that rounds to an infinite float32."""
_META_CHARACTERS = 8 << 10
"""A longer signature travels as an array: the header of a segment is 64 KiB for everything."""
_DETAILS_CHARACTERS = 4 << 10
_NAMED = 100
"""Names told of in one message."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What goes in and what comes out; JSON in `meta["signature"]`, or in the array "signature" where that would be long.

    features: columns of a row; 0 where the model does not say: rows need only be as wide as the first one then. names:
    feature_names_in_, or None. takes_nan: whether a missing value (null) is allowed. takes_text: whether a value may be a
    string (hosted pipelines). classes: the labels; with several outputs a tuple of labels each; None for a regressor.
    outputs: values predicted a row. float32_range: whether values are cast to float32, so that larger ones are refused.
    """

    features: int
    names: tuple[str, ...] | None = None
    takes_nan: bool = False
    takes_text: bool = False
    classes: tuple[Any, ...] | None = None
    outputs: int = 1
    float32_range: bool = False
    _columns: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_columns", {name: column for column, name in enumerate(self.names or ())})

    # -- in a bundle --------------------------------------------------------------------------------------------------

    def to_meta(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "features": self.features,
            "names": None if self.names is None else list(self.names),
            "takes_nan": self.takes_nan,
            "takes_text": self.takes_text,
            "classes": _as_lists(self.classes),
            "outputs": self.outputs,
            "float32_range": self.float32_range,
        }

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> Signature:
        """From `to_meta`. Raises models.bundle.BadBundle."""
        if not isinstance(meta, Mapping):
            raise BadBundle("the signature is not an object")
        features, outputs, names, classes = (meta.get(key) for key in ("features", "outputs", "names", "classes"))
        flags = {key: meta.get(key) for key in ("takes_nan", "takes_text", "float32_range")}
        if not (_is_count(features, least=0) and _is_count(outputs, least=1) and all(isinstance(flag, bool) for flag in flags.values())):
            raise BadBundle("the signature is malformed")
        if names is not None:
            if not (isinstance(names, list) and len(names) == features and all(map(is_text, names))):
                raise BadBundle("the signature does not name each feature")
            if len(set(names)) != len(names):
                raise BadBundle("the signature names a feature twice")
        if classes is not None:
            each = classes if outputs != 1 else [classes]
            if not (isinstance(classes, list) and len(each) == outputs and all(_are_labels(labels) for labels in each)):
                raise BadBundle("the signature does not list the classes of each output")
            classes = tuple(map(tuple, classes)) if outputs != 1 else tuple(classes)
        return cls(features, None if names is None else tuple(names), classes=classes, outputs=outputs, **flags)  # type: ignore[arg-type]

    def to_bundle(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """(arrays, meta) for a pack to merge into its own; `of_bundle` reads them. Raises ValueError for a label that is no JSON."""
        text = json.dumps(self.to_meta(), separators=(",", ":"), allow_nan=False)
        if len(text) <= _META_CHARACTERS:
            return {}, {"signature": self.to_meta()}
        return {"signature": np.frombuffer(text.encode(), np.uint8)}, {}

    @classmethod
    def of_bundle(cls, bundle: Bundle) -> Signature:
        """What `to_bundle` put there. Raises models.bundle.BadBundle."""
        if "signature" in bundle.meta:
            return cls.from_meta(bundle.meta["signature"])
        text = bundle.array("signature", ndim=1, kinds="u")
        if text.itemsize != 1:
            raise BadBundle("the signature is not text")
        try:
            return cls.from_meta(json.loads(text.tobytes()))
        except (ValueError, RecursionError) as error:
            raise error if isinstance(error, BadBundle) else BadBundle("the signature is not JSON") from error

    def details(self) -> dict[str, Any]:
        """What a status page shows: {"features", "outputs", "feature_names"?, "classes"?}; long lists are cut and end in "...".

        At most 8 KiB of JSON.
        """
        shown: dict[str, Any] = {"features": self.features, "outputs": self.outputs}
        if self.names is not None:
            shown["feature_names"] = _cut(self.names)
        if self.classes is not None:
            shown["classes"] = _cut(_as_lists(self.classes) or ())
        return shown

    # -- rows ---------------------------------------------------------------------------------------------------------

    def matrix(self, instances: Sequence[Any]) -> NDArray[np.float64]:
        """(rows, features) float64, C-contiguous, of rows given as lists or as objects by name; null is NaN, true is 1.

        Raises InvalidQuery, its field "instances", "instances[3]" or "instances[3].age" / "instances[3][2]": no rows, not a
        row, ragged, another width, a name missing or unknown, not a number, null where the model takes none, infinite or
        beyond float64 (beyond float32 where `float32_range`).
        """
        return self._numbers(self._lists(instances), instances)

    def rows(self, instances: Sequence[Any]) -> list[list[Any]]:
        """The same as lists of JSON values in the order of the features, for a model that is not made of arrays.

        Rows that are lists are not copied. Raises InvalidQuery as `matrix`; a string is one only where `takes_text` is False.
        """
        lists = self._lists(instances)
        if self.takes_text and str in set(map(type, chain.from_iterable(lists))):
            self._numbers([[0.0 if type(value) is str else value for value in row] for row in lists], instances)
        else:
            self._numbers(lists, instances)
        return lists

    def _lists(self, instances: Sequence[Any]) -> list[list[Any]]:
        """Each row as a list as wide as the model."""
        if not isinstance(instances, list | tuple):
            raise InvalidQuery("instances", "must be a list of rows")
        if not instances:
            raise InvalidQuery("instances", "has no rows")
        width = self.features or (len(instances[0]) if isinstance(instances[0], list | tuple) else 0)
        if all(type(row) is list and len(row) == width for row in instances) and width:
            return list(instances)
        return [self._list(at, row, width) for at, row in enumerate(instances)]

    def _list(self, at: int, row: Any, width: int) -> list[Any]:
        if isinstance(row, Mapping):
            return self._by_name(at, row)
        if not isinstance(row, list | tuple):
            raise InvalidQuery(f"instances[{at}]", f"must be a list of numbers or an object by feature name, not {_kind(row)}")
        if len(row) != width or not width:
            names = f" ({_listed(self.names)})" if self.names else ""
            wanted = f"the model takes {width}{names}" if self.features else f"the first row has {width}"
            raise InvalidQuery(f"instances[{at}]", f"has {len(row)} values, {wanted}")
        return list(row)

    def _by_name(self, at: int, row: Mapping[Any, Any]) -> list[Any]:
        if self.names is None:
            raise InvalidQuery(f"instances[{at}]", "is an object, but the model knows no feature names: send lists")
        unknown = [name for name in row if name not in self._columns]
        missing = [name for name in self.names if name not in row]
        if unknown:
            told = f"the model has no feature {_listed(unknown)}" + (f"; and the row lacks {_listed(missing)}" if missing else "")
            raise InvalidQuery(f"instances[{at}].{str(unknown[0])[:80]}", told)
        if missing:
            raise InvalidQuery(f"instances[{at}]", f"lacks {_listed(missing)}")
        return [row[name] for name in self.names]

    def _numbers(self, lists: list[list[Any]], instances: Sequence[Any]) -> NDArray[np.float64]:
        odd = {kind for kind in set(map(type, chain.from_iterable(lists))) - _NUMBERS if not issubclass(kind, int | float)}
        if odd:
            row, column = _first(lists, lambda value: type(value) in odd)
            wanted = "a number or a string" if self.takes_text else "a number"
            self._refuse(instances, row, column, f"must be {wanted}, not {_kind(lists[row][column])}")
        try:
            matrix = np.array(lists, np.float64)
        except OverflowError:
            row, column = _first(lists, _overflows)
            self._refuse(instances, row, column, "is too large for a float64")
        if (np.abs(matrix) < (_FLOAT32_LIMIT if self.float32_range else np.inf)).all():
            return matrix
        is_wrong = ~np.isfinite(matrix)
        if is_wrong.any():
            if self.takes_nan:
                is_wrong &= ~np.isnan(matrix)
            if is_wrong.any():
                row, column = divmod(int(is_wrong.argmax()), matrix.shape[1])
                is_null = bool(np.isnan(matrix[row, column]))
                self._refuse(instances, row, column, "is missing, but the model takes no missing values" if is_null else "is not finite")
        if self.float32_range:
            is_wrong = np.abs(matrix) >= _FLOAT32_LIMIT
            if is_wrong.any():
                row, column = divmod(int(is_wrong.argmax()), matrix.shape[1])
                self._refuse(instances, row, column, "is too large for a float32, in which the model computes")
        return matrix

    def _refuse(self, instances: Sequence[Any], row: int, column: int, message: str) -> NoReturn:
        by_name = isinstance(instances[row], Mapping) and self.names is not None
        raise InvalidQuery(f"instances[{row}].{self.names[column]}" if by_name and self.names else f"instances[{row}][{column}]", message)


def is_label(value: Any) -> bool:
    """Whether an answer can say this class: text, a bool, an int of 64 bits or a finite float."""
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 64
    return is_text(value) or (isinstance(value, float) and isfinite(value))


def is_text(value: Any) -> bool:
    """Whether it is a string that UTF-8 can say: a forged one may hold halves of surrogate pairs."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _are_labels(labels: Any) -> bool:
    return isinstance(labels, list) and len(labels) > 0 and all(map(is_label, labels))


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 1 << 40


def _as_lists(classes: tuple[Any, ...] | None) -> list[Any] | None:
    return None if classes is None else [list(labels) if isinstance(labels, tuple) else labels for labels in classes]


def _cut(values: Iterable[Any]) -> list[Any]:
    """As many as fit into 4 KiB of JSON, then "..."."""
    shown: list[Any] = []
    left = _DETAILS_CHARACTERS
    for value in values:
        left -= len(json.dumps(value)) + 2
        if left < 0:
            return [*shown, "..."]
        shown.append(value)
    return shown


def _first(lists: list[list[Any]], is_wrong: Any) -> tuple[int, int]:
    """Row and column of the first such value; there is one."""
    return next((at, column) for at, row in enumerate(lists) for column, value in enumerate(row) if is_wrong(value))


def _overflows(value: Any) -> bool:
    try:
        float(0 if value is None else value)
    except OverflowError:
        return True
    return False


def _kind(value: Any) -> str:
    """What JSON calls it."""
    names = {str: "a string", bool: "a boolean", int: "a number", float: "a number", NoneType: "null"}
    return names.get(type(value), "an object" if isinstance(value, Mapping) else "a list")


def _listed(names: Iterable[Any]) -> str:
    told = [str(name)[:80] for name in names]
    return ", ".join(told[:_NAMED]) + (f" and {len(told) - _NAMED} more" if len(told) > _NAMED else "")


__all__ = ["WRAPPER_KEYS", "InvalidQuery", "Signature", "is_label", "is_text"]
