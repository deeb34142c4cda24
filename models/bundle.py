"""A bundle: named arrays and JSON metadata, all that a family keeps of an artifact.

Covers: the type both halves of a family share: `pack.py` makes one in the child, `score.py` gets one over the mapping.
Does not cover: where the arrays lie (`loaders.segment`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


class BadBundle(ValueError):
    """The arrays contradict each other: a scorer must not be built on them."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What is served.

    arrays: C-contiguous, of kinds b i u f, read-only in the server.
    meta: JSON; how the arrays are to be read, chosen by the family's pack.
    details: JSON; what a status page shows.
    is_checked: whether the arrays' content was looked through before; if so, a scorer looks only at what costs nothing.
    """

    family: str
    arrays: Arrays
    meta: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    is_checked: bool = False

    def array(self, name: str, *, ndim: int, kinds: str, rows: int | None = None) -> NDArray[Any]:
        """The named array, checked. Raises BadBundle if it is absent or not of this rank, dtype kind and row count."""
        array = self.arrays.get(name)
        if array is None:
            raise BadBundle(f"array {name!r} is missing")
        if array.ndim != ndim or array.dtype.kind not in kinds:
            raise BadBundle(f"array {name!r} is {array.dtype} of rank {array.ndim}")
        if rows is not None and array.shape[0] != rows:
            raise BadBundle(f"array {name!r} has {array.shape[0]} rows where {rows} belong")
        return array
