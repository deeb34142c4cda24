"""sklearn's HistGradientBoosting: sums of trees over binned values, categories among them. Runs in the capped child.

Covers: classifiers and regressors of every loss, missing values, categorical features of numbers or strings, from sklearn
1.0 on; before 1.4 a category was its own code. Does not cover: a loss given as an object, a classifier that saw one class
(hosted).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.estimator_records import classes_of, features_of, is_one_label, require, signature_of
from models.packing import PackError
from models.records import Array, Record, is_record

from .growing import Grove, Tree, fields
from .layout import Rule
from .splits import CategoricalSplits, read_features

_NODE = {
    "value": "f",
    "feature_idx": "iu",
    "num_threshold": "f",
    "missing_go_to_left": "biu",
    "left": "iu",
    "right": "iu",
    "is_leaf": "biu",
    "is_categorical": "biu",
    "bitset_idx": "iu",
}
_LOG_LOSSES = ("poisson", "gamma")
_IDENTITY_LOSSES = ("squared_error", "absolute_error", "quantile", "least_squares", "least_absolute_deviation")


def is_in_arrays(estimator: Record) -> bool:
    """Whether arrays say all: the loss is one of sklearn's own, by name, and there is more than one class (of one it makes two columns)."""
    state = estimator.attributes
    return isinstance(state.get("loss", "log_loss"), str) and not is_one_label(state.get("classes_"))


def pack_histogram(estimator: Record, is_classifier: bool) -> Bundle:
    """The bundle of a HistGradientBoosting. Raises PackError."""
    state = require(estimator, "_predictors", "_baseline_prediction", "loss", *(("classes_",) if is_classifier else ()))
    classes = classes_of(state["classes_"]) if is_classifier else None
    rule, sums = _rule(classes, state["loss"])
    width = features_of(estimator)
    if width is None:
        raise PackError(
            "missing_keys", f"{estimator.class_name} lacks n_features_in_", missing=["n_features_in_"], found=sorted(map(str, state))[:100]
        )
    features = read_features(state, width)
    trees = _in_order(state["_predictors"], sums, estimator)
    nodes = [fields(tree.attributes.get("nodes"), _NODE, f"tree {at}.nodes") for at, tree in enumerate(trees)]
    splits = CategoricalSplits(features)
    grove = Grove(sum(map(len, nodes)), len(trees), 1)
    for at, (tree, part) in enumerate(zip(trees, nodes, strict=True)):
        what = f"tree {at}"
        column = splits.columns(tree, part, what)
        is_leaf = part["is_leaf"] != 0
        threshold = np.where(part["is_categorical"] != 0, 0.5, part["num_threshold"])
        values = part["value"].reshape(-1, 1)
        grove.add(Tree(part["left"], part["right"], is_leaf, column, threshold, values), what)
    signature = signature_of(estimator, width, takes_nan=True, classes=classes)
    arrays, meta = signature.to_bundle()
    arrays |= {**grove.arrays(), **splits.arrays(), "baseline": _baseline(state["_baseline_prediction"], sums)}
    meta |= {"rule": rule, "tie_is_positive": False, "depth": grove.depth}
    details = {**signature.details(), **grove.details(), "model": estimator.class_name}
    if len(features.categorical):
        details["categorical_features"] = len(features.categorical)
    return Bundle("trees", arrays, meta, details)


def _rule(classes: tuple[Any, ...] | None, loss: Any) -> tuple[Rule, int]:
    """The inverse link and the number of sums."""
    if classes is not None:
        if len(classes) < 2:
            raise PackError("corrupt_artifact", "a boosted classifier of one class")
        return ("logit", 1) if len(classes) == 2 else ("softmax", len(classes))
    if loss in _LOG_LOSSES:
        return "log", 1
    if loss not in _IDENTITY_LOSSES:
        raise PackError("unknown_format", f"the loss {loss!r} is not known"[:200])
    return "identity", 1


def _in_order(value: Any, sums: int, estimator: Record) -> list[Record]:
    """The trees, round after round. Raises PackError."""
    if not isinstance(value, list) or not value:
        raise PackError("not_trained", f"{estimator.class_name} has no trees yet")
    for at, round in enumerate(value):
        if not isinstance(round, list) or len(round) != sums or not all(is_record(tree, "TreePredictor") for tree in round):
            raise PackError("corrupt_artifact", f"round {at} of {estimator.class_name} does not hold {sums} trees")
    return [tree for round in value for tree in round]


def _baseline(value: Any, sums: int) -> NDArray[np.float64]:
    """(sums,) float64. Raises PackError."""
    array = np.array([value], np.float64) if isinstance(value, float) else None
    if isinstance(value, Array) and value.values is not None and value.values.dtype.kind == "f":
        array = value.values.reshape(-1).astype(np.float64)
    if array is None or array.shape != (sums,) or not np.isfinite(array).all():
        raise PackError("corrupt_artifact", f"_baseline_prediction is {value!r}, not {sums} numbers"[:300])
    return array
