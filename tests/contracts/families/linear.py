"""Linear: a thousand rows of numbers, lists of numbers, labels of every kind, and missing values that an imputer fills."""

from __future__ import annotations

from collections.abc import Callable

from tests.artifacts.linear import fitted
from tests.contracts.families import EstimatorExample

_NAMES = (
    "LinearRegression-value",
    "Ridge-column",
    "MultiTaskLasso-values",
    "PoissonRegressor-positive",
    "LogisticRegression-words",
    "liblinear",
    "LinearSVC-two",
    "SGDClassifier-modified_huber-words",
    "names-missing",
    "imputer-median",
    "nested",
)


def _example(name: str) -> EstimatorExample:
    return EstimatorExample(*fitted(name))


ESTIMATORS: dict[str, Callable[[], EstimatorExample]] = {name: lambda name=name: _example(name) for name in _NAMES}  # type: ignore[misc]
