"""Features of users or items as a matrix that a ridge regression can use: one scale for all columns, and a constant.

Covers: joining named features with categories, scaling, leaving out what is rarest, the constant column. Does not cover: what they
are worth (`training.trainers.feature_als`), reading them (`training.dataset`).

A column that more than half of the described rows have, with values that differ, is a quantity: it is centred on its mean and
divided by its standard deviation, and a row without it counts as average. Any other is a mark or a count: it is divided by the
root mean square of its values, and a row without it has 0. So no unit (euros, metres) weighs more than another, and what is
sparse stays sparse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.dataset.base import Features

_FLAT = 1e-6
"""Standard deviation, as a share of the root mean square, below which values do not differ."""


def feature_matrix(features: Features | None, categories: Sequence[Sequence[str]] | None, rows: int, most: int) -> Any:
    """A scipy.sparse.csr_matrix (rows, k + 1), float32: features and categories, then a constant 1 for rows that have any.

    most: so many of the columns are kept, those that most rows have. None where no row has a feature.
    """
    from scipy.sparse import csr_matrix, hstack

    blocks = [_given(features, rows)] if features is not None else []
    if categories is not None and any(categories):
        blocks.append(_one_hot(categories))
    if not blocks:
        return None
    matrix = csr_matrix(hstack(blocks, format="csr", dtype=np.float32))
    counts = np.bincount(matrix.indices, minlength=matrix.shape[1])
    if matrix.shape[1] > most:
        kept = np.sort(np.argsort(-counts, kind="stable")[:most])
        matrix = matrix[:, kept]
    is_described = np.diff(matrix.indptr) > 0
    if not is_described.any():
        return None
    scaled = csr_matrix((_scaled(matrix, int(is_described.sum())), matrix.indices, matrix.indptr), shape=matrix.shape)
    constant = csr_matrix(is_described.astype(np.float32)[:, np.newaxis])
    return csr_matrix(hstack((scaled, constant), format="csr", dtype=np.float32))


def described(matrix: Any) -> NDArray[np.bool_]:
    """(rows,) which rows have a feature: those with the constant."""
    found: NDArray[np.bool_] = np.diff(matrix.indptr) > 0
    return found


def _given(features: Features, rows: int) -> Any:
    from scipy.sparse import csr_matrix

    return csr_matrix((features.values, features.indices, features.indptr), shape=(rows, len(features.names)))


def _one_hot(categories: Sequence[Sequence[str]]) -> Any:
    from scipy.sparse import csr_matrix

    names = {name: at for at, name in enumerate(sorted({name for each in categories for name in each}))}
    lists = [sorted({names[name] for name in each}) for each in categories]
    indptr = np.concatenate((np.zeros(1, np.int64), np.cumsum([len(each) for each in lists])))
    indices = np.array([at for each in lists for at in each], np.int32)
    return csr_matrix((np.ones(len(indices), np.float32), indices, indptr), shape=(len(lists), len(names)))


def _scaled(matrix: Any, described_rows: int) -> NDArray[np.float32]:
    """The values of the matrix on one scale."""
    width = matrix.shape[1]
    columns, values = matrix.indices, matrix.data.astype(np.float64)
    counts = np.maximum(np.bincount(columns, minlength=width), 1)
    means = np.bincount(columns, values, width) / counts
    mean_squares = np.bincount(columns, values * values, width) / counts
    deviations = np.sqrt(np.bincount(columns, (values - means[columns]) ** 2, width) / counts)
    is_quantity = (2 * counts > described_rows) & (deviations > _FLAT * np.sqrt(mean_squares))
    centre = np.where(is_quantity, means, 0.0)
    unit = np.where(is_quantity, deviations, np.sqrt(mean_squares))
    unit[unit == 0] = 1.0
    found: NDArray[np.float32] = ((values - centre[columns]) / unit[columns]).astype(np.float32)
    return found
