"""A vector for someone who is no user of the model, from the items they like; and what each liked item adds to a score.

numpy only; runs in the server. Covers the four methods a bundle may name in `meta["fold_in"]["method"]`:

als         x = (Y'Y + lambda I + sum (|c_j| - 1) y_j y_j')^-1 sum c_j y_j with c_j = alpha w_j: the half step of ALS that made
            the model (Hu, Koren, Volinsky 2008, eq. 4; implicit's `recalculate_user`). With alpha 1 and a small lambda
            it is plain least squares over the whole catalogue, which suits factors of unknown origin.
nnls        argmin over h >= 0 of |r - h W'|^2 / 2 + l1 |h| + l2 |h|^2 / 2 for NMF: what `sklearn.decomposition.NMF.transform`
            solves (for beta_loss="frobenius"; for other losses it stands in for it).
projection  x = sum w_j v_j for orthonormal item vectors: `TruncatedSVD.transform`.
mean        the mean of the liked items' embeddings, bias columns as a user has them: for models without a closed form
            (BPR, logistic MF, LightFM), whose users are near what they like.

Does not cover: which method a model gets (`models.factors.pack`), scoring (`models.factors.score`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle import BadBundle, Bundle

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

_SLAB = 1 << 20
"""Numbers of the item matrix that are widened to float64 at once."""
_SWEEPS = 500
_CONVERGED = 1e-9


class FoldIn(ABC):
    """One method over the items (items x f). Stateless but for what the bundle gave; thread-safe."""

    def __init__(self, items: NDArray[Any], embedding: int) -> None:
        self._items = items
        self._embedding = embedding

    @abstractmethod
    def vector(self, liked: Rows) -> Floats:
        """(f,) the vector of someone who likes these rows, each with weight 1. Not finite where it has no solution."""

    def contributions(self, rows: Rows, history: Rows, weights: NDArray[Any] | None) -> Floats:
        """(rows, history) what each item of a history (of these weights, None: 1 each) adds to each item's score.

        Where scores are no sum over the history: the cosine of the two items, 0 for opposite ones.
        """
        found = np.empty((len(rows), len(history)))
        for some, targets in self._slabs(rows):
            directions = unit(targets[:, : self._embedding])
            for others, part in self._slabs(history):
                found[some, others] = np.maximum(directions @ unit(part[:, : self._embedding]).T, 0.0)
        return found

    def work(self, liked: int) -> int:
        """Multiply-adds of `vector`, roughly."""
        return liked * int(self._items.shape[1])

    def _slabs(self, rows: Rows) -> Iterator[tuple[slice, Floats]]:
        """The factors of rows in float64, a slab at a time."""
        step = max(1, _SLAB // max(1, self._items.shape[1]))
        for begin in range(0, len(rows), step):
            yield slice(begin, begin + step), self._items[rows[begin : begin + step]].astype(np.float64)

    def _total(self, rows: Rows) -> Floats:
        """(f,) the sum of the rows that are numbers."""
        total = np.zeros(self._items.shape[1])
        for _, part in self._slabs(rows):
            total += part[np.isfinite(part).all(axis=1)].sum(axis=0)
        return total


class LeastSquares(FoldIn):
    """Method `als`. `gram` is Y'Y, (f, f) float64."""

    def __init__(self, items: NDArray[Any], embedding: int, gram: Floats, regularization: float, alpha: float) -> None:
        super().__init__(items, embedding)
        self._gram = gram
        self._regularization = regularization
        self._alpha = alpha

    def vector(self, liked: Rows) -> Floats:
        return solve(self._system(liked, None), self._alpha * self._total(liked))

    def contributions(self, rows: Rows, history: Rows, weights: NDArray[Any] | None) -> Floats:
        """y_i' A^-1 y_j c_j, of which a user's score is the sum (Hu, Koren, Volinsky 2008, section 5; implicit's `explain`)."""
        system = self._system(history, weights)
        found = np.empty((len(rows), len(history)))
        confidences = self._confidences(weights, len(history))
        for some, targets in self._slabs(rows):
            weighted = solve(system, targets.T).T
            for others, part in self._slabs(history):
                found[some, others] = (weighted @ part.T) * np.maximum(confidences[others], 0.0)
        return found

    def work(self, liked: int) -> int:
        width = len(self._gram)
        return width * width * (liked + width)

    def _confidences(self, weights: NDArray[Any] | None, count: int) -> Floats:
        return np.full(count, self._alpha) if weights is None else self._alpha * weights.astype(np.float64)

    def _system(self, rows: Rows, weights: NDArray[Any] | None) -> Floats:
        """(f, f) the left side of the normal equations of a user of this history."""
        system = with_diagonal(self._gram, self._regularization)
        extra = np.abs(self._confidences(weights, len(rows))) - 1.0
        if not extra.any():
            return system
        for some, part in self._slabs(rows):
            is_number = np.isfinite(part).all(axis=1) & np.isfinite(extra[some])
            part = part[is_number]
            system += (part * extra[some][is_number, np.newaxis]).T @ part
        return system


