"""The transformers of a Pipeline that a linear model may stand behind, from records to steps. Child only.

Covers: StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler, Normalizer, SimpleImputer of numbers (without indicator
columns), "passthrough", nested Pipelines. Does not cover: carrying them out (`models.linear.steps`), any other transformer
(a Pipeline with one is not of this family).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.estimator_records import as_number, features_of, is_sklearn, require
from models.packing import PackError, numeric
from models.records import Array, DType, Malformed, Record

SCALERS = ("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler", "Normalizer")
_MAX_PARTS = 300
"""Steps, Pipelines and passthroughs of one Pipeline that are looked at."""
_WIDTH_ARRAYS = ("statistics_", "scale_", "mean_", "center_", "coef_")


def flatten(root: Any) -> list[Record] | None:
    """The steps of a Pipeline in order, nested ones unfolded, passthroughs left out; [root] where it is none.

    None where a step is no object, or where there are more than anybody has: a forged Pipeline may hold itself.
    """
    flat: list[Record] = []
    ahead = [root]
    for _ in range(_MAX_PARTS):
        if not ahead:
            return flat
        part = ahead.pop()
        if part is None or part == "passthrough":
            continue
        if not isinstance(part, Record):
            return None
        if not is_sklearn(part, "Pipeline"):
            flat.append(part)
            continue
        steps = part.attributes.get("steps")
        if not isinstance(steps, list) or len(steps) > _MAX_PARTS:
            return None
        if not all(isinstance(step, tuple | list) and len(step) == 2 for step in steps):
            return None
        ahead += [step[1] for step in reversed(steps)]
    return None


def is_step(value: Record) -> bool:
    """Whether this transformer is one of those covered, as it is set up."""
    if is_sklearn(value, *SCALERS):
        return True
    if not is_sklearn(value, "SimpleImputer"):
        return False
    state = value.attributes
    missing = state.get("missing_values")
    if state.get("add_indicator") or isinstance(missing, bool) or not isinstance(missing, int | float):
        return False
    return "statistics_" not in state or (_is_numeric(state.get("_fill_dtype")) and _statistics(state["statistics_"]) is not None)


@dataclass(slots=True)
class Steps:
    """What comes before the coefficients: `meta` for `models.linear.steps`, the arrays it names, and how wide rows are.

    takes_nan: whether a row may have a missing value, which an imputer then fills.
    """

    features: int
    width: int
    takes_nan: bool = False
    meta: list[dict[str, Any]] = field(default_factory=list)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    is_nan_gone: bool = False

    def add(self, op: str, values: NDArray[Any]) -> None:
        """An operation with one value a column, in place."""
        name = f"step{len(self.meta)}.{op}"
        self.arrays[name] = values
        self.meta.append({"op": op, "by": name})


def read_steps(transformers: list[Record], estimator: Record) -> Steps:
    """The steps of fitted transformers. Raises PackError: not_trained, missing_keys, corrupt_artifact."""
    known = (_width_of(part) for part in (*transformers, estimator))
    features = next((width for width in known if width is not None), None)
    if not features:
        raise PackError("not_trained", f"{estimator.class_name} does not say how many features it takes: it is not fitted")
    steps = Steps(features, features)
    for each in transformers:
        told = features_of(each)
        if told is not None and told != steps.width:
            raise PackError("corrupt_artifact", f"{each.class_name} takes {told} columns, but {steps.width} arrive there")
        _READERS[each.name.rpartition(".")[2]](each, steps)
    return steps


def _width_of(part: Record) -> int | None:
    told = features_of(part)
    if told is not None:
        return told
    for name in _WIDTH_ARRAYS:
        value = part.attributes.get(name)
        if isinstance(value, Array) and value.shape:
            return value.shape[-1]
    return None


def _standard(scaler: Record, steps: Steps) -> None:
    """(x - mean_) / scale_: sklearn.preprocessing.StandardScaler.transform."""
    state = require(scaler, "with_mean", "with_std")
    if state["with_mean"]:
        steps.add("subtract", _columns(scaler, "mean_", steps.width))
    if state["with_std"]:
        steps.add("divide", _columns(scaler, "scale_", steps.width))


def _robust(scaler: Record, steps: Steps) -> None:
    """(x - center_) / scale_: sklearn.preprocessing.RobustScaler.transform."""
    state = require(scaler, "with_centering", "with_scaling")
    if state["with_centering"]:
        steps.add("subtract", _columns(scaler, "center_", steps.width))
    if state["with_scaling"]:
        steps.add("divide", _columns(scaler, "scale_", steps.width))


def _min_max(scaler: Record, steps: Steps) -> None:
    """x * scale_ + min_, clipped where it was asked for: sklearn.preprocessing.MinMaxScaler.transform."""
    state = require(scaler, "feature_range")
    steps.add("multiply", _columns(scaler, "scale_", steps.width))
    steps.add("add", _columns(scaler, "min_", steps.width))
    if state.get("clip"):
        bounds = state["feature_range"]
        if not (isinstance(bounds, tuple | list) and len(bounds) == 2):
            raise PackError("corrupt_artifact", "feature_range of MinMaxScaler is not a pair")
        steps.meta.append({"op": "clip", "low": _finite(bounds[0], "feature_range"), "high": _finite(bounds[1], "feature_range")})


def _max_abs(scaler: Record, steps: Steps) -> None:
    """x / scale_, clipped to -1..1 where it was asked for: sklearn.preprocessing.MaxAbsScaler.transform."""
    steps.add("divide", _columns(scaler, "scale_", steps.width))
    if scaler.attributes.get("clip"):
        steps.meta.append({"op": "clip", "low": -1.0, "high": 1.0})


def _normalizer(normalizer: Record, steps: Steps) -> None:
    """Each row over its norm: sklearn.preprocessing.normalize. It takes no missing values."""
    norm = require(normalizer, "norm")["norm"]
    if norm not in ("l1", "l2", "max"):
        raise PackError("corrupt_artifact", f"the norm of Normalizer is {norm!r}"[:200])
    steps.is_nan_gone = True
    steps.meta.append({"op": "normalize", "norm": norm})


def _imputer(imputer: Record, steps: Steps) -> None:
    """Missing values become statistics_; columns without one are dropped: sklearn.impute.SimpleImputer.transform."""
    state = require(imputer, "statistics_", "missing_values")
    statistics = _statistics(state["statistics_"])
    if statistics is None or len(statistics) != steps.width:
        raise PackError("corrupt_artifact", f"statistics_ of SimpleImputer is no number for each of {steps.width} columns")
    kept = ~np.isnan(statistics)
    if np.isinf(statistics).any() or not kept.any() or (state.get("keep_empty_features") and not kept.all()):
        raise PackError("corrupt_artifact", "statistics_ of SimpleImputer leaves columns without a finite value")
    if not kept.all():
        name = f"step{len(steps.meta)}.columns"
        steps.arrays[name] = np.flatnonzero(kept).astype(np.int64)
        steps.meta.append({"op": "keep", "by": name})
    with np.errstate(all="ignore"):
        filling = statistics[kept].astype(_fill_dtype(state.get("_fill_dtype"))).astype(np.float64)
    missing = float(as_number(state["missing_values"], "missing_values of SimpleImputer"))
    name = f"step{len(steps.meta)}.impute"
    steps.arrays[name] = filling
    steps.meta.append({"op": "impute", "by": name, "missing": None if np.isnan(missing) else missing})
    steps.width = len(filling)
    if np.isnan(missing) and not steps.is_nan_gone:
        steps.takes_nan = True
    steps.is_nan_gone = True


_READERS = {
    "StandardScaler": _standard,
    "RobustScaler": _robust,
    "MinMaxScaler": _min_max,
    "MaxAbsScaler": _max_abs,
    "Normalizer": _normalizer,
    "SimpleImputer": _imputer,
}


def _columns(scaler: Record, name: str, width: int) -> NDArray[np.float64]:
    """An array of one number a column. Infinite or NaN is not refused: a column without values has a NaN mean, and an imputer drops it."""
    values = numeric(require(scaler, name)[name], f"{name} of {scaler.name}", ndim=1)
    if len(values) != width:
        raise PackError("corrupt_artifact", f"{name} of {scaler.name} has {len(values)} values for {width} columns")
    return values.astype(np.float64)


def _finite(value: Any, what: str) -> float:
    number = float(as_number(value, what))
    if not np.isfinite(number):
        raise PackError("corrupt_artifact", f"{what} is not finite")
    return number


def _statistics(value: Any) -> NDArray[np.float64] | None:
    """statistics_ as numbers; an imputer of strategy "constant" keeps them as objects. None where they are none."""
    if not isinstance(value, Array) or len(value.shape) != 1:
        return None
    if value.objects is not None:
        is_number = all((isinstance(each, int | float) and -1e308 < each < 1e308) or each != each for each in value.objects)
        return np.array(value.objects, np.float64) if is_number else None
    return value.values.astype(np.float64) if value.values is not None and value.values.dtype.kind in "biuf" else None


def _is_numeric(dtype: Any) -> bool:
    return dtype is None or _fill_dtype(dtype).kind in "iuf"


def _fill_dtype(dtype: Any) -> np.dtype[Any]:
    """What the imputer casts its statistics to; float64 where it does not say (fitted before sklearn 1.2), object where it is no number."""
    if dtype is None:
        return np.dtype(np.float64)
    try:
        return np.dtype(object) if not isinstance(dtype, DType) or dtype.is_object else dtype.resolve()
    except Malformed:
        return np.dtype(object)
