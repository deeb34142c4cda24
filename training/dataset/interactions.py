"""Interactions while they are read: batches of rows into arrays, 20 bytes each.

Covers: what becomes of NULL, 0 and negative weights, of missing times, of too many rows. Does not cover: where rows come from.

A weight that is NULL is 1. A row whose weight is 0 or less says nothing that a model of likes could learn, and is left out: its
user and item are not even known by it ("without_weight" in `Dataset.notes`). Where some rows have a time and others have none,
those without count as old as the oldest ("without_time"); where none has one, there are no times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.dataset import values
from training.dataset.base import Interactions
from training.dataset.columns import Columns
from training.dataset.entities import Entities
from training.dataset.growing import Growing
from training.dataset.values import Cell

Rows = Sequence[Sequence[Any]]


class InteractionRows:
    """A sink for the rows of the interactions. `notes` and `finish` are for when all are in."""

    def __init__(self, columns: Columns, users: Entities, items: Entities, limit: int) -> None:
        """`limit` is how many rows there may be. Raises BadData where a column is missing."""
        self._columns = columns
        self._user, self._item = columns.needed("user_id"), columns.needed("item_id")
        self._weight, self._time = columns.optional("weight"), columns.optional("ts")
        self._users, self._items = users, items
        self._limit = limit
        self._read = self._without_weight = 0
        self._user_rows, self._item_rows = Growing(np.int32), Growing(np.int32)
        self._weights, self._times = Growing(np.float32), Growing(np.float64)

    def add(self, rows: Rows) -> None:
        """Take a batch. Raises BadData, which names column and row."""
        if self._read + len(rows) > self._limit:
            raise self._columns.place.problem(
                f"there are more than {self._limit} rows: ask for fewer (the latest, for example), or raise [data] max_interactions"
            )
        users = values.ids(self._of(self._user, rows), self._cell(self._user))
        items = values.ids(self._of(self._item, rows), self._cell(self._item))
        ones = np.ones(len(rows), np.float32)
        weights = ones if self._weight is None else values.weights(self._of(self._weight, rows), self._cell(self._weight))
        times = None if self._time is None else values.times(self._of(self._time, rows), self._cell(self._time))
        self._read += len(rows)
        counts = weights > 0
        if not counts.all():
            kept = counts.tolist()
            users = [id for id, keep in zip(users, kept, strict=True) if keep]
            items = [id for id, keep in zip(items, kept, strict=True) if keep]
            weights, times = weights[counts], None if times is None else times[counts]
            self._without_weight += len(rows) - len(users)
        self._user_rows.append(self._users.rows(users))
        self._item_rows.append(self._items.rows(items))
        self._weights.append(weights)
        if times is not None:
            self._times.append(times)

    def finish(self, users: NDArray[np.int32], items: NDArray[np.int32]) -> tuple[Interactions, Mapping[str, int]]:
        """The interactions, with the final rows of users and items, and what was left out or filled in. The sink is empty then."""
        times = None if self._time is None else self._times.take()
        notes = {"without_weight": self._without_weight} if self._without_weight else {}
        if times is not None:
            unknown = np.isnan(times)
            if unknown.all():
                times = None
            elif unknown.any():
                times[unknown] = times[~unknown].min()
                notes["without_time"] = int(unknown.sum())
        found = Interactions(users[self._user_rows.take()], items[self._item_rows.take()], self._weights.take(), times)
        return found, notes

    def _of(self, column: int, rows: Rows) -> list[Any]:
        return [row[column] for row in rows]

    def _cell(self, column: int) -> Cell:
        return Cell(self._columns.place, self._columns.names[column], self._read + 1)
