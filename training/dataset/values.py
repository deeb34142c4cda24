"""A batch of one column as what it is to be: ids, weights, times, feature values.

Covers: kinds of values that databases and files give for each, refusals that name column and row, one array a batch. Does not
cover: which column is what (`training.dataset.columns`). A batch of one kind costs no Python call a value, but for dates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from training.dataset.base import Id
from training.dataset.columns import Place

EARLIEST, LATEST = -62_135_596_800.0, 253_402_300_799.0
"""Times that are dates, Unix seconds: the years 1 to 9999."""
_BEYOND_64_BITS = float(1 << 63)
_SHOWN = 60


class Cell(NamedTuple):
    """The column a batch is of, and the row (from 1) that it begins with; for messages."""

    place: Place
    column: str
    first_row: int

    def refuse(self, at: int, value: object, why: str) -> Exception:
        return self.place.problem(f"{_shown(value)} {why}", column=self.column, row=self.first_row + at)


def ids(values: Sequence[Any], cell: Cell) -> Sequence[Id]:
    """Ids as int or str, kinds kept. Floats and decimals that are whole are ints, UUIDs are text. Raises BadData for others, NULL too."""
    if set(map(type, values)) <= {int, str}:
        return values
    return [_id(value, at, cell) for at, value in enumerate(values)]


def _id(value: Any, at: int, cell: Cell) -> Id:
    if isinstance(value, int | str) and not isinstance(value, bool):
        return value
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        return int(value)
    if isinstance(value, UUID):
        return str(value)
    if value is None:
        raise cell.refuse(at, value, f"is no id: leave such rows out (in SQL: WHERE {cell.column} IS NOT NULL)")
    raise cell.refuse(at, value, "is no id: whole numbers and text are")


def weights(values: Sequence[Any], cell: Cell) -> NDArray[np.float32]:
    """(n,) float32; NULL is 1. What is 0 or less is for the caller to leave out. Raises BadData for what is no finite number."""
    found = _numbers(values, cell)
    with np.errstate(over="ignore"):  # what float32 does not hold is refused below
        narrow = np.where(np.isnan(found), 1.0, found).astype(np.float32)
    for at in np.flatnonzero(~np.isfinite(narrow)).tolist()[:1]:
        raise cell.refuse(at, values[at], "is no weight: finite numbers are")
    return narrow


def times(values: Sequence[Any], cell: Cell) -> NDArray[np.float64]:
    """(n,) Unix seconds; NULL is NaN. From numbers, timestamps and dates (UTC where they have no zone), ISO 8601. Raises BadData."""
    kinds = set(map(type, values))
    if kinds <= {int, float, Decimal, type(None)}:
        found = _numbers(values, cell)
    else:
        found = np.array([math.nan if value is None else _seconds(value, at, cell) for at, value in enumerate(values)], np.float64)
    outside = (found < EARLIEST) | (found >= LATEST)
    for at in np.flatnonzero(outside).tolist()[:1]:
        raise cell.refuse(at, values[at], "is no time between the years 1 and 9999 in Unix seconds (milliseconds want dividing by 1000)")
    return found


def _seconds(value: Any, at: int, cell: Cell) -> float:
    try:
        if isinstance(value, str):
            number = _number_in(value)
            value = datetime.fromisoformat(value.strip()) if number is None else number
        if isinstance(value, datetime):
            return value.timestamp() if value.tzinfo is not None else value.replace(tzinfo=UTC).timestamp()
        if isinstance(value, date):
            return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
        if isinstance(value, int | float | Decimal) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    except (ValueError, OverflowError):
        pass  # refused below, like everything else that is no time
    raise cell.refuse(at, value, "is no time: timestamps, ISO 8601 and Unix seconds are")


def _number_in(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _numbers(values: Sequence[Any], cell: Cell) -> NDArray[np.float64]:
    """(n,) float64; NULL is NaN, and nothing else is."""
    try:
        found = np.array(values, np.float64)
        bad = np.flatnonzero(~np.isfinite(found)).tolist()
    except (TypeError, ValueError, OverflowError):
        found, bad = np.full(len(values), np.nan), list(range(len(values)))
    for at in bad:
        if values[at] is not None:
            found[at] = number(values[at], lambda at=at: cell.refuse(at, values[at], "is no finite number"))  # type: ignore[misc]
    return found


def number(value: Any, refusal: Callable[[], Exception]) -> float:
    """A finite number as float64, also from text; raises what `refusal` gives for anything else."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise refusal()
    return found


def plain(value: Any) -> Any:
    """A value of an item's column as answers can carry it: bool, int, float, text, list of text, None.

    Decimals are numbers, whole ones of more than 64 bits floats, times ISO 8601, other kinds as they are written; bytes stay bytes,
    which no answer carries.
    """
    if value is None or isinstance(value, bool | int | str | bytes):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        number = float(value) if value.is_finite() else math.nan
        if not math.isfinite(number):
            return None
        is_whole = value.as_tuple().exponent >= 0 and abs(number) < _BEYOND_64_BITS  # type: ignore[operator]
        return int(value) if is_whole else number
    if isinstance(value, list | tuple):
        return [str(each) for each in value if each is not None]
    return value.isoformat() if isinstance(value, datetime | date) else str(value)


def _shown(value: object) -> str:
    text = "NULL" if value is None else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
