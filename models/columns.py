"""Item columns in a bundle: titles, prices, categories, so that answers can carry them. numpy only, both halves.

Covers: packing (child) and reading (server) of columns of whole numbers, floats, booleans, text and lists of text.
Does not cover: where columns come from (`models.frames`), ids (`models.ids`).

Layout: `meta["columns"] = [{"name", "kind", "shown"}, ...]`; arrays of the n-th are named `columns.<n>.*`:

    int, float, bool   values; missing (bool) where any is null. NaN is null in floats
    text               offsets, utf8 (as in `models.ids`); missing
    list               indptr, indices (like a CSR matrix) into a vocabulary in ascending order of UTF-8: offsets, utf8; missing
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .base import InvalidQuery
from .bundle import BadBundle, Bundle
from .ids import falls

CATEGORIES = "categories"
"""Name of the column that `categories` of a question filters by, whatever the column was called; shown only if it was called so."""

MAX_COLUMNS = 64
MAX_NAMES = 8 << 10
"""Characters of all names together, as JSON: they are part of a segment's header, which has a fixed size."""
MAX_TEXT = 64 << 10
"""Bytes of one text or entry of a list."""
MAX_LIST = 4096
"""Entries of one list."""

Arrays = dict[str, NDArray[Any]]


class Column(Protocol):
    """One column over a mapping."""

    is_shown: bool
    """Whether `fields` may ask for it."""

    def values(self, rows: NDArray[Any]) -> list[Any]:
        """JSON values of rows; null for missing, a list of strings for lists of text."""
        ...

    def holds_any(self, words: Sequence[str]) -> NDArray[np.bool_]:
        """(count,) which rows hold any of the words. Raises InvalidQuery (`categories[i]`) for a word that no row holds."""
        ...


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
        texts = _pack_strings([b"" if gone else _encode(value) for value, gone in zip(plain, missing.tolist(), strict=True)])
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
    encoded = [[_encode(word) for word in words] for words in lists]
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


def _encode(value: Any) -> bytes:
    return str(value).encode("utf-8", "surrogatepass")


# -- the server's half --------------------------------------------------------------------------------------------------


def open_columns(bundle: Bundle, count: int) -> dict[str, Column]:
    """The columns by name. Raises models.bundle.BadBundle."""
    meta = bundle.meta.get("columns", [])
    if not isinstance(meta, list) or len(meta) > MAX_COLUMNS:
        raise BadBundle("the list of columns is malformed")
    columns: dict[str, Column] = {}
    for at, fields in enumerate(meta):
        name, kind = (fields.get("name"), fields.get("kind")) if isinstance(fields, dict) else (None, None)
        if not isinstance(name, str) or name in columns or not isinstance(kind, str) or kind not in _KINDS:
            raise BadBundle(f"column {at} is malformed")
        columns[name] = _KINDS[kind](f"columns.{at}", kind, fields.get("shown") is True, bundle, count)
    return columns


class _Column:
    """What all kinds share: which values are missing."""

    def __init__(self, prefix: str, kind: str, is_shown: bool, bundle: Bundle, count: int) -> None:
        self.is_shown = is_shown
        self._count = count
        name = f"{prefix}.missing"
        self._missing = bundle.array(name, ndim=1, kinds="b", rows=count) if name in bundle.arrays else None

    def values(self, rows: NDArray[Any]) -> list[Any]:
        found = self._values(rows)
        if self._missing is None:
            return found
        return [None if gone else value for value, gone in zip(found, self._missing[rows].tolist(), strict=True)]

    def _values(self, rows: NDArray[Any]) -> list[Any]:
        raise NotImplementedError

    def holds_any(self, words: Sequence[str]) -> NDArray[np.bool_]:
        raise InvalidQuery("categories", "the items of this model have no categories")


class _Numbers(_Column):
    def __init__(self, prefix: str, kind: str, is_shown: bool, bundle: Bundle, count: int) -> None:
        super().__init__(prefix, kind, is_shown, bundle, count)
        self._array = bundle.array(f"{prefix}.values", ndim=1, kinds={"int": "iu", "float": "f", "bool": "b"}[kind], rows=count)

    def _values(self, rows: NDArray[Any]) -> list[Any]:
        values = self._array[rows]
        if self._array.dtype.kind != "f":
            return values.tolist()  # type: ignore[no-any-return]
        return [value if is_number else None for value, is_number in zip(values.tolist(), np.isfinite(values).tolist(), strict=True)]


