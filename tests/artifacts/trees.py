"""Fitted trees and ensembles of sklearn of every kind that is served from arrays, rows for them, and sklearn's own answers.

Cached: do not change what is returned. Rows are those of a caller: lists of JSON values, None for missing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn import ensemble, tree
from threadpoolctl import threadpool_limits

TRAINING_ROWS = 240
ROWS = 1000
FEATURES = 5
TOWNS = ["Oslo", "Łódź", "東京", "Lima", "Bern", "Cork"]


class Fitted(NamedTuple):
    """rows: (ROWS of) JSON values. predictions, probabilities: sklearn's for them; None where it gives no probabilities."""

    estimator: Any
    rows: list[list[Any]]
    predictions: Any
    probabilities: Any


@cache
def features(rows: int, *, missing: bool = False, seed: int = 0) -> Any:
    """(rows, FEATURES) float64; with `missing` one cell in eight is NaN. Values repeat, so that thresholds are hit exactly."""
    rng = np.random.default_rng(seed)
    matrix = np.round(rng.normal(size=(rows, FEATURES)), 1)
    if missing:
        matrix[rng.random(matrix.shape) < 1 / 8] = np.nan
    return matrix


def target(matrix: Any) -> Any:
    """(rows,) float64, a little of every feature."""
    known = np.nan_to_num(matrix, nan=0.7)
    return known[:, 0] + known[:, 1] * known[:, 2] + np.abs(known[:, 3]) + 0.1 * known[:, 4]


def labels(kind: str, matrix: Any) -> Any:
    """The target cut into classes: "two", "ints", "floats", "words", "bools", "one"; of two outputs "several" (2 and 3), "pairs" (3, 3)."""
    value = target(matrix)
    three = np.digitize(value, [0.2, 1.4])
    makers: dict[str, Callable[[], Any]] = {
        "two": lambda: np.where(value > 1.3, 7, -2),
        "ints": lambda: three * 10 - 5,
        "floats": lambda: three.astype(float) - 1,
        "words": lambda: np.array(["low", "middle", "high"])[three],
        "bools": lambda: value > 1.3,
        "one": lambda: np.array(["all"] * len(value)),
        "several": lambda: np.stack([(value > 0.8).astype(int), three], axis=1),
        "pairs": lambda: np.stack([three, np.digitize(matrix[:, 0], [-0.5, 0.5])], axis=1),
    }
    return makers[kind]()


def _fit(estimator: Any, wanted: str, *, missing: bool = False) -> Fitted:
    """wanted: a kind of `labels`, or "value", "positive", "values" (two outputs) for regressors."""
    training, asked = features(TRAINING_ROWS, missing=missing), features(ROWS, missing=missing, seed=1)
    value = target(training)
    numbers = {"value": value, "positive": np.exp(value / 4), "values": np.stack([value, -3 * value + training[:, 0]], axis=1)}
    return _ask(estimator.fit(training, numbers[wanted] if wanted in numbers else labels(wanted, training)), asked)


def _ask(estimator: Any, asked: Any) -> Fitted:
    probabilities = estimator.predict_proba(asked) if hasattr(estimator, "predict_proba") else None
    values = asked.astype(object).to_numpy() if isinstance(asked, pd.DataFrame) else asked
    rows = [[None if value != value else value for value in row] for row in values.tolist()]
    return Fitted(estimator, rows, estimator.predict(asked), probabilities)


def _categorical(estimator: Any, wanted: str, kind: str) -> Fitted:
    """Columns 1 and 3 are categories: of `kind` "codes" 0.., "numbers" (any), "towns" (a DataFrame's, with the rest as numbers).

    Rows asked for have missing categories, and some that training did not see.
    """
    rng = np.random.default_rng(3)
    frames = []
    for rows, many in ((TRAINING_ROWS, 5), (ROWS, 6)):
        matrix = features(rows, missing=True, seed=rows).copy()
        first, second = rng.integers(0, many, rows), rng.integers(0, 40, rows)
        scale = {"codes": 1.0, "numbers": 2.5, "towns": 1.0}[kind]
        matrix[:, 1], matrix[:, 3] = first * scale, second * scale - (0.0 if kind == "codes" else 30.0)
        frame = pd.DataFrame(matrix, columns=["age", "town", "height", "shop", "load"])
        if kind == "towns":
            frame["town"] = pd.Categorical.from_codes(first, TOWNS)
            frame.loc[rng.random(rows) < 0.1, "town"] = None
        else:
            frame.loc[rng.random(rows) < 0.1, "town"] = np.nan
        frames.append(frame)
    training, asked = frames
    effect = np.sin(training["shop"].to_numpy() * 3) + (
        training["town"] == (TOWNS[1] if kind == "towns" else 2.5 if kind == "numbers" else 1.0)
    )
    value = target(np.nan_to_num(features(TRAINING_ROWS))) + 2 * effect.to_numpy()
    aim = value if wanted == "value" else np.digitize(value, [0.2, 2.0])
    if kind == "towns":
        estimator.set_params(categorical_features=["town", "shop"])
        return _ask(estimator.fit(training, aim), asked)
    estimator.set_params(categorical_features=[1, 3])
    return _ask(estimator.fit(training.to_numpy(), aim), asked.to_numpy())


