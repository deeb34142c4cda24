"""From a fitted linear model's records to coefficients and the steps before them. Runs in the capped child; never imported by the server.

Covers: the linear regressors and classifiers of sklearn listed below, bare, in a dict beside other keys, or at the end of a
Pipeline of covered transformers (`models.linear.step_records`). Does not cover: sparsified coefficients, RidgeClassifier of
several labels a row or of one class, imputers with indicator columns: those are hosted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.estimator import Signature
from models.estimator_records import as_number, classes_of, features_of, is_one_label, is_sklearn, left_aside, names_of, require, unwrap
from models.packing import Options, PackError, numeric
from models.records import Array, Record

from .step_records import Steps, flatten, is_step, read_steps

GENERALISED = ("PoissonRegressor", "GammaRegressor", "TweedieRegressor")
REGRESSORS = (
    "ARDRegression", "BayesianRidge", "ElasticNet", "ElasticNetCV", "HuberRegressor", "Lars", "LarsCV", "Lasso", "LassoCV",
    "LassoLars", "LassoLarsCV", "LassoLarsIC", "LinearRegression", "LinearSVR", "MultiTaskElasticNet", "MultiTaskElasticNetCV",
    "MultiTaskLasso", "MultiTaskLassoCV", "OrthogonalMatchingPursuit", "OrthogonalMatchingPursuitCV",
    "PassiveAggressiveRegressor", "QuantileRegressor", "Ridge", "RidgeCV", "SGDRegressor", "TheilSenRegressor", *GENERALISED,
)  # fmt: skip
RIDGE_CLASSIFIERS = ("RidgeClassifier", "RidgeClassifierCV")
LOGISTIC = ("LogisticRegression", "LogisticRegressionCV")
CLASSIFIERS = ("LinearSVC", "PassiveAggressiveClassifier", "Perceptron", "SGDClassifier", *LOGISTIC, *RIDGE_CLASSIFIERS)


def matches(root: Any) -> str | None:
    """Why this family takes the artifact, or None."""
    parts = flatten(unwrap(root))
    if not parts or not _is_linear(parts[-1]) or not all(map(is_step, parts[:-1])):
        return None
    before = ", ".join(part.name for part in parts[:-1])
    what = f"{parts[-1].class_name} behind {before}" if before else parts[-1].class_name
    return f"a dict whose model is {what}" if isinstance(root, dict) else f"a bare {what}" if not before else f"a Pipeline: {what}"


def _is_linear(value: Record) -> bool:
    if not is_sklearn(value, *REGRESSORS, *CLASSIFIERS):
        return False
    state = value.attributes
    binarizer = state.get("_label_binarizer")
    found = binarizer.attributes if isinstance(binarizer, Record) and is_sklearn(value, *RIDGE_CLASSIFIERS) else {}
    kind = found.get("y_type_")
    is_multilabel = isinstance(kind, str) and kind.startswith("multilabel")
    return isinstance(state.get("coef_", Array()), Array) and not is_multilabel and not is_one_label(found.get("classes_"))


def pack(root: Any, options: Options) -> Bundle:
    """The bundle. Raises PackError: not_trained, missing_keys, corrupt_artifact, unknown_format (labels that JSON cannot say)."""
    parts = flatten(unwrap(root))
    if not parts or not _is_linear(parts[-1]) or not all(map(is_step, parts[:-1])):
        raise PackError("unknown_format", "not a linear model")
    *transformers, estimator = parts
    require(estimator, "coef_", "intercept_")
    steps = read_steps(transformers, estimator)
    coef, intercept, is_flat = _coefficients(estimator, steps)
    meta: dict[str, Any] = {"steps": steps.meta}
    if is_sklearn(estimator, *CLASSIFIERS):
        classes = _classes(estimator, len(coef))
        meta |= {"output": "label", "link": "identity", "probability": _probability(estimator, len(classes))}
        outputs = 1
    else:
        classes, outputs = None, len(coef)
        meta |= {"output": "value" if is_flat else "values", "link": _link(estimator), "probability": None}
    signature = Signature(steps.features, names_of(parts[0], steps.features), takes_nan=steps.takes_nan, classes=classes, outputs=outputs)
    described, in_meta = signature.to_bundle()
    details = {"model": estimator.class_name, **signature.details(), "steps": [part.name for part in transformers]}
    if aside := left_aside(root):
        details["warnings"] = aside
    return Bundle("linear", {"coef": coef, "intercept": intercept, **steps.arrays, **described}, {**meta, **in_meta}, details)


def _coefficients(estimator: Record, steps: Steps) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
    """(outputs, columns), (outputs,), and whether coef_ was of rank 1, so that a regressor answers a number a row and not a list."""
    state = estimator.attributes
    found = state["coef_"]
    is_flat = isinstance(found, Array) and len(found.shape) == 1
    coef = numeric(found, f"coef_ of {estimator.name}", ndim=1 if is_flat else 2)
    coef = coef.reshape(-1, coef.shape[-1]).astype(np.float64)
    told = features_of(estimator)
    if coef.shape[1] != steps.width or told not in (None, steps.width) or not len(coef):
        raise PackError("corrupt_artifact", f"coef_ of {estimator.name} is {found.shape}, but {steps.width} columns arrive there")
    offset = state["intercept_"]
    if isinstance(offset, Array) and offset.shape:
        intercept = numeric(offset, f"intercept_ of {estimator.name}", ndim=1).astype(np.float64)
    else:
        intercept = np.array([as_number(offset, f"intercept_ of {estimator.name}")], np.float64)
    if len(intercept) not in (1, len(coef)):
        raise PackError("corrupt_artifact", f"{estimator.name} has {len(intercept)} intercepts for {len(coef)} rows of coef_")
    if not (np.isfinite(coef).all() and np.isfinite(intercept).all()):
        raise PackError("corrupt_artifact", f"{estimator.name} has coefficients that are not finite")
    return np.ascontiguousarray(coef), np.broadcast_to(intercept, len(coef)).copy(), is_flat


def _classes(estimator: Record, rows: int) -> tuple[Any, ...]:
    state = estimator.attributes
    found = state.get("classes_")
    if found is None and isinstance(state.get("_label_binarizer"), Record):
        found = state["_label_binarizer"].attributes.get("classes_")  # RidgeClassifier keeps them there
    if found is None:
        raise PackError("missing_keys", f"{estimator.class_name} lacks classes_", missing=["classes_"], found=sorted(map(str, state))[:100])
    classes = classes_of(found)
    if len(classes) != (2 if rows == 1 else rows) or isinstance(classes[0], tuple):
        raise PackError("corrupt_artifact", f"{estimator.name} has {len(classes)} classes for {rows} rows of coef_")
    return classes


def _link(estimator: Record) -> str:
    """The link of a generalised linear model: `_get_loss` of sklearn.linear_model._glm.glm."""
    if not is_sklearn(estimator, *GENERALISED):
        return "identity"
    if not is_sklearn(estimator, "TweedieRegressor"):
        return "log"
    state = require(estimator, "link", "power")
    link, power = state["link"], state["power"]
    if link == "auto" and isinstance(power, int | float):
        return "identity" if power <= 0 else "log"
    if link not in ("identity", "log"):
        raise PackError("corrupt_artifact", f"the link of TweedieRegressor is {link!r}"[:200])
    return str(link)


def _probability(estimator: Record, classes: int) -> str | None:
    """How decisions become probabilities (see `models.linear.score`); None where sklearn gives none."""
    state = estimator.attributes
    if is_sklearn(estimator, "SGDClassifier"):
        loss = state.get("loss")
        return "one_vs_rest" if loss in ("log_loss", "log") else "modified_huber" if loss == "modified_huber" else None
    if not is_sklearn(estimator, *LOGISTIC):
        return None
    multi_class = state.get("multi_class")
    if multi_class is None:  # sklearn >= 1.8: LogisticRegression.predict_proba
        return "one_vs_rest" if classes == 2 else "softmax"
    # Until sklearn 1.7 the parameter chose; "deprecated" stood for "auto" in the last of them.
    automatic = multi_class in ("auto", "deprecated") and (classes == 2 or state.get("solver") == "liblinear")
    if multi_class in ("ovr", "warn") or automatic:
        return "one_vs_rest"
    return "softmax" if classes > 2 else "softmax_of_both"
