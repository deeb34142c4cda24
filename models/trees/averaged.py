"""sklearn's DecisionTree, ExtraTree and the forests of them: one tree, or the mean of many. Runs in the capped child.

Covers: classifiers and regressors, of one output or several, fitted by sklearn 0.24 and later. Before 1.3 the leaves of
classifiers held counts and nodes did not say where missing values go. Does not cover: boosting, whose trees are read here
too (`tree_of`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.estimator_records import classes_of, require, signature_of
from models.packing import PackError, numeric
from models.records import Array, Record, is_index, is_record

from .growing import Grove, Tree, fields

_NODE = {"left_child": "i", "right_child": "i", "feature": "i", "threshold": "f"}


class CartTree(NamedTuple):
    """The parts of one `sklearn.tree._tree.Tree`: nodes (n,) structured, values (n, outputs, most classes) float64."""

    nodes: NDArray[Any]
    values: NDArray[Any]
    features: int
    classes: list[int]

    @property
    def knows_missing(self) -> bool:
        return "missing_go_to_left" in (self.nodes.dtype.names or ())

    def tree(self, values: NDArray[Any], what: str, *, takes_nan: bool) -> Tree:
        """As `Grove.add` takes it. values: (n, width) of the nodes. Raises PackError(corrupt_artifact)."""
        feature = self.nodes["feature"]
        is_leaf = self.nodes["left_child"] == -1
        if (~is_leaf & ((feature < 0) | (feature >= self.features))).any():
            raise PackError("corrupt_artifact", f"{what} asks for a feature outside its {self.features}")
        if takes_nan:
            feature = feature + (self.nodes["missing_go_to_left"] != 0) * self.features
        return Tree(self.nodes["left_child"], self.nodes["right_child"], is_leaf, feature, self.nodes["threshold"], values)


def pack_averaged(estimator: Record, is_classifier: bool) -> Bundle:
    """The bundle of a bare tree or a forest. Raises PackError."""
    trees = _members(estimator)
    takes_nan = _takes_nan(trees[0])
    parts = [tree_of(tree, f"tree {at}") for at, tree in enumerate(trees)]
    first = parts[0]
    for at, part in enumerate(parts):
        if (part.features, part.classes) != (first.features, first.classes):
            raise PackError("corrupt_artifact", f"tree {at} is for {part.features} features and {part.classes} classes, the first is not")
        if takes_nan and not part.knows_missing:
            raise PackError("corrupt_artifact", f"tree {at} does not say where missing values go, the first does")
    outputs = len(first.classes)
    classes = _classes(estimator, first.classes) if is_classifier else None
    if not is_classifier and set(first.classes) != {1}:
        raise PackError("corrupt_artifact", f"a regressor's trees have {first.classes} values an output")
    signature = signature_of(estimator, first.features, takes_nan=takes_nan, classes=classes, outputs=outputs, float32_range=True)
    grove = Grove(sum(len(part.nodes) for part in parts), len(parts), sum(first.classes))
    for at, part in enumerate(parts):
        values = _fractions(part) if is_classifier else part.values[:, :, 0]
        grove.add(part.tree(values, f"tree {at}", takes_nan=takes_nan), f"tree {at}")
    arrays, meta = signature.to_bundle()
    meta |= {"rule": "mean", "tie_is_positive": False, "depth": grove.depth}
    return Bundle("trees", {**grove.arrays(), **arrays}, meta, {**signature.details(), **grove.details(), "model": estimator.class_name})


def tree_of(estimator: Any, what: str) -> CartTree:
    """The tree of a DecisionTree or ExtraTree record. Raises PackError."""
    if not isinstance(estimator, Record):
        raise PackError("corrupt_artifact", f"{what} is not a tree: {estimator!r}"[:300])
    tree = require(estimator, "tree_")["tree_"]
    state = tree.state if is_record(tree, "Tree") else None
    if not isinstance(state, dict) or len(tree.args) != 3 or not {"nodes", "values"} <= set(state):
        raise PackError("corrupt_artifact", f"{what} holds no nodes and values: {tree!r}"[:300])
    features, counts, outputs = tree.args
    classes = counts.values.tolist() if isinstance(counts, Array) and counts.values is not None and counts.values.ndim == 1 else None
    if not is_index(features) or not 0 < features < 1 << 31 or not classes or not all(is_index(count) and count for count in classes):
        raise PackError("corrupt_artifact", f"{what} has no counts of features and classes")
    nodes = fields(state["nodes"], _NODE, f"{what}.nodes")
    values = numeric(state["values"], f"{what}.values", ndim=3)
    if values.shape != (len(nodes), len(classes), max(classes)) or outputs != len(classes):
        raise PackError("corrupt_artifact", f"{what} has values of shape {values.shape} for {len(nodes)} nodes and {classes} classes")
    return CartTree(nodes, values, int(features), classes)


def _members(estimator: Record) -> list[Any]:
    """The trees of a forest, or the tree itself."""
    if "tree_" in estimator.attributes:
        return [estimator]
    if estimator.name.startswith(("DecisionTree", "ExtraTreeC", "ExtraTreeR")):
        require(estimator, "tree_")
    trees = require(estimator, "estimators_")["estimators_"]
    if not isinstance(trees, list) or not trees:
        raise PackError("corrupt_artifact", f"{estimator.class_name} has no list of trees: {trees!r}"[:300])
    return trees


def _takes_nan(tree: Any) -> bool:
    """As sklearn 1.9 asks the first tree: a DecisionTree does, an ExtraTree that draws its thresholds too, where nodes say the way."""
    if not isinstance(tree, Record) or not tree_of(tree, "tree 0").knows_missing:
        return False
    return not tree.name.startswith("ExtraTree") or tree.attributes.get("splitter") == "random"


def _classes(estimator: Record, counts: list[int]) -> tuple[Any, ...]:
    classes = classes_of(require(estimator, "classes_")["classes_"])
    found = [len(classes)] if len(counts) == 1 else [len(labels) if isinstance(labels, tuple) else 1 for labels in classes]
    if found != counts:
        raise PackError("corrupt_artifact", f"{estimator.class_name} names {found} classes, its trees count {counts}")
    return classes


def _fractions(part: CartTree) -> NDArray[np.float64]:
    """(n, classes of all outputs together): the share of each class; counts, of before sklearn 1.3, are divided by their sum."""
    columns = []
    for output, count in enumerate(part.classes):
        values = part.values[:, output, :count].astype(np.float64)
        sums = values.sum(axis=1, keepdims=True)
        is_share = (np.abs(sums - 1.0) < 1e-6) | (sums == 0.0)
        columns.append(np.divide(values, sums, out=values, where=~is_share))
    return columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)
