"""Sums over trees into what a caller asked for: labels, probabilities, values. numpy only; runs in the server.

Covers: scikit-learn's rules for forests (`sklearn.ensemble._forest`), GradientBoosting (`_gb`) and HistGradientBoosting,
ties included. Does not cover: the sums (`models.trees.walking`).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import Predictions
from models.bundle import BadBundle
from models.estimator import Signature

from .layout import Rule

_LARGEST_EXPONENT = 709.0
"""exp of more overflows a float64."""


class Outputs:
    """What sums mean for one model. Read-only and thread-safe."""

    def __init__(self, signature: Signature, rule: Rule, *, tie_is_positive: bool) -> None:
        """tie_is_positive: whether a raw score of exactly 0 is the second of two classes. Raises BadBundle for what goes not together."""
        self._rule = rule
        self._tie_is_positive = tie_is_positive
        self.classes: list[Any] | None = None
        self._labels: list[tuple[Any, ...]] = []
        if signature.classes is not None:
            self._labels = [signature.classes] if signature.outputs == 1 else list(signature.classes)
            self.classes = [list(labels) for labels in self._labels] if signature.outputs > 1 else list(signature.classes)
        if rule != "mean" and signature.outputs != 1:
            raise BadBundle("boosted trees have one output")
        counts = [len(labels) for labels in self._labels]
        if (rule in ("logit", "half_logit") and counts != [2]) or (rule == "softmax" and (len(counts) != 1 or counts[0] < 3)):
            raise BadBundle(f"{counts} classes for {rule}")
        if rule in ("identity", "log") and counts:
            raise BadBundle(f"a classifier whose scores are read by {rule}")
        if rule == "mean":
            self.width = sum(counts) or signature.outputs
        else:
            self.width = counts[0] if rule == "softmax" else 1
        self._is_one_score = rule in ("logit", "half_logit")  # a forest that saw one class has a width of 1 too: its share, always 1
        self._bounds = list(pairwise(np.cumsum([0, *counts]).tolist()))

    def probabilities(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """(rows, classes of all outputs together) of sums (rows, width) of a classifier; a row sums to 1 an output."""
        if self._rule == "mean":
            return sums
        if self._rule == "softmax":
            powers = np.exp(sums - sums.max(axis=1, keepdims=True))
            return powers / powers.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]
        scale = -2.0 if self._rule == "half_logit" else -1.0
        positive = 1.0 / (1.0 + np.exp(np.minimum(scale * sums, _LARGEST_EXPONENT)))
        return np.concatenate((1.0 - positive, positive), axis=1)

    def predictions(self, sums: NDArray[np.float64]) -> Predictions:
        """The answer, JSON-ready, to sums (rows, width)."""
        if self.classes is None:
            values = np.exp(np.minimum(sums, _LARGEST_EXPONENT)) if self._rule == "log" else sums
            return Predictions((values[:, 0] if self.width == 1 else values).tolist())
        probabilities = self.probabilities(sums)
        if len(self._labels) > 1:
            parts = [probabilities[:, begin:end] for begin, end in self._bounds]
            chosen = [[labels[at] for at in part.argmax(axis=1).tolist()] for labels, part in zip(self._labels, parts, strict=True)]
            by_row = zip(*(part.tolist() for part in parts), strict=True)
            return Predictions(list(map(list, zip(*chosen, strict=True))), list(map(list, by_row)), self.classes)
        labels = self._labels[0]
        if self._is_one_score:
            is_second = sums[:, 0] >= 0 if self._tie_is_positive else sums[:, 0] > 0
            return Predictions([labels[at] for at in is_second.tolist()], probabilities.tolist(), self.classes)
        return Predictions([labels[at] for at in sums.argmax(axis=1).tolist()], probabilities.tolist(), self.classes)
