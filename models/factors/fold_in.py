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

A user of the model who did something since (`joined`) gets what the same method makes of all they have, where that is known
and the model's own users came about like that; else the user's vector is kept and the new items are added to what it solves:

als         with a history: solved again from the history and the new items. Without one, or where the method only stands in
            for the model's own: (A + sum (c_j - 1) y_j y_j') x = A x_old + sum c_j y_j, A being the left side for what is known.
nnls        with a history and its weights: solved again. Else right = (W'W + l2 I) h_old + sum w_j W_j, by which no new item
            gives h_old again.
projection  x_old + sum w_j v_j: a projection is linear.
mean        (n x_old + m s mean) / (n + m), n items of the history (20 where it is not known), m new ones, s bringing the mean to
            the length of x_old; bias columns stay the user's own. Items move a user as much as those they had before did.

Does not cover: which method a model gets (`models.factors.pack`), scoring (`models.factors.score`), the systems themselves
(`models.factors.solving`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.bundle import BadBundle, Bundle
from models.recent import Additions, is_among

from .solving import Floats, non_negative, solve, unit, with_diagonal

Rows = NDArray[np.int64]
Weights = NDArray[Any] | None
"""Of a history, in its order; None: 1 each."""

_SLAB = 1 << 20
"""Numbers of the item matrix that are widened to float64 at once."""
_UNKNOWN_HISTORY = 20
"""Items that a user is taken to have where the model does not say which."""


class Known(NamedTuple):
    """What a model has of a user. vector: (f,). history: item rows, ascending and distinct, empty where not known."""

    vector: NDArray[Any]
    history: Rows
    weights: Weights = None


class FoldIn(ABC):
    """One method over the items (items x f). Stateless but for what the bundle gave; thread-safe."""

    def __init__(self, items: NDArray[Any], embedding: int) -> None:
        self._items = items
        self._embedding = embedding

    @abstractmethod
    def vector(self, liked: Rows, weights: Weights = None) -> Floats:
        """(f,) the vector of someone who likes these rows (ascending, distinct). Not finite where it has no solution."""

    @abstractmethod
    def joined(self, known: Known, new: Additions) -> Floats:
        """(f,) the vector of a user with these items besides; of those in the history already, the history's weight counts."""

    def contributions(self, rows: Rows, history: Rows, weights: Weights) -> Floats:
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
        """Multiply-adds of `vector` or `joined` for so many items, history and new ones, roughly."""
        return liked * int(self._items.shape[1])

    def _slabs(self, rows: Rows) -> Iterator[tuple[slice, Floats]]:
        """The factors of rows in float64, a slab at a time."""
        step = max(1, _SLAB // max(1, self._items.shape[1]))
        for begin in range(0, len(rows), step):
            yield slice(begin, begin + step), self._items[rows[begin : begin + step]].astype(np.float64)

    def _total(self, rows: Rows, weights: Weights = None) -> Floats:
        """(f,) the weighted sum of the rows that are numbers."""
        total = np.zeros(self._items.shape[1])
        for some, part in self._slabs(rows):
            is_number = np.isfinite(part).all(axis=1)
            part = part[is_number]
            total += part.sum(axis=0) if weights is None else weights[some][is_number].astype(np.float64) @ part
        return total


class LeastSquares(FoldIn):
    """Method `als`. `gram` is Y'Y, (f, f) float64."""

    def __init__(
        self, items: NDArray[Any], embedding: int, gram: Floats, regularization: float, alpha: float, *, stands_in: bool = False
    ) -> None:
        super().__init__(items, embedding)
        self._gram = gram
        self._regularization = regularization
        self._alpha = alpha
        self._stands_in = stands_in

    def vector(self, liked: Rows, weights: Weights = None) -> Floats:
        return solve(self._system(liked, weights), self._alpha * self._total(liked, weights))

    def joined(self, known: Known, new: Additions) -> Floats:
        if len(known.history) and not self._stands_in:
            return self.vector(*united(known, new))
        system = self._system(known.history, known.weights)
        right = system @ known.vector.astype(np.float64) + self._alpha * self._total(new.rows, new.weights)
        return solve(self._weighed(system, new.rows, new.weights), right)

    def contributions(self, rows: Rows, history: Rows, weights: Weights) -> Floats:
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

    def _confidences(self, weights: Weights, count: int) -> Floats:
        return np.full(count, self._alpha) if weights is None else self._alpha * weights.astype(np.float64)

    def _system(self, rows: Rows, weights: Weights) -> Floats:
        """(f, f) the left side of the normal equations of a user of this history."""
        return self._weighed(with_diagonal(self._gram, self._regularization), rows, weights)

    def _weighed(self, system: Floats, rows: Rows, weights: Weights) -> Floats:
        """The system itself, after what these items add to it."""
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

    def vector(self, liked: Rows, weights: Weights = None) -> Floats:
        return non_negative(with_diagonal(self._gram, self._l2), self._total(liked, weights) - self._l1)

    def joined(self, known: Known, new: Additions) -> Floats:
        system = with_diagonal(self._gram, self._l2)
        if len(known.history) and known.weights is not None:
            right = self._total(*united(known, new)) - self._l1
        else:
            right = system @ known.vector.astype(np.float64) + self._total(new.rows, new.weights)
        return non_negative(system, right)

    def work(self, liked: int) -> int:
        return super().work(liked) + len(self._gram) * (30_000 + len(self._gram) ** 2)


class Projection(FoldIn):
    """Method `projection`."""

    def vector(self, liked: Rows, weights: Weights = None) -> Floats:
        return self._total(liked, weights)

    def joined(self, known: Known, new: Additions) -> Floats:
        return known.vector + self._total(new.rows, new.weights)

    def contributions(self, rows: Rows, history: Rows, weights: Weights) -> Floats:
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

    def vector(self, liked: Rows, weights: Weights = None) -> Floats:
        count = float(len(liked)) if weights is None else float(weights.sum())
        found = self._total(liked, weights) / (count or 1.0)
        found[self._embedding :] = self._tail
        return found

    def joined(self, known: Known, new: Additions) -> Floats:
        found = known.vector.astype(np.float64)
        old, mean = found[: self._embedding].copy(), self.vector(new.rows, new.weights)[: self._embedding]
        had, length, reach = len(known.history) or _UNKNOWN_HISTORY, np.linalg.norm(old), np.linalg.norm(mean)
        if not length > 0.0:
            found[: self._embedding] = mean
        elif reach > 0.0:
            found[: self._embedding] = (had * old + len(new.rows) * (length / reach) * mean) / (had + len(new.rows))
        return found


def united(known: Known, new: Additions) -> tuple[Rows, Floats]:
    """The rows of a history and of what is new, ascending and distinct, and their weights."""
    new = new.take(~is_among(new.rows, known.history))
    weights = np.ones(len(known.history)) if known.weights is None else known.weights.astype(np.float64)
    rows = np.concatenate((known.history, new.rows))
    order = np.argsort(rows, kind="stable")
    return rows[order], np.concatenate((weights, new.weights))[order]


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
    if method == "als":
        return LeastSquares(items, embedding, gram, first, second, stands_in=meta.get("stands_in") is True)
    return NonNegative(items, embedding, gram, first, second)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300 and isfinite(value)
