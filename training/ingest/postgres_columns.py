"""Which values the columns of a PostgreSQL table take, and the statement that appends to it.

Covers: the kinds of ids, weights and times by the type of the column. Pure. Does not cover: asking the database
(`training.ingest.postgres`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from training.ingest.base import COLUMNS, Interaction, NotTaken, WrongValue
from training.ingest.reading import text_of

_WHOLE = {"int2": 15, "int4": 31, "int8": 63, "numeric": 63, "float8": 53}
"""Types of numbers -> bits that a whole number may have there."""
_TEXT = ("text", "varchar", "bpchar", "citext", "uuid", "name")
_WEIGHTS = ("float4", "float8", "numeric", "int2", "int4", "int8")
_TIMES = ("timestamptz", "timestamp", "date", "float8", "numeric", "int8", "int4", "text", "varchar")
_AS_SECONDS = ("float8", "numeric", "int8", "int4")
_WITHOUT_CAST = ("text", "varchar", "bpchar", "name")
"""Text is assigned to these as it is; an explicit cast would cut off what is too long."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of one table that interactions have: name -> (internal name of the type, its name in SQL)."""

    table: str
    types: Mapping[str, tuple[str, str]]

    def insert_into(self, table: str) -> str:
        """An INSERT of one array a column, in the order of `types`."""
        given = ", ".join(f"${at}::{self._array(name)}[]" for at, name in enumerate(self.types, 1))
        values = ", ".join(self._cast(f"given.{name}", name) for name in self.types)
        names = ", ".join(self.types)
        return f"INSERT INTO {table} ({names}) SELECT {values} FROM unnest({given}) AS given ({names})"  # noqa: S608  names of COLUMNS

    def arrays(self, rows: Sequence[Interaction]) -> list[list[Any]]:
        """One array a column. Raises WrongValue."""
        made = {"user_id": self._ids, "item_id": self._ids, "weight": self._weights, "ts": self._times}
        if "weight" not in self.types:
            for at, row in enumerate(rows):
                if row.weight != 1.0:
                    raise WrongValue(at, "weight", f"the table {self.table} has no column weight: every weight is 1")
        return [made[name](rows, name) for name in self.types]

    def _array(self, name: str) -> str:
        type = self.types[name][0]
        if name == "weight":
            return "double precision"
        if name == "ts":
            return "double precision" if type in _AS_SECONDS else "text" if type in _TEXT else "timestamptz"
        return "bigint" if type in _WHOLE else "text"

    def _cast(self, given: str, name: str) -> str:
        type, words = self.types[name]
        if name == "ts" and type in ("timestamp", "date"):
            return f"({given} AT TIME ZONE 'UTC')::{words}"
        return f"{given}::{words}" if name in ("user_id", "item_id") and type not in (*_WHOLE, *_WITHOUT_CAST) else given

    def _ids(self, rows: Sequence[Interaction], name: str) -> list[Any]:
        type, words = self.types[name]
        ids: list[Any] = [row[COLUMNS.index(name)] for row in rows]
        for at, each in enumerate(ids):
            if type in _WHOLE:
                if isinstance(each, str):
                    raise WrongValue(at, name, f"the column is {words}, of whole numbers: {each!r} is text")
                if not -(1 << _WHOLE[type]) <= each < 1 << _WHOLE[type]:
                    raise WrongValue(at, name, f"the column is {words}: {each} is too large for it")
            elif isinstance(each, int):
                raise WrongValue(at, name, f"the column is {words}, of text: {each} is a number")
            elif type == "uuid" and not _is_uuid(each):
                raise WrongValue(at, name, f"the column is uuid: {each!r} is none")
        return ids

    def _weights(self, rows: Sequence[Interaction], name: str) -> list[Any]:
        type, words = self.types[name]
        for at, row in enumerate(rows):
            if type.startswith("int") and not row.weight.is_integer():
                raise WrongValue(at, name, f"the column is {words}, of whole numbers: {row.weight} is none")
        return [row.weight for row in rows]

    def _times(self, rows: Sequence[Interaction], name: str) -> list[Any]:
        type, _ = self.types[name]
        if type in _AS_SECONDS:
            return [float(math.floor(row.ts)) if type.startswith("int") else row.ts for row in rows]
        return [text_of(row.ts, None) if type in _TEXT else datetime.fromtimestamp(row.ts, UTC) for row in rows]


def columns_for(table: str, found: Mapping[str, tuple[str, str]]) -> Columns:
    """Of what a table has, what interactions go into. Raises NotTaken for columns that are missing or of types that take none."""
    for name in ("user_id", "item_id"):
        if name not in found:
            raise NotTaken(f"The table {table} has no column {name}: rename it, or name another table in [data] ingest_table.")
    for name, types in (("user_id", (*_WHOLE, *_TEXT)), ("item_id", (*_WHOLE, *_TEXT)), ("weight", _WEIGHTS), ("ts", _TIMES)):
        if name in found and found[name][0] not in types:
            raise NotTaken(f"The column {name} of {table} is {found[name][1]}, which takes none: it may be {', '.join(types)}.")
    return Columns(table, {name: found[name] for name in COLUMNS if name in found})


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
