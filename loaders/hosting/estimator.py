"""The real object: what it takes, and its predictions of rows. Hosting child only.

Covers: finding the estimator, its signature, rows into a DataFrame or an array, predictions into JSON. Does not cover: the
walls (`loaders.hosting.child`), unpickling. scikit-learn and pandas are imported where the object needs them.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from loaders.errors import CorruptArtifact, LoadError, UnknownFormat
from loaders.hosting.text import text_columns
from models.estimator import WRAPPER_KEYS, Signature, is_label

_COMPOSED = ("steps", "transformers", "transformer_list", "estimator", "estimators", "base_estimator", "regressor")
"""Attributes of estimators that are made of others: what those take, only they know."""
_MOST_NAMES, _MOST_FEATURES = 100_000, 1 << 31
_DEEPEST = 100
"""Pipelines in pipelines that are looked into: a forged one may hold itself."""


def estimator_of(root: Any) -> Any:
    """The object that predicts: `root`, or what a dict holds under one of WRAPPER_KEYS. Raises UnknownFormat."""
    candidates = [root, *(root[key] for key in WRAPPER_KEYS if key in root)] if isinstance(root, dict) else [root]
    for candidate in candidates:
        if callable(getattr(candidate, "predict", None)):
            return candidate
    kind = type(candidates[-1])
    name = f"{kind.__module__}.{kind.__qualname__}"
    raise UnknownFormat(f"{name} has no predict: a model that is hosted needs one", classes=[name])


def served(root: Any) -> Served:
    """What an unpickled file serves. Raises UnknownFormat, CorruptArtifact where the object cannot even say what it takes."""
    try:
        return Served(estimator_of(root))
    except (LoadError, MemoryError):
        raise
    except Exception as error:  # whatever is in the file, it was asked by its own code
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            raise
        raise CorruptArtifact(f"the object does not say what it takes: {type(error).__name__}: {error}"[:500]) from error


class Served:
    """An estimator and how it is asked. Single-threaded."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator
        self.calls = 0
        """Calls of predict so far."""
        self.takes = _takes(estimator)
        self.has_probabilities = callable(getattr(estimator, "predict_proba", None))
        self.signature = _signature(estimator)
        _run_alone(estimator)

    def describe(self) -> dict[str, Any]:
        """What the server must know to check rows, JSON."""
        kind = type(self.estimator)
        return {
            "model": f"{kind.__module__}.{kind.__qualname__}"[:200],
            "takes": self.takes,
            "signature": self.signature.to_meta(),
            "is_classifier": self.signature.classes is not None,
            "has_probabilities": self.has_probabilities,
            "text": self._text(),
        }

    def _text(self) -> list[int]:
        """The columns that may hold text; none where they are not known by name: such a table is an array of numbers, as a rule."""
        if self.takes != "rows" or self.signature.names is None or not self.signature.takes_text:
            return []
        return sorted(text_columns(self.estimator, range(self.signature.features), _tags))

    def predict(self, rows: list[Any]) -> dict[str, Any]:
        """{"predictions", "probabilities"?} of rows as `takes` says. Raises whatever the estimator does."""
        given = rows if self.takes != "rows" else self._table(rows)
        self.calls += 1
        answer: dict[str, Any] = {"predictions": as_json(self.estimator.predict(given), len(rows))}
        if self.has_probabilities:
            try:
                answer["probabilities"] = _probabilities(self.estimator.predict_proba(given), len(rows))
            except (AttributeError, NotImplementedError, ValueError, WrongAnswer) as error:
                # The rows are in order, predict took them: it has the method, but not in the way it was fitted.
                sys.stderr.write(f"predict_proba: {type(error).__name__}: {error}\n")
        return answer

    def _table(self, rows: list[list[Any]]) -> Any:
        if self.signature.names is not None:
            try:
                import pandas as pd
            except ImportError:
                return _array(rows)  # the order is that of the names: the estimator warns, no more
            frame = pd.DataFrame(rows, columns=list(self.signature.names))
            empty = [name for name in frame.columns if frame[name].isna().all()]
            return frame.astype(dict.fromkeys(empty, "float64")) if empty else frame
        return _array(rows)


def _array(rows: list[list[Any]]) -> Any:
    """float64 where every value is a number, else objects; null is NaN."""
    has_text = any(isinstance(value, str) for row in rows for value in row)
    if not has_text:
        return np.array(rows, dtype=np.float64)
    return np.array([[np.nan if value is None else value for value in row] for row in rows], dtype=object)


