"""What is there to train from? Interactions, items and features, read in bounded memory from where the operator has them.

READERS is the table: one file a kind of database. Adding one is adding a file and a line here;
`tests/contracts/test_datasets.py` then asks for its fixture. Capped child only: readers import numpy.

    postgres.py sqlite.py csv.py    where rows come from; what failed is said here, and how often it is tried
    columns.py values.py            which column is what; a batch of one column as ids, weights, times
    entities.py growing.py interactions.py items.py features.py    rows of a batch into arrays that grow
    building.py fingerprint.py      the whole: one numbering of users and items, one digest
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from training.errors import BadData

if TYPE_CHECKING:
    from config.schema import DataSettings
    from training.dataset.base import Reader

READERS: dict[str, str] = {
    "postgresql": "training.dataset.postgres:PostgresReader",
    "postgres": "training.dataset.postgres:PostgresReader",
    "sqlite": "training.dataset.sqlite:SqliteReader",
    "csv": "training.dataset.csv:CsvReader",
}
"""Scheme of `[data] url` -> "module:Class", imported on use; the class is called with the settings of [data]."""


def open_reader(data: DataSettings) -> Reader:
    """The reader of the database that `[data] url` names. No I/O. Raises BadData where the scheme is not known."""
    scheme = data.url.partition("://")[0]
    if scheme not in READERS:
        raise BadData(f"[data] url names no database: write one of {', '.join(f'{known}://' for known in READERS)}")
    module, _, name = READERS[scheme].partition(":")
    reader: Reader = getattr(import_module(module), name)(data)
    return reader
