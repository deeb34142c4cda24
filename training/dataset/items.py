"""What is told of items, while it is read: every column for answers, text to learn from, categories.

Covers: which values are text, categories, several rows for one item. Does not cover: packing columns (`models.columns`). A
catalogue is held as Python values: some hundred bytes a value.

An item may have several rows that differ in their category only (a join with its categories): it has them all. Rows of one item
that differ in anything else are an error, since which of them counts would be up to the database.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.dataset import values
from training.dataset.base import Items
from training.dataset.columns import CATEGORY_COLUMNS, Columns, split_categories
from training.dataset.entities import Entities
from training.dataset.interactions import Rows
from training.dataset.values import Cell


class ItemRows:
    """A sink for the rows of the items."""

    def __init__(self, columns: Columns, items: Entities) -> None:
        """Raises BadData where there is no item_id."""
        self._columns = columns
        self._item = columns.needed("item_id")
        self._others = columns.others(self._item)
        categories = {columns.optional(name) for name in CATEGORY_COLUMNS}
        self._categories = [at for at in self._others if at in categories]
        self._told = [at for at in self._others if at not in categories]
        self._items = items
        self._read = 0
        self._found: dict[int, tuple[tuple[str, ...], list[Any], list[Any]]] = {}
        """Provisional row -> categories, values of the other columns, values of the category columns."""

    def add(self, rows: Rows) -> None:
        """Take a batch. Raises BadData."""
        cell = Cell(self._columns.place, self._columns.names[self._item], self._read + 1)
        ids = values.ids([row[self._item] for row in rows], cell)
        for at, (entity, row) in enumerate(zip(self._items.rows(ids).tolist(), rows, strict=True)):
            told = [row[column] for column in self._told]
            given = [row[column] for column in self._categories]
            categories = dict.fromkeys(word for value in given for word in split_categories(value))
            if entity in self._found:
                known, before, _ = self._found[entity]
                for column, old, new in zip(self._told, before, told, strict=True):
                    if old != new:
                        why = "is told of by several rows, which may differ in their categories only"
                        raise cell._replace(column=self._columns.names[column]).refuse(at, ids[at], why)
                merged = tuple(sorted({*known, *categories}))
                self._found[entity] = (merged, before, ["|".join(merged)] * len(given))
            else:
                self._found[entity] = (tuple(categories), told, given)
        self._read += len(rows)

    def finish(self, items: NDArray[np.int32]) -> Items:
        """One entry an item, in the final order of their rows; "" and () where nothing is told."""
        count = len(items)
        text = [""] * count
        categories: list[tuple[str, ...]] = [()] * count
        columns: dict[str, list[Any]] = {self._columns.names[at]: [None] * count for at in self._others}
        names = [self._columns.names[at] for at in (*self._told, *self._categories)]
        for entity, (found, told, given) in self._found.items():
            row = int(items[entity])
            text[row] = " ".join(value.strip() for value in told if isinstance(value, str) and value.strip())
            categories[row] = found
            for name, value in zip(names, (*told, *given), strict=True):
                columns[name][row] = values.plain(value)
        return Items(text, categories, columns)
