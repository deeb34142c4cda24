"""A data set out of rows, whatever database they come from: one numbering of users and items, arrays, fingerprint.

Covers: the order of tables, progress, batches. Does not cover: reading rows (one file a kind of database). Not thread-safe; one
builder is one try: a reader that begins again begins with a new one. Memory: 20 bytes an interaction and, while a column is put
together, that column once more; some 200 bytes a user or item; features 12 bytes a value, 40 at the end; items as Python values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from training.dataset.base import Dataset, Features, Items
from training.dataset.columns import Columns, Place, Table
from training.dataset.entities import Entities
from training.dataset.features import FeatureRows
from training.dataset.fingerprint import fingerprint
from training.dataset.interactions import InteractionRows, Rows
from training.dataset.items import ItemRows
from training.trainers.base import OnProgress

BATCH_ROWS = 20_000
"""Rows a reader asks for at a time: some 10 MB of Python objects."""


class Sink(Protocol):
    """What takes the rows of one table."""

    def add(self, rows: Rows) -> None:
        """Take a batch. Raises training.errors.BadData."""
        ...


class _Told:
    """Passes batches on and says how many rows there were."""

    def __init__(self, sink: Sink, what: str, on_progress: OnProgress) -> None:
        self._sink, self._what, self._on_progress = sink, what, on_progress
        self._rows = 0
        on_progress(what, 0, 0)

    def add(self, rows: Rows) -> None:
        self._sink.add(rows)
        self._rows += len(rows)
        self._on_progress(self._what, self._rows, 0)


class DatasetBuilder:
    """Takes the tables one after the other: `begin`, then the sink's `add` for every batch; `finish` at the end."""

    def __init__(self, limit: int, on_progress: OnProgress, *, ids_are_text: bool = False) -> None:
        """limit: how many interactions there may be. ids_are_text: they come from files that have no kinds."""
        self._limit = limit
        self._on_progress = on_progress
        self._ids_are_text = ids_are_text
        self._users, self._items = Entities(), Entities()
        self._interactions: InteractionRows | None = None
        self._catalogue: ItemRows | None = None
        self._features: dict[Table, FeatureRows] = {}

    def begin(self, table: Table, names: Sequence[str], place: Place) -> Sink:
        """What takes the rows of a table with columns of these names. Raises BadData where one is missing."""
        columns = Columns(names, place)
        sink: Sink
        if table is Table.INTERACTIONS:
            sink = self._interactions = InteractionRows(columns, self._users, self._items, self._limit)
        elif table is Table.ITEMS:
            sink = self._catalogue = ItemRows(columns, self._items)
        else:
            entities = self._users if table is Table.USER_FEATURES else self._items
            sink = self._features[table] = FeatureRows(table, columns, entities)
        return _Told(sink, f"reading {table.value.replace('_', ' ')}", self._on_progress)

    def finish(self) -> Dataset:
        """The data set. The builder is used up then."""
        if self._interactions is None:
            raise RuntimeError("no interactions were read")
        user_ids, users = self._users.settle(is_text=self._ids_are_text)
        item_ids, items = self._items.settle(is_text=self._ids_are_text)
        self._users.clear()
        self._items.clear()
        interactions, notes = self._interactions.finish(users, items)
        catalogue: Items | None = None if self._catalogue is None else self._catalogue.finish(items)
        rows = {Table.USER_FEATURES: users, Table.ITEM_FEATURES: items}
        features: dict[Table, Features] = {table: sink.finish(rows[table]) for table, sink in self._features.items()}
        of_users, of_items = features.get(Table.USER_FEATURES), features.get(Table.ITEM_FEATURES)
        found = fingerprint(user_ids, item_ids, interactions, catalogue, of_users, of_items)
        return Dataset(user_ids, item_ids, interactions, found, catalogue, of_users, of_items, notes)
