"""Predictions of linear models from mapped coefficients. numpy only; runs in the server.

Covers: values (with a log link too), labels, probabilities. Does not cover: scaling and filling (`models.linear.steps`),
how the arrays came to be (`models.linear.pack`), threads (the caller decides by `cost_of`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import InvalidQuery, Kind, Predictions
from models.bundle import BadBundle, Bundle
from models.estimator import Signature
from models.forms import RowForm

from .steps import open_steps

Matrix = NDArray[np.float64]

_CHUNK = 1 << 17
"""Products held at once: 1 MiB, which stays in the cache."""
_PER_VALUE = 100
"""Multiply-adds that take as long as reading one value of a row, or writing one of an answer."""
_OUTPUTS = ("value", "values", "label")
_LINKS = ("identity", "log")


class LinearScorer:
    """Answers from `coef` (outputs x columns) and `intercept` (outputs,), float64. Thread-safe: only reads."""

    family = "linear"
    kind: Kind = "estimator"

    def __init__(self, bundle: Bundle) -> None:
        """Raises models.bundle.BadBundle where the arrays contradict each other."""
        self.details: Mapping[str, Any] = bundle.details
        self.signature = Signature.of_bundle(bundle)
        if not self.signature.features:
            raise BadBundle("the model does not say how many features it takes")
        self._steps, width = open_steps(bundle, self.signature.features)
        self._coef = bundle.array("coef", ndim=2, kinds="f")
        self._intercept = bundle.array("intercept", ndim=1, kinds="f", rows=len(self._coef))
        if self._coef.shape[1] != width or not len(self._coef):
            raise BadBundle(f"coefficients of shape {self._coef.shape} for {width} columns")
        self._output, link, probability = (bundle.meta.get(key) for key in ("output", "link", "probability"))
        if self._output not in _OUTPUTS or link not in _LINKS or probability not in (None, *_PROBABILITIES):
            raise BadBundle("the kind of answer is unknown")
        self._is_log = link == "log"
        self._probability = None if probability is None else _PROBABILITIES[probability]
        classes = self.signature.classes
        if (self._output == "label") != (classes is not None) or (classes is None and probability is not None):
            raise BadBundle("classes belong to labels, and to nothing else")
        if classes is not None and len(classes) != max(2, len(self._coef)):
            raise BadBundle(f"{len(classes)} classes for {len(self._coef)} rows of coefficients")
        if self.signature.outputs != (len(self._coef) if classes is None else 1):
            raise BadBundle(f"{self.signature.outputs} outputs for {len(self._coef)} rows of coefficients")
        if len(self._coef) != 1 and (self._output == "value" or probability == "softmax_of_both"):
            raise BadBundle(f"{len(self._coef)} rows of coefficients where one belongs")

    def ids_in_words(self) -> Mapping[str, str]:
        return {}

    def form(self) -> RowForm:
        return RowForm(self.signature, has_probabilities=self._probability is not None)

    def cost_of(self, instances: Sequence[Any]) -> int:
        """See models.base.EstimatorScorer."""
        outputs, columns, features = len(self._coef), int(self._coef.shape[1]), self.signature.features
        return len(instances) * (features * (_PER_VALUE + len(self._steps)) + 2 * outputs * columns + _PER_VALUE * outputs)

    def predict(self, instances: Sequence[Any]) -> Predictions:
        """See models.base.EstimatorScorer. A row's answer is the same bit for bit whatever rows come with it."""
        rows = self.signature.matrix(instances)
        with np.errstate(all="ignore"):  # what overflows is refused below, by its row
            for step in self._steps:
                rows = step(rows)
            self._require_finite(rows)
            scores = decisions(rows, self._coef, self._intercept)
            if self._output != "label":
                values = np.exp(scores) if self._is_log else scores
                self._require_finite(values)
                return Predictions(values[:, 0].tolist() if self._output == "value" else values.tolist())
            self._require_finite(scores)
            return self._labels(scores)

    def _labels(self, scores: Matrix) -> Predictions:
        labels = self.signature.classes or ()
        chosen = (scores[:, 0] > 0).astype(np.int64) if scores.shape[1] == 1 else scores.argmax(axis=1)
        probabilities = None if self._probability is None else self._probability(scores).tolist()
        return Predictions([labels[at] for at in chosen.tolist()], probabilities, None if probabilities is None else list(labels))

    def _require_finite(self, values: Matrix) -> None:
        is_finite = np.isfinite(values).all(axis=1)
        if not is_finite.all():
            raise InvalidQuery(f"instances[{int(is_finite.argmin())}]", "has values so large that the model's answer is not finite")


