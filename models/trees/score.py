"""Predictions of tree ensembles from mapped node arrays. numpy only; runs in the server.

Covers: DecisionTree, ExtraTree, RandomForest, ExtraTrees, GradientBoosting and HistGradientBoosting of sklearn, as
`models.trees.pack` lays them out. Does not cover: the checks of rows (`models.estimator`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import Kind, Predictions
from models.bundle import BadBundle, Bundle
from models.estimator import Signature
from models.forms import RowForm

from .categories import Categories
from .layout import RULES, columns_of
from .outputs import Outputs
from .walking import LARGEST_SUM, Ensemble, sum_in_order

_CELLS = 1 << 16
"""Rows x trees walked at once: 4 MB of indices and values, which stay in a core's cache."""
_VALUES = 1 << 20
"""Float64 cells of one slice of rows, as columns and as leaf values: 8 MB each."""


class TreeScorer:
    """An estimator of trees: float64 in, and through float32 where sklearn compares in it."""

    family = "trees"
    kind: Kind = "estimator"

    def __init__(self, bundle: Bundle) -> None:
        """Raises models.bundle.BadBundle where the arrays contradict each other."""
        self.details: Mapping[str, Any] = bundle.details
        self._signature = signature = Signature.of_bundle(bundle)
        rule, tie_is_positive = bundle.meta.get("rule"), bundle.meta.get("tie_is_positive")
        if rule not in RULES or not isinstance(tie_is_positive, bool) or not signature.features:
            raise BadBundle("how the trees' values are to be read is not said")
        self._is_mean = rule == "mean"
        self._outputs = Outputs(signature, rule, tie_is_positive=tie_is_positive)
        self._categories = Categories(bundle, signature.features, signature.names) if "categories" in bundle.arrays else None
        splits = self._categories.splits if self._categories is not None else 0
        self._columns = columns_of(signature.features, takes_nan=signature.takes_nan, splits=splits)
        self._ensemble = Ensemble(bundle, self._columns, self._outputs.width if self._is_mean else 1)
        self._baseline: NDArray[Any] | None = None
        if not self._is_mean:
            self._baseline = bundle.array("baseline", ndim=1, kinds="f", rows=self._outputs.width)
            if self._ensemble.trees % self._outputs.width or not (np.abs(self._baseline) < LARGEST_SUM).all():
                raise BadBundle(f"{self._ensemble.trees} trees for {self._outputs.width} sums from {self._baseline.tolist()[:5]}")
        cells = self._ensemble.trees * self._ensemble.width
        self._rows = max(1, min(_CELLS // self._ensemble.trees, _VALUES // self._columns, _VALUES // cells))

    def ids_in_words(self) -> Mapping[str, str]:
        return {}

    def form(self) -> RowForm:
        text = frozenset() if self._categories is None else self._categories.text
        return RowForm(self._signature, text=text, has_probabilities=self._outputs.classes is not None)

    def predict(self, instances: Sequence[Any]) -> Predictions:
        """As models.base.EstimatorScorer. Probabilities from every classifier. Raises InvalidQuery."""
        if self._categories is not None:
            instances = self._categories.encode(instances)
        return self._outputs.predictions(self.sums(self._signature.matrix(instances)))

    def cost_of(self, instances: Sequence[Any]) -> int:
        """Cells walked, level by level."""
        return len(instances) * self._ensemble.trees * (self._ensemble.depth + self._ensemble.width + 1)

    def sums(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """(rows, width): means of the leaves of each row of `matrix`, (rows, features) float64, or the raw scores of boosting."""
        if len(matrix) <= self._rows:
            return self._sums(matrix)
        return np.concatenate([self._sums(matrix[begin : begin + self._rows]) for begin in range(0, len(matrix), self._rows)])

    def _sums(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        values = self._ensemble.values(self._spread(matrix))
        trees, rows, _ = values.shape
        if self._baseline is None:
            means: NDArray[np.float64] = sum_in_order(values) / trees
            return means
        rounds = values.reshape(-1, len(self._baseline), rows)
        rounds[0] += self._baseline[:, np.newaxis]
        return sum_in_order(rounds).T

    def _spread(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """The rows over the columns that the nodes ask (see `models.trees.layout`)."""
        if self._signature.float32_range:
            matrix = matrix.astype(np.float32).astype(np.float64)
        if not self._signature.takes_nan:
            return matrix
        features = matrix.shape[1]
        columns = np.empty((len(matrix), self._columns))
        columns[:, :features] = matrix
        np.fmax(matrix, -np.inf, out=columns[:, features : 2 * features])  # of NaN and a number, fmax takes the number
        if self._categories is not None:
            columns[:, 2 * features :] = self._categories.answers(matrix)
        return columns


def open_scorer(bundle: Bundle) -> TreeScorer:
    """The scorer of a bundle of this family. Raises models.bundle.BadBundle."""
    return TreeScorer(bundle)


def warm(scorer: TreeScorer) -> dict[str, Any]:
    """Walk a row of zeros and, where they are taken, one of missing values, so that the first question finds warm pages: {}."""
    rows = np.zeros((2 if scorer._signature.takes_nan else 1, scorer._signature.features))
    rows[1:] = np.nan
    scorer._outputs.predictions(scorer.sums(rows))
    return {}
