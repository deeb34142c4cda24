"""Feature-aware implicit ALS: factors whose prior mean is what features say. numpy and scipy, exact solves in bounded memory.

Minimised over factors x_u, y_i and the weights A, B of features f_u, g_i, for confidences c_ui (1 where nobody has the pair):

    sum_ui c_ui (p_ui - x_u.y_i)^2  +  l sum_u |x_u - A'f_u|^2  +  l sum_i |y_i - B'g_i|^2  +  l r (|A|^2 + |B|^2)

p_ui is 1 where user u has item i, else 0. Each is solved for in turn while the others stay: users and items are the systems of
equations of implicit ALS (Hu, Koren and Volinsky, ICDM 2008, eq. 4) with the prior on the right side,

    (Y'Y + l I + sum_i (c_ui - 1) y_i y_i') x_u = sum_i c_ui y_i + l A'f_u

and A, B are ridge regressions of the factors on the features. irspack documents the same model as "feature-aware iALS". Rows that
nobody has an interaction of take no part: they are no evidence that nobody likes them, and get their prior afterwards.

Covers: the solver. Does not cover: features as a matrix (`training.trainers.feature_matrix`), choosing l, the bundle
(`training.trainers.features`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_NUMBERS_AT_ONCE = 2 << 20
"""Numbers gathered, or standing in systems of equations, a step and a thread: bounds its memory to some 30 MiB."""
_INIT = 0.1


class Fitted(NamedTuple):
    """Factors (users, f) and (items, f) float32, rows without interactions and without features all 0; Y'Y of items that somebody has."""

    users: Floats
    items: Floats
    gram: NDArray[np.float64]


class Ridge:
    """argmin over W of |Y - F W|^2 + r |W|^2 for a feature matrix F, over the rows that have interactions. Factorised once."""

    def __init__(self, features: Any, is_warm: NDArray[np.bool_], regularization: float) -> None:
        """features: scipy CSR (rows, k). Memory: 8 k^2 bytes, twice."""
        from scipy.linalg import cho_factor

        self._features = features
        self._warm = features[is_warm].astype(np.float64)
        self._is_warm = is_warm
        gram = (self._warm.T @ self._warm).toarray()
        # The least ridge keeps columns that are sums of others (every item has one category, and the constant) solvable.
        gram.flat[:: len(gram) + 1] += max(regularization, 1e-3)
        self._factor = cho_factor(gram, overwrite_a=True, check_finite=False)

    def priors(self, factors: Floats) -> Floats:
        """(rows, f) what the features say of each row, fitted to these factors."""
        from scipy.linalg import cho_solve

        weights = cho_solve(self._factor, self._warm.T @ factors[self._is_warm].astype(np.float64), check_finite=False)
        found: Floats = (self._features @ weights.astype(np.float32)).astype(np.float32, copy=False)
        return found


def fit(
    matrix: Any,
    user_features: Any,
    item_features: Any,
    *,
    factors: int,
    alpha: float,
    regularization: float,
    feature_regularization: float,
    sweeps: int,
    seed: int,
    threads: int,
    on_sweep: Callable[[int, int], None],
) -> Fitted:
    """Learn from a scipy CSR matrix (users, items) of weights w, c = alpha w. Features: scipy CSR (rows, k), None where there are none.

    Deterministic for a seed, whatever the threads. Raises MemoryError.
    """
    from threadpoolctl import threadpool_limits

    by_item = matrix.T.tocsr()
    is_warm_user, is_warm_item = (np.diff(each.indptr) > 0 for each in (matrix, by_item))
    user_ridge, item_ridge = (
        None if features is None else Ridge(features, is_warm, feature_regularization)
        for features, is_warm in ((user_features, is_warm_user), (item_features, is_warm_item))
    )
    rng = np.random.default_rng(seed)
    users = np.zeros((matrix.shape[0], factors), np.float32)
    items = rng.normal(0.0, _INIT / np.sqrt(factors), (matrix.shape[1], factors)).astype(np.float32)
    items[~is_warm_item] = 0.0
    on_sweep(0, sweeps)
    # Each thread solves systems of its own; BLAS' threads inside them would only wait for each other.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
        for sweep in range(sweeps):
            _half_step(matrix, items, users, user_ridge, alpha, regularization, pool)
            _half_step(by_item, users, items, item_ridge, alpha, regularization, pool)
            on_sweep(sweep + 1, sweeps)
        gram = _gram(items)
        for found, ridge, is_warm in ((users, user_ridge, is_warm_user), (items, item_ridge, is_warm_item)):
            if ridge is not None:
                found[~is_warm] = ridge.priors(found)[~is_warm]
    return Fitted(users, items, gram)