def decisions(rows: Matrix, coef: NDArray[Any], intercept: NDArray[Any]) -> Matrix:
    """(rows, outputs) rows @ coef.T + intercept, each sum by itself: BLAS rounds a row by what stands beside it."""
    count, (outputs, columns) = len(rows), coef.shape
    found = np.empty((count, outputs))
    some_outputs = max(1, min(outputs, _CHUNK // columns))
    some_rows = max(1, _CHUNK // (some_outputs * columns))
    for top in range(0, count, some_rows):
        block = rows[top : top + some_rows, np.newaxis, :]
        for left in range(0, outputs, some_outputs):
            part = coef[np.newaxis, left : left + some_outputs]
            found[top : top + some_rows, left : left + some_outputs] = np.multiply(block, part, order="C").sum(axis=2)
    found += intercept
    return found


def _sigmoid(scores: Matrix) -> Matrix:
    """1 / (1 + exp(-x)), without overflow: scipy.special.expit."""
    small = np.exp(-np.abs(scores))
    found: Matrix = np.where(scores >= 0, 1.0, small) / (1.0 + small)
    return found


def _normalized(parts: Matrix) -> Matrix:
    """Rows that sum to 1; a row of zeros becomes the uniform one."""
    total = parts.sum(axis=1, keepdims=True)
    parts = np.where(total == 0, 1.0, parts)
    return parts / np.where(total == 0, float(parts.shape[1]), total)


def _both(positive: Matrix) -> Matrix:
    return np.concatenate((1.0 - positive, positive), axis=1)


def _one_vs_rest(scores: Matrix) -> Matrix:
    """sklearn.linear_model._base.LinearClassifierMixin._predict_proba_lr."""
    each = _sigmoid(scores)
    return _both(each) if each.shape[1] == 1 else _normalized(each)


def _modified_huber(scores: Matrix) -> Matrix:
    """(clip(x, -1, 1) + 1) / 2: sklearn.linear_model.SGDClassifier.predict_proba."""
    each = (np.clip(scores, -1.0, 1.0) + 1.0) / 2.0
    return _both(each) if each.shape[1] == 1 else _normalized(each)


def _softmax(scores: Matrix) -> Matrix:
    """sklearn.utils.extmath.softmax."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    found: Matrix = powers / powers.sum(axis=1, keepdims=True)
    return found


def _softmax_of_both(scores: Matrix) -> Matrix:
    """Two classes fitted as multinomial, until sklearn 1.7: softmax of (-x, x)."""
    return _softmax(np.concatenate((-scores, scores), axis=1))


_PROBABILITIES: dict[str, Callable[[Matrix], Matrix]] = {
    "one_vs_rest": _one_vs_rest,
    "modified_huber": _modified_huber,
    "softmax": _softmax,
    "softmax_of_both": _softmax_of_both,
}


def open_scorer(bundle: Bundle) -> LinearScorer:
    """The scorer of a bundle of this family. Raises models.bundle.BadBundle."""
    return LinearScorer(bundle)


def warm(scorer: LinearScorer) -> dict[str, Any]:
    """Predict a row of zeros, so that arrays that cannot answer fail in the child: {}. Adds nothing to the details."""
    with suppress(InvalidQuery):  # zeros may lie so far outside the data that exp() of them overflows: that is an answer
        scorer.predict([[0] * scorer.signature.features])
    return {}
