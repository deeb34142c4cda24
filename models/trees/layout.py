"""What the arrays of a bundle of trees are. Known to both halves; numpy only.

All trees share one set of node arrays. A step takes a row from node n to `child[n] + (x[column[n]] <= threshold[n])`: the
right child stands at child[n], the left one directly after it. A leaf points to itself and has the threshold NaN, to which
nothing compares, so that a row that has arrived stays; its `column` is the row of `leaf_values`.

    column        int64 (nodes,)           which column a node asks; of a leaf, its row in leaf_values
    threshold     float64 (nodes,)         NaN in leaves only
    child         int64 (nodes,)           greater than the node itself, except in leaves
    root          int64 (trees,)
    leaf_values   float64 (leaves, width)  width: the classes of all outputs together, or the outputs, or 1 (boosted)
    baseline      float64 (k,)             boosted: what the k sums of an answer start from; tree t adds to sum t % k
    goes_right    uint8 (splits, 257)      categorical splits: 1 where a category's code goes right; last: missing, unknown
    split_feature int64 (splits,)          which of `categories` such a split asks
    categories    uint8                    JSON: {"column", "values"} a categorical feature

A row of f features is spread over more columns, so that each question is `<=`: [0, f) the features, NaN where missing,
which goes right; [f, 2f), where the model takes missing values, the same with -inf for missing, which goes left;
[2f, 2f + splits) the answers of the categorical splits, 0 for left and 1 for right, their threshold being 0.5.

Does not cover: how the numbers came about (`models.trees.pack`), walking (`models.trees.walking`).
"""

from __future__ import annotations

from typing import Literal

CODES = 256
"""Categories have codes below this; it stands itself for a missing or unknown one. HistGradientBoosting knows at most 255."""

MAX_DEPTH = 10_000
"""Deeper trees are refused: a row costs a step a level, and only a forged or degenerate tree has so many."""

Rule = Literal["mean", "identity", "log", "logit", "half_logit", "softmax"]
"""How the leaves of a row become an answer: their mean, or the inverse link of their sums (McCullagh and Nelder, 1989).

mean: probabilities of forest classifiers, values of forest regressors. half_logit: of the exponential loss, 1 / (1 + exp(-2 s)).
"""

RULES: tuple[Rule, ...] = ("mean", "identity", "log", "logit", "half_logit", "softmax")


def columns_of(features: int, *, takes_nan: bool, splits: int = 0) -> int:
    """How many columns a row is spread over."""
    return features * (2 if takes_nan else 1) + splits