def _probabilities(found: Any, count: int) -> list[Any]:
    """A list a row; with several outputs scikit-learn gives an array each."""
    if isinstance(found, list):
        outputs = [as_json(each, count) for each in found]
        return outputs[0] if len(outputs) == 1 else [list(row) for row in zip(*outputs, strict=True)]
    return as_json(found, count)


def as_json(found: Any, count: int) -> list[Any]:
    """`count` JSON values of an array, sparse matrix, Series or list; what is not finite becomes null when it is written.

    Raises WrongAnswer where there are not `count` of them.
    """
    array = np.asarray(found.toarray() if hasattr(found, "toarray") else found)
    if array.ndim == 0 or len(array) != count:
        raise WrongAnswer(f"the model answered an array of shape {array.shape} to {count} rows")
    values: list[Any] = array.tolist()
    return values if array.dtype.kind in "biufU" else [_plain(value) for value in values]


class WrongAnswer(Exception):
    """What predict returned is no answer to the rows."""


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    return value if value is None or isinstance(value, str | int | float) else str(value)


# -- what it takes ------------------------------------------------------------------------------------------------------


def _signature(estimator: Any) -> Signature:
    width = getattr(estimator, "n_features_in_", None)
    names = _names(getattr(estimator, "feature_names_in_", None))
    known = int(width) if isinstance(width, int | np.integer) and 0 < width < _MOST_FEATURES else 0
    features = known if names is None else len(names)
    tags = _tags(estimator)
    # What an estimator made of others takes, the first of them decides; what has no tags is not scikit-learn's.
    is_open = tags is None or any(hasattr(estimator, name) for name in _COMPOSED)
    classes = _classes(getattr(estimator, "classes_", None))
    return Signature(
        features,
        names,
        takes_nan=is_open or bool(tags.input_tags.allow_nan),
        takes_text=is_open or bool(tags.input_tags.string or tags.input_tags.categorical),
        classes=classes,
        outputs=len(classes) if classes is not None and isinstance(classes[0], tuple) else 1,
    )


def _names(found: Any) -> tuple[str, ...] | None:
    names = [str(name) for name in found] if found is not None else []
    return tuple(names) if names and len(set(names)) == len(names) <= _MOST_NAMES else None


def _classes(found: Any) -> tuple[Any, ...] | None:
    """Labels, or labels of each output; None for a regressor, or where one is nothing that JSON can say."""
    if found is None:
        return None
    if isinstance(found, list) and found and all(isinstance(each, np.ndarray) for each in found):
        outputs = [_classes(each) for each in found]
        if any(each is None for each in outputs):
            return None
        return outputs[0] if len(outputs) == 1 else tuple(outputs)
    labels = tuple(_plain(label) for label in np.asarray(found).ravel().tolist())
    return labels if labels and all(map(is_label, labels)) else None


def _tags(estimator: Any) -> Any:
    """scikit-learn's tags, None for what is not made in its way."""
    if not hasattr(estimator, "__sklearn_tags__"):
        return None
    from sklearn.utils import get_tags

    try:
        return get_tags(estimator)
    except (AttributeError, TypeError):
        return None


def _takes(estimator: Any) -> str:
    """ "rows", or what the first step of a pipeline takes instead: "texts" (a vectorizer), "objects" (a DictVectorizer)."""
    for _ in range(_DEEPEST):
        steps = getattr(estimator, "steps", None)
        inner = steps[0][1] if isinstance(steps, Sequence) and steps else getattr(estimator, "best_estimator_", None)
        if inner is None or isinstance(inner, str):
            break
        estimator = inner
    tags = _tags(estimator)
    if tags is None or tags.input_tags.two_d_array:
        return "rows"
    return "texts" if tags.input_tags.string else "objects" if tags.input_tags.dict else "rows"


def _run_alone(estimator: Any) -> None:
    """No estimator inside starts threads or processes: the walls let it start none, and each would cost memory."""
    seen: set[int] = set()
    todo = [estimator]
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            todo += value.values()
        elif isinstance(value, list | tuple):
            todo += value
        elif hasattr(value, "get_params") and hasattr(value, "__dict__"):
            if vars(value).get("n_jobs") not in (None, 1):
                value.n_jobs = 1
            todo += vars(value).values()