class NonNegative(FoldIn):
    """Method `nnls`. `gram` is W'W, (f, f) float64."""

    def __init__(self, items: NDArray[Any], embedding: int, gram: Floats, l1: float, l2: float) -> None:
        super().__init__(items, embedding)
        self._gram = gram
        self._l1, self._l2 = l1, l2

    def vector(self, liked: Rows) -> Floats:
        return non_negative(with_diagonal(self._gram, self._l2), self._total(liked) - self._l1)

    def work(self, liked: int) -> int:
        return super().work(liked) + 100 * len(self._gram) * (5_000 + len(self._gram))


class Projection(FoldIn):
    """Method `projection`."""

    def vector(self, liked: Rows) -> Floats:
        return self._total(liked)

    def contributions(self, rows: Rows, history: Rows, weights: NDArray[Any] | None) -> Floats:
        """w_j v_i' v_j, of which a score is the sum."""
        found = np.empty((len(rows), len(history)))
        for some, targets in self._slabs(rows):
            for others, part in self._slabs(history):
                found[some, others] = targets @ part.T
        return found if weights is None else found * weights


class Mean(FoldIn):
    """Method `mean`. `tail` is what a user has in the columns after the embedding: 1 where an item has its bias."""

    def __init__(self, items: NDArray[Any], embedding: int, tail: Floats) -> None:
        super().__init__(items, embedding)
        self._tail = tail

    def vector(self, liked: Rows) -> Floats:
        found = self._total(liked) / max(1, len(liked))
        found[self._embedding :] = self._tail
        return found


def open_fold_in(bundle: Bundle, items: NDArray[Any], embedding: int) -> FoldIn:
    """The method of a bundle over its `items`, of which the first `embedding` columns are no biases. Raises BadBundle."""
    meta = bundle.meta.get("fold_in")
    method = meta.get("method") if isinstance(meta, dict) else None
    if not isinstance(meta, dict) or method not in ("als", "nnls", "projection", "mean"):
        raise BadBundle(f"no way to fold in someone new: {method!r}")
    if method == "projection":
        return Projection(items, embedding)
    if method == "mean":
        tail = meta.get("tail")
        if not isinstance(tail, list) or len(tail) != items.shape[1] - embedding or not all(map(_is_number, tail)):
            raise BadBundle("the bias columns of someone new are not told")
        return Mean(items, embedding, np.array(tail, np.float64))
    gram = bundle.array("gram", ndim=2, kinds="f", rows=items.shape[1])
    if gram.shape[1] != items.shape[1]:
        raise BadBundle(f"the Gram matrix is {gram.shape}, the items are {items.shape[1]} wide")
    names = ("regularization", "alpha") if method == "als" else ("l1", "l2")
    numbers = [meta.get(name) for name in names]
    if not all(map(_is_number, numbers)):
        raise BadBundle(f"{', '.join(names)} of the fold-in are not numbers")
    first, second = (float(number) for number in numbers if number is not None)
    made: type[LeastSquares | NonNegative] = LeastSquares if method == "als" else NonNegative
    return made(items, embedding, gram, first, second)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300 and isfinite(value)


def with_diagonal(gram: NDArray[Any], amount: float) -> Floats:
    """A float64 copy with `amount` added along the diagonal."""
    found = gram.astype(np.float64)
    found.flat[:: len(found) + 1] += amount
    return found


def solve(system: Floats, right: Floats) -> NDArray[Any]:
    """The solution of a symmetric system; of a singular one that of least norm, NaN where the numbers are none."""
    if not (np.isfinite(system).all() and np.isfinite(right).all()):
        return np.full(right.shape, np.nan)
    found: NDArray[Any]
    try:
        found = np.linalg.solve(system, right)
    except np.linalg.LinAlgError:
        found = np.linalg.lstsq(system, right, rcond=None)[0]
    return found


def non_negative(gram: Floats, right: Floats) -> Floats:
    """argmin over h >= 0 of h' gram h / 2 - right' h, by cyclic coordinate descent to convergence (at most 500 sweeps).

    The step is that of sklearn's NMF solver (`_update_cdnmf_fast`; Cichocki and Phan 2009), on the Gram matrix alone.
    """
    found = np.zeros(len(right))
    if not (np.isfinite(gram).all() and np.isfinite(right).all()):
        return np.full(right.shape, np.nan)
    gradient = -right
    steepest = gram.diagonal().tolist()
    for _ in range(_SWEEPS):
        moved = 0.0
        for at, slope in enumerate(steepest):
            if slope <= 0.0:
                continue
            before = float(found[at])
            after = max(before - float(gradient[at]) / slope, 0.0)
            if after != before:
                found[at] = after
                gradient += (after - before) * gram[at]
                moved = max(moved, abs(after - before))
        if moved <= _CONVERGED * float(found.max(initial=0.0)):
            break
    return found


def unit(vectors: NDArray[Any]) -> Floats:
    """Rows in float64, each divided by its length (a row of zeros stays)."""
    wide = vectors.astype(np.float64)
    lengths = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    return wide / np.where(lengths > 0.0, lengths, 1.0)
