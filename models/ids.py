"""Id tables: from ids to rows and back, without a Python object an id.

Covers: packing (child) and looking up (server) of int and str ids, kinds kept ("1" is not 1). Does not cover: what a row means.

Ints are sorted once (or recognised as a range); strings are UTF-8 with offsets, found by CRC-32: hashes sorted in the
child, a binary search and one comparison at look-up. A million ids cost no start-up time in the server. Tables that mix
kinds keep ints as decimal text beside a kind flag.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from .base import Id
from .bundle import BadBundle, Bundle
from .forms import IdKind

MAX_COLLISIONS = 64
"""Longest run of equal hashes: chance makes runs of 2 or 3, more is forged and would make look-ups slow."""


_ID_KINDS: Mapping[str, IdKind] = {"range": "int", "int": "int", "str": "str", "mixed": "mixed"}


class UnsupportedId(ValueError):
    """An id is neither an int nor a string."""


def plain_id(value: Any) -> Id:
    """An id as int or str: integral floats are ints (pandas makes them of ints beside NaN), bytes are text. Raises UnsupportedId."""
    if isinstance(value, bool) or value is None:
        raise UnsupportedId(f"{value!r} is not an id")
    if isinstance(value, int | str):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    raise UnsupportedId(f"{type(value).__name__} is not a kind of id: int or str")


def pack_ids(name: str, ids: Sequence[Any] | NDArray[Any]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Arrays named `<name>.*` and the table's metadata; `ids[row]` is a row's id. Raises UnsupportedId, ValueError for a repeated id."""
    if isinstance(ids, np.ndarray) and ids.dtype.kind in "iu" and (ids.size == 0 or int(ids.max()) < 1 << 63):
        values = ids.astype(np.int64, copy=False).reshape(-1)
        return _pack_ints(name, values)
    plain = [plain_id(value) for value in (ids.tolist() if isinstance(ids, np.ndarray) else ids)]
    are_ints = [isinstance(value, int) for value in plain]
    if all(are_ints) and all(-(1 << 63) <= value < 1 << 63 for value in plain if isinstance(value, int)):
        return _pack_ints(name, np.array(plain, np.int64))
    return _pack_text(name, plain, np.array(are_ints, np.uint8))


def _pack_ints(name: str, values: NDArray[Any]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    count = len(values)
    if count and int(values[-1]) - int(values[0]) == count - 1 and bool(np.all(np.diff(values) == 1)):
        return {}, {"kind": "range", "start": int(values[0]), "count": count}
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    repeated = np.flatnonzero(ranked[1:] == ranked[:-1])
    if len(repeated):
        raise ValueError(f"id {int(ranked[repeated[0]])} stands for two rows")
    return {f"{name}.ids": values, f"{name}.sorted": ranked, f"{name}.order": order.astype(np.int64)}, {"kind": "int", "count": count}


def _pack_text(name: str, ids: list[Id], are_ints: NDArray[Any]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    encoded = [_encode(value) for value in ids]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    hashes = np.fromiter(map(crc32, encoded), np.uint32, len(encoded))
    order = np.argsort(hashes, kind="stable")
    ranked = hashes[order]
    if len(set(zip(encoded, are_ints.tolist(), strict=True))) != len(encoded):
        raise ValueError("an id stands for two rows")
    if longest_run(ranked) > MAX_COLLISIONS:
        raise ValueError("ids are made to collide")
    arrays: dict[str, NDArray[Any]] = {
        f"{name}.offsets": offsets,
        f"{name}.utf8": np.frombuffer(b"".join(encoded), np.uint8),
        f"{name}.hashes": ranked,
        f"{name}.order": order.astype(np.int64),
    }
    if are_ints.any():
        arrays[f"{name}.is_int"] = are_ints
    return arrays, {"kind": "mixed" if are_ints.any() else "str", "count": len(ids)}


def _encode(value: Id) -> bytes:
    return str(value).encode("utf-8", "surrogatepass")


def longest_run(ranked: NDArray[Any]) -> int:
    """Length of the longest run of equal values in a sorted array."""
    if not len(ranked):
        return 0
    starts = np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1])))
    return int(np.diff(np.append(starts, len(ranked))).max())


def falls(bounds: NDArray[Any]) -> bool:
    """Whether a value is less than the one before it. Not by their difference, which wraps in whole numbers."""
    return bool((bounds[1:] < bounds[:-1]).any())


