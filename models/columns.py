"""Item columns in a bundle: titles, prices, categories, so that answers can carry them. numpy only, both halves.

Covers: packing (child) and reading (server) of columns of whole numbers, floats, booleans, text and lists of text.
Does not cover: where columns come from (`models.frames`), what each kind answers (`models.column_kinds`), ids (`models.ids`).

Layout: `meta["columns"] = [{"name", "kind", "shown"}, ...]`; arrays of the n-th are named `columns.<n>.*`:

    int, float, bool   values; missing (bool) where any is null. NaN is null in floats
    text               offsets, utf8 (as in `models.ids`); missing
    list               indptr, indices (like a CSR matrix) into a vocabulary in ascending order of UTF-8: offsets, utf8; missing
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bundle import BadBundle, Bundle
from .column_kinds import KINDS, MAX_LIST, MAX_TEXT, Column, encode

CATEGORIES = "categories"
"""Name of the column that `categories` of a question filters by, whatever the column was called; shown only if it was called so."""

MAX_COLUMNS = 64
MAX_NAMES = 8 << 10
"""Characters of all names together, as JSON: they are part of a segment's header, which has a fixed size."""

Arrays = dict[str, NDArray[Any]]


# -- the child's half ---------------------------------------------------------------------------------------------------


def pack_columns(
    columns: Mapping[str, Sequence[Any] | NDArray[Any]], categories: Sequence[Sequence[str]] | None = None
) -> tuple[Arrays, list[dict[str, Any]]]:
    """Arrays and the value of `meta["columns"]`. Values that are no number, bool, text or list of text leave their column out.

    columns: as many values each, in the order of the items' rows; None and NaN are missing; numbers beside text become text.
    So do more columns than MAX_COLUMNS, names, texts and lists beyond their bounds, whole numbers beyond 64 bits.
    categories: for each item those it is found by; None takes them from the column of this name. Raises ValueError where
    columns differ in length.
    """
    given: dict[str, Any] = dict(columns)
    if categories is not None:
        given = {CATEGORIES: categories, **{name: values for name, values in columns.items() if name != CATEGORIES}}
    if len({len(values) for values in given.values()}) > 1:
        raise ValueError("columns differ in length")
    arrays: Arrays = {}
    meta: list[dict[str, Any]] = []
    room = MAX_NAMES
    for name, values in given.items():
        room_left = room - len(json.dumps(name)) if isinstance(name, str) and name.isprintable() else -1
        found = _pack_column(values, name == CATEGORIES) if room_left >= 0 and len(meta) < MAX_COLUMNS else None
        if found is None:
            continue
        room = room_left
        kind, parts = found
        arrays.update({f"columns.{len(meta)}.{part}": array for part, array in parts.items()})
        meta.append({"name": name, "kind": kind, "shown": name in columns})
    return arrays, meta


def _pack_column(values: Any, are_categories: bool) -> tuple[str, Arrays] | None:
    if isinstance(values, np.ndarray):
        if values.ndim != 1:
            return None
        if values.dtype.kind in "biuf":
            kind = {"b": "bool", "f": "float"}.get(values.dtype.kind, "int")
            return kind, {"values": values.astype(np.float64) if values.dtype.itemsize > 8 else values}
        values = values.tolist()
    plain = [value.item() if isinstance(value, np.generic) else value for value in values]
    missing = np.array([value is None or (isinstance(value, float) and value != value) for value in plain], np.bool_)
    there = [value for value, is_missing in zip(plain, missing.tolist(), strict=True) if not is_missing]
    types = set(map(type, there))
    if are_categories and types == {str}:
        plain = [[] if is_missing else [value] for value, is_missing in zip(plain, missing.tolist(), strict=True)]
        types, missing = {list}, np.zeros_like(missing)
    if types <= {bool, int, float}:
        return _pack_numbers(plain, missing, types)
    extra = {"missing": missing} if missing.any() else {}
    if types <= {str, bool, int, float} and all(-(1 << 63) <= value < 1 << 63 for value in there if isinstance(value, int)):
        texts = _pack_strings([b"" if gone else encode(value) for value, gone in zip(plain, missing.tolist(), strict=True)])
        return None if texts is None else ("text", {**texts, **extra})
    if types <= {list, tuple, set, frozenset}:
        lists = _pack_lists([() if gone else value for value, gone in zip(plain, missing.tolist(), strict=True)])
        return None if lists is None else ("list", {**lists, **extra})
    return None


def _pack_numbers(values: list[Any], missing: NDArray[np.bool_], types: set[type]) -> tuple[str, Arrays] | None:
    if (types <= {float, int} and float in types) or not types:
        try:
            return "float", {"values": np.array([np.nan if value is None else value for value in values], np.float64)}
        except OverflowError:
            return None
    extra = {"missing": missing} if missing.any() else {}
    filled = [0 if gone else value for value, gone in zip(values, missing.tolist(), strict=True)]
    if types == {bool}:
        return "bool", {"values": np.array(filled, np.bool_), **extra}
    if types == {int} and all(-(1 << 63) <= value < 1 << 63 for value in filled):
        return "int", {"values": np.array(filled, np.int64), **extra}
    return None


def _pack_lists(values: list[Any]) -> Arrays | None:
    lists = [
        sorted(value) if isinstance(value, (set, frozenset)) and all(isinstance(word, str) for word in value) else value for value in values
    ]
    if any(len(words) > MAX_LIST for words in lists) or not all(isinstance(word, str) for word in chain.from_iterable(lists)):
        return None
    encoded = [[encode(word) for word in words] for words in lists]
    vocabulary = sorted(set(chain.from_iterable(encoded)))
    texts = _pack_strings(vocabulary)
    if texts is None:
        return None
    at = {word: row for row, word in enumerate(vocabulary)}
    indptr = np.zeros(len(lists) + 1, np.int64)
    np.cumsum([len(words) for words in encoded], out=indptr[1:])
    return {"indptr": indptr, "indices": np.fromiter((at[word] for word in chain.from_iterable(encoded)), np.int32), **texts}


def _pack_strings(encoded: list[bytes]) -> Arrays | None:
    if max(map(len, encoded), default=0) > MAX_TEXT:
        return None
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    return {"offsets": offsets, "utf8": np.frombuffer(b"".join(encoded), np.uint8)}


# -- the server's half --------------------------------------------------------------------------------------------------


def open_columns(bundle: Bundle, count: int) -> dict[str, Column]:
    """The columns by name. Raises models.bundle.BadBundle."""
    meta = bundle.meta.get("columns", [])
    if not isinstance(meta, list) or len(meta) > MAX_COLUMNS:
        raise BadBundle("the list of columns is malformed")
    columns: dict[str, Column] = {}
    for at, fields in enumerate(meta):
        name, kind = (fields.get("name"), fields.get("kind")) if isinstance(fields, dict) else (None, None)
        if not isinstance(name, str) or name in columns or not isinstance(kind, str) or kind not in KINDS:
            raise BadBundle(f"column {at} is malformed")
        columns[name] = KINDS[kind](f"columns.{at}", kind, fields.get("shown") is True, bundle, count)
    return columns
