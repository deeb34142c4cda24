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
        self._parts: dict[str, list[NDArray[Any]]] = {"users": [], "items": [], "weights": [], "times": []}

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
        self._parts["users"].append(self._users.rows(users))
        self._parts["items"].append(self._items.rows(items))
        self._parts["weights"].append(weights)
        if times is not None:
            self._parts["times"].append(times)

    def finish(self, users: NDArray[np.int32], items: NDArray[np.int32]) -> tuple[Interactions, Mapping[str, int]]:
        """The interactions, with the final rows of users and items, and what was left out or filled in. The sink is empty then."""
        times = None if self._time is None else self._joined("times", np.float64)
        notes = {"without_weight": self._without_weight} if self._without_weight else {}
        if times is not None:
            unknown = np.isnan(times)
            if unknown.all():
                times = None
            elif unknown.any():
                times[unknown] = times[~unknown].min()
                notes["without_time"] = int(unknown.sum())
        found = [rows[self._joined(name, np.int32)] for name, rows in (("users", users), ("items", items))]
        return Interactions(found[0], found[1], self._joined("weights", np.float32), times), notes

    def _joined(self, name: str, dtype: type[np.generic]) -> NDArray[Any]:
        """One column as a whole; its batches are given back at once, so that only one column is there twice."""
        parts = self._parts.pop(name)
        return np.concatenate(parts) if parts else np.empty(0, dtype)

    def _of(self, column: int, rows: Rows) -> list[Any]:
        return [row[column] for row in rows]

    def _cell(self, column: int) -> Cell:
        return Cell(self._columns.place, self._columns.names[column], self._read + 1)
