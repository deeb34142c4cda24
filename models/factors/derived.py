"""What is computed from factors when they are packed, so that the server need not: lengths, Gram matrix, ways to fold in.

numpy only, in bounded memory; the child's half of `models.factors.fold_in`. Does not cover: reading artifacts
(`models.factors.pack`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_SLAB = 1 << 20
"""Numbers of a matrix that are widened to float64 at once."""
_WIDEST = 2048
"""Factors for which a system of equations is still solved for a question: 32 MiB and some seconds."""
_LITTLE = 1e-3
"""Ridge of the least squares for factors of unknown origin, as a share of the Gram matrix's mean diagonal."""


class Factors(NamedTuple):
    """Factors as an artifact holds them. A score is a dot product of a row of each.

    users: (users, f), None where the model has none. items: (items, f). model: the class, for a person. embedding: leading
    columns that are no biases; compared: leading columns that cosines of similar items are made of. fold_in: for
    `meta["fold_in"]`, None for least squares. uses_weights: whether how much a user liked an item matters afterwards.
    """

    users: NDArray[Any] | None
    items: NDArray[Any]
    model: str
    embedding: int
    compared: int
    fold_in: dict[str, Any] | None = None
    uses_weights: bool = False


def derive(found: Factors) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays `item_norms` and, where folding in may need it, `gram`; and `meta["fold_in"]`."""
    with np.errstate(all="ignore"):  # factors that are no numbers give lengths that are none
        arrays = {"item_norms": norms(found.items, found.compared)}
        width = found.items.shape[1]
        is_solved = width <= _WIDEST and (found.fold_in is None or found.fold_in["method"] != "mean")
        if is_solved:
            arrays["gram"] = gram(found.items)
        return arrays, _fold_in(found, arrays.get("gram"))


def _fold_in(found: Factors, product: NDArray[np.float64] | None) -> dict[str, Any]:
    """`meta["fold_in"]` of factors with this Gram matrix; None where none was made."""
    plan, width = found.fold_in, found.items.shape[1]
    if product is None:
        return plan if plan is not None and plan["method"] == "mean" else {"method": "mean", "tail": [0.0] * (width - found.embedding)}
    if plan is not None and (plan["method"] != "projection" or np.allclose(product, np.eye(width), rtol=0.0, atol=1e-3)):
        return plan
    ridge = _LITTLE * float(np.trace(product)) / width
    return {"method": "als", "regularization": ridge if np.isfinite(ridge) else 0.0, "alpha": 1.0, "stands_in": True}


def norms(items: NDArray[Any], columns: int) -> NDArray[Any]:
    """(items,) lengths of the first `columns` columns, in the items' dtype; 1 where the length is 0."""
    found = np.empty(len(items), items.dtype)
    for begin, part in _slabs(items):
        squares = (part[:, :columns] ** 2).sum(axis=1)
        found[begin : begin + len(part)] = np.sqrt(squares)
    found[found == 0.0] = 1.0
    return found


def gram(items: NDArray[Any]) -> NDArray[np.float64]:
    """(f, f) float64: the sum of y y' over the items whose factors are numbers."""
    found = np.zeros((items.shape[1], items.shape[1]))
    for _, part in _slabs(items):
        is_number = np.isfinite(part).all(axis=1)
        whole = part if bool(is_number.all()) else part[is_number]
        found += whole.T @ whole
    return found


def _slabs(items: NDArray[Any]) -> Iterator[tuple[int, NDArray[np.float64]]]:
    step = max(1, _SLAB // max(1, items.shape[1]))
    for begin in range(0, len(items), step):
        yield begin, items[begin : begin + step].astype(np.float64)
