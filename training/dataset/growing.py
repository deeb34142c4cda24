"""Arrays that grow by batches, without being there twice while they do.

Covers: one column of unknown length. Does not cover: what stands in it.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

S = TypeVar("S", bound=np.generic)
_BLOCK = 1 << 20
"""Values a block: some megabytes, which the C library takes from the system and gives back to it. Small ones would stay in its heap."""


class Growing(Generic[S]):
    """A column; `append` while it grows, `take` at the end."""

    def __init__(self, dtype: type[S]) -> None:
        self._dtype = dtype
        self._blocks: list[NDArray[S]] = []
        self._room = 0

    def append(self, values: NDArray[Any]) -> None:
        """Add values, in this column's kind."""
        while len(values):
            if not self._room:
                self._blocks.append(np.empty(_BLOCK, self._dtype))
                self._room = _BLOCK
            some = min(len(values), self._room)
            start = _BLOCK - self._room
            self._blocks[-1][start : start + some] = values[:some]
            self._room -= some
            values = values[some:]

    def take(self) -> NDArray[S]:
        """(n,) all that was added, in order; the column is empty afterwards. Each block is given back as soon as it is copied."""
        whole: NDArray[S] = np.empty(len(self._blocks) * _BLOCK - self._room, self._dtype)
        self._blocks.reverse()
        at = 0
        while self._blocks:
            block = self._blocks.pop()[: len(whole) - at]
            whole[at : at + len(block)] = block
            at += len(block)
        self._room = 0
        return whole
