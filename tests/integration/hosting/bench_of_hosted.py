"""Models, saved and loaded through a loader of their own: what every test of hosting starts from."""

from __future__ import annotations

import gzip
import pickle
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from loaders.hosting.scorer import HostedModel
from loaders.loader import Loader, Version
from tests.integration.loading.bench_of_one import bring, open_loader

FOREVER_S = 60.0


@cache
def numbers() -> tuple[NDArray[Any], NDArray[Any]]:
    """120 rows of 5 features, and three classes."""
    rows, classes = make_classification(120, 5, n_informative=4, n_redundant=0, n_classes=3, random_state=0)
    return rows, classes


@cache
def svc() -> Any:
    return SVC().fit(*numbers())


def people() -> Any:
    """A DataFrame with a number, a category and a text a row."""
    import pandas as pd

    towns = ["Ulm", "Bonn", "Kiel", "Hof"]
    return pd.DataFrame(
        {
            "age": np.arange(40) * 1.5,
            "town": [towns[at % 4] for at in range(40)],
            "about": [f"likes {'tea' if at % 3 else 'coffee'} and {towns[at % 4]}" for at in range(40)],
        }
    )


@cache
def pipeline() -> Any:
    """Columns by name: scaled, one-hot, words."""
    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), ["age"]),
            ("town", OneHotEncoder(handle_unknown="ignore"), ["town"]),
            ("words", TfidfVectorizer(), "about"),
        ]
    )
    return make_pipeline(columns, LogisticRegression()).fit(people(), np.arange(40) % 2)


WAYS: dict[str, Callable[[Any, Path], object]] = {
    "pickle2": lambda model, path: path.write_bytes(pickle.dumps(model, 2)),
    "pickle5": lambda model, path: path.write_bytes(pickle.dumps(model, 5)),
    "pickle_gzip": lambda model, path: path.write_bytes(gzip.compress(pickle.dumps(model))),
    "joblib": lambda model, path: joblib.dump(model, path),
    "joblib_zlib": lambda model, path: joblib.dump(model, path, compress=("zlib", 3)),
    "joblib_xz": lambda model, path: joblib.dump(model, path, compress=("xz", 1)),
    "joblib_lz4": lambda model, path: joblib.dump(model, path, compress=("lz4", 1)),
}


def saved(model: Any, folder: Path, way: str = "pickle5") -> Path:
    path = folder / f"model.{way}"
    WAYS[way](model, path)
    return path


@asynccontextmanager
async def hosted(model: Any, folder: Path, way: str = "pickle5", *, trust: str = "known", **options: Any) -> AsyncIterator[HostedModel]:
    """The scorer of a model that is hosted while the block runs."""
    async with open_loader(folder, trust=trust) as loader, version(loader, saved(model, folder, way), **options) as loaded:
        yield loaded.scorer


@asynccontextmanager
async def version(loader: Loader, path: Path, **options: Any) -> AsyncIterator[Version]:
    loaded = await bring(loader, path, **options)
    try:
        assert loaded.family == "hosted"
        yield loaded
    finally:
        await loaded.close()
