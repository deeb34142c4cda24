"""What a hostile file is, and the honest pieces that hostile ones are made from.

The honest base is a dict of two factor matrices and two id maps, plain arrays and ints, so that nothing but the one
forged place can be at fault. It is 80 users x 50 items x 300 factors: each matrix is larger than the piece that a pickler
writes outside its frames (64 KiB) or close below it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

CORRUPT = frozenset({"corrupt_artifact"})
UNKNOWN = frozenset({"unknown_format"})
REFUSED = CORRUPT | UNKNOWN | {"missing_keys"}
"""Read as data, it is no model; which of these it is called depends on what the reader looks at first."""
DAMAGED = REFUSED | {"not_a_model", "not_trained", "too_large", "memory_cap_exceeded", "untrusted_type"}
"""Any verdict on the artifact itself. Never a retryable failure: the file will not get better."""
BOMB = frozenset({"memory_cap_exceeded", "too_large"})
NO_MODEL = frozenset({"not_a_model", "unknown_format"})


@dataclass(frozen=True, slots=True)
class Hostile:
    """A file that must end in one of `expected` (type names of loaders.errors.FAILURES), and in nothing else.

    With `may_load`, ready is right too: the harm is where a reader need not look, or where a format has no check.
    `build(marker)` gives the bytes; a file that tries to run something would make `marker`, and whoever loads the file
    asserts that it does not exist. Building runs nothing and is deterministic.
    """

    name: str
    says: str
    suffix: str
    build: Callable[[Path], bytes]
    expected: frozenset[str]
    may_load: bool = False

    def write(self, folder: Path) -> Path:
        """Write it to `folder`, named after itself; the marker is `folder / "ran"`."""
        path = folder / f"{self.name}{self.suffix}"
        path.write_bytes(self.build(folder / "ran"))
        return path


class Table:
    """Collects hostile files; a name is there once."""

    def __init__(self) -> None:
        self.entries: dict[str, Hostile] = {}

    def add(
        self,
        name: str,
        says: str,
        build: Callable[[Path], bytes] | bytes,
        expected: frozenset[str],
        *,
        suffix: str = ".pkl",
        may_load: bool = False,
    ) -> None:
        """Add one; `build` may be the bytes themselves. Raises ValueError for a name that is taken."""
        if name in self.entries:
            raise ValueError(name)
        make = build if callable(build) else _always(build)
        self.entries[name] = Hostile(name, says, suffix, make, expected, may_load)


def _always(content: bytes) -> Callable[[Path], bytes]:
    return lambda _: content


USERS, ITEMS, FACTORS = 80, 50, 300


@cache
def matrix(rows: int) -> Any:
    """A read-only float32 matrix (rows, FACTORS), the same in every process."""
    made = np.random.default_rng(rows).standard_normal((rows, FACTORS)).astype(np.float32)
    made.flags.writeable = False
    return made


def honest(**replaced: Any) -> dict[str, Any]:
    """The honest base with some values replaced or added."""
    base: dict[str, Any] = {
        "user_factors": matrix(USERS),
        "item_factors": matrix(ITEMS),
        "user_id_map": {id + 1: id for id in range(USERS)},
        "item_id_map": {id + 1: id for id in range(ITEMS)},
        "is_trained": True,
    }
    return base | replaced


class Call:
    """Pickles as `function(*args)` and then, with `state`, as BUILD of that; never called here.

    The `function` is written by its name only.
    """

    def __init__(self, function: Any, *args: Any, state: Any = None) -> None:
        self._parts = (function, args) if state is None else (function, args, state)

    def __reduce__(self) -> tuple[Any, ...]:
        return self._parts


def without_stop(stream: bytes) -> bytes:
    """A pickle of protocol 4 less its STOP, with the last frame as much shorter: opcodes may follow."""
    at = stream.rindex(b"\x95")
    while struct.unpack_from("<Q", stream, at + 1) != (len(stream) - at - 9,):
        at = stream.rindex(b"\x95", 0, at)
    return stream[: at + 1] + struct.pack("<Q", len(stream) - at - 10) + stream[at + 9 : -1]
