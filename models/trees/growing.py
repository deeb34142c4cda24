"""Trees of records into the one set of node arrays of `models.trees.layout`. Runs in the capped child.

Covers: checking each tree (every node but the root has one parent, which stands before it) and laying it out. Does not
cover: what sklearn calls the parts (`averaged`, `boosted`, `histogram`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.packing import PackError
from models.records import Array

from .layout import MAX_DEPTH


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree, as its library wrote it: views of the artifact's memory where they need not change. n nodes, of any int or float type.

    left, right: (n,) nodes. is_leaf: (n,) bool. column: (n,) of `layout`'s columns, checked. threshold: (n,), left where x <= it.
    values: (n, width); only those of leaves are read.
    """

    left: NDArray[Any]
    right: NDArray[Any]
    is_leaf: NDArray[np.bool_]
    column: NDArray[Any]
    threshold: NDArray[Any]
    values: NDArray[Any]


class Grove:
    """Trees laid out one after the other.

    A node array as long as all trees is allocated at once: appending would hold everything twice, and the child is capped.
    """

    def __init__(self, nodes: int, trees: int, width: int) -> None:
        """nodes: of all trees together; half of them, and one more a tree, are leaves. width: of the leaf values."""
        self._column = np.empty(nodes, np.int64)
        self._threshold = np.full(nodes, np.nan)
        self._child = np.arange(nodes, dtype=np.int64)
        self._root = np.empty(trees, np.int64)
        self._values = np.empty(((nodes + trees) // 2, width))
        self._nodes = self._leaves = self._trees = self.depth = 0

    def add(self, tree: Tree, what: str) -> None:
        """Lay out the next tree. Raises PackError: corrupt_artifact, unknown_format (too deep)."""
        nodes, leaves = len(tree.left), np.flatnonzero(tree.is_leaf)
        inner = np.flatnonzero(~tree.is_leaf)
        left, right = tree.left[inner].astype(np.int64), tree.right[inner].astype(np.int64)
        _check_shape(left, right, inner, nodes, what)
        if np.isnan(tree.threshold[inner]).any():
            raise PackError("corrupt_artifact", f"{what} has a question without a threshold")
        values = tree.values[leaves]
        if not np.isfinite(values).all():
            raise PackError("corrupt_artifact", f"{what} has a leaf without a finite value")
        # Children stand side by side, the right one first, in the order of their parents: a step is an addition.
        place = np.zeros(nodes, np.int64)
        pair = 1 + 2 * np.arange(len(inner), dtype=np.int64)
        place[right], place[left] = pair, pair + 1
        at = self._nodes
        self._root[self._trees] = at
        self._child[at + place[inner]] = at + pair
        self._column[at + place[inner]] = tree.column[inner]
        self._threshold[at + place[inner]] = tree.threshold[inner]
        self._column[at + place[leaves]] = self._leaves + np.arange(len(leaves))
        self._values[self._leaves : self._leaves + len(leaves)] = values
        self.depth = max(self.depth, _depth(self._child[at : at + nodes] - at, what))
        self._nodes, self._leaves, self._trees = at + nodes, self._leaves + len(leaves), self._trees + 1

    def arrays(self) -> dict[str, NDArray[Any]]:
        """By the names of `layout`."""
        return {
            "column": self._column,
            "threshold": self._threshold,
            "child": self._child,
            "root": self._root,
            "leaf_values": self._values,
        }

    def details(self) -> dict[str, int]:
        """What a status page shows of the trees: trees, nodes, levels of the deepest one."""
        return {"trees": self._trees, "nodes": self._nodes, "depth": self.depth}


def _check_shape(left: NDArray[Any], right: NDArray[Any], inner: NDArray[Any], nodes: int, what: str) -> None:
    """Raises PackError unless each node but the first is the child of exactly one, which stands before it."""
    for child in (left, right):
        if len(child) and ((child <= inner).any() or int(child.max()) >= nodes):
            raise PackError("corrupt_artifact", f"{what} has a node whose child is outside the tree, or not after it")
    parents = np.bincount(np.concatenate((left, right)), minlength=nodes)
    if (parents[1:] != 1).any():
        raise PackError("corrupt_artifact", f"{what} has a node without a parent, or with two")


def _depth(child: NDArray[np.int64], what: str) -> int:
    """Levels of questions of one laid-out tree."""
    level = np.zeros(1, np.int64)
    for depth in range(MAX_DEPTH + 1):
        level = level[child[level] != level]
        if not len(level):
            return depth
        level = np.concatenate((child[level], child[level] + 1))
    raise PackError("unknown_format", f"{what} is more than {MAX_DEPTH} levels deep")


def fields(value: Any, wanted: dict[str, str], what: str) -> NDArray[Any]:
    """A one-dimensional structured array with the fields `wanted`, name to kinds. Raises PackError: missing_keys, corrupt_artifact."""
    array = value.values if isinstance(value, Array) else None
    if array is None or array.ndim != 1 or array.dtype.names is None or not len(array):
        raise PackError("corrupt_artifact", f"{what} is not an array of nodes: {value!r}"[:300])
    missing = [name for name in wanted if name not in array.dtype.names]
    if missing:
        found = sorted(array.dtype.names)[:100]
        raise PackError("missing_keys", f"{what} lacks {', '.join(missing)}", missing=missing, found=found)
    wrong = [name for name, kinds in wanted.items() if array.dtype[name].kind not in kinds]
    if wrong:
        raise PackError("corrupt_artifact", f"{what} has no numbers in {', '.join(wrong)}")
    return array
