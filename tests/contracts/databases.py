"""One stage for each kind of database of the table of readers: content that a test puts there, as an operator would have it.

Covers: writing tables of Python values with each database's own means. Does not cover: what must be read then (`test_datasets`).
"""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from config.schema import DataSettings
from tests.doubles.postgres import PostgresDatabase

Rows = Sequence[Sequence[Any]]


class Stage:
    """A database. `keeps_kinds`: whether a column can hold numbers and text; `has_kinds`: whether values have kinds at all."""

    keeps_kinds = False
    has_kinds = True
    speaks_sql = True

    def __init__(self, url: str) -> None:
        self.settings = DataSettings(url=url, attempts=1)

    def put(self, table: str, names: Sequence[str], rows: Rows) -> None:
        """Write a table; lists are several words in one value, datetimes are times."""
        raise NotImplementedError

    def asking(self, **wanted: str) -> DataSettings:
        """The settings that read `table` for each setting of that name."""
        queries: dict[str, Any] = {setting: f"SELECT * FROM {table}" for setting, table in wanted.items()}
        return replace(self.settings, **queries)


class PostgresStage(Stage):
    def __init__(self, database: PostgresDatabase, url: str) -> None:
        super().__init__(url)
        self._database = database

    def put(self, table: str, names: Sequence[str], rows: Rows) -> None:
        types = [_postgres_type([row[at] for row in rows]) for at in range(len(names))]
        columns = ", ".join(f'"{name}" {type}' for name, type in zip(names, types, strict=True))
        values = ", ".join(f"({', '.join(map(_postgres_literal, row))})" for row in rows)
        self._database.run(f"CREATE TABLE {table} ({columns}); {f'INSERT INTO {table} VALUES {values};' if rows else ''}")


class SqliteStage(Stage):
    keeps_kinds = True

    def __init__(self, path: Path) -> None:
        super().__init__(f"sqlite:///{path}")
        self.path = path
        sqlite3.connect(path).close()
        path.touch()

    def put(self, table: str, names: Sequence[str], rows: Rows) -> None:
        with closing(sqlite3.connect(self.path)) as database, database:
            columns = ", ".join(f'"{name}"' for name in names)
            database.execute(f"CREATE TABLE {table} ({columns})")
            database.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(names))})", [list(map(_as_text, row)) for row in rows])


class CsvStage(Stage):
    has_kinds = False
    speaks_sql = False

    def __init__(self, folder: Path) -> None:
        super().__init__(f"csv://{folder}")
        self.folder = folder

    def put(self, table: str, names: Sequence[str], rows: Rows) -> None:
        with (self.folder / f"{table}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(names)
            writer.writerows([[_as_csv(value) for value in row] for row in rows])

    def asking(self, **wanted: str) -> DataSettings:
        files: dict[str, Any] = {setting: f"{table}.csv" for setting, table in wanted.items()}
        return replace(self.settings, **files)


def _postgres(request: pytest.FixtureRequest) -> Stage:
    database: PostgresDatabase = request.getfixturevalue("postgres")
    return PostgresStage(database, database.url)


def _postgres_by_socket(request: pytest.FixtureRequest) -> Stage:
    database: PostgresDatabase = request.getfixturevalue("postgres")
    return PostgresStage(database, database.socket_url.replace("postgresql://", "postgres://"))


def _sqlite(request: pytest.FixtureRequest) -> Stage:
    folder: Path = request.getfixturevalue("tmp_path")
    return SqliteStage(folder / "data of #1 100%.db")


def _csv(request: pytest.FixtureRequest) -> Stage:
    folder: Path = request.getfixturevalue("tmp_path")
    return CsvStage(folder)


STAGES: dict[str, Callable[[pytest.FixtureRequest], Stage]] = {
    "postgresql": _postgres,
    "postgres": _postgres_by_socket,
    "sqlite": _sqlite,
    "csv": _csv,
}


def _postgres_type(values: Sequence[Any]) -> str:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int}:
        return "bigint"
    if kinds and kinds <= {int, float}:
        return "double precision"
    return {bool: "boolean", datetime: "timestamptz", list: "text[]"}.get(kinds.pop(), "text") if len(kinds) == 1 else "text"


def _postgres_literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return f"ARRAY[{', '.join(map(_postgres_literal, value))}]::text[]"
    if isinstance(value, str | datetime | float):
        return "'" + str(value).replace("'", "''") + "'"
    return str(value)


def _as_text(value: Any) -> Any:
    if isinstance(value, list):
        return "|".join(value)
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


def _as_csv(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else _as_text(value)
