"""Which classes and functions do fitted estimators name in their pickles? Asked of scikit-learn itself.

Run as a program it prints the table of `loaders.hosting.allowed.SKLEARN`. Covers: every estimator of the installed
scikit-learn with every set of parameters that its own tests construct, pipelines over DataFrames, searches, and what else
people put into one (kernels, splitters, scorers). Does not cover: numpy and the standard library (written by hand).
"""

from __future__ import annotations

import importlib
import inspect
import io
import pickle
import pkgutil
import textwrap
import warnings
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Name = tuple[str, str]

HELPERS = (
    "sklearn._loss._loss", "sklearn._loss.link", "sklearn._loss.loss", "sklearn.linear_model._sgd_fast",
    "sklearn.metrics._dist_metrics", "sklearn.neural_network._stochastic_optimizers", "sklearn.utils._metadata_requests",
)  # fmt: skip
"""Modules whose classes estimators carry: which of them depends on the parameters."""
EXTRA: tuple[Name, ...] = (
    ("sklearn.feature_selection._mutual_info", "mutual_info_classif"),
    ("sklearn.feature_selection._mutual_info", "mutual_info_regression"),
    ("sklearn.neighbors._ball_tree", "BallTree"),
    ("sklearn.neighbors._ball_tree", "newObj"),
    *(("scipy.sparse._" + kind[:3], kind) for kind in ("csc_matrix", "csc_array", "csr_array", "coo_matrix", "coo_array")),
)
LEFT_OUT = ("sklearn.utils._mocking", "sklearn.utils.validation")
"""What only scikit-learn's own tests put into an estimator."""


def named_in(pickled: bytes) -> set[Name]:
    """Every (module, name) that unpickling it asks for. Unpickles it for real."""
    asked: set[Name] = set()

    class Asking(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            asked.add((module, name))
            return super().find_class(module, name)

    Asking(io.BytesIO(pickled)).load()
    return asked


def fitted() -> Iterator[Any]:
    """Estimators, fitted on something small. Those that no target here suits are left out."""
    from sklearn.base import clone
    from sklearn.datasets import make_classification
    from sklearn.utils import all_estimators
    from sklearn.utils._test_common.instance_generator import _construct_instances

    rows, classes = make_classification(60, 6, random_state=0)
    rows = np.abs(rows)
    square = rows[:6, :6] @ rows[:6, :6].T
    texts = ["one two", "two three", "three one"] * 4
    three = np.arange(60) % 3
    targets: list[tuple[Any, Any]] = [
        (rows, three),
        (rows, classes),
        (rows, rows[:, :2]),
        (rows, None),
        (rows[:, :1], rows[:, 1]),
        (rows, rows[:, 0] + 1),
    ]
    targets += [(square, classes[:6]), (square, None), (texts, [0, 1] * 6), (texts, None), ([{"a": 1.0}, {"b": 2.0}], None)]
    for _, kind in all_estimators():
        for made in _instances(kind, _construct_instances):
            for given in targets:
                try:
                    yield clone(made).fit(*given)
                except Exception:
                    continue  # another target may suit it
                break
    yield from _composed(rows, classes)


def _instances(kind: type, construct: Any) -> list[Any]:
    try:
        return list(construct(kind))
    except BaseException:  # what scikit-learn's own tests skip
        return []


def _composed(rows: NDArray[Any], classes: NDArray[Any]) -> Iterator[Any]:
    import pandas as pd
    from sklearn.compose import ColumnTransformer, make_column_selector
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.feature_selection import SelectKBest, chi2, f_regression
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, KFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
    from sklearn.svm import SVC

    towns = pd.Series(["Ulm", "Bonn", "Kiel"] * 20)
    frame = pd.DataFrame({"age": rows[:, 0], "town": towns, "kind": towns.astype("category"), "text": towns + " at night"})
    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), ["age"]),
            ("town", OneHotEncoder(handle_unknown="ignore"), make_column_selector(pattern="town")),
            ("text", TfidfVectorizer(), "text"),
        ],
        remainder=OrdinalEncoder(),
    )
    yield make_pipeline(columns, LogisticRegression()).fit(frame, classes)
    yield HistGradientBoostingClassifier(categorical_features="from_dtype", max_iter=2).fit(frame[["age", "kind"]], classes)
    yield make_pipeline(FunctionTransformer(np.log1p), SelectKBest(chi2, k=2), SVC(probability=False)).fit(rows, classes)
    yield SelectKBest(f_regression, k=2).fit(rows, classes)
    yield GaussianProcessRegressor(ConstantKernel(1.0) * RBF(1.0) + WhiteKernel()).fit(rows, classes)
    for scoring in (None, "accuracy", "roc_auc", ["accuracy", "f1"]):
        search = GridSearchCV(SVC(), {"C": [1, 2]}, scoring=scoring, refit="f1" if isinstance(scoring, list) else True, cv=KFold(2))
        yield search.fit(rows, classes)


def listed() -> Iterator[Name]:
    """What carries no data but may be part of an estimator: each by its own name."""
    import sklearn
    from sklearn.base import BaseEstimator
    from sklearn.gaussian_process.kernels import Hyperparameter, Kernel
    from sklearn.metrics import get_scorer, get_scorer_names
    from sklearn.model_selection import BaseCrossValidator, BaseShuffleSplit

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for package in pkgutil.walk_packages(sklearn.__path__, "sklearn."):
            if not {"tests", "externals", "_test_common", "_build_utils", "conftest"} & set(package.name.split(".")):
                importlib.import_module(package.name)
    for base in (BaseEstimator, Kernel, BaseCrossValidator, BaseShuffleSplit):
        yield from ((kind.__module__, kind.__qualname__) for kind in subclasses(base) if kind.__module__.startswith("sklearn."))
    for name in get_scorer_names():
        function = get_scorer(name)._score_func
        yield function.__module__, function.__qualname__
    yield Hyperparameter.__module__, Hyperparameter.__qualname__
    for module in HELPERS:
        for name, found in inspect.getmembers(importlib.import_module(module)):
            if name.startswith("__pyx_unpickle_") or (inspect.isclass(found) and found.__module__ == module):
                yield module, name
    yield from EXTRA


def subclasses(base: type) -> set[type]:
    """Of any depth, the abstract ones left out."""
    found: set[type] = set()
    kind: type
    for kind in base.__subclasses__():
        found |= subclasses(kind) | (set() if inspect.isabstract(kind) else {kind})
    return found


def all_names() -> set[Name]:
    """What scikit-learn's estimators need, its own names and scipy's."""
    names = set(listed())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for estimator in fitted():
            for protocol in (2, 5):
                names |= named_in(pickle.dumps(estimator, protocol))
    return {name for name in names if name[0].partition(".")[0] in ("sklearn", "scipy") and name[0] not in LEFT_OUT}


def table(names: set[Name]) -> str:
    """As the lines of a Python dict: module -> names in one string."""
    by_module: dict[str, list[str]] = defaultdict(list)
    for module, name in sorted(names):
        by_module[module].append(name)
    lines = []
    for module, found in by_module.items():
        line = f'    "{module}": "{" ".join(found)}",'
        if len(line) > 138:
            parts = textwrap.wrap(" ".join(found), 128)
            body = [f'        "{part} "' for part in parts[:-1]] + [f'        "{parts[-1]}"']
            line = "\n".join([f'    "{module}": (', *body, "    ),"])
        lines.append(line)
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(all_names()))
