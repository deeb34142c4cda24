"""Appending to SQLite: `sqlite:///PATH`, one connection in one thread, each request a transaction that is on the disk when it ends.

Covers: making the table, which kinds its columns take, waiting for others that write. Does not cover: values on the wire
(`service.schemas.interactions`). The database is put into WAL mode (sqlite.org/wal.html): a training that reads for minutes then holds no
writer up, nor the reverse.

Ids keep their kind by the affinity of the column (sqlite.org/datatype3.html, 3.1): a column without a type takes numbers and text as
they are, and those that are made here have none; what another column would convert is refused.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from config.schema import DataSettings
from training.errors import DataUnavailable
from training.ingest.base import (
    COLUMNS,
    KEY_KEPT_S,
    KEYS_BETWEEN_CLEANINGS,
    KEYS_TABLE,
    RECENT_AT_ONCE,
    Appended,
    Interaction,
    Key,
    KeyReused,
    NotTaken,
    WrongValue,
    quoted,
    table_name,
)
from training.ingest.reading import interactions_in, text_of

BUSY_S = 5.0
"""How long a request waits for others that write."""
_PASSING = frozenset(
    (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOMEM,
    )
)
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1

T = TypeVar("T")


class SqliteIngest:
    """See `training.ingest.base.Ingest`."""

    def __init__(self, data: DataSettings) -> None:
        """Raises NotTaken for a table that has no name."""
        self._path = Path(data.url.removeprefix("sqlite:///"))
        schema, table = table_name(data.ingest_table)
        if schema not in (None, "main"):
            raise NotTaken(f"[data] ingest_table {data.ingest_table!r}: a SQLite database has no schema but main.")
        self._name, self._table = table, quoted("main", table)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ingest")
        self._database: sqlite3.Connection | None = None
        self._keys_since_cleaning = KEYS_BETWEEN_CLEANINGS

    def __repr__(self) -> str:
        return f"<SqliteIngest {self._path} {self._name}>"

    async def append(self, rows: Sequence[Interaction], key: Key | None = None) -> Appended:
        return await self._aside(partial(self._append, rows, key))

    async def recent(self, limit: int) -> AsyncGenerator[list[Interaction], None]:
        database = await self._aside(self._reading)
        if database is None:
            return
        try:
            columns = await self._aside(partial(self._declared, database))
            if not {"user_id", "item_id", "ts"} <= set(columns):
                return
            weight = "weight" if "weight" in columns else "NULL"
            query = f"SELECT user_id, item_id, {weight}, ts FROM {self._table} ORDER BY ts DESC LIMIT ?"  # noqa: S608  a checked name
            cursor = await self._aside(partial(database.execute, query, (limit,)))
            while rows := await self._aside(partial(cursor.fetchmany, RECENT_AT_ONCE)):
                yield interactions_in(rows)
        finally:
            await self._aside(database.close)

    async def aclose(self) -> None:
        await asyncio.to_thread(self._thread.shutdown, wait=True, cancel_futures=True)
        if self._database is not None:
            self._database.close()
            self._database = None

    async def _aside(self, work: Callable[[], T]) -> T:
        """What `work` returns, done in the thread that owns the connections; it is not left half done. Raises as `Ingest` says."""
        try:
            return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, work))
        except (sqlite3.Error, sqlite3.Warning) as error:
            if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError):
                raise WrongValue(None, "", f"the table {self._name} does not take this: {error}") from error
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            if code in _PASSING:
                raise DataUnavailable(f"{self._path.name}: {error}") from error
            raise NotTaken(f"{self._path.name} cannot take interactions: {error}") from error

    # -- in the thread ------------------------------------------------------------------------------------------------

    def _writing(self) -> sqlite3.Connection:
        """The connection, opened where it is not yet; the file is made where there is none."""
        if self._database is None:
            # Used by one thread at a time: that of the pool, and once that has ended whoever closes it.
            database = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            try:
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("PRAGMA synchronous = FULL")
            except sqlite3.Error:
                database.close()
                raise
            self._database = database
        return self._database

    def _reading(self) -> sqlite3.Connection | None:
        """Another connection, for reading; None where there is no database."""
        if not self._path.is_file():
            return None
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        return sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False)

    def _append(self, rows: Sequence[Interaction], key: Key | None) -> Appended:
        database = self._writing()
        database.execute("BEGIN IMMEDIATE")
        try:
            before = None if key is None else self._claimed(database, key, len(rows))
            if before is None:
                self._insert(database, rows)
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
        return Appended(len(rows)) if before is None else Appended(before, is_duplicate=True)

    def _claimed(self, database: sqlite3.Connection, key: Key, count: int) -> int | None:
        """How many interactions were appended under this key before; None if none were: now it is taken. Raises KeyReused."""
        database.execute(
            f"CREATE TABLE IF NOT EXISTS main.{KEYS_TABLE}"
            " (name TEXT PRIMARY KEY, digest TEXT NOT NULL, accepted INTEGER NOT NULL, at REAL NOT NULL) WITHOUT ROWID"
        )
        if self._keys_since_cleaning >= KEYS_BETWEEN_CLEANINGS:
            database.execute(f"DELETE FROM {KEYS_TABLE} WHERE at < ?", (time.time() - KEY_KEPT_S,))  # noqa: S608  a constant
            self._keys_since_cleaning = 0
        self._keys_since_cleaning += 1
        taken = f"INSERT INTO {KEYS_TABLE} VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"  # noqa: S608
        if database.execute(taken, (key.name, key.digest, count, time.time())).rowcount:
            return None
        found = database.execute(f"SELECT digest, accepted FROM {KEYS_TABLE} WHERE name = ?", (key.name,)).fetchone()  # noqa: S608
        if found[0] != key.digest:
            raise KeyReused
        return int(found[1])

    def _insert(self, database: sqlite3.Connection, rows: Sequence[Interaction]) -> None:
        declared = self._declared(database)
        if not declared:
            database.execute(f"CREATE TABLE {self._table} (user_id NOT NULL, item_id NOT NULL, weight REAL NOT NULL, ts REAL NOT NULL)")
            database.execute(f"CREATE INDEX main.{quoted(f'{self._name}_by_ts')} ON {quoted(self._name)} (ts)")
            declared = self._declared(database)
        values = [self._ids(rows, column, declared) for column in ("user_id", "item_id")]
        names = ["user_id", "item_id"]
        for column, given in (("weight", self._weights(rows, declared)), ("ts", self._times(database, rows, declared))):
            if given is not None:
                names.append(column)
                values.append(given)
        marks = ", ".join("?" * len(names))
        database.executemany(f"INSERT INTO {self._table} ({', '.join(names)}) VALUES ({marks})", zip(*values, strict=True))  # noqa: S608

    def _declared(self, database: sqlite3.Connection) -> dict[str, str]:
        """Column -> affinity of those columns that interactions have; {} where there is no table."""
        rows = database.execute("SELECT name, type FROM pragma_table_xinfo(?, 'main') WHERE hidden = 0", (self._name,)).fetchall()
        return {name.lower(): affinity_of(type) for name, type in rows if name.lower() in COLUMNS}

    def _ids(self, rows: Sequence[Interaction], column: str, declared: dict[str, str]) -> list[Any]:
        if column not in declared:
            raise NotTaken(f"The table {self._name} has no column {column}: rename it, or name another table in [data] ingest_table.")
        affinity, at = declared[column], COLUMNS.index(column)
        ids: list[Any] = [row[at] for row in rows]
        for place, each in enumerate(ids):
            if isinstance(each, str) and affinity not in ("TEXT", "BLOB"):
                raise WrongValue(place, column, f"the column takes whole numbers: {each!r} is text")
            if isinstance(each, int) and affinity == "TEXT":
                raise WrongValue(place, column, f"the column takes text: {each} is a number")
            if isinstance(each, int) and not _LEAST <= each <= _MOST:
                raise WrongValue(place, column, f"{each} is beyond the 64 bits of a whole number")
        return ids

    def _weights(self, rows: Sequence[Interaction], declared: dict[str, str]) -> list[Any] | None:
        if "weight" in declared:
            return [row.weight for row in rows]
        for place, row in enumerate(rows):
            if row.weight != 1.0:
                raise WrongValue(place, "weight", f"the table {self._name} has no column weight: every weight is 1")
        return None

    def _times(self, database: sqlite3.Connection, rows: Sequence[Interaction], declared: dict[str, str]) -> list[Any] | None:
        """As the column has them: text where there is text, whole seconds where it is for whole numbers."""
        if "ts" not in declared:
            return None
        query = f"SELECT ts FROM {self._table} WHERE ts IS NOT NULL LIMIT 1"  # noqa: S608
        known = database.execute(query).fetchone()
        like = known[0] if known is not None and isinstance(known[0], str) else None
        if like is not None or (known is None and declared["ts"] == "TEXT"):
            return [text_of(row.ts, like) for row in rows]
        return [int(row.ts // 1) if declared["ts"] == "INTEGER" else row.ts for row in rows]


def affinity_of(type: str) -> str:
    """What a column of this declared type turns values into, by the rules of SQLite in their order."""
    declared = type.upper()
    rules = (("INTEGER", ("INT",)), ("TEXT", ("CHAR", "CLOB", "TEXT")), ("BLOB", ("BLOB",)), ("REAL", ("REAL", "FLOA", "DOUB")))
    if not declared:
        return "BLOB"
    return next((affinity for affinity, words in rules if any(word in declared for word in words)), "NUMERIC")
