"""Users or items by row while a data set grows: an id gets the next row when it is first met.

Covers: interning a batch of ids, the final numbering, ids that come as text. Does not cover: id tables of bundles (`models.ids`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.dataset.base import Id

_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")
_BOUND = 1 << 63


class Entities(dict[Id, int]):
    """Id -> provisional row. A look-up of an id that is new gives it the next one; 1 and "1" are two ids."""

    def __missing__(self, id: Id) -> int:
        row = self[id] = len(self)
        return row

    def rows(self, ids: Sequence[Id]) -> NDArray[np.int32]:
        """(n,) int32, for a batch, without a Python call an id that is known."""
        return np.fromiter(map(self.__getitem__, ids), np.int32, len(ids))

    def settle(self, *, is_text: bool) -> tuple[list[Id], NDArray[np.int32]]:
        """The ids in their final order, and the final row of each provisional one. Whole numbers come first, each kind ascends.

        is_text: the ids come from a file that has no kinds. They are whole numbers if all of them are written like one of 64 bits.
        """
        numbers: list[tuple[int, int]] = []
        texts: list[tuple[str, int]] = []
        if is_text and all(map(_is_whole, self)):
            numbers = [(int(id), row) for id, row in self.items()]
        else:
            for id, row in self.items():
                if isinstance(id, int):
                    numbers.append((id, row))
                else:
                    texts.append((id, row))
        numbers.sort()
        texts.sort()
        final = np.empty(len(self), np.int32)
        final[[row for _, row in numbers] + [row for _, row in texts]] = np.arange(len(self), dtype=np.int32)
        return [id for id, _ in numbers] + [id for id, _ in texts], final


def _is_whole(id: Id) -> bool:
    return isinstance(id, str) and _WHOLE.fullmatch(id) is not None and -_BOUND <= int(id) < _BOUND
