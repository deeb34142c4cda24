"""Item columns in a bundle: titles, prices, categories, so that answers can carry them. numpy only, both halves.

Covers: packing (child) and reading (server) of columns of whole numbers, floats, booleans, text and lists of text.
Does not cover: where columns come from (`models.frames`), ids (`models.ids`).

Layout: array names `columns.<n>.*`, with `meta["columns"] = [{"name", "kind", "shown"}, ...]` in that order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .bundle import Bundle

CATEGORIES = "categories"
"""Name of the column that `categories` of a question filters by, whatever the column was called; shown only if it was called so."""


class Column(Protocol):
    """One column over a mapping."""

    is_shown: bool
    """Whether `fields` may ask for it."""

    def values(self, rows: NDArray[Any]) -> list[Any]:
        """JSON values of rows; null for missing, a list of strings for lists of text."""
        ...

    def holds_any(self, words: Sequence[str]) -> NDArray[np.bool_]:
        """(count,) which rows hold any of the words. Raises InvalidQuery (`categories[i]`) for a word that no row holds."""
        ...


def pack_columns(
    columns: Mapping[str, Sequence[Any] | NDArray[Any]], categories: Sequence[Sequence[str]] | None = None
) -> tuple[dict[str, NDArray[Any]], list[dict[str, Any]]]:
    """Arrays and the value of `meta["columns"]`. Values that are no number, bool, text or list of text leave their column out."""
    raise NotImplementedError


def open_columns(bundle: Bundle, count: int) -> dict[str, Column]:
    """The columns by name. Raises models.bundle.BadBundle."""
    return {}
