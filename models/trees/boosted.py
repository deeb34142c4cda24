"""sklearn's GradientBoosting: sums of scaled regression trees over a constant start. Runs in the capped child.

Covers: every loss (`sklearn.ensemble._gb`), two classes or more, and the starts that are constants: sklearn's own default
(a Dummy estimator) and "zero". Does not cover: another estimator as `init`, which must run to answer: hosted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.estimator_records import as_number, classes_of, require, signature_of
from models.packing import PackError, numeric
from models.records import Array, Record, is_record

from .averaged import tree_of
from .growing import Grove
from .layout import Rule


def has_constant_start(estimator: Record) -> bool:
    """Whether what the sums start from is the same for every row, or not said (an estimator that was never fitted)."""
    start = estimator.attributes.get("init_")
    if estimator.name.endswith("Regressor"):
        return start is None or start == "zero" or is_record(start, "DummyRegressor")
    return start is None or start == "zero" or (is_record(start, "DummyClassifier") and start.attributes.get("strategy") == "prior")


def pack_boosted(estimator: Record, is_classifier: bool) -> Bundle:
    """The bundle of a GradientBoosting. Raises PackError."""
    state = require(estimator, "estimators_", "init_", "learning_rate", *(("classes_", "loss") if is_classifier else ()))
    classes = classes_of(state["classes_"]) if is_classifier else None
    rule, sums = _rule(classes, state.get("loss"))
    trees = _in_order(state["estimators_"], sums, estimator)
    rate = float(as_number(state["learning_rate"], "learning_rate"))
    parts = [tree_of(tree, f"tree {at}") for at, tree in enumerate(trees)]
    features = parts[0].features
    grove = Grove(sum(len(part.nodes) for part in parts), len(parts), 1)
    for at, part in enumerate(parts):
        if part.features != features or part.classes != [1]:
            raise PackError(
                "corrupt_artifact", f"tree {at} is for {part.features} features and {part.classes} values, not {features} and one"
            )
        grove.add(part.tree(rate * part.values[:, :, 0], f"tree {at}", takes_nan=False), f"tree {at}")
    # GradientBoosting refuses missing values although its trees could take them.
    signature = signature_of(estimator, features, classes=classes, float32_range=True)
    arrays, meta = signature.to_bundle()
    arrays |= {**grove.arrays(), "baseline": _start(state["init_"], rule, sums)}
    meta |= {"rule": rule, "tie_is_positive": True, "depth": grove.depth}
    return Bundle("trees", arrays, meta, {**signature.details(), **grove.details(), "model": estimator.class_name})


def _rule(classes: tuple[Any, ...] | None, loss: Any) -> tuple[Rule, int]:
    """The inverse link and the number of sums."""
    if classes is None:
        return "identity", 1
    if len(classes) < 2:
        raise PackError("corrupt_artifact", "a boosted classifier of one class")
    if len(classes) > 2:
        return "softmax", len(classes)
    return ("half_logit" if loss == "exponential" else "logit"), 1


def _in_order(value: Any, sums: int, estimator: Record) -> list[Any]:
    """The trees, round after round. Raises PackError."""
    if not isinstance(value, Array) or value.objects is None or len(value.shape) != 2:
        raise PackError("corrupt_artifact", f"{estimator.class_name} has no table of trees: {value!r}"[:300])
    rounds, found = value.shape
    if not rounds:
        raise PackError("not_trained", f"{estimator.class_name} has no trees yet")
    if found != sums:
        raise PackError("corrupt_artifact", f"{estimator.class_name} grew {found} trees a round where {sums} belong")
    if value.fortran:
        return [value.objects[sum * rounds + round] for round in range(rounds) for sum in range(sums)]
    return value.objects


def _start(start: Any, rule: Rule, sums: int) -> NDArray[np.float64]:
    """(sums,) float64: the link of the constant prediction (`sklearn.ensemble._gb._init_raw_predictions`). Raises PackError."""
    if start == "zero":
        return np.zeros(sums)
    if rule == "identity":
        constant = require(start, "constant_")["constant_"] if is_record(start, "DummyRegressor") else None
        return np.array([float(as_number(constant, "init_.constant_"))])
    if not is_record(start, "DummyClassifier"):
        raise PackError("corrupt_artifact", f"a classifier that starts from {start!r}"[:300])
    prior = numeric(require(start, "class_prior_")["class_prior_"], "init_.class_prior_", ndim=1).astype(np.float64)
    if len(prior) != max(sums, 2):
        raise PackError("corrupt_artifact", f"init_ knows {len(prior)} classes")
    smallest = float(np.finfo(np.float64).eps)
    prior = np.clip(prior, smallest, 1.0 - smallest)
    if rule == "softmax":
        logarithms = np.log(prior)
        centred: NDArray[np.float64] = logarithms - logarithms.mean()
        return centred
    odds: NDArray[np.float64] = np.log(prior[1:] / (1.0 - prior[1:]))
    return 0.5 * odds if rule == "half_logit" else odds
