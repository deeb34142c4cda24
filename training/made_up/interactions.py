"""Planted interactions as a SQLite database, as `[data]` takes it.

Covers: the two tables, `interactions(user_id, item_id, weight, ts)` and `items(item_id, title, category)`. Ids are integers from 1;
`ts` is Unix seconds. Does not cover: what is planted (`training.made_up.planted`), reading (`training.dataset`).
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from training.made_up.planted import Planted

_SCHEMA = """
CREATE TABLE items (item_id INTEGER PRIMARY KEY, title TEXT NOT NULL, category TEXT NOT NULL);
CREATE TABLE interactions (
    user_id INTEGER NOT NULL, item_id INTEGER NOT NULL REFERENCES items, weight REAL NOT NULL, ts INTEGER NOT NULL
);
CREATE INDEX interactions_by_time ON interactions (ts);
"""


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
