"""The solver of `features` against its own formula written out, and features on one scale."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from numpy.typing import NDArray

from models.base import Query
from models.opening import open_scorer_of
from tests.contracts.learning import KINDS, MEMORY_BYTES
from training.dataset.base import Dataset, Features
from training.trainers import feature_als, open_trainer
from training.trainers.base import Ask
from training.trainers.bundles import Cells
from training.trainers.feature_matrix import described, feature_matrix
from training.trainers.parameters import check

ALPHA, LAMBDA, RIDGE, FACTORS = 6.0, 3.0, 2.0, 4


def interactions(users: int = 30, items: int = 20, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    dense = (rng.random((users, items)) < 0.3) * rng.choice([0.5, 1.0, 2.0], (users, items))
    dense[3] = 0.0
    dense[:, 5] = 0.0
    return scipy.sparse.csr_matrix(dense.astype(np.float32))


def marks(rows: int, columns: int, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return scipy.sparse.csr_matrix((rng.random((rows, columns)) < 0.4).astype(np.float32))


def fitted(matrix: Any, user_features: Any, item_features: Any, *, sweeps: int = 200, threads: int = 1) -> feature_als.Fitted:
    return feature_als.fit(
        matrix,
        user_features,
        item_features,
        factors=FACTORS,
        alpha=ALPHA,
        regularization=LAMBDA,
        feature_regularization=RIDGE,
        sweeps=sweeps,
        seed=0,
        threads=threads,
        on_sweep=lambda done, total: None,
    )


def solved(confidences: NDArray[Any], others: NDArray[Any], priors: NDArray[Any]) -> NDArray[Any]:
    """Equation by equation, dense, float64: rows of factors for (rows, others) confidences of which 1 is nothing."""
    found = []
    for line, prior in zip(confidences, priors, strict=True):
        is_one = line != 1.0
        system = (others * line[:, np.newaxis]).T @ others + LAMBDA * np.eye(FACTORS)
        found.append(np.linalg.solve(system, others[is_one].T @ line[is_one] + LAMBDA * prior))
    return np.array(found)


def ridged(features: Any, factors: NDArray[Any], is_warm: NDArray[np.bool_]) -> NDArray[Any]:
    dense = features.toarray().astype(np.float64)
    warm = dense[is_warm]
    weights = np.linalg.solve(warm.T @ warm + RIDGE * np.eye(dense.shape[1]), warm.T @ factors[is_warm])
    return np.asarray(dense @ weights)


@pytest.mark.parametrize("has_features", [(True, True), (True, False), (False, True), (False, False)])
def test_factors_solve_the_equations_that_the_module_states(has_features: tuple[bool, bool]) -> None:
    matrix = interactions()
    user_features, item_features = (marks(rows, 5, rows) if has else None for has, rows in zip(has_features, matrix.shape, strict=True))
    found = fitted(matrix, user_features, item_features)
    confidences = np.where(matrix.toarray() > 0, ALPHA * matrix.toarray(), 1.0).astype(np.float64)
    warm_users, warm_items = (matrix.toarray().any(axis=axis) for axis in (1, 0))
    assert not warm_users[3] and not warm_items[5]
    users, items = found.users.astype(np.float64), found.items.astype(np.float64)
    item_priors = np.zeros_like(items) if item_features is None else ridged(item_features, items, warm_items)
    again = solved(confidences[warm_users][:, warm_items].T, users[warm_users], item_priors[warm_items])
    np.testing.assert_allclose(items[warm_items], again, rtol=0.0, atol=2e-4)
    user_priors = np.zeros_like(users) if user_features is None else ridged(user_features, users, warm_users)
    again = solved(confidences[warm_users][:, warm_items], items[warm_items], user_priors[warm_users])
    np.testing.assert_allclose(users[warm_users], again, rtol=0.0, atol=2e-4)
    np.testing.assert_allclose(users[~warm_users], user_priors[~warm_users], rtol=0.0, atol=2e-4)
    np.testing.assert_allclose(items[~warm_items], item_priors[~warm_items], rtol=0.0, atol=2e-4)
    np.testing.assert_allclose(found.gram, items[warm_items].T @ items[warm_items], rtol=1e-6)


def test_memory_that_is_bounded_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix, features = interactions(), marks(20, 4, 1)
    whole = fitted(matrix, None, features, sweeps=3)
    monkeypatch.setattr(feature_als, "_NUMBERS_AT_ONCE", 24)  # a row a batch, six of its cells at a time
    pieces = fitted(matrix, None, features, sweeps=3)
    np.testing.assert_allclose(pieces.users, whole.users, rtol=0.0, atol=1e-5)
    np.testing.assert_allclose(pieces.items, whole.items, rtol=0.0, atol=1e-5)


def test_threads_change_nothing() -> None:
    matrix, features = interactions(300, 200), marks(300, 6, 2)
    one, two = (fitted(matrix, features, None, sweeps=2, threads=threads) for threads in (1, 2))
    assert np.array_equal(one.users, two.users) and np.array_equal(one.items, two.items)


# -- features as a matrix -----------------------------------------------------------------------------------------------


def features(columns: dict[str, list[float | None]]) -> Features:
    """By column, None where a row has no such feature."""
    rows = list(zip(*columns.values(), strict=True))
    cells = [[(at, value) for at, value in enumerate(row) if value is not None] for row in rows]
    indptr = np.cumsum([0, *map(len, cells)]).astype(np.int64)
    flat = [cell for row in cells for cell in row]
    return Features(list(columns), indptr, np.array([at for at, _ in flat], np.int32), np.array([value for _, value in flat], np.float32))


def test_quantities_are_centred_and_marks_are_not() -> None:
    given = features({"price": [100.0, 300.0, 200.0, None], "mark": [None, None, 1.0, 1.0], "plays": [None, 3.0, None, 4.0]})
    found = feature_matrix(given, None, 4, 100).toarray()
    spread = np.sqrt(1.5)
    np.testing.assert_allclose(found[:, 0], [-spread, spread, 0.0, 0.0], atol=1e-6)
    assert found[:, 1].tolist() == [0.0, 0.0, 1.0, 1.0]
    np.testing.assert_allclose(found[:, 2], np.array([0.0, 3.0, 0.0, 4.0]) / np.sqrt(12.5), atol=1e-6)
    assert found[:, 3].tolist() == [1.0, 1.0, 1.0, 1.0]


def test_a_unit_makes_no_difference() -> None:
    in_euros, in_cents = ([1.5, 20.0, None, 3.0], [150.0, 2000.0, None, 300.0])
    one, other = (feature_matrix(features({"price": column}), None, 4, 100).toarray() for column in (in_euros, in_cents))
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_rows_without_features_have_no_constant_and_a_constant_column_is_a_mark() -> None:
    found = feature_matrix(features({"one": [2.0, None, 2.0, 2.0]}), None, 4, 100)
    assert found.toarray().tolist() == [[1.0, 1.0], [0.0, 0.0], [1.0, 1.0], [1.0, 1.0]]
    assert described(found).tolist() == [True, False, True, True]


def test_categories_are_features_too_and_the_rarest_columns_go() -> None:
    categories = [("lake", "sun"), ("lake",), (), ("temple",)]
    found = feature_matrix(features({"mark": [1.0, 1.0, 1.0, 1.0]}), categories, 4, 100)
    assert found.shape == (4, 5)
    kept = feature_matrix(features({"mark": [1.0, 1.0, 1.0, 1.0]}), categories, 4, 2)
    assert kept.toarray().tolist() == [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 0.0, 1.0]]


@pytest.mark.parametrize("given, categories", [(None, None), (None, [(), ()]), (features({"a": [None, None]}), None)])
def test_no_features_are_no_matrix(given: Features | None, categories: Any) -> None:
    assert feature_matrix(given, categories, 2, 10) is None


# -- what serves --------------------------------------------------------------------------------------------------------


def trained(dataset: Dataset, **given: Any) -> Any:
    seen = Cells.of(dataset.interactions, len(dataset.user_ids), len(dataset.item_ids))
    return open_trainer("features").fit(Ask(dataset, seen, check("features", given), 0, MEMORY_BYTES, 2), lambda *told: None)


def test_cold_items_are_scored_unlike_each_other_and_those_of_which_nothing_is_told_are_not() -> None:
    dataset = KINDS["cold-users-and-items"]()  # items 19 to 25 and users 25 to 30 have no interactions
    assert dataset.items is not None and dataset.item_features is not None
    told = dataset.item_features
    last = int(told.indptr[-2])
    dataset.items.categories[-1:] = [()]  # type: ignore[index]
    untold = Features(told.names, np.append(told.indptr[:-1], last), told.indices[:last], told.values[:last])
    scorer = open_scorer_of(trained(replace(dataset, item_features=untold), regularization=1.0).bundle)
    known, stranger = scorer.recommend(Query(users=[1, 27], k=25, exclude_seen=False))  # type: ignore[attr-defined]
    assert set(known.items) == set(stranger.items) == set(range(1, 25))
    cold = {item: score for item, score in zip(known.items, known.scores, strict=True) if item > 18}
    assert len({round(score, 6) for score in cold.values()}) == 3  # as many as there are categories


def test_who_is_folded_in_is_solved_for_as_a_user_was() -> None:
    """A user without features has the prior of somebody new: none."""
    dataset = replace(KINDS["int-ids-and-times"](), user_features=None)
    bundle = trained(dataset, regularization=2.0, factors=8, sweeps=300).bundle
    scorer: Any = open_scorer_of(bundle)
    for user in (1, 7):
        had = [int(item) + 1 for item in dataset.interactions.items[dataset.interactions.users == user - 1]]
        (known,) = scorer.recommend(Query(users=[user], k=18))
        (new,) = scorer.recommend(Query(liked=had, k=18))
        assert new.items == known.items
        np.testing.assert_allclose(new.scores, known.scores, atol=1e-3)
