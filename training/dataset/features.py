"""Features of users or of items while they are read: a row each ("wide") or a feature each row ("long"), 12 bytes a value.

Covers: how columns become named features. Does not cover: scaling them, which is a trainer's business.

Wide: a column of numbers is a feature of its name with that value; a column of text is one feature a value, "column=value", of 1;
so are lists, and texts of a column of categories (`training.dataset.columns`), which are split. True is 1. NULL, False, 0 and ""
are nothing. Long: `feature` names it, `value` (1 where it is NULL or there is no such column) is its value; a value that is text
gives "feature=value". A feature that a user has several times in long form is added up; one row more for the same user in wide
form is an error.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.dataset import values
from training.dataset.base import Features
from training.dataset.columns import Columns, Table, holds_categories, split_categories
from training.dataset.entities import Entities
from training.dataset.growing import Growing
from training.dataset.interactions import Rows
from training.dataset.values import Cell

Named = tuple[str, float]
"""A feature and its value."""


class FeatureRows:
    """A sink for the rows of user_features or item_features."""

    def __init__(self, table: Table, columns: Columns, entities: Entities) -> None:
        """Raises BadData where there is no id column, or nothing else."""
        self._columns = columns
        self._entity = columns.needed(table.entity)
        self._feature = columns.needed("feature") if columns.is_long else None
        self._value = columns.optional("value") if columns.is_long else None
        self._others = columns.others(self._entity)
        if not self._others:
            raise columns.place.problem(f"there is no column besides {table.entity}: each other one is a feature")
        self._categories = frozenset(at for at in self._others if holds_categories(columns.names[at]))
        self._entities = entities
        self._names = Entities()
        self._met: set[int] = set()
        self._read = 0
        self._rows, self._named_by, self._values = Growing(np.int32), Growing(np.int32), Growing(np.float32)

    def add(self, rows: Rows) -> None:
        """Take a batch. Raises BadData."""
        cell = self._cell(self._entity)
        ids = values.ids([row[self._entity] for row in rows], cell)
        entities = self._entities.rows(ids)
        if self._feature is None:
            for at, entity in enumerate(entities.tolist()):
                if entity in self._met:
                    raise cell.refuse(at, ids[at], "is told of by two rows; with a feature each row, columns are called feature and value")
                self._met.add(entity)
        found = [list(self._long(at, row) if self._feature is not None else self._wide(at, row)) for at, row in enumerate(rows)]
        names = self._names.rows([name for name, _ in chain.from_iterable(found)])
        numbers = np.array([value for _, value in chain.from_iterable(found)], np.float32)
        self._rows.append(np.repeat(entities, [len(each) for each in found]))
        self._named_by.append(names)
        self._values.append(numbers)
        self._read += len(rows)

    def finish(self, entities: NDArray[np.int32]) -> Features:
        """The matrix in the final order of rows; its features in the order of their names."""
        names, order = self._names.settle(is_text=False)
        keys = entities[self._rows.take()].astype(np.int64) * max(1, len(names)) + order[self._named_by.take()]
        distinct, at = np.unique(keys, return_inverse=True)
        summed = np.bincount(at, self._values.take(), len(distinct)).astype(np.float32)
        indptr = np.searchsorted(distinct, np.arange(len(entities) + 1, dtype=np.int64) * max(1, len(names))).astype(np.int64)
        return Features([str(name) for name in names], indptr, (distinct % max(1, len(names))).astype(np.int32), summed)

    def _wide(self, at: int, row: Any) -> Iterable[Named]:
        for column in self._others:
            name, value = self._columns.names[column], row[column]
            if isinstance(value, list | tuple) or (isinstance(value, str) and column in self._categories):
                yield from ((f"{name}={word}", 1.0) for word in split_categories(value))
            else:
                yield from self._named(name, value, at, column)

    def _long(self, at: int, row: Any) -> Iterable[Named]:
        assert self._feature is not None  # noqa: S101  long form has it
        name = row[self._feature]
        if name is None or name == "":
            raise self._cell(self._feature).refuse(at, name, "names no feature")
        value = 1.0 if self._value is None or row[self._value] is None else row[self._value]
        yield from self._named(str(name), value, at, self._feature if self._value is None else self._value)

    def _named(self, name: str, value: Any, at: int, column: int) -> Iterable[Named]:
        if value is None:
            return
        if isinstance(value, bool | int | float | Decimal):
            if number := self._number(value, at, column):
                yield name, number
        elif isinstance(value, bytes):
            raise self._cell(column).refuse(at, value, "is no feature: numbers, text and switches are")
        elif text := str(values.plain(value)).strip():
            yield f"{name}={text}", 1.0

    def _number(self, value: Any, at: int, column: int) -> float:
        def refusal() -> Exception:
            return self._cell(column).refuse(at, value, "is no finite number of 32 bits")

        found = values.number(value, refusal)
        if abs(found) > _LARGEST:
            raise refusal()
        return found

    def _cell(self, column: int) -> Cell:
        return Cell(self._columns.place, self._columns.names[column], self._read + 1)


_LARGEST = float(np.finfo(np.float32).max)
