"""Where do interactions go that are posted? Into the table that trainings read, whole requests or nothing, durable before the answer.

INGESTS is the table: one file a kind of database. Adding one is adding a file and a line here;
`tests/contracts/test_ingest.py` then asks for its fixture. Runs in the server: no module here imports numpy or, but on use, asyncpg.
"""

from __future__ import annotations

from importlib import import_module

from config.schema import DataSettings
from training.ingest.base import Ingest, NotTaken

INGESTS: dict[str, str] = {
    "postgresql": "training.ingest.postgres:PostgresIngest",
    "postgres": "training.ingest.postgres:PostgresIngest",
    "sqlite": "training.ingest.sqlite:SqliteIngest",
}
"""Scheme of `[data] url` -> "module:Class", imported on use."""
_TAKES = "postgresql://USER:PASSWORD@HOST/DB or sqlite:///PATH"


def open_ingest(data: DataSettings) -> Ingest:
    """The writer of `[data] url`; it has asked nobody yet. Raises NotTaken where no interactions can be written there."""
    scheme = data.url.partition(":")[0]
    if not scheme:
        raise NotTaken(f"No database takes interactions here: set [data] url to {_TAKES}.")
    if scheme not in INGESTS:
        raise NotTaken(f"[data] url is {scheme}://, to which nothing can be appended: set it to {_TAKES}.")
    module, _, name = INGESTS[scheme].partition(":")
    made: Ingest = getattr(import_module(module), name)(data)
    return made