class IdTable:
    """The look-up half. Reads only the arrays, so a scorer over a mapping is ready at once. Thread-safe."""

    def __init__(self, name: str, bundle: Bundle, rows: int) -> None:
        meta = bundle.meta.get(name)
        if not isinstance(meta, dict) or meta.get("count") != rows:
            raise BadBundle(f"id table {name!r} does not have {rows} ids")
        self.kind = meta.get("kind")
        self.count = rows
        if self.kind == "range":
            start = meta.get("start")
            if not isinstance(start, int) or not -(1 << 63) <= start <= (1 << 63) - rows:
                raise BadBundle(f"id table {name!r} has no start")
            self._start = start
            return
        self._order = bundle.array(f"{name}.order", ndim=1, kinds="i", rows=rows)
        is_new = not bundle.is_checked
        if is_new and rows and (int(self._order.min()) < 0 or int(self._order.max()) >= rows):
            raise BadBundle(f"id table {name!r} points outside its rows")
        if self.kind == "int":
            self._ids = bundle.array(f"{name}.ids", ndim=1, kinds="i", rows=rows)
            self._ranked = bundle.array(f"{name}.sorted", ndim=1, kinds="i", rows=rows)
            return
        if self.kind not in ("str", "mixed"):
            raise BadBundle(f"id table {name!r} is of an unknown kind")
        self._offsets = bundle.array(f"{name}.offsets", ndim=1, kinds="i", rows=rows + 1)
        self._utf8 = bundle.array(f"{name}.utf8", ndim=1, kinds="u")
        self._ranked = bundle.array(f"{name}.hashes", ndim=1, kinds="u", rows=rows)
        self._is_int = bundle.array(f"{name}.is_int", ndim=1, kinds="u", rows=rows) if self.kind == "mixed" else None
        if int(self._offsets[0]) != 0 or int(self._offsets[-1]) != len(self._utf8):
            raise BadBundle(f"id table {name!r} has offsets that do not cover its text")
        if is_new and falls(self._offsets):
            raise BadBundle(f"id table {name!r} has offsets out of order")
        if is_new and longest_run(self._ranked) > MAX_COLLISIONS:
            raise BadBundle(f"id table {name!r} has ids made to collide")

    @property
    def id_kind(self) -> IdKind:
        """What its ids are; ints beyond 64 bits count as mixed."""
        return _ID_KINDS[str(self.kind)]

    @property
    def first(self) -> Id | None:
        """The id of the first row, None in a table without rows."""
        return self.ids(np.zeros(1, np.int64))[0] if self.count else None

    def row(self, id: Id) -> int | None:
        """The row of an id, None if unknown. An int is never found as a string, nor the reverse."""
        if isinstance(id, bool):
            return None
        if self.kind == "range":
            return id - self._start if isinstance(id, int) and self._start <= id < self._start + self.count else None
        if self.kind == "int":
            if not isinstance(id, int) or not -(1 << 63) <= id < 1 << 63:
                return None
            at = int(np.searchsorted(self._ranked, np.int64(id)))
            return int(self._order[at]) if at < self.count and int(self._ranked[at]) == id else None
        return self._text_row(id)

    def _text_row(self, id: Id) -> int | None:
        if isinstance(id, int) and self._is_int is None:
            return None
        text = _encode(id)
        hashed = crc32(text)
        at = int(np.searchsorted(self._ranked, np.uint32(hashed)))
        while at < self.count and int(self._ranked[at]) == hashed:
            row = int(self._order[at])
            begin, end = int(self._offsets[row]), int(self._offsets[row + 1])
            is_same_kind = bool(self._is_int is not None and self._is_int[row]) == isinstance(id, int)
            if is_same_kind and end - begin == len(text) and self._utf8[begin:end].tobytes() == text:
                return row
            at += 1
        return None

    def rows(self, ids: Iterable[Id]) -> list[int]:
        """The rows of the known ones among `ids`, in order."""
        return [row for row in map(self.row, ids) if row is not None]

    def ids(self, rows: NDArray[Any]) -> list[Id]:
        """The ids of rows (int array), in order."""
        if self.kind == "range":
            return (rows + self._start).tolist()  # type: ignore[no-any-return]
        if self.kind == "int":
            return self._ids[rows].tolist()  # type: ignore[no-any-return]
        return [self._text(int(row)) for row in rows]

    def match(self, other: IdTable) -> NDArray[np.int64]:
        """(other.count,) the row here of each id of another table, -1 where there is none. Vectorised: a million ids take well
        under a second; only ints among the ids of a mixed table cost a Python object each, and only against a table of ints.
        """
        found = np.full(other.count, -1, np.int64)
        if _is_text(self) and _is_text(other):
            return self._match_text(other, found)
        (theirs, values), (ours, own) = other._int_ids(), self._int_ids()
        if not len(own) or not len(values):
            return found
        at = np.minimum(np.searchsorted(own, values), len(own) - 1)
        found[theirs] = np.where(own[at] == values, ours[at], -1)
        return found

    def _int_ids(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows whose id is a 64-bit int and those ids, ascending by id."""
        if self.kind == "range":
            rows = np.arange(self.count, dtype=np.int64)
            return rows, rows + self._start
        if self.kind == "int":
            return self._order, self._ranked
        rows = np.flatnonzero(self._is_int) if self._is_int is not None else np.empty(0, np.int64)
        ids = self.ids(rows)
        fits = [isinstance(id, int) and -(1 << 63) <= id < 1 << 63 for id in ids]
        rows, values = rows[np.array(fits, np.bool_)], np.array([id for id, fit in zip(ids, fits, strict=True) if fit], np.int64)
        order = np.argsort(values, kind="stable")
        return rows[order], values[order]

    def _match_text(self, other: IdTable, found: NDArray[np.int64]) -> NDArray[np.int64]:
        """By hash, then by bytes. As many rounds as hashes collide, which is bounded."""
        hashes = other._ranked
        open_at = np.searchsorted(self._ranked, hashes)
        for _ in range(MAX_COLLISIONS):
            inside = np.flatnonzero(open_at < self.count)
            inside = inside[self._ranked[open_at[inside]] == hashes[inside]]
            if not len(inside):
                break
            ours, theirs = self._order[open_at[inside]], other._order[inside]
            same = _same_text(self, ours, other, theirs)
            found[theirs[same]] = ours[same]
            open_at[inside] += 1
            open_at[inside[same]] = self.count  # found: nothing more to look for
        return found

    def in_words(self) -> str:
        """Kind and first ids, for a person."""
        first = ", ".join(repr(id)[:40] for id in self.ids(np.arange(min(3, self.count))))
        return f"{'int' if self.kind == 'range' else self.kind}: {first}{', ...' if self.count > 3 else ''}"

    def _text(self, row: int) -> Id:
        text = self._utf8[int(self._offsets[row]) : int(self._offsets[row + 1])].tobytes().decode("utf-8", "replace")
        if self._is_int is not None and self._is_int[row]:
            with contextlib.suppress(ValueError):  # only a forged table calls that an int which is none
                return int(text)
        return text


def _is_text(table: IdTable) -> bool:
    return table.kind in ("str", "mixed")


_COMPARED_AT_ONCE = 1 << 20
"""Bytes of text compared in one step: bounds its private memory to some 30 MiB."""


def _same_text(one: IdTable, ours: NDArray[Any], other: IdTable, theirs: NDArray[Any]) -> NDArray[np.bool_]:
    """(n,) whether row ours[i] of one table and row theirs[i] of another have the same id, of the same kind."""
    lengths = one._offsets[ours + 1] - one._offsets[ours]
    same: NDArray[np.bool_] = lengths == other._offsets[theirs + 1] - other._offsets[theirs]
    same &= _int_flags(one, ours) == _int_flags(other, theirs)
    left = np.flatnonzero(same & (lengths > 0))
    ends = np.cumsum(lengths[left], dtype=np.int64)
    begin = 0
    while begin < len(left):
        before = int(ends[begin - 1]) if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, before + _COMPARED_AT_ONCE, side="right")))
        some = left[begin:end]
        each = lengths[some].astype(np.int64)
        starts = np.cumsum(each) - each
        inside = np.arange(int(each.sum())) - np.repeat(starts, each)
        mine = one._utf8[np.repeat(one._offsets[ours[some]], each) + inside]
        yours = other._utf8[np.repeat(other._offsets[theirs[some]], each) + inside]
        same[some] = ~np.logical_or.reduceat(mine != yours, starts)
        begin = end
    return same


def _int_flags(table: IdTable, rows: NDArray[Any]) -> NDArray[np.bool_]:
    return np.zeros(len(rows), np.bool_) if table._is_int is None else table._is_int[rows] != 0
