"""What is there to train from? Interactions, items and features, read in bounded memory from where the operator has them.

READERS is the table: one file a kind of database. Adding one is adding a file and a line here;
`tests/contracts/test_datasets.py` then asks for its fixture. Capped child only: imports numpy.
"""

from __future__ import annotations

READERS: dict[str, str] = {
    "postgresql": "training.dataset.postgres:PostgresReader",
    "postgres": "training.dataset.postgres:PostgresReader",
    "sqlite": "training.dataset.sqlite:SqliteReader",
    "csv": "training.dataset.csv:CsvReader",
}
"""Scheme of `[data] url` -> "module:Class", imported on use."""
