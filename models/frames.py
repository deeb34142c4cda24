"""Tables that were pickled, read from records: a pandas DataFrame above all. Child only; pandas is not needed.

Covers: DataFrames of pandas 1, 2 and 3; dicts of columns, lists of dicts, structured arrays. Does not cover: which kinds of
column are read (`models.frame_values`), what goes into a bundle (`models.columns`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from models.frame_values import (
    Values,
    axes_and_blocks,
    block_values,
    cell_value,
    column_values,
    is_column,
    plain_values,
    row_labels,
    whole_range,
)
from models.packing import PackError
from models.records import Array, Record, is_record

_MOST_COLUMNS = 1024
_LONGEST = 1 << 62


@dataclass(frozen=True, slots=True)
class Frame:
    """A table. Columns are lists (None for missing) or one-dimensional arrays, all `rows` long.

    index: the row labels, `rows` of them, None where they are not read; index_name: theirs. unread: columns that were left out.
    """

    columns: dict[str, Values]
    index: Values | None
    rows: int
    index_name: str | None = None
    unread: tuple[str, ...] = ()


def is_frame(value: Any) -> bool:
    """Whether `frame_columns` may read it."""
    if is_record(value, "DataFrame"):
        return True
    if isinstance(value, Array):
        return value.values is not None and value.values.dtype.names is not None and value.values.ndim == 1
    if isinstance(value, list):
        return bool(value) and all(isinstance(row, dict) for row in value)
    return isinstance(value, dict) and bool(value) and all(isinstance(name, str) and is_column(column) for name, column in value.items())


def frame_columns(frame: Any) -> Frame:
    """The columns of a DataFrame record, a dict of columns, a list of dicts or a structured array.

    A column that cannot be read is left out and named. Raises PackError(corrupt_artifact) for what is no table.
    """
    if not is_frame(frame):
        raise PackError("corrupt_artifact", "not a table of items: no DataFrame, dict of columns or list of dicts")
    if isinstance(frame, Record):
        return _data_frame(frame)
    columns: dict[str, Values | None]
    if isinstance(frame, dict):
        columns = {name: column_values(column) for name, column in frame.items()}
    elif isinstance(frame, list):
        names = list(dict.fromkeys(name for row in frame for name in row))[:_MOST_COLUMNS]
        columns = {name: [cell_value(row.get(name)) for row in frame] for name in names if isinstance(name, str)}
    else:
        columns = {name: plain_values(frame.values[name]) for name in frame.values.dtype.names}
    there = {name: values for name, values in columns.items() if values is not None}
    lengths = {len(values) for values in there.values()}
    if len(lengths) != 1:
        raise PackError(
            "corrupt_artifact", "the columns of a table differ in length" if lengths else "a table has no column that can be read"
        )
    (rows,) = lengths
    return Frame(there, range(rows), rows, None, tuple(name for name in columns if name not in there))


def _data_frame(frame: Record) -> Frame:
    state = frame.attributes
    axes, blocks = axes_and_blocks(state.get("_mgr", state.get("_data")))
    if len(axes) != 2:
        raise PackError("corrupt_artifact", "a DataFrame without its two axes")
    names, index = row_labels(axes[0]), row_labels(axes[1])
    found = {at: column for values, places in blocks for at, column in _block(values, places)}
    lengths = [len(column) for column in found.values()]
    rows = len(index) if index is not None and (not lengths or len(index) in lengths) else max(lengths, default=0)
    columns: dict[str, Values] = {}
    unread = [] if names is not None else ["all of them: their names are not read"]
    for at, name in enumerate((names if names is not None else ())[:_MOST_COLUMNS]):
        text = (
            name
            if isinstance(name, str)
            else str(int(name))
            if isinstance(name, (int, np.integer)) and -_LONGEST < name < _LONGEST
            else None
        )
        if text is not None and text not in columns and at in found and len(found[at]) == rows:
            columns[text] = found[at]
        else:
            unread.append(text[:100] if text is not None else f"column {at}, whose name is a {type(name).__name__}")
    return Frame(columns, index if index is not None and len(index) == rows else None, rows, _name_of(axes[1]), tuple(unread))


def _block(values: Any, places: Any) -> list[tuple[int, Values]]:
    """(place, column) of what is read of a block; nothing where it has another width than places."""
    at, columns = _places(places), block_values(values)
    if len(at) != len(columns):
        return []
    return [(place, column) for place, column in zip(at, columns, strict=True) if column is not None]


def _places(places: Any) -> list[int]:
    """Which columns a block holds: a slice, an array, or an old BlockPlacement around one."""
    if is_record(places, "BlockPlacement") and places.args:
        places = places.args[0]
    if is_record(places, "slice") and len(places.args) == 3:
        start, stop, step = places.args
        return list(whole_range(start, stop, 1 if step is None else step, 1 << 20) or ())
    if isinstance(places, Array) and places.values is not None and places.values.ndim == 1 and places.values.dtype.kind in "iu":
        return places.values.tolist()  # type: ignore[no-any-return]
    return []


def _name_of(axis: Any) -> str | None:
    name = axis.args[1].get("name") if isinstance(axis, Record) and len(axis.args) == 2 and isinstance(axis.args[1], dict) else None
    return name if isinstance(name, str) else None
