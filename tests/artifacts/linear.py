"""Fitted linear models of sklearn, bare and behind transformers, rows for them, and sklearn's own answers.

Cached: do not change what is returned. Rows are those of a caller: lists of JSON values, None for missing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn import linear_model, svm
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, Normalizer, RobustScaler, StandardScaler
from threadpoolctl import threadpool_limits

TRAINING_ROWS = 240
ROWS = 1000
FEATURES = 6
COLUMNS = ("age", "income", "visits", "share", "height", "weight")


class Fitted(NamedTuple):
    """rows: (ROWS of) JSON values. predictions, probabilities: sklearn's for them; None where it gives no probabilities."""

    estimator: Any
    rows: list[list[Any]]
    predictions: Any
    probabilities: Any


@cache
def features(rows: int, *, missing: bool = False, seed: int = 0) -> Any:
    """(rows, FEATURES) float64 of very different sizes; with `missing` one cell in eight is NaN. Column 5 depends on column 0."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(rows, FEATURES)) * [10, 3e4, 4, 0.1, 1, 1] + [40, 5e4, 9, 0.5, 0, 2]
    matrix[:, 5] += matrix[:, 0] / 20
    if missing:
        matrix[rng.random(matrix.shape) < 1 / 8] = np.nan
    return matrix


def target(matrix: Any) -> Any:
    """(rows,) float64 between about -4 and 4, noise included."""
    known = np.nan_to_num(matrix, nan=1.0)
    scaled = (known - [40, 5e4, 9, 0.5, 0, 2]) / [10, 3e4, 4, 0.1, 1, 1]
    return scaled @ [1.0, -0.7, 0.0, 0.4, 0.2, 0.1] + np.sin(known[:, 2])


def wanted(kind: str, matrix: Any) -> Any:
    """What to learn: "value", "column" (rows, 1), "values" (rows, 2), "positive", or labels "two", "ints", "words", "bools", "floats"."""
    value = target(matrix)
    three = np.digitize(value, [-0.6, 0.6])
    kinds: dict[str, Callable[[], Any]] = {
        "value": lambda: value,
        "column": lambda: value[:, np.newaxis],
        "values": lambda: np.stack([value, 5 - 2 * value + matrix[:, 4]], axis=1),
        "positive": lambda: np.exp(value / 3),
        "two": lambda: np.where(value > 0, 7, -2),
        "ints": lambda: three * 10 - 5,
        "words": lambda: np.array(["low", "middle", "high"])[three],
        "bools": lambda: value > 0,
        "floats": lambda: three - 1.0,
    }
    return kinds[kind]()


def fit(estimator: Any, kind: str, *, missing: bool = False, names: bool = False) -> Fitted:
    """`estimator` fitted for `kind` and asked for ROWS other rows; with `names` on a DataFrame of COLUMNS."""
    training, asked = features(TRAINING_ROWS, missing=missing), features(ROWS, missing=missing, seed=1)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(pd.DataFrame(training, columns=COLUMNS) if names else training, wanted(kind, training))
        return ask(estimator, pd.DataFrame(asked, columns=COLUMNS) if names else asked)


def ask(estimator: Any, asked: Any) -> Fitted:
    """A fitted estimator and its answers to `asked`."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        probabilities = estimator.predict_proba(asked) if hasattr(estimator, "predict_proba") else None
        rows = [[None if value != value else value for value in row] for row in np.asarray(asked).tolist()]
        return Fitted(estimator, rows, estimator.predict(asked), probabilities)


def _scaled(estimator: Any) -> Pipeline:
    return make_pipeline(StandardScaler(), estimator)


_VALUE: dict[str, Callable[[], Any]] = {
    **{
        name: getattr(linear_model, name)
        for name in (
            "ARDRegression", "BayesianRidge", "ElasticNet", "ElasticNetCV", "HuberRegressor", "Lars", "LarsCV", "Lasso", "LassoCV",
            "LassoLars", "LassoLarsCV", "LassoLarsIC", "LinearRegression", "OrthogonalMatchingPursuit",
            "OrthogonalMatchingPursuitCV", "QuantileRegressor", "Ridge", "RidgeCV",
        )
    },
    "TheilSenRegressor": partial(linear_model.TheilSenRegressor, random_state=0, max_subpopulation=500),
    "LinearSVR": lambda: _scaled(svm.LinearSVR(random_state=0)),
    "SGDRegressor": lambda: _scaled(linear_model.SGDRegressor(random_state=0)),
    "PassiveAggressiveRegressor": lambda: _scaled(linear_model.PassiveAggressiveRegressor(random_state=0)),
}  # fmt: skip
_VALUES = ("ElasticNet", "Lars", "Lasso", "LassoLars", "LinearRegression", "OrthogonalMatchingPursuit", "Ridge", "RidgeCV")
_TOGETHER = ("MultiTaskElasticNet", "MultiTaskElasticNetCV", "MultiTaskLasso", "MultiTaskLassoCV")
_POSITIVE: dict[str, Callable[[], Any]] = {
    "PoissonRegressor": linear_model.PoissonRegressor,
    "GammaRegressor": linear_model.GammaRegressor,
    "TweedieRegressor": partial(linear_model.TweedieRegressor, power=1.5),
    "TweedieRegressor-normal": linear_model.TweedieRegressor,
    "TweedieRegressor-log": partial(linear_model.TweedieRegressor, power=0, link="log"),
}
_LABEL: dict[str, Callable[[], Any]] = {
    "LogisticRegression": linear_model.LogisticRegression,
    "LogisticRegressionCV": partial(
        linear_model.LogisticRegressionCV, Cs=2, cv=2, use_legacy_attributes=False, l1_ratios=(0,), scoring="neg_log_loss"
    ),
    "RidgeClassifier": linear_model.RidgeClassifier,
    "RidgeClassifierCV": linear_model.RidgeClassifierCV,
    "LinearSVC": partial(svm.LinearSVC, random_state=0),
    "LinearSVC-crammer": partial(svm.LinearSVC, multi_class="crammer_singer", random_state=0),
    "Perceptron": linear_model.Perceptron,
    "PassiveAggressiveClassifier": partial(linear_model.PassiveAggressiveClassifier, random_state=0),
    "SGDClassifier": partial(linear_model.SGDClassifier, random_state=0),
    "SGDClassifier-log_loss": partial(linear_model.SGDClassifier, loss="log_loss", random_state=0),
    "SGDClassifier-modified_huber": partial(linear_model.SGDClassifier, loss="modified_huber", random_state=0),
}


