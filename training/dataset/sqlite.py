"""Reading from SQLite: `sqlite:///PATH`, one snapshot, nothing written.

Covers: opening a file that exists for reading only, one transaction for all queries, the time limit of a query, a database that
somebody else has locked. Does not cover: what rows mean (`training.dataset.building`). A reader of a database in WAL mode hinders
no writer; in the older modes writers wait until it is done.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from config.schema import DataSettings
from training.dataset.base import Dataset
from training.dataset.building import BATCH_ROWS, DatasetBuilder
from training.dataset.columns import Place, Table
from training.dataset.queries import TABLE_OF_ITEMS, asked_in_sql
from training.dataset.trying import Patience, TriesAgain
from training.errors import BadData, DataUnavailable
from training.trainers.base import OnProgress

_BUSY_S = 5.0
_INSTRUCTIONS = 100_000
"""Of SQLite's virtual machine between two looks at the clock: a few milliseconds."""
_PASSING = frozenset((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_CANTOPEN))


class SqliteReader:
    """See `training.dataset.base.Reader`."""

    def __init__(self, data: DataSettings) -> None:
        self._data = data
        self._path = Path(data.url.removeprefix("sqlite:///"))

    def read(self, on_progress: OnProgress) -> Dataset:
        patience = Patience(self._data.attempts)
        while True:
            try:
                return self._read(on_progress)
            except TriesAgain as error:
                time.sleep(patience.next_wait_s(error))

    def _read(self, on_progress: OnProgress) -> Dataset:
        builder = DatasetBuilder(self._data.max_interactions, on_progress)
        with self._open() as database:
            for table, query in asked_in_sql(self._data, lambda: self._has_items(database)):
                self._read_table(database, builder, table, query)
        return builder.finish()

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction that sees one moment."""
        try:
            if not self._path.is_file():
                raise BadData(f"[data] url: there is no database {self._path}")
        except OSError as error:  # a folder on the way may not be entered
            raise DataUnavailable(f"{self._path} cannot be read: {error.strerror or error}") from error
        with _translated(Place(str(self._path))):
            database = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=_BUSY_S)
        with closing(database):
            with _translated(Place(str(self._path))):
                database.execute("PRAGMA query_only = ON")
                database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)  # ATTACH makes files, read-only or not
                database.execute("BEGIN")
                database.execute("SELECT count(*) FROM sqlite_master")  # the snapshot is taken by the first read, not by BEGIN
            yield database

    def _has_items(self, database: sqlite3.Connection) -> bool:
        with _translated(Place(str(self._path))):
            known = "SELECT 1 FROM sqlite_master WHERE lower(name) = ? AND type IN ('table', 'view')"
            return database.execute(known, (TABLE_OF_ITEMS,)).fetchone() is not None

    def _read_table(self, database: sqlite3.Connection, builder: DatasetBuilder, table: Table, query: str) -> None:
        place = Place(f"[data] {table.value}")
        ends_at = time.monotonic() + self._data.statement_timeout_s
        database.set_progress_handler(lambda: int(time.monotonic() > ends_at), _INSTRUCTIONS)
        with _translated(place, self._data.statement_timeout_s):
            cursor = database.execute(query)
        if cursor.description is None:
            raise place.problem("the query gives no columns: a SELECT does")
        sink = builder.begin(table, [column[0] for column in cursor.description], place)
        while True:
            with _translated(place, self._data.statement_timeout_s):
                rows = cursor.fetchmany(BATCH_ROWS)
            if not rows:
                break
            sink.add(rows)
        database.set_progress_handler(None, 0)


@contextmanager
def _translated(place: Place, timeout_s: float = 0.0) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, sqlite3.Warning) as error:  # a second statement is a Warning up to Python 3.11
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code == sqlite3.SQLITE_INTERRUPT:
            raise DataUnavailable(f"{place.name}: the query took longer than statement_timeout, {timeout_s:g} s") from error
        if code in _PASSING:
            raise TriesAgain(f"{place.name}: {error}") from error
        raise place.problem(str(error)) from error
