"""What happens to rows before the coefficients: scaling and filling, each step as sklearn does it, in float64 and in order.

Covers: checking the steps of a bundle, carrying them out. Does not cover: which transformers become which steps
(`models.linear.step_records`). Steps are not folded into the coefficients: that would round differently.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle import BadBundle, Bundle

Matrix = NDArray[np.float64]
Step = Callable[[Matrix], Matrix]
"""Takes rows that are its own to write into, and returns rows of its own."""

_MAX_STEPS = 400
_BY_COLUMN: dict[str, np.ufunc] = {"subtract": np.subtract, "divide": np.divide, "multiply": np.multiply, "add": np.add}


def open_steps(bundle: Bundle, features: int) -> tuple[list[Step], int]:
    """The steps of `bundle.meta["steps"]` for rows of `features` columns, and how many columns leave them. Raises BadBundle."""
    described = bundle.meta.get("steps")
    if not isinstance(described, list) or len(described) > _MAX_STEPS:
        raise BadBundle("the steps are no list")
    steps: list[Step] = []
    width = features
    for each in described:
        if not isinstance(each, dict):
            raise BadBundle("a step is malformed")
        if each.get("op") == "keep":
            columns = bundle.array(_name(each), ndim=1, kinds="i")
            if not len(columns) or int(columns.min()) < 0 or int(columns.max()) >= width:
                raise BadBundle("a step keeps columns that are not there")
            width = len(columns)
            steps.append(_keep(columns))
        else:
            steps.append(_in_place(bundle, each, width))
    return steps, width


def _name(step: dict[str, Any]) -> str:
    name = step.get("by")
    if not isinstance(name, str):
        raise BadBundle("a step does not name its array")
    return name


def _in_place(bundle: Bundle, step: dict[str, Any], width: int) -> Step:
    op, norm = step.get("op"), step.get("norm")
    if isinstance(op, str) and op in _BY_COLUMN:
        return _by_column(_BY_COLUMN[op], bundle.array(_name(step), ndim=1, kinds="f", rows=width))
    if op == "impute":
        missing = step.get("missing")
        return _impute(bundle.array(_name(step), ndim=1, kinds="f", rows=width), None if missing is None else _number(missing))
    if op == "clip":
        return _clip(_number(step.get("low")), _number(step.get("high")))
    if op == "normalize" and isinstance(norm, str) and norm in _NORMS:
        return _normalize(_NORMS[norm])
    raise BadBundle(f"a step is of no known kind: {str(op)[:80]!r}")


def _number(value: Any) -> float:
    if not isinstance(value, int | float):
        raise BadBundle("a step has a bound that is no number")
    try:
        return float(value)
    except OverflowError as error:
        raise BadBundle("a step has a bound that is no float64") from error


def _keep(columns: NDArray[Any]) -> Step:
    return lambda rows: np.take(rows, columns, axis=1)


def _by_column(operation: np.ufunc, values: NDArray[Any]) -> Step:
    def step(rows: Matrix) -> Matrix:
        operation(rows, values, out=rows)
        return rows

    return step


def _clip(low: float, high: float) -> Step:
    def step(rows: Matrix) -> Matrix:
        np.clip(rows, low, high, out=rows)
        return rows

    return step


def _impute(values: NDArray[Any], missing: float | None) -> Step:
    def step(rows: Matrix) -> Matrix:
        np.copyto(rows, values, where=np.isnan(rows) if missing is None else rows == missing)
        return rows

    return step


def _normalize(norm: Callable[[Matrix], NDArray[np.float64]]) -> Step:
    """Rows over their norms; a norm of almost nothing counts as 1, as in sklearn.preprocessing._data._handle_zeros_in_scale."""
    least = 10 * np.finfo(np.float64).eps

    def step(rows: Matrix) -> Matrix:
        norms = norm(rows)
        norms[norms < least] = 1.0
        rows /= norms[:, np.newaxis]
        return rows

    return step


# Sums along a row, so that a row's norm does not depend on the rows beside it.
_NORMS: dict[str, Callable[[Matrix], NDArray[np.float64]]] = {
    "l1": lambda rows: np.abs(rows).sum(axis=1),
    "l2": lambda rows: np.sqrt((rows * rows).sum(axis=1)),
    "max": lambda rows: np.abs(rows).max(axis=1),
}