def _liblinear() -> Any:
    return linear_model.LogisticRegression(solver="liblinear")


_MAKERS: dict[str, Callable[[], Fitted]] = {
    **{f"{name}-value": lambda make=make: fit(make(), "value") for name, make in _VALUE.items()},  # type: ignore[misc]
    **{f"{name}-{kind}": lambda make=_VALUE[name], kind=kind: fit(make(), kind)  # type: ignore[misc]
       for name in _VALUES for kind in ("column", "values")},
    **{f"{name}-values": lambda name=name: fit(getattr(linear_model, name)(), "values") for name in _TOGETHER},  # type: ignore[misc]
    **{f"{name}-positive": lambda make=make: fit(_scaled(make()), "positive") for name, make in _POSITIVE.items()},  # type: ignore[misc]
    **{f"{name}-{kind}": lambda make=make, kind=kind: fit(_scaled(make()), kind)  # type: ignore[misc]
       for name, make in _LABEL.items() for kind in ("two", "words")},
    "no-intercept": lambda: fit(linear_model.LinearRegression(fit_intercept=False), "value"),
    "no-intercept-values": lambda: fit(linear_model.Ridge(fit_intercept=False), "values"),
    "no-intercept-labels": lambda: fit(_scaled(svm.LinearSVC(fit_intercept=False)), "ints"),
    "liblinear": lambda: fit(_scaled(_liblinear()), "bools"),
    "floats": lambda: fit(_scaled(linear_model.LogisticRegression()), "floats"),
    "names": lambda: fit(_scaled(linear_model.LogisticRegression()), "words", names=True),
    "names-missing": lambda: fit(make_pipeline(SimpleImputer(), linear_model.Ridge()), "value", missing=True, names=True),
    **{f"scaler-{name}": lambda scaler=scaler: fit(make_pipeline(scaler, linear_model.Ridge()), "values")  # type: ignore[misc]
       for name, scaler in {
           "standard": StandardScaler(), "mean": StandardScaler(with_std=False), "std": StandardScaler(with_mean=False),
           "neither": StandardScaler(with_mean=False, with_std=False), "robust": RobustScaler(unit_variance=True),
           "robust-center": RobustScaler(with_scaling=False), "robust-scale": RobustScaler(with_centering=False),
           "min-max": MinMaxScaler((-1, 3)), "min-max-clip": MinMaxScaler((-1, 3), clip=True),
           "max-abs": MaxAbsScaler(), "max-abs-clip": MaxAbsScaler(clip=True),
           "l1": Normalizer("l1"), "l2": Normalizer(), "max": Normalizer("max"), "passthrough": "passthrough", "none": None,
       }.items()},
    **{f"imputer-{name}": lambda imputer=imputer: fit(  # type: ignore[misc]
           make_pipeline(imputer, StandardScaler(), linear_model.LogisticRegression()), "words", missing=True)
       for name, imputer in {
           "mean": SimpleImputer(), "median": SimpleImputer(strategy="median"), "most": SimpleImputer(strategy="most_frequent"),
           "constant": SimpleImputer(strategy="constant", fill_value=-7.5), "zero": SimpleImputer(strategy="constant"),
       }.items()},
    "scaler-then-imputer": lambda: fit(
        make_pipeline(RobustScaler(), "passthrough", SimpleImputer(), MinMaxScaler(), _LABEL["SGDClassifier-log_loss"]()),
        "words", missing=True),
    "nested": lambda: fit(
        Pipeline([("prepare", make_pipeline(SimpleImputer(), make_pipeline(StandardScaler(), Normalizer()))),
                  ("model", make_pipeline(MaxAbsScaler(), linear_model.Ridge(alpha=0.01)))]), "value", missing=True),
}  # fmt: skip

NAMES = tuple(_MAKERS)


@cache
def fitted(name: str) -> Fitted:
    """One of NAMES. Raises KeyError for another."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what sklearn says of convergence and of what it deprecates is not the matter here
        return _MAKERS[name]()
