"""Id tables: the ids of rows 0..n-1, of every kind that people's artifacts have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

KINDS = ("int", "negative", "str", "unicode", "int64", "int32", "uint32", "str_", "mixed")


def make_ids(kind: str, count: int, *, first: int = 1) -> list[Any]:
    """`count` different ids, neither in ascending order nor equal to their rows.

    "int64", "int32", "uint32", "str_" are numpy scalars, as `dict(zip(series.unique(), ...))` makes them; "mixed" has both
    1 and "1". Raises KeyError for another kind.
    """
    numbers = [first + (row * 7 + 3) % count if count % 7 else first + (count - 1 - row) for row in range(count)]
    table: dict[str, Callable[[], list[Any]]] = {
        "int": lambda: numbers,
        "negative": lambda: [-number for number in numbers],
        "str": lambda: [f"u{number}" for number in numbers],
        "unicode": lambda: [f"kota-{number}-\u00e9\u0142\u6771\U0001f30b" for number in numbers],
        "int64": lambda: list(np.array(numbers, dtype=np.int64)),
        "int32": lambda: list(np.array(numbers, dtype=np.int32)),
        "uint32": lambda: list(np.array(numbers, dtype=np.uint32)),
        "str_": lambda: list(np.array([f"u{number}" for number in numbers])),
        "mixed": lambda: [number // 2 if number % 2 else str(number // 2) for number in numbers],
    }
    return table[kind]()


def plain(id: Any) -> int | str:
    """The id as JSON has it."""
    return str(id) if isinstance(id, str) else int(id)
