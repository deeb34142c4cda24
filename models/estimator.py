"""What an estimator takes and how rows of JSON become a matrix. numpy only, both halves.

Covers: the signature (width, names, NaN, classes) in the bundle's metadata, and the checks of `instances` against it.
Does not cover: predicting (each family's `score.py`), reading a pickled estimator (each family's `pack.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .base import InvalidQuery


@dataclass(frozen=True, slots=True)
class Signature:
    """What goes in and what comes out; JSON in `meta["signature"]`.

    features: columns of a row. names: feature_names_in_, or None. takes_nan: whether a missing value (null) is allowed.
    takes_text: whether a value may be a string (hosted pipelines). classes: the labels; with several outputs a list of
    lists; None for a regressor. outputs: values predicted a row.
    """

    features: int
    names: tuple[str, ...] | None = None
    takes_nan: bool = False
    takes_text: bool = False
    classes: tuple[Any, ...] | None = None
    outputs: int = 1

    def to_meta(self) -> dict[str, Any]:
        """As JSON."""
        raise NotImplementedError

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> Signature:
        """From `to_meta`. Raises models.bundle.BadBundle."""
        raise NotImplementedError

    def matrix(self, instances: Sequence[Any]) -> NDArray[np.float64]:
        """(rows, features) float64 of rows given as lists or as objects by name.

        Raises InvalidQuery, its field "instances", "instances[3]" or "instances[3].age" / "instances[3][2]": no rows, not a
        row, ragged, another width, a name missing or unknown, not a number, null where the model takes none, beyond float64.
        """
        raise NotImplementedError

    def rows(self, instances: Sequence[Any]) -> list[list[Any]]:
        """The same as lists of JSON values in the order of the features, for a model that is not made of arrays. Raises InvalidQuery."""
        raise NotImplementedError


__all__ = ["InvalidQuery", "Signature"]
