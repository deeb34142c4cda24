"""Which columns of a table may hold text, as far as a fitted estimator shows it. Hosting child only.

Covers: pipelines, column transformers, encoders, imputers, searches. What is none of these is taken at its tags' word, and may
hold text anywhere where it has none. Does not cover: what the columns are called, checking rows (`models.estimator`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

_DEEPEST = 20
"""Estimators in estimators that are looked into: a forged one may hold itself."""
_NOTHING_DONE = (None, "passthrough", "drop")


def text_columns(estimator: Any, columns: Sequence[int], tags_of: Callable[[Any], Any], depth: int = _DEEPEST) -> set[int]:
    """Those of `columns`, which are what the estimator is given, that may hold text. `tags_of`: scikit-learn's tags, or None."""
    if depth == 0:
        return set(columns)
    inner = _first(estimator)
    if inner is not None:
        return text_columns(inner, columns, tags_of, depth - 1)
    parts = _parts(estimator)
    if parts is not None:
        found: set[int] = set()
        for part, places in parts:
            theirs = [columns[place] for place in places if 0 <= place < len(columns)]
            found |= text_columns(part, theirs, tags_of, depth - 1)
        return found
    fitted = _fitted_columns(estimator)
    if fitted is not None and len(fitted) == len(columns):
        return {column for column, values in zip(columns, fitted, strict=True) if _holds_text(values)}
    tags = tags_of(estimator)
    may = tags is None or tags.no_validation or tags.input_tags.string or tags.input_tags.categorical
    return set(columns) if may else set()


def _first(estimator: Any) -> Any:
    """The step of a pipeline, or the best estimator of a search, that sees the columns; None for what is neither."""
    steps = getattr(estimator, "steps", None)
    if isinstance(steps, Sequence) and not isinstance(steps, str):
        return next((step[1] for step in steps if not _does_nothing(step[1])), None)
    return getattr(estimator, "best_estimator_", None)


def _parts(estimator: Any) -> list[tuple[Any, Sequence[int]]] | None:
    """The transformers of a column transformer, each with the places of its columns; None for what is none."""
    places = getattr(estimator, "_transformer_to_input_indices", None)
    fitted = getattr(estimator, "transformers_", None)
    if not isinstance(places, Mapping) or not isinstance(fitted, Sequence):
        return None
    return [(part, [int(place) for place in places.get(name, ())]) for name, part, *_ in fitted if not _does_nothing(part)]


def _does_nothing(step: Any) -> bool:
    """Also "passthrough" as a fitted column transformer has it; what passes is numbers, or the next step could not take it."""
    if step is None or isinstance(step, str):
        return step in _NOTHING_DONE
    return hasattr(step, "inverse_func") and getattr(step, "func", step) is None


def _fitted_columns(estimator: Any) -> Sequence[Any] | None:
    """What an encoder (categories) or an imputer (fill values) learned of each column; None for what is neither."""
    categories = getattr(estimator, "categories_", None)
    if isinstance(categories, list):
        return categories
    fills = getattr(estimator, "statistics_", None)
    return list(fills) if isinstance(fills, np.ndarray) and fills.ndim == 1 else None


def _holds_text(values: Any) -> bool:
    return any(isinstance(value, str) for value in np.atleast_1d(np.asarray(values, dtype=object)).ravel().tolist())
