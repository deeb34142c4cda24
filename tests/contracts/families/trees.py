"""Trees: a thousand rows of one of each kind of sum, with labels of every kind, missing values, and categories that are words."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.artifacts.trees import fitted
from tests.contracts.families import EstimatorExample

_NAMES = (
    "decision-tree-values",
    "forest-bools",
    "forest-pairs",
    "extra-trees",
    "gradient-words",
    "gradient-exponential",
    "histogram-missing",
    "histogram-poisson",
    "histogram-towns",
)


def _example(name: str) -> EstimatorExample:
    estimator, rows, predictions, probabilities = fitted(name)
    by_row = np.stack(probabilities, axis=1) if isinstance(probabilities, list) else probabilities
    return EstimatorExample(estimator, rows, predictions, by_row)


ESTIMATORS: dict[str, Callable[[], EstimatorExample]] = {name: lambda name=name: _example(name) for name in _NAMES}  # type: ignore[misc]
