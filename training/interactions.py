"""Interactions in SQLite: written once for the demo, read back for training.

Covers: the two tables, `interactions(user_id, item_id, weight, ts)` and `items(item_id, title, category)`, and the matrix
that trainers want. Ids are integers from 1; `ts` is Unix seconds. Does not cover: other databases.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.planted import Planted

_SCHEMA = """
CREATE TABLE items (item_id INTEGER PRIMARY KEY, title TEXT NOT NULL, category TEXT NOT NULL);
CREATE TABLE interactions (
    user_id INTEGER NOT NULL, item_id INTEGER NOT NULL REFERENCES items, weight REAL NOT NULL, ts INTEGER NOT NULL
);
CREATE INDEX interactions_by_time ON interactions (ts);
"""


@dataclass(frozen=True, slots=True)
class Interactions:
    """Users by items, with the ids of rows and columns in ascending order."""

    user_items: Any
    """scipy CSR, float32; the weights of repeated pairs are added up."""
    user_ids: list[int]
    item_ids: list[int]


def write_database(path: Path, planted: Planted) -> None:
    """Write a new database. `path` must not exist or be empty. Raises sqlite3.Error and OSError."""
    items = [(row + 1, title, category) for row, (title, category) in enumerate(zip(planted.titles, planted.categories, strict=True))]
    events = zip(
        (planted.users + 1).tolist(), (planted.items + 1).tolist(), planted.weights.tolist(), planted.timestamps.tolist(), strict=True
    )
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(_SCHEMA)
        database.executemany("INSERT INTO items VALUES (?, ?, ?)", items)
        database.executemany("INSERT INTO interactions VALUES (?, ?, ?, ?)", events)


def read_interactions(path: Path) -> Interactions:
    """Read all interactions. Items nobody touched are columns too. Raises sqlite3.Error."""
    import numpy as np
    import scipy.sparse

    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        rows = database.execute("SELECT user_id, item_id, weight FROM interactions ORDER BY ts, user_id, item_id").fetchall()
        item_ids = [item for (item,) in database.execute("SELECT item_id FROM items ORDER BY item_id")]
    users, items, weights = (np.array(column) for column in zip(*rows, strict=True))
    user_ids, user_rows = np.unique(users, return_inverse=True)
    item_rows = np.searchsorted(np.array(item_ids), items)
    shape = (len(user_ids), len(item_ids))
    user_items = scipy.sparse.csr_matrix((weights.astype(np.float32), (user_rows, item_rows)), shape=shape)
    user_items.sum_duplicates()
    return Interactions(user_items=user_items, user_ids=user_ids.tolist(), item_ids=item_ids)
