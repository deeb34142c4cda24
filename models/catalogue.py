"""What a recommender knows of its items: ids, columns, categories. The server's half; numpy only.

Covers: rows to ids and back, the columns that `fields` asks for, the items of a category. Does not cover: how columns get
into a bundle (`models.columns.pack_columns`, in the child).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .base import Id, InvalidQuery
from .bundle import Bundle
from .column_kinds import Column
from .columns import CATEGORIES, open_columns
from .ids import IdTable


class Items(Protocol):
    """What `models.recommender` needs of a catalogue; a hybrid brings one over those of its parts."""

    @property
    def count(self) -> int: ...

    def row(self, id: Id) -> int | None: ...

    def ids(self, rows: NDArray[np.int64]) -> list[Id]: ...

    def values(self, fields: Sequence[str], rows: NDArray[np.int64]) -> dict[str, list[Any]]:
        """Column values, a list a field. Raises InvalidQuery for a field that is no column."""
        ...

    def in_categories(self, categories: Sequence[str]) -> NDArray[np.bool_]:
        """(count,) whether an item is in any of them. Raises InvalidQuery where the items have no categories, or none of this name."""
        ...


class Catalogue:
    """The items of a bundle: the id table `item_ids` and the columns of `columns.*`. Thread-safe: only reads."""

    def __init__(self, bundle: Bundle, count: int) -> None:
        """Raises models.bundle.BadBundle."""
        self.count = count
        self.table = IdTable("item_ids", bundle, count)
        self.columns: dict[str, Column] = open_columns(bundle, count)

    @property
    def has_categories(self) -> bool:
        return CATEGORIES in self.columns

    def row(self, id: Id) -> int | None:
        return self.table.row(id)

    def rows(self, ids: Iterable[Id]) -> list[int]:
        return self.table.rows(ids)

    def ids(self, rows: NDArray[Any]) -> list[Id]:
        return self.table.ids(rows)

    def in_words(self) -> str:
        return self.table.in_words()

    def values(self, fields: Sequence[str], rows: NDArray[Any]) -> dict[str, list[Any]]:
        found = {}
        for at, name in enumerate(fields):
            column = self.columns.get(name)
            if column is None or not column.is_shown:
                raise InvalidQuery(f"fields[{at}]", f"{name!r} is not a column of the items: {self._names()}")
            found[name] = column.values(rows)
        return found

    def in_categories(self, categories: Sequence[str]) -> NDArray[np.bool_]:
        column = self.columns.get(CATEGORIES)
        if column is None:
            raise InvalidQuery("categories", "the items of this model have no categories")
        return column.holds_any(categories)

    def _names(self) -> str:
        names = [name for name, column in self.columns.items() if column.is_shown]
        return f"it has {', '.join(names)}" if names else "it has none"
