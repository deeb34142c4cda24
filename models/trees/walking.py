"""Rows through all trees at once. numpy only; runs in the server.

Covers: the node arrays, checked, the walk from the roots to the leaves, and sums over trees. Does not cover: what columns a
row is spread over (`models.trees.score`), what the sums mean (`models.trees.outputs`).

A level costs seven calls of numpy over (rows x trees) cells, whatever the number of trees. Trees that end early stay in
their leaves until few cells still move; the rest is then left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle import BadBundle, Bundle

from .layout import MAX_DEPTH

_LOOK_EVERY = 4
"""Levels between looks at which cells still move: a look costs about a third of a level."""
_WORTH_LEAVING = 4096
"""With fewer cells, calls cost more than what they work on."""
_SLICE = 1 << 20
LARGEST_SUM = 1e300
"""What trees may add up to: far beyond any target, and what is done with a sum afterwards stays finite."""


class Ensemble:
    """The node arrays of a bundle (see `models.trees.layout`). Read-only and thread-safe."""

    def __init__(self, bundle: Bundle, columns: int, width: int) -> None:
        """columns: cells a row is spread over. width: of the leaf values. Raises models.bundle.BadBundle."""
        self._column = bundle.array("column", ndim=1, kinds="i")
        nodes = len(self._column)
        self._threshold = bundle.array("threshold", ndim=1, kinds="f", rows=nodes)
        self._child = bundle.array("child", ndim=1, kinds="i", rows=nodes)
        self._root = bundle.array("root", ndim=1, kinds="i")
        self._values = bundle.array("leaf_values", ndim=2, kinds="f")
        if any(array.itemsize != 8 for array in (self._column, self._threshold, self._child, self._root, self._values)):
            raise BadBundle("the trees' arrays are not of 64 bits")
        if not (nodes and len(self._root) and len(self._values)) or self._values.shape[1] != width:
            raise BadBundle(f"{nodes} nodes, {len(self._root)} trees and leaf values of shape {self._values.shape} for {width} outputs")
        depth = bundle.meta.get("depth")
        if not isinstance(depth, int) or not 0 <= depth <= MAX_DEPTH:
            raise BadBundle(f"the depth of the trees is {depth!r}"[:200])
        self.depth = int(depth)
        self.trees = len(self._root)
        self.width = width
        if not bundle.is_checked:
            self._check(columns)

    def _check(self, columns: int) -> None:
        """Raises BadBundle unless every index is inside its array and children come after their parents, so that walks end."""
        nodes = len(self._column)
        if int(self._root.min()) < 0 or int(self._root.max()) >= nodes:
            raise BadBundle("a tree's root is outside the nodes")
        for begin in range(0, nodes, _SLICE):
            part = slice(begin, begin + _SLICE)
            column, child = self._column[part], self._child[part]
            own = np.arange(begin, begin + len(child))
            is_leaf = child == own
            if (child < own).any() or (child[~is_leaf] >= nodes - 1).any():
                raise BadBundle("a node's children are not after it, or outside the nodes")
            if (column < 0).any() or (column >= np.where(is_leaf, len(self._values), columns)).any():
                raise BadBundle("a node asks for a column that no row has, or a leaf has no values")
            if (np.isnan(self._threshold[part]) != is_leaf).any():
                raise BadBundle("a leaf has a threshold, or another node none")
        for begin in range(0, len(self._values), _SLICE):
            if not (np.abs(self._values[begin : begin + _SLICE]) < LARGEST_SUM / self.trees).all():
                raise BadBundle("a leaf's value is not finite, or so large that the sum over the trees may not be")

    def values(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """(trees, rows, width): for each tree the values of the leaf that each row of `columns`, (rows, columns), ends in."""
        found: NDArray[np.float64] = self._values.take(self._leaves(columns), axis=0, mode="clip")
        return found.reshape(self.trees, len(columns), self.width)

    def _leaves(self, columns: NDArray[np.float64]) -> NDArray[np.int64]:
        """Rows of the leaf values, (trees x rows,), row by row of the first tree, then of the next one."""
        rows, width = columns.shape
        cells = columns.reshape(-1)
        node = np.repeat(self._root, rows) if rows > 1 else self._root.copy()
        first_cell = np.tile(np.arange(0, rows * width, width), self.trees) if rows > 1 else None
        ended: NDArray[np.int64] | None = None
        moving: NDArray[np.int64] | None = None
        asked, threshold, value, right, goes_left, step = _room(len(node))
        for level in range(self.depth):
            # "clip" spares a check of bounds and a copy; the indices were checked, and a leaf's column may be anything.
            self._column.take(node, None, asked, "clip")
            self._threshold.take(node, None, threshold, "clip")
            if first_cell is not None:
                np.add(asked, first_cell, asked)
            cells.take(asked, None, value, "clip")
            self._child.take(node, None, right, "clip")
            np.less_equal(value, threshold, goes_left)
            np.add(right, step, node)
            if level % _LOOK_EVERY or not level:
                continue
            still = np.flatnonzero(threshold == threshold)
            if not len(still):
                break
            if len(node) >= _WORTH_LEAVING and 2 * len(still) <= len(node):
                if ended is None:
                    ended = node.copy()
                else:
                    ended[moving] = node
                moving = still if moving is None else moving[still]
                node = node[still]
                first_cell = None if first_cell is None else first_cell[still]
                asked, threshold, value, right, goes_left, step = _room(len(node))
        if ended is not None:
            ended[moving] = node
            node = ended
        return self._column.take(node, mode="clip")


def _room(cells: int) -> tuple[NDArray[Any], ...]:
    """What a level writes: columns, thresholds, values, right children, whether to go left, and the same as 0 or 1."""
    goes_left = np.empty(cells, np.bool_)
    integers, floats = np.empty((2, cells), np.int64), np.empty((2, cells))
    return integers[0], floats[0], floats[1], integers[1], goes_left, goes_left.view(np.int8)


def sum_in_order(parts: NDArray[Any]) -> NDArray[Any]:
    """The sum over the first axis, term after term, as sklearn adds tree after tree.

    A row alone must give the very numbers it gives among others; `sum` adds a single column in pairs, several one by one.
    """
    if parts[0].size == 1:
        return np.add.accumulate(parts, axis=0)[-1]  # type: ignore[no-any-return]
    return np.add.reduce(parts, axis=0)  # type: ignore[no-any-return]
