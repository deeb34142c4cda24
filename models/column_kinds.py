"""The kinds of item columns over mapped arrays. numpy only; runs in the server.

Covers: whole numbers, floats, booleans, text, lists of text: their values as JSON, which rows hold a word, the checks of their
arrays. Does not cover: their layout and how they are packed (`models.columns`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import chain
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .base import InvalidQuery
from .bundle import BadBundle, Bundle
from .ids import falls
from .sparse import open_cells

MAX_TEXT = 64 << 10
"""Bytes of one text or entry of a list."""
MAX_LIST = 4096
"""Entries of one list."""


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


class _Column(ABC):
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

    @abstractmethod
    def _values(self, rows: NDArray[Any]) -> list[Any]:
        """JSON values of rows, whether they are missing or not."""

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
        self._indptr, self._indices = open_cells(bundle, prefix, rows=count, columns=self._words.count)
        if not bundle.is_checked and count and int(np.diff(self._indptr).max()) > MAX_LIST:
            raise BadBundle(f"{prefix} has a list of more than {MAX_LIST} words")

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
        wanted, low, high = encode(text), 0, self.count
        while low < high:
            middle = (low + high) // 2
            if self._bytes(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        return low if low < self.count and self._bytes(low) == wanted else None

    def _bytes(self, row: int) -> bytes:
        return self._utf8[int(self._offsets[row]) : int(self._offsets[row + 1])].tobytes()


def encode(value: Any) -> bytes:
    """A text as UTF-8; half of a surrogate pair stays what it is, so that every text has its own bytes."""
    return str(value).encode("utf-8", "surrogatepass")


KINDS: dict[str, type[_Column]] = {"int": _Numbers, "float": _Numbers, "bool": _Numbers, "text": _Text, "list": _Lists}
"""What `meta["columns"]` calls them: (prefix of the arrays, kind, is_shown, bundle, rows) make a Column or raise BadBundle."""
