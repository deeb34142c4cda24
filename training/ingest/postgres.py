"""Appending to PostgreSQL, by asyncpg: each request one INSERT in one transaction, in the event loop.

Covers: making the table, a small pool that connects when it is needed, waiting, which failures may pass. Does not cover: which values a
column takes (`training.ingest.postgres_columns`), values on the wire (`service.schemas.interactions`). No statement is kept from one
request to the next, so that a pooler may stand between.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from config.schema import DataSettings
from training.errors import DataUnavailable
from training.ingest.base import (
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
from training.ingest.postgres_columns import Columns, columns_for
from training.ingest.reading import interactions_in
from training.said import said_by

if TYPE_CHECKING:
    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = PoolConnectionProxy[Any]

CONNECTIONS = 4
CONNECT_S = 5.0
"""Time limit of connecting, and of waiting for one of the connections."""
STATEMENT_S = 10.0
_CLOSE_S = 5.0
_IDLE_S = 60.0
_REFUSED_VALUES = ("22", "23")
"""Classes of SQLSTATE (PostgreSQL manual, appendix A): data exceptions, violated constraints."""
_WRONG_TABLE = ("0A", "25006", "42", "55000")
"""Not supported, a read-only database, no such thing or no right to it, a view that takes no rows."""
_GONE = ("42P01", "42703", "42804")
"""No such table or column, or of another type: perhaps since it was looked at."""
_LOCK_OF_MAKING = 0x686F6C6466617374
"""Of several servers one makes the table; "holdfast" as a number."""

_COLUMNS = """
SELECT a.attname, b.typname, format_type(b.oid, NULL)
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid JOIN pg_type b ON b.oid = coalesce(nullif(t.typbasetype, 0), t.oid)
WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
"""


class PostgresIngest:
    """See `training.ingest.base.Ingest`."""

    def __init__(self, data: DataSettings) -> None:
        """Raises NotTaken for a table that has no name, and without asyncpg."""
        try:
            import asyncpg  # noqa: F401
        except ImportError as error:
            raise NotTaken('Interactions in PostgreSQL need asyncpg: pip install "holdfast[train]".') from error
        self._url = data.url
        schema, table = table_name(data.ingest_table)
        self._table, self._index, self._keys = quoted(schema, table), quoted(f"{table[:50]}_by_ts"), quoted(schema, KEYS_TABLE)
        self._pool: asyncpg.Pool[Any] | None = None
        self._opening = asyncio.Lock()
        self._columns: Columns | None = None
        self._keys_since_cleaning = KEYS_BETWEEN_CLEANINGS

    def __repr__(self) -> str:
        return f"<PostgresIngest {self._table}>"

    async def append(self, rows: Sequence[Interaction], key: Key | None = None) -> Appended:
        async with self._connection() as connection:
            columns = await self._columns_of(connection, rows)
            arrays = columns.arrays(rows)
            if key is not None:
                await self._prepare_keys(connection)
            async with connection.transaction():
                before = None if key is None else await self._claimed(connection, key, len(rows))
                if before is None:
                    await connection.execute(columns.insert_into(self._table), *arrays)
        return Appended(len(rows)) if before is None else Appended(before, is_duplicate=True)

    async def recent(self, limit: int) -> AsyncGenerator[list[Interaction], None]:
        async with self._connection() as connection:
            found = {name for name, _, _ in await connection.fetch(_COLUMNS, self._table)}
            if not {"user_id", "item_id", "ts"} <= found:
                return
            weight = "weight" if "weight" in found else "NULL"
            query = f"SELECT user_id, item_id, {weight}, ts FROM {self._table} WHERE ts IS NOT NULL ORDER BY ts DESC LIMIT $1"  # noqa: S608
            async with connection.transaction(readonly=True):
                cursor = await connection.cursor(query, limit)
                while rows := await cursor.fetch(RECENT_AT_ONCE):
                    yield interactions_in(rows)

    async def aclose(self) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_S):
                await pool.close()
        except TimeoutError:
            pool.terminate()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        with self._translated():
            pool = await self._opened()
            try:
                connection = await pool.acquire(timeout=CONNECT_S)
            except ValueError as error:
                raise NotTaken(f"[data] url: {said_by(error, self._url)}") from error
            try:
                yield connection
            finally:
                await pool.release(connection)

    async def _opened(self) -> asyncpg.Pool[Any]:
        """The pool; it connects to nothing until it has to."""
        import asyncpg

        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._url,
                    min_size=0,
                    max_size=CONNECTIONS,
                    timeout=CONNECT_S,
                    command_timeout=STATEMENT_S,
                    max_inactive_connection_lifetime=_IDLE_S,
                    statement_cache_size=0,
                    server_settings={"application_name": "holdfast"},
                )
            return self._pool

    async def _columns_of(self, connection: Connection, rows: Sequence[Interaction]) -> Columns:
        """What the table takes; made where there is none, with columns for ids as these are. Raises NotTaken."""
        if self._columns is None:
            found = await connection.fetch(_COLUMNS, self._table)
            if not found:
                await self._make_table(connection, rows)
                found = await connection.fetch(_COLUMNS, self._table)
            self._columns = columns_for(self._table, {name: (type, words) for name, type, words in found})
        return self._columns

    async def _make_table(self, connection: Connection, rows: Sequence[Interaction]) -> None:
        users, items = ("bigint" if all(isinstance(row[at], int) for row in rows) else "text" for at in (0, 1))
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK_OF_MAKING)
            await connection.execute(
                f"CREATE TABLE IF NOT EXISTS {self._table} (user_id {users} NOT NULL, item_id {items} NOT NULL,"
                " weight double precision NOT NULL DEFAULT 1, ts timestamptz NOT NULL DEFAULT now())"
            )
            await connection.execute(f"CREATE INDEX IF NOT EXISTS {self._index} ON {self._table} (ts)")

    async def _prepare_keys(self, connection: Connection) -> None:
        """The table of keys is there, and every so often without those that are old."""
        if self._keys_since_cleaning >= KEYS_BETWEEN_CLEANINGS:
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK_OF_MAKING)
                # Whoever may not make tables may have been given this one.
                if await connection.fetchval("SELECT to_regclass($1) IS NULL", self._keys):
                    await connection.execute(
                        f"CREATE TABLE IF NOT EXISTS {self._keys} (name text PRIMARY KEY, digest text NOT NULL, accepted integer NOT NULL,"
                        " at timestamptz NOT NULL DEFAULT now())"
                    )
                await connection.execute(f"DELETE FROM {self._keys} WHERE at < now() - make_interval(secs => $1)", KEY_KEPT_S)  # noqa: S608
            self._keys_since_cleaning = 0
        self._keys_since_cleaning += 1

    async def _claimed(self, connection: Connection, key: Key, count: int) -> int | None:
        """How many interactions were appended under this key before; None if none were: now it is taken. Raises KeyReused.

        Of two requests at once the second one waits here until the first one's transaction has ended.
        """
        taken = f"INSERT INTO {self._keys} (name, digest, accepted) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING 1"  # noqa: S608
        if await connection.fetchval(taken, key.name, key.digest, count) is not None:
            return None
        found = await connection.fetchrow(f"SELECT digest, accepted FROM {self._keys} WHERE name = $1", key.name)  # noqa: S608
        if found is None:
            raise DataUnavailable("the key of this request was just forgotten: send it again")
        if found["digest"] != key.digest:
            raise KeyReused
        return int(found["accepted"])

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Failures of the database as `Ingest` says, in its own words but for the password."""
        import asyncpg

        try:
            yield
        except asyncpg.PostgresError as error:
            raise self._judged(error) from error
        except TimeoutError as error:
            raise DataUnavailable("the database did not answer in time") from error
        except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            if isinstance(error, ValueError):  # asyncpg's own DataError: a value that cannot be sent at all
                raise WrongValue(None, "", said_by(error, self._url)) from error
            raise DataUnavailable(said_by(error, self._url)) from error

    def _judged(self, error: asyncpg.PostgresError) -> Exception:
        state, told = error.sqlstate or "", said_by(error, self._url)
        if state in _GONE:
            self._columns, self._keys_since_cleaning = None, KEYS_BETWEEN_CLEANINGS  # they are looked at again the next time
        if state.startswith(_REFUSED_VALUES):
            return WrongValue(None, "", f"the table {self._table} does not take this: {told}")
        if state.startswith(_WRONG_TABLE):
            return NotTaken(f"The database takes no interactions: {told}.")
        return DataUnavailable(told)
