"""Estimators of older scikit-learn, as it pickled them, and what it answered itself.

`python -m tests.artifacts.older_sklearn FOLDER` under any scikit-learn from 1.1 on writes FOLDER/<version>.xz: those of
tests/artifacts/sklearn were made so (1.1.3 and 1.3.2 beside numpy 1, 1.7.2 the last that knows `multi_class`), by versions
that cannot be installed beside the one the tests run with.
"""

from __future__ import annotations

import json
import lzma
import pickle
import sys
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

FOLDER = Path(__file__).parent / "sklearn"
VERSIONS = ("1.1.3", "1.3.2", "1.7.2")
ROWS, TRAINING_ROWS = 20, 60
DIGITS = 8
"""After the point, of what is kept: each is some bytes of a file."""


class Older(NamedTuple):
    """content: the pickle. rows: JSON values, None for missing. probabilities: None, or as predict_proba gave them, one list an output."""

    content: bytes
    rows: list[list[Any]]
    predictions: list[Any]
    probabilities: list[Any] | None


def older(version: str) -> dict[str, Older]:
    """What that version wrote, by name."""
    made = pickle.loads(lzma.decompress((FOLDER / f"{version}.xz").read_bytes()))
    return {name: Older(content, *json.loads(answers)) for name, (content, answers) in made.items()}


def _estimators() -> dict[str, tuple[Any, str, str]]:
    """name -> (estimator, what to learn, kind of rows)."""
    from sklearn import ensemble, linear_model, svm
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler
    from sklearn.tree import DecisionTreeClassifier

    def forest(kind: str, **more: Any) -> Any:
        return getattr(ensemble, kind)(n_estimators=2, max_depth=3, random_state=0, **more)

    def histogram(kind: str, **more: Any) -> Any:
        return getattr(ensemble, f"HistGradientBoosting{kind}")(max_iter=3, max_bins=12, max_depth=3, min_samples_leaf=5, **more)

    def logistic(**more: Any) -> Any:
        return make_pipeline(StandardScaler(), linear_model.LogisticRegression(**more))

    return {
        "tree-pairs": (DecisionTreeClassifier(max_depth=3, random_state=0), "pairs", "plain"),
        "forest": (forest("RandomForestClassifier"), "words", "plain"),
        "forest-value": (forest("RandomForestRegressor"), "value", "plain"),
        "extra": (forest("ExtraTreesClassifier"), "two", "plain"),
        "gradient": (forest("GradientBoostingClassifier"), "words", "plain"),
        "gradient-exponential": (forest("GradientBoostingClassifier", loss="exponential"), "two", "plain"),
        "gradient-value": (forest("GradientBoostingRegressor", loss="huber"), "value", "plain"),
        "histogram-missing": (histogram("Classifier"), "words", "missing"),
        "histogram-two": (histogram("Classifier"), "two", "missing"),
        "histogram-codes": (histogram("Regressor", categorical_features=[1]), "value", "codes"),
        "logistic": (logistic(), "words", "plain"),
        "logistic-two": (logistic(), "two", "plain"),
        "logistic-rest": (logistic(multi_class="ovr"), "words", "plain"),
        "logistic-both": (logistic(multi_class="multinomial"), "two", "plain"),
        "liblinear": (logistic(solver="liblinear"), "two", "plain"),
        "imputed": (make_pipeline(SimpleImputer(), MinMaxScaler(), linear_model.Ridge()), "value", "missing"),
        "ridge": (linear_model.RidgeClassifier(), "words", "plain"),
        "descent": (make_pipeline(StandardScaler(), linear_model.SGDClassifier(loss="log_loss", random_state=0)), "words", "plain"),
        "margin": (make_pipeline(StandardScaler(), svm.LinearSVC(random_state=0)), "two", "plain"),
    }


def _rows(kind: str, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    count = ROWS if seed else TRAINING_ROWS
    matrix = rng.normal(size=(count, 3)).round(1)
    if kind != "plain":
        matrix[rng.random(matrix.shape) < 1 / 8] = np.nan
    if kind == "codes":
        matrix[:, 1] = rng.integers(0, 6 + 2 * seed, count)
    return matrix


def _wanted(kind: str, matrix: Any) -> Any:
    value = np.nan_to_num(matrix) @ [1.0, -0.5, 0.3] + (matrix[:, 1] % 2 > 1)
    three = np.digitize(value, [-0.4, 0.6])
    kinds = {
        "value": value,
        "two": value > 0,
        "words": np.array(["low", "middle", "high"])[three],
        "pairs": np.stack([three, three % 2], axis=1),
    }
    return kinds[kind]


def write(folder: Path) -> Path:
    """All of it, by the scikit-learn that is installed. Returns the file."""
    import sklearn

    made: dict[str, Any] = {}
    for name, (estimator, wanted, kind) in _estimators().items():
        training, asked = _rows(kind, 0), _rows(kind, 1)
        estimator.fit(training, _wanted(wanted, training))
        rows = [[None if value != value else value for value in row] for row in asked.tolist()]
        probabilities = estimator.predict_proba(asked) if hasattr(estimator, "predict_proba") else None
        outputs = probabilities if isinstance(probabilities, list) or probabilities is None else [probabilities]
        predictions = estimator.predict(asked)
        is_number = predictions.dtype.kind == "f"
        answers = (
            rows,
            (predictions.round(DIGITS) if is_number else predictions).tolist(),
            None if outputs is None else [output.round(DIGITS).tolist() for output in outputs],
        )
        made[name] = (pickle.dumps(estimator, 4), json.dumps(answers))
    path = folder / f"{sklearn.__version__}.xz"
    path.write_bytes(lzma.compress(pickle.dumps(made, 4), preset=9))
    return path


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        print(write(Path(sys.argv[1])))
