"""Reading from PostgreSQL: one read-only transaction, one snapshot, a cursor on the server's side.

Covers: connecting, the time limit of a statement, batches, which failures may pass (all is then read again from the start) and
which cannot. Does not cover: what rows mean (`training.dataset.building`). TLS, Unix sockets (`?host=/run/postgresql`) and
password files are asyncpg's business; PG* variables count where the process has them, which a capped child has not.

The transaction is REPEATABLE READ, READ ONLY (PostgreSQL manual, 13.2.2): all queries see one moment, and none can write. Rows come
by a portal that is fetched in batches, so that memory does not depend on their number on either side. No statement is kept from
one connection to the next, so that a pooler may stand between.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from config.schema import DataSettings
from loaders.errors import MissingLibrary
from training.addresses import secrets_of
from training.dataset.base import Dataset
from training.dataset.building import BATCH_ROWS, DatasetBuilder
from training.dataset.columns import Place, Table
from training.dataset.queries import TABLE_OF_ITEMS, asked_in_sql
from training.dataset.trying import Patience, TriesAgain
from training.errors import BadData, DataUnavailable, TrainingError
from training.said import said_by
from training.trainers.base import OnProgress

if TYPE_CHECKING:
    import asyncpg

_CONNECT_S = 15.0
_GRACE_S = 30.0
"""Later than the server's own limit, a statement is given up here too: a network that swallows packets says nothing."""
_PASSING = ("08", "25P03", "40", "53", "57P", "58")
"""Classes of SQLSTATE (PostgreSQL manual, appendix A) that may pass: connection, idle too long, rolled back by
the server, resources, shutdown, system."""
_NOT_ASKED_AGAIN = ("28", "3D")
"""The server is there and says no: who or which database."""
_NOT_LET_IN = "28P01"
_CANCELLED = "57014"
_ADDRESS = "[data] url"


class PostgresReader:
    """See `training.dataset.base.Reader`."""

    def __init__(self, data: DataSettings) -> None:
        self._data = data

    def read(self, on_progress: OnProgress) -> Dataset:
        patience = Patience(self._data.attempts)
        while True:
            try:
                return asyncio.run(self._read(on_progress))
            except TriesAgain as error:
                wait_s = patience.next_wait_s(error)
                on_progress(f"waiting for the database: {error}"[:200], 0, 0)
                time.sleep(wait_s)

    async def _read(self, on_progress: OnProgress) -> Dataset:
        builder = DatasetBuilder(self._data.max_interactions, on_progress)
        async with self._open() as connection:
            has_items = await self._has_items(connection)
            for table, query in asked_in_sql(self._data, lambda: has_items):
                await self._read_table(connection, builder, table, query)
        return builder.finish()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[asyncpg.Connection[Any]]:
        """A connection in the transaction; it is dropped where anything failed, and the server rolls back by itself."""
        try:
            import asyncpg
        except ImportError as error:
            raise MissingLibrary('reading from PostgreSQL needs asyncpg: pip install "holdfast[train]"', library="asyncpg") from error
        with self._translated(_ADDRESS):
            connection = await asyncpg.connect(
                self._data.url,
                timeout=_CONNECT_S,
                command_timeout=self._data.statement_timeout_s + _GRACE_S,
                statement_cache_size=0,
                server_settings={"application_name": "holdfast"},
            )
        try:
            with self._translated(_ADDRESS):
                await connection.transaction(isolation="repeatable_read", readonly=True).start()
                await connection.execute(f"SET LOCAL statement_timeout = {round(self._data.statement_timeout_s * 1000)}")
            yield connection
            with self._translated(_ADDRESS):
                await connection.close(timeout=_CONNECT_S)
        finally:
            connection.terminate()

    async def _has_items(self, connection: asyncpg.Connection[Any]) -> bool:
        with self._translated("[data] items"):
            return await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", TABLE_OF_ITEMS) is True

    async def _read_table(self, connection: asyncpg.Connection[Any], builder: DatasetBuilder, table: Table, query: str) -> None:
        place = Place(f"[data] {table.value}")
        with self._translated(place.name):
            statement = await connection.prepare(query)
        if statement.get_parameters():
            raise place.problem("the query has parameters ($1 ...), and there is nothing to put there: write the values into it")
        names = [attribute.name for attribute in statement.get_attributes()]
        if not names:
            raise place.problem("the query gives no columns: a SELECT does")
        sink = builder.begin(table, names, place)
        with self._translated(place.name):
            cursor = await statement.cursor()
        while True:
            with self._translated(place.name):
                rows = await cursor.fetch(BATCH_ROWS)
            if not rows:
                break
            sink.add(rows)

    @contextmanager
    def _translated(self, where: str) -> Iterator[None]:
        """Failures of the database as TriesAgain, DataUnavailable or BadData, in its own words but for the password."""
        import asyncpg

        try:
            yield
        except TrainingError:
            raise
        except asyncpg.PostgresError as error:
            raise self._judged(where, error) from error
        except TimeoutError as error:
            raise TriesAgain(f"{where}: the database did not answer in time") from error
        except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            if isinstance(error, asyncpg.ClientConfigurationError):
                raise BadData(f"{where}: {said_by(error, self._data.url)}") from error
            raise TriesAgain(f"{where}: {said_by(error, self._data.url)}") from error
        except (ValueError, OverflowError) as error:
            if where != _ADDRESS:  # a date before the year 1, for one, which PostgreSQL has and Python has not
                raise BadData(f"{where}: a value cannot be read: {said_by(error, self._data.url)}") from error
            # Not in asyncpg's words: they quote what it takes for the port, which is the password where that holds a slash.
            told = "cannot be read as an address: is the port a number, and is what is special in name and password percent-encoded?"
            raise BadData(f"{where} {told}") from None

    def _judged(self, where: str, error: asyncpg.PostgresError) -> Exception:
        state = error.sqlstate or ""
        told = f"{where}: {said_by(error, self._data.url)}"
        if state == _CANCELLED:
            return DataUnavailable(f"{told} (statement_timeout is {self._data.statement_timeout_s:g} s)")
        if state == _NOT_LET_IN and not secrets_of(self._data.url):
            return DataUnavailable(f"{told}: none was given, set [data] password_file or HOLDFAST_DATA_PASSWORD_FILE")
        if state.startswith(_NOT_ASKED_AGAIN):
            return DataUnavailable(told)
        return TriesAgain(told) if state.startswith(_PASSING) or not state else BadData(told)
