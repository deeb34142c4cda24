"""The record of a fitted sklearn estimator: what every estimator tells of itself. Child only.

Covers: `unwrap` (the estimator in a dict), its width, feature names and classes, each checked. Does not cover: coefficients
and trees (each family's `pack.py`), rows (`models.estimator`).
"""

from __future__ import annotations

from math import prod
from typing import Any

from .estimator import WRAPPER_KEYS, Signature, is_label, is_text
from .packing import PackError
from .records import Array, Record, is_index, is_record


def unwrap(root: Any) -> Record | None:
    """The estimator: `root` itself, or the first object that a dict has under one of WRAPPER_KEYS. None if there is none."""
    if isinstance(root, Record):
        return root
    if isinstance(root, dict):
        return next((root[key] for key in WRAPPER_KEYS if isinstance(root.get(key), Record)), None)
    return None


def is_sklearn(value: Any, *names: str) -> bool:
    """Whether `value` is an instance of a sklearn class with one of these names (of another library's it may mean anything)."""
    return is_record(value, *names) and value.module.partition(".")[0] == "sklearn"


def require(estimator: Record, *names: str) -> dict[str, Any]:
    """The attributes, among them all of `names`.

    Raises PackError: not_trained where nothing that a fit leaves behind (`..._`) is there, missing_keys (all of them) otherwise.
    """
    state = estimator.attributes
    missing = [name for name in names if name not in state]
    if missing:
        if not any(map(_is_fitted_name, state)):
            raise PackError("not_trained", f"{estimator.class_name} is not fitted: it has no {', '.join(missing)}")
        found = sorted(map(str, state))[:100]
        raise PackError("missing_keys", f"{estimator.class_name} lacks {', '.join(missing)}", missing=missing, found=found)
    return state


def as_number(value: Any, what: str) -> int | float:
    """A Python number, which a float64 can hold, of a number or a 0-d (or one-element) array. Raises PackError(corrupt_artifact)."""
    if isinstance(value, Array) and value.values is not None and value.values.size == 1 and value.values.dtype.kind in "biuf":
        value = value.values.reshape(-1)[0].item()
    if not isinstance(value, int | float):
        raise PackError("corrupt_artifact", f"{what} is not a number: {value!r}"[:200])
    if isinstance(value, int) and value.bit_length() > 1023:
        raise PackError("corrupt_artifact", f"{what} is a number of {value.bit_length()} bits")
    return value


def features_of(estimator: Record) -> int | None:
    """n_features_in_, None where the estimator does not say (fitted before sklearn 0.24). Raises PackError(corrupt_artifact)."""
    value = estimator.attributes.get("n_features_in_")
    if value is None:
        return None
    if not is_index(value) or not 0 < value < 1 << 31:
        raise PackError("corrupt_artifact", f"n_features_in_ of {estimator.class_name} is {value!r}"[:200])
    return int(value)


def names_of(estimator: Record, features: int) -> tuple[str, ...] | None:
    """feature_names_in_, None where it was fitted without names or two columns had one name. Raises PackError(corrupt_artifact)."""
    value = estimator.attributes.get("feature_names_in_")
    if value is None:
        return None
    names = value.to_list() if isinstance(value, Array) and len(value.shape) == 1 else value
    if not (isinstance(names, list) and len(names) == features and all(map(is_text, names))):
        raise PackError("corrupt_artifact", f"feature_names_in_ of {estimator.class_name} does not name its {features} features")
    return tuple(names) if len(set(names)) == features else None


def classes_of(value: Any, what: str = "classes_") -> tuple[Any, ...]:
    """Labels as JSON values, (labels,) or, of a list of arrays (one an output), a tuple of tuples. Raises PackError.

    unknown_format where JSON cannot say a label (bytes, None, NaN); corrupt_artifact for what holds no labels at all.
    """
    if isinstance(value, list) and value and all(isinstance(part, Array) for part in value):
        return tuple(_labels(part, f"{what}[{at}]") for at, part in enumerate(value))
    return _labels(value, what)


def _labels(value: Any, what: str) -> tuple[Any, ...]:
    labels: Any = value
    if isinstance(value, Array):
        if len(value.shape) != 1 or prod(value.shape) != len(value.to_list()):
            raise PackError("corrupt_artifact", f"{what} is an array of shape {value.shape}")
        labels = value.to_list()
    if not isinstance(labels, list) or not labels:
        raise PackError("corrupt_artifact", f"{what} holds no labels")
    for label in labels:
        if not is_label(label):
            raise PackError("unknown_format", f"{what} has a label that JSON cannot say: {label!r}"[:200])
    return tuple(labels)


def is_one_label(classes: Any) -> bool:
    """Whether `classes_` holds a single label: what sklearn makes of that differs from class to class."""
    return isinstance(classes, Array) and classes.shape == (1,)


def signature_of(estimator: Record, features: int, **known: Any) -> Signature:
    """The signature of an estimator whose arrays are `features` wide; `known` are Signature's further fields. Raises PackError.

    Names come from the estimator itself: of a Pipeline pass the first step that has some.
    """
    told = features_of(estimator)
    if told is not None and told != features:
        raise PackError("corrupt_artifact", f"{estimator.class_name} says {told} features, its arrays are {features} wide")
    return Signature(features, names_of(estimator, features), **known)


def left_aside(root: Any) -> list[str]:
    """What to warn of: fitted objects beside the estimator in its dict (a scaler, a vectoriser), which are not applied to rows."""
    if not isinstance(root, dict):
        return []
    estimator = unwrap(root)
    others = [
        f"{key} ({value.name})"
        for key, value in root.items()
        if isinstance(value, Record) and value is not estimator and any(_is_fitted_name(name) for name in value.attributes)
    ]
    return [f"beside the model lies {', '.join(others)[:500]}: rows must come as the model itself takes them"] if others else []


def _is_fitted_name(name: Any) -> bool:
    """Whether sklearn would say that an attribute of this name comes from a fit."""
    return isinstance(name, str) and name.endswith("_") and not name.startswith("_")