def _half_step(
    matrix: Any, others: Floats, found: Floats, ridge: Ridge | None, alpha: float, regularization: float, pool: ThreadPoolExecutor
) -> None:
    """Solve for the rows of `matrix` that have cells, in place in `found`. Those of `others` without cells are 0."""
    base = _gram(others)
    base.flat[:: len(base) + 1] += regularization
    base = base.astype(np.float32)
    pulls = None if ridge is None else np.float32(regularization) * ridge.priors(found)
    lengths = np.diff(matrix.indptr)

    def solve(rows: NDArray[np.int64]) -> None:
        systems, right = _equations(matrix, rows, int(lengths[rows].max()), others, alpha)
        systems += base
        if pulls is not None:
            right += pulls[rows]
        found[rows] = np.linalg.solve(systems, right[:, :, np.newaxis])[:, :, 0]

    for _ in pool.map(solve, _batches(lengths, others.shape[1])):
        pass  # an exception of a batch is raised here


def _batches(lengths: NDArray[Any], width: int) -> Iterator[NDArray[np.int64]]:
    """Rows with cells, those of like length together, as many as bounded memory allows."""
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    begin = 0
    while begin < len(order):
        # Rows ascend by length: the last of a batch says how wide it is. Halved until it fits, one row at least.
        size = max(1, min(len(order) - begin, _NUMBERS_AT_ONCE // (width * width)))
        while size > 1 and size * int(lengths[order[begin + size - 1]]) * width > _NUMBERS_AT_ONCE:
            size //= 2
        yield order[begin : begin + size]
        begin += size


def _equations(matrix: Any, rows: NDArray[np.int64], longest: int, others: Floats, alpha: float) -> tuple[Floats, Floats]:
    """(rows, f, f) sum of (c - 1) y y' and (rows, f) sum of c y over the cells of rows, which are `longest` at most."""
    width = others.shape[1]
    systems = np.zeros((len(rows), width, width), np.float32)
    right = np.zeros((len(rows), width), np.float32)
    step = max(1, _NUMBERS_AT_ONCE // (len(rows) * width))
    starts, lengths = matrix.indptr[rows], np.diff(matrix.indptr)[rows]
    for begin in range(0, longest, step):
        places = np.arange(begin, min(longest, begin + step))
        is_cell = places < lengths[:, np.newaxis]
        cells = np.where(is_cell, starts[:, np.newaxis] + places, 0)
        confidences = np.where(is_cell, np.float32(alpha) * matrix.data[cells], np.float32(0.0))
        extra = np.where(is_cell, confidences - np.float32(1.0), np.float32(0.0))
        gathered = others[matrix.indices[cells]]
        right += (confidences[:, np.newaxis, :] @ gathered)[:, 0, :]
        systems += (gathered * extra[:, :, np.newaxis]).transpose(0, 2, 1) @ gathered
    return systems, right


def _gram(factors: Floats) -> NDArray[np.float64]:
    """(f, f) Y'Y in float64."""
    found = np.zeros((factors.shape[1], factors.shape[1]))
    step = max(1, _NUMBERS_AT_ONCE // factors.shape[1])
    for begin in range(0, len(factors), step):
        part = factors[begin : begin + step].astype(np.float64)
        found += part.T @ part
    return found