class _Text(_Column):
    def __init__(self, prefix: str, kind: str, is_shown: bool, bundle: Bundle, count: int) -> None:
        super().__init__(prefix, kind, is_shown, bundle, count)
        self._texts = _Strings(prefix, bundle, count)

    def _values(self, rows: NDArray[Any]) -> list[Any]:
        return [self._texts.text(row) for row in rows.tolist()]


class _Lists(_Column):
    def __init__(self, prefix: str, kind: str, is_shown: bool, bundle: Bundle, count: int) -> None:
        super().__init__(prefix, kind, is_shown, bundle, count)
        self._words = _Strings(prefix, bundle, None)
        self._indptr = bundle.array(f"{prefix}.indptr", ndim=1, kinds="i", rows=count + 1)
        self._indices = bundle.array(f"{prefix}.indices", ndim=1, kinds="iu")
        if int(self._indptr[0]) != 0 or int(self._indptr[-1]) != len(self._indices):
            raise BadBundle(f"{prefix} has bounds that do not cover its entries")
        if bundle.is_checked:
            return
        if falls(self._indptr) or (count and int(np.diff(self._indptr).max()) > MAX_LIST):
            raise BadBundle(f"{prefix} has bounds out of order")
        if len(self._indices) and (int(self._indices.min()) < 0 or int(self._indices.max()) >= self._words.count):
            raise BadBundle(f"{prefix} points outside its vocabulary")

    def _values(self, rows: NDArray[Any]) -> list[Any]:
        starts, ends = self._indptr[rows].tolist(), self._indptr[rows + 1].tolist()
        lists = [self._indices[start:end].tolist() for start, end in zip(starts, ends, strict=True)]
        texts = {word: self._words.text(word) for word in set(chain.from_iterable(lists))}
        return [[texts[word] for word in words] for words in lists]

    def holds_any(self, words: Sequence[str]) -> NDArray[np.bool_]:
        is_wanted = np.zeros(self._words.count, np.bool_)
        for at, word in enumerate(words):
            row = self._words.find(word)
            if row is None:
                raise InvalidQuery(f"categories[{at}]", f"no item is in a category {word!r}")
            is_wanted[row] = True
        entries = np.flatnonzero(is_wanted[self._indices])
        holds = np.zeros(self._count, np.bool_)
        holds[np.searchsorted(self._indptr, entries, side="right") - 1] = True
        return holds


class _Strings:
    """Strings over UTF-8 and offsets; looked up by bisection where they are in ascending order."""

    def __init__(self, prefix: str, bundle: Bundle, count: int | None) -> None:
        self._offsets = bundle.array(f"{prefix}.offsets", ndim=1, kinds="i", rows=None if count is None else count + 1)
        self._utf8 = bundle.array(f"{prefix}.utf8", ndim=1, kinds="u")
        self.count = len(self._offsets) - 1
        if self.count < 0 or self._utf8.dtype.itemsize != 1:
            raise BadBundle(f"{prefix} holds no text")
        if int(self._offsets[0]) != 0 or int(self._offsets[-1]) != len(self._utf8):
            raise BadBundle(f"{prefix} has offsets that do not cover its text")
        if not bundle.is_checked and (falls(self._offsets) or (self.count and int(np.diff(self._offsets).max()) > MAX_TEXT)):
            raise BadBundle(f"{prefix} has offsets out of order")

    def text(self, row: int) -> str:
        return self._bytes(row).decode("utf-8", "replace")

    def find(self, text: str) -> int | None:
        wanted, low, high = _encode(text), 0, self.count
        while low < high:
            middle = (low + high) // 2
            if self._bytes(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        return low if low < self.count and self._bytes(low) == wanted else None

    def _bytes(self, row: int) -> bytes:
        return self._utf8[int(self._offsets[row]) : int(self._offsets[row + 1])].tobytes()


_KINDS: dict[str, type[_Column]] = {"int": _Numbers, "float": _Numbers, "bool": _Numbers, "text": _Text, "list": _Lists}
