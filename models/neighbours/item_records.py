"""The items of a content-based artifact: ids, columns and categories, read from the records of its table. Child only.

Covers: which column holds the ids, which ones the categories, how text becomes categories. Does not cover: reading a table
(`models.frames`), packing columns (`models.columns`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.columns import CATEGORIES, pack_columns
from models.frame_values import Values
from models.frames import Frame, frame_columns
from models.packing import Options, PackError
from models.recommender_records import pack_row_ids
from models.records import Array, Record

ID_COLUMNS = ("item_id", "id", "destination_id", "dest_id")
CATEGORY_COLUMNS = (CATEGORIES, "category", "genres", "genre", "tags", "type")
_SEPARATORS = ("|", ";", ",", "/")


class Items(NamedTuple):
    """Arrays and metadata of the bundle; columns that come back with answers, distinct categories, what is left out and why."""

    arrays: dict[str, NDArray[Any]]
    meta: dict[str, Any]
    columns: list[str]
    categories: int | None
    warnings: list[str]


def pack_items(table: Any, what: str, rows: int, encoder: Any, options: Options) -> Items:
    """The items of a table of `rows` items; `encoder` is the category encoder, if there is one.

    Raises PackError: corrupt_artifact (another number of rows, ids that repeat or cannot be read), missing_keys (no such
    id column), unknown_format (ids of a kind that is not served).
    """
    frame = frame_columns(table)
    if frame.rows != rows:
        raise PackError("corrupt_artifact", f"{what} has {frame.rows} rows for {rows} items")
    name, ids = _ids(frame, what, options.id_column)
    arrays, table_meta = pack_row_ids("item_ids", ids, rows)
    columns = {column: values for column, values in frame.columns.items() if column != name}
    categories = _categories(columns, known_categories(encoder))
    packed, meta = pack_columns(columns, categories)
    shown = [entry["name"] for entry in meta if entry["shown"]]
    left_out = [*frame.unread, *(column for column in columns if column not in shown)]
    named = ", ".join(left_out[:20]) + (f" and {len(left_out) - 20} more" if len(left_out) > 20 else "")
    return Items(
        {**arrays, **packed},
        {"item_ids": table_meta, "columns": meta},
        shown,
        None if categories is None else len({word for words in categories for word in words}),
        [f"columns of {what} that are not kept: {named[:500]}"] if left_out else [],
    )


def _ids(frame: Frame, what: str, wanted: str) -> tuple[str | None, Values]:
    """The id column's name, None for the index, and the ids."""
    if wanted and wanted not in (*frame.columns, *frame.unread, frame.index_name):
        raise PackError("missing_keys", f"{what} has no column {wanted!r}", missing=[wanted], found=sorted(frame.columns)[:100])
    names = [wanted] if wanted else [name for name in ID_COLUMNS if name in frame.columns or name in frame.unread]
    if names and names[0] in frame.columns:
        return names[0], frame.columns[names[0]]
    if (names and names[0] in frame.unread) or frame.index is None:
        raise PackError("corrupt_artifact", f"{what} has its ids in {names[0] if names else 'its index'}, which cannot be read")
    index = frame.index
    return None, np.arange(index.start, index.stop, index.step) if isinstance(index, range) else index


# -- categories ---------------------------------------------------------------------------------------------------------


def known_categories(encoder: Any) -> frozenset[str]:
    """`classes_` of a MultiLabelBinarizer or LabelEncoder, `categories_` of a OneHotEncoder; empty where there are none."""
    state = encoder.attributes if isinstance(encoder, Record) else {}
    held = state.get("classes_", state.get("categories_"))
    parts = held if isinstance(held, (list, tuple)) and all(isinstance(part, Array) for part in held) else [held]
    words = [word for part in parts for word in (part.to_list() if isinstance(part, Array) else part if isinstance(part, list) else [])]
    return frozenset(word for word in words if isinstance(word, str))


def _categories(columns: dict[str, Values], known: frozenset[str]) -> list[list[str]] | None:
    """For each item the categories of all the columns that hold any; None where no column does."""
    found: list[list[list[str]]] = []
    for name in CATEGORY_COLUMNS:
        values = columns.get(name)
        if values is not None and (lists := _category_lists(values, known)) is not None:
            found.append(lists)
    if not found:
        return None
    return [list(dict.fromkeys(word for words in parts for word in words)) for parts in zip(*found, strict=True)]


def _category_lists(values: Values, known: frozenset[str]) -> list[list[str]] | None:
    if isinstance(values, np.ndarray):
        return None
    split: dict[str, list[str]] = {}
    lists = []
    for value in values:
        if isinstance(value, str):
            if value not in split:
                split[value] = split_categories(value, known)
            lists.append(split[value])
        elif isinstance(value, (list, tuple, set, frozenset)) and all(isinstance(word, str) for word in value):
            lists.append(list(value) if isinstance(value, (list, tuple)) else sorted(value))
        elif value is None or (isinstance(value, float) and value != value):
            lists.append([])
        else:
            return None
    return lists if any(lists) else None


def split_categories(text: str, known: Sequence[str] | frozenset[str]) -> list[str]:
    """The categories that a text holds: itself where it is a known one, else its parts where all of them are known.

    Without known ones only `|` separates (as in MovieLens), and a printed list ("['a', 'b']") is read as one.
    """
    text = text.strip()
    if text in known or not text:
        return [text] if text else []
    if text.startswith("[") and text.endswith("]"):
        return [part for piece in text[1:-1].split(",") if (part := piece.strip().strip("'\""))]
    for separator in _SEPARATORS if known else _SEPARATORS[:1]:
        parts = [part for piece in text.split(separator) if (part := piece.strip())]
        if len(parts) > 1 and (not known or all(part in known for part in parts)):
            return parts
    return [text]