def _gradient(**parameters: Any) -> Any:
    kind = ensemble.GradientBoostingRegressor if parameters.pop("regressor", False) else ensemble.GradientBoostingClassifier
    return kind(**{"n_estimators": 25, "max_depth": 3, "random_state": 0, **parameters})


def _histogram(**parameters: Any) -> Any:
    kind = ensemble.HistGradientBoostingRegressor if parameters.pop("regressor", False) else ensemble.HistGradientBoostingClassifier
    return kind(**{"max_iter": 20, "min_samples_leaf": 5, "random_state": 0, **parameters})


_SEEDED: dict[str, Any] = {"random_state": 0}
_FOREST: dict[str, Any] = {"n_estimators": 15, "random_state": 0}

_MAKERS: dict[str, Callable[[], Fitted]] = {
    "decision-tree": lambda: _fit(tree.DecisionTreeClassifier(**_SEEDED), "words"),
    "decision-tree-missing": lambda: _fit(tree.DecisionTreeClassifier(**_SEEDED, min_samples_leaf=4), "ints", missing=True),
    "decision-tree-stump": lambda: _fit(tree.DecisionTreeClassifier(max_depth=1), "two"),
    "decision-tree-one": lambda: _fit(tree.DecisionTreeClassifier(), "one"),
    "decision-tree-several": lambda: _fit(tree.DecisionTreeClassifier(**_SEEDED, max_depth=4), "several"),
    "decision-tree-value": lambda: _fit(tree.DecisionTreeRegressor(**_SEEDED), "value", missing=True),
    "decision-tree-values": lambda: _fit(tree.DecisionTreeRegressor(**_SEEDED, max_leaf_nodes=20), "values"),
    "decision-tree-pruned": lambda: _fit(tree.DecisionTreeRegressor(**_SEEDED, criterion="absolute_error", ccp_alpha=0.01), "value"),
    "extra-tree": lambda: _fit(tree.ExtraTreeClassifier(**_SEEDED), "floats", missing=True),
    "extra-tree-best": lambda: _fit(tree.ExtraTreeClassifier(**_SEEDED, splitter="best"), "floats"),
    "extra-tree-value": lambda: _fit(tree.ExtraTreeRegressor(**_SEEDED), "value"),
    "forest": lambda: _fit(ensemble.RandomForestClassifier(**_FOREST, class_weight="balanced"), "words"),
    "forest-bools": lambda: _fit(ensemble.RandomForestClassifier(**_FOREST), "bools", missing=True),
    "forest-even": lambda: _fit(ensemble.RandomForestClassifier(n_estimators=2, random_state=0), "ints"),
    "forest-one": lambda: _fit(ensemble.RandomForestClassifier(**_FOREST), "one"),
    "forest-several": lambda: _fit(ensemble.RandomForestClassifier(**_FOREST), "several", missing=True),
    "forest-pairs": lambda: _fit(ensemble.RandomForestClassifier(**_FOREST), "pairs"),
    "forest-value": lambda: _fit(ensemble.RandomForestRegressor(**_FOREST), "value", missing=True),
    "forest-values": lambda: _fit(ensemble.RandomForestRegressor(**_FOREST, criterion="absolute_error", max_depth=4), "values"),
    "extra-trees": lambda: _fit(ensemble.ExtraTreesClassifier(**_FOREST), "floats", missing=True),
    "extra-trees-value": lambda: _fit(ensemble.ExtraTreesRegressor(**_FOREST), "value", missing=True),
    "gradient": lambda: _fit(_gradient(), "two"),
    "gradient-exponential": lambda: _fit(_gradient(loss="exponential", subsample=0.7), "bools"),
    "gradient-words": lambda: _fit(_gradient(learning_rate=0.3), "words"),
    "gradient-stopped": lambda: _fit(_gradient(n_estimators=200, n_iter_no_change=2), "ints"),
    "gradient-zero": lambda: _fit(_gradient(init="zero"), "ints"),
    "gradient-zero-value": lambda: _fit(_gradient(regressor=True, init="zero"), "value"),
    **{f"gradient-{loss}": lambda loss=loss: _fit(_gradient(regressor=True, loss=loss, alpha=0.8), "value")  # type: ignore[misc]
       for loss in ("squared_error", "absolute_error", "huber", "quantile")},
    "histogram": lambda: _fit(_histogram(), "two"),
    "histogram-missing": lambda: _fit(_histogram(learning_rate=0.5), "words", missing=True),
    "histogram-stopped": lambda: _fit(_histogram(max_iter=200, early_stopping=True, n_iter_no_change=2), "bools", missing=True),
    **{f"histogram-{loss}": lambda loss=loss: _fit(_histogram(regressor=True, loss=loss, quantile=0.8), "positive", missing=True)  # type: ignore[misc]
       for loss in ("squared_error", "absolute_error", "quantile", "poisson", "gamma")},
    "histogram-codes": lambda: _categorical(_histogram(), "classes", "codes"),
    "histogram-numbers": lambda: _categorical(_histogram(regressor=True), "value", "numbers"),
    "histogram-towns": lambda: _categorical(_histogram(), "classes", "towns"),
    "histogram-towns-value": lambda: _categorical(_histogram(regressor=True), "value", "towns"),
}  # fmt: skip

NAMES = tuple(_MAKERS)


@cache
def fitted(name: str) -> Fitted:
    """One of NAMES. Raises KeyError for another."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="sklearn")
        return _MAKERS[name]()
