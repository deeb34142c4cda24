"""What an artifact tells of its items beside the model (`posts_metadata`): columns in the order of the items' rows. Child only.

Covers: a dict id -> {field: value} (or id -> value), a table (`models.frames`) with an id column. Does not cover: which
values a column may hold (`models.columns`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.columns import CATEGORIES, MAX_COLUMNS
from models.frame_values import cell_value
from models.frames import frame_columns, is_frame
from models.ids import UnsupportedId, plain_id
from models.packing import PackError

KEYS = ("posts_metadata", "items_metadata", "item_metadata")
ID_COLUMNS = ("item_id", "id", "post_id", "destination_id", "dest_id")
_CATEGORY_COLUMNS = (CATEGORIES, "category", "genres", "genre", "tags")
_WHOLE = "metadata"
"""The column of values that are no dicts of fields."""


class Metadata(NamedTuple):
    """columns: a list of values for the rows each, None where an item has none. categories: see `pack_columns`.

    known: how many of the items have an entry. entries: how many there are, of whatever items.
    """

    columns: dict[str, list[Any]]
    categories: list[list[str]] | None
    known: int
    entries: int


def read_metadata(metadata: Any, ids: Sequence[Any] | NDArray[Any] | None, rows: int, id_column: str) -> Metadata:
    """The metadata of items whose ids these are (None: the row numbers). Raises PackError(corrupt_artifact) for an unread form."""
    row_of = _row_of(range(rows) if ids is None else ids.tolist() if isinstance(ids, np.ndarray) else ids)
    if isinstance(metadata, dict) and (not is_frame(metadata) or any(_plain(key) in row_of for key in metadata)):
        columns, known = _of_dict(metadata, row_of, rows)
        return Metadata(columns, _categories(columns), known, len(metadata))
    if not is_frame(metadata):
        raise PackError("corrupt_artifact", f"neither a dict by item id nor a table: {type(metadata).__name__}")
    frame = frame_columns(metadata)
    by = id_column if id_column in frame.columns else next((name for name in ID_COLUMNS if name in frame.columns), "")
    keys = frame.columns[by] if by else frame.index
    at = _places(_listed(keys) if keys is not None else [], row_of, rows)
    columns = {}
    for name, values in frame.columns.items():
        if name != by:
            listed = _listed(values)
            columns[name] = [None if place < 0 else listed[place] for place in at]
    return Metadata(columns, _categories(columns), sum(place >= 0 for place in at), frame.rows)


def _row_of(ids: Iterable[Any]) -> dict[Any, int]:
    return {_plain(id): row for row, id in enumerate(ids)}


def _plain(id: Any) -> Any:
    """The id as the table of ids will have it; what is no id is equal to none."""
    try:
        return plain_id(id)
    except UnsupportedId:
        return None


def _listed(values: Any) -> list[Any]:
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def _places(keys: list[Any], row_of: dict[Any, int], rows: int) -> list[int]:
    """For each row the place of its id among the keys, -1 where it is not there; the last one of several."""
    at = [-1] * rows
    for place, key in enumerate(keys):
        row = row_of.get(_plain(key))
        if row is not None:
            at[row] = place
    return at


def _of_dict(metadata: dict[Any, Any], row_of: dict[Any, int], rows: int) -> tuple[dict[str, list[Any]], int]:
    columns: dict[str, list[Any]] = {}
    known = 0
    for key, value in metadata.items():
        row = row_of.get(_plain(key))
        if row is None:
            continue
        known += 1
        for name, field in (value if isinstance(value, dict) else {_WHOLE: value}).items():
            if isinstance(name, str) and (name in columns or len(columns) < MAX_COLUMNS):
                columns.setdefault(name, [None] * rows)[row] = cell_value(field)
    return columns, known


def _categories(columns: dict[str, list[Any]]) -> list[list[str]] | None:
    """What items are found by: the texts, or lists of texts, of the first column that is called as categories are."""
    name = next((name for name in _CATEGORY_COLUMNS if name in columns), None)
    if name is None:
        return None
    words = [value if isinstance(value, list) else [value] for value in columns[name]]
    return [[word for word in line if isinstance(word, str)] for line in words]
