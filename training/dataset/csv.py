"""Reading from CSV files: `csv://FOLDER` with interactions.csv and, if they are there, items.csv, user_features.csv, item_features.csv.

Covers: RFC 4180 with a header, UTF-8 with or without a byte order mark, commas, semicolons or tabs as the header has them, and
what kinds the values have, since a file does not say. Does not cover: what rows mean (`training.dataset.building`).

Kinds are those of whole columns, so that one odd value cannot make a code of digits a number here and text there: a column of
items or features is of whole numbers, numbers or switches (true, false) if all its values are written like one, else text. Ids are
whole numbers if all ids of users (of items), in every file, are. An empty value is NULL.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

from config.schema import DataSettings
from training.dataset.base import Dataset
from training.dataset.building import BATCH_ROWS, DatasetBuilder
from training.dataset.columns import Place, Table
from training.errors import BadData, DataUnavailable
from training.trainers.base import OnProgress

_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
_SWITCHES = {"true": True, "false": False}
_KINDS: tuple[tuple[Callable[[str], object], Callable[[str], Any]], ...] = (
    (_WHOLE.fullmatch, int),
    (_NUMBER.fullmatch, float),
    (lambda text: text.lower() in _SWITCHES, lambda text: _SWITCHES[text.lower()]),
    (lambda text: True, str),
)
"""Narrowest first: whether a text is written like this kind, and its value."""
_SEPARATORS = ",;\t"
_FIELD_LIMIT = 16 << 20
"""Characters of one value; the csv module's own limit of 128 Ki is less than a long description."""


class CsvReader:
    """See `training.dataset.base.Reader`. A file is opened once and read to the end: replacing it meanwhile changes nothing."""

    def __init__(self, data: DataSettings) -> None:
        self._data = data
        self._folder = Path(data.url.removeprefix("csv://"))

    def read(self, on_progress: OnProgress) -> Dataset:
        builder = DatasetBuilder(self._data.max_interactions, on_progress, ids_are_text=True)
        try:
            if not self._folder.is_dir():
                raise BadData(f"[data] url: there is no folder {self._folder}")
            for table in Table:
                path = self._path_of(table)
                if path is not None:
                    _read_file(path, table, builder)
        except OSError as error:
            raise DataUnavailable(f"{error.filename or self._folder} cannot be read: {error.strerror or error}") from error
        return builder.finish()

    def _path_of(self, table: Table) -> Path | None:
        """The file of a table; None where none is named and there is none by the usual name."""
        named: str = getattr(self._data, table.value)
        if table is Table.INTERACTIONS and named == DataSettings().interactions:
            named = ""  # the default is a query, and this is no database
        usual = self._folder / f"{table.value}.csv"
        if named:
            return self._folder / named
        return usual if table is Table.INTERACTIONS or usual.is_file() else None


def _read_file(path: Path, table: Table, builder: DatasetBuilder) -> None:
    place = Place(path.name)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next(_records(file, place), None)
            if header is None:
                raise place.problem("is empty: the first line names the columns")
            sink = builder.begin(table, header, place)
            kept = _kept_as_text(table, header)
            kinds: list[Callable[[str], Any]] = [str] * len(kept) if all(kept) else _kinds(file, place, kept)
            for rows in _batches(file, place, len(header)):
                sink.add([[_value(text, kind) for text, kind in zip(row, kinds, strict=True)] for row in rows])
    except FileNotFoundError as error:
        raise BadData(f"there is no file {path}") from error
    except UnicodeDecodeError as error:
        raise place.problem(f"is not UTF-8: {error}") from error


def _kept_as_text(table: Table, header: Sequence[str]) -> list[bool]:
    """Which columns are read as what they are there for, and have no kind of their own."""
    entity = table.entity
    return [table is Table.INTERACTIONS or name.strip().lower() in (entity, "feature") for name in header]


def _kinds(file: IO[str], place: Place, kept: Sequence[bool]) -> list[Callable[[str], Any]]:
    """What makes a value of a text, column by column, after a first look at the whole file."""
    found = [0] * len(kept)
    for rows in _batches(file, place, len(kept)):
        for at, is_kept in enumerate(kept):
            if not is_kept:
                for row in rows:
                    while row[at] and not _KINDS[found[at]][0](row[at]):
                        found[at] += 1
    return [str if is_kept else _KINDS[at][1] for at, is_kept in zip(found, kept, strict=True)]


def _value(text: str, kind: Callable[[str], Any]) -> Any:
    return kind(text) if text else None


def _batches(file: IO[str], place: Place, columns: int) -> Iterator[list[list[str]]]:
    """The rows below the header, from the beginning of the file. Raises BadData for a row of more or fewer values."""
    file.seek(0)
    records = islice(_records(file, place), 1, None)
    done = 0
    while rows := list(islice(records, BATCH_ROWS)):
        for at, row in enumerate(rows):
            if len(row) != columns:
                raise place.problem(f"has {len(row)} values where the header names {columns} columns", row=done + at + 1)
        done += len(rows)
        yield rows


def _records(file: IO[str], place: Place) -> Iterator[list[str]]:
    """Every record that is no empty line, the header first. Raises BadData for what is not CSV."""
    first = file.readline()
    file.seek(0)
    separator = max(_SEPARATORS, key=first.count)
    csv.field_size_limit(_FIELD_LIMIT)
    reader = csv.reader(file, delimiter=separator, strict=True)
    try:
        yield from (record for record in reader if record)
    except csv.Error as error:
        raise place.problem(f"line {reader.line_num}: {error}") from error
