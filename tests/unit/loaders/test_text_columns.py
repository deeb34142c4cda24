"""Which columns of a table may hold text, by what was fitted on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

from loaders.hosting.estimator import Served
from loaders.hosting.text import text_columns

CLASSES = np.arange(12) % 2
FRAME = pd.DataFrame(
    {
        "age": np.arange(12.0),
        "town": ["Ulm", "Hof", "Kiel"] * 4,
        "floor": [0, 1, 2, 3] * 3,
        "about": ["likes tea", "likes coffee"] * 6,
    }
)


class Odd(BaseEstimator, TransformerMixin):  # type: ignore[misc]
    """A transformer that says nothing of what it takes."""

    __sklearn_tags__ = None

    def fit(self, rows: Any, labels: Any = None) -> Odd:
        return self

    def transform(self, rows: Any) -> Any:
        return np.zeros((len(rows), 1))


def columns(*parts: Any) -> Any:
    return make_pipeline(ColumnTransformer(list(parts)), LogisticRegression())


NUMBERS = ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age"])
PIPELINES: dict[str, tuple[Any, set[str]]] = {
    "numbers": (make_pipeline(StandardScaler(), LogisticRegression()), set()),
    "one-hot": (columns(NUMBERS, ("town", OneHotEncoder(), ["town", "floor"])), {"town"}),
    "filled, then ordinal": (
        columns(("town", make_pipeline(SimpleImputer(strategy="most_frequent"), OrdinalEncoder()), ["town"])),
        {"town"},
    ),
    "words": (columns(("words", TfidfVectorizer(), "about"), ("rest", "passthrough", ["age"])), {"about"}),
    "dropped": (columns(NUMBERS, ("rest", "drop", ["town"])), set()),
    "skipped": (columns(("town", make_pipeline("passthrough", OneHotEncoder()), ["age", "town"])), {"town"}),
    "a function": (columns(("any", FunctionTransformer(lambda rows: np.zeros((len(rows), 1))), ["age", "town"])), {"age", "town"}),
    "a search": (GridSearchCV(columns(NUMBERS, ("town", OneHotEncoder(), ["town"])), {}, cv=2), {"town"}),
}


@pytest.mark.parametrize("pipeline, text", PIPELINES.values(), ids=PIPELINES)
def test_by_what_was_fitted(pipeline: Any, text: set[str]) -> None:
    frame = FRAME[["age", "floor"]] if not text and "columntransformer" not in getattr(pipeline, "named_steps", {}) else FRAME
    served = Served(pipeline.fit(frame, CLASSES))
    assert {list(frame)[at] for at in served.describe()["text"]} == text


def test_what_says_nothing_may_take_anything() -> None:
    assert text_columns(Odd(), range(3), lambda estimator: None) == {0, 1, 2}


def test_a_pipeline_of_itself_is_given_up() -> None:
    class Endless:
        @property
        def steps(self) -> Any:
            return [("again", self)]

    assert text_columns(Endless(), range(2), lambda estimator: None) == {0, 1}


def test_an_array_has_no_columns_of_text() -> None:
    assert Served(make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME[["age"]].to_numpy(), CLASSES)).describe()["text"] == []
