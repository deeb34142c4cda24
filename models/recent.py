"""What a user did after a model had learned, or as nobody the model knows: taken into the next answer without training again.

Covers: one such interaction, which of them a model has not learned from, and their items as rows. Pure but for numpy. Does not
cover: how a family takes them in (its `score.py`), where they come from (`service.recent`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .base import Id
from .confidence import confidences


class Recent(NamedTuple):
    """One interaction of a user. weight: positive; those with the same item add up. at: Unix seconds, when it became known."""

    item: Id
    weight: float
    at: float


class Additions(NamedTuple):
    """Items that join what is known of a user. rows: (n,) int64, ascending and distinct. weights: (n,) float64."""

    rows: NDArray[np.int64]
    weights: NDArray[np.float64]

    @classmethod
    def of(cls, recent: Sequence[Recent], row_of: Callable[[Id], int | None]) -> Additions:
        """Items that `row_of` does not know are left out."""
        found: dict[int, float] = {}
        for each in recent:
            row = row_of(each.item)
            if row is not None:
                found[row] = found.get(row, 0.0) + each.weight
        rows = np.array(sorted(found), np.int64)
        return cls(rows, np.array([found[row] for row in rows.tolist()], np.float64))

    def counted(self, how: str) -> Additions:
        """With their weights as they count (`models.confidence`)."""
        return Additions(self.rows, confidences(self.weights, how))

    def take(self, which: NDArray[np.bool_]) -> Additions:
        """Those of a mask."""
        return Additions(self.rows[which], self.weights[which])

    def __bool__(self) -> bool:
        return len(self.rows) > 0


def is_among(rows: NDArray[np.int64], history: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(rows,) whether a row is in an ascending history."""
    if not len(history):
        return np.zeros(len(rows), np.bool_)
    at = np.minimum(np.searchsorted(history, rows), len(history) - 1)
    found: NDArray[np.bool_] = history[at] == rows
    return found


def learned_until(details: Mapping[str, Any]) -> float | None:
    """Until when what happened was learned from, Unix seconds; None where the details do not say it (`learned_until`, RFC 3339)."""
    told = details.get("learned_until")
    if not isinstance(told, str):
        return None
    try:
        at = datetime.fromisoformat(told)
    except ValueError:
        return None
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
