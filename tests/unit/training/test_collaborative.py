"""Trainers that learn from interactions alone: what is served answers as the library does that fitted it, and twice the same."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.base import InvalidQuery, Query
from models.opening import open_scorer_of
from models.recent import Recent
from training.errors import Untrainable
from training.trainers import open_trainer
from training.trainers.ease import check_memory
from training.trainers.matrix import scaled

from .data import answered, ask_of, dataset_of, grouped, ranked, trained

MATRIX = grouped()
SMALL: dict[str, dict[str, Any]] = {
    "als": {"factors": 8, "sweeps": 4, "regularization": 2.0},
    "bpr": {"factors": 8, "epochs": 100, "learning_rate": 0.05},
    "ease": {"regularization": 5.0},
    "nmf": {"factors": 6, "sweeps": 25},
    "svd": {"factors": 6},
    "popular": {},
}
every_algorithm = pytest.mark.parametrize("algorithm", sorted(SMALL))


def top(algorithm: str, matrix: NDArray[Any], user: int, **given: Any) -> tuple[list[int], list[float]]:
    return answered(trained(algorithm, dataset_of(matrix), **{**SMALL[algorithm], **given}).bundle, Query([f"u{user}"], 10))


@every_algorithm
def test_two_fits_are_equal_to_the_bit(algorithm: str) -> None:
    one, other = (trained(algorithm, dataset_of(MATRIX), threads=2, **SMALL[algorithm]).bundle for _ in range(2))
    assert one.arrays.keys() == other.arrays.keys()
    for name, array in one.arrays.items():
        assert array.tobytes() == other.arrays[name].tobytes(), name


@every_algorithm
def test_what_nobody_has_is_never_answered_before_what_somebody_has(algorithm: str) -> None:
    matrix = MATRIX.copy()
    matrix[:, [0, 17]] = 0.0
    bundle = trained(algorithm, dataset_of(matrix), **SMALL[algorithm]).bundle
    rows, _ = answered(bundle, Query(["u4"], 40, exclude_seen=False))
    assert len(rows) >= 38 and set(rows[:38]) == set(range(40)) - {0, 17}
    assert algorithm == "popular" or len(rows) == 38


@pytest.mark.parametrize("algorithm", sorted(set(SMALL) - {"popular"}))
def test_nothing_is_like_what_nobody_has(algorithm: str) -> None:
    matrix = MATRIX.copy()
    matrix[:, 17] = 0.0
    had = matrix.copy()
    had[4, 17] = 1.0
    bundle = trained(algorithm, dataset_of(matrix), seen=dataset_of(had), **SMALL[algorithm]).bundle
    assert answered(bundle, Query(similar_to=1017, k=5)) == ([], [])
    alone = trained(algorithm, dataset_of(matrix), **SMALL[algorithm]).bundle
    assert answered(bundle, Query(["u4"], 20)) == answered(alone, Query(["u4"], 20))


@every_algorithm
def test_what_is_held_out_is_left_out_of_answers_and_not_learned_from(algorithm: str) -> None:
    later = np.maximum(MATRIX, grouped(seed=5))
    held = trained(algorithm, dataset_of(MATRIX), seen=dataset_of(later), **SMALL[algorithm]).bundle
    alone = trained(algorithm, dataset_of(MATRIX), **SMALL[algorithm]).bundle
    assert not set(answered(held, Query(["u3"], 40))[0]) & set(np.flatnonzero(later[3]).tolist())
    for name in ("item_factors", "user_factors", "similarity"):
        assert (name in held.arrays) == (name in alone.arrays)
        if name in alone.arrays:
            assert np.array_equal(held.arrays[name], alone.arrays[name], equal_nan=True)


@every_algorithm
def test_a_user_with_nothing_is_answered_what_suits_everybody_or_nothing(algorithm: str) -> None:
    matrix = MATRIX.copy()
    matrix[7] = 0.0
    rows, scores = answered(trained(algorithm, dataset_of(matrix), **SMALL[algorithm]).bundle, Query(["u7"], 5))
    if algorithm == "ease":
        assert rows == []
    else:
        counts = matrix.sum(axis=0)
        assert counts[rows].mean() > 1.1 * counts.mean() and scores[0] > scores[-1]


@every_algorithm
def test_a_user_of_whom_nothing_was_learned_is_answered_from_what_they_have(algorithm: str) -> None:
    matrix = MATRIX.copy()
    matrix[7] = 0.0
    seen = matrix.copy()
    seen[7, [2, 4, 6]] = 1.0
    bundle = trained(algorithm, dataset_of(matrix), seen=dataset_of(seen), **SMALL[algorithm]).bundle
    known, new = (answered(bundle, query) for query in (Query(["u7"], 5), Query(liked=[1002, 1004, 1006], k=5)))
    assert known[0] == new[0] and known[1] == pytest.approx(new[1], rel=1e-5)


@every_algorithm
def test_somebody_new_is_answered_from_what_they_like(algorithm: str) -> None:
    bundle = trained(algorithm, dataset_of(MATRIX), **SMALL[algorithm]).bundle
    rows, _ = answered(bundle, Query(liked=[1001, 1003, 1005], k=5))
    assert len(rows) == 5 and not {1, 3, 5} & set(rows)
    assert algorithm == "popular" or sum(row % 2 for row in rows) >= 4


@every_algorithm
def test_no_interactions_are_nothing_to_learn_from(algorithm: str) -> None:
    with pytest.raises(Untrainable, match="no interactions"):
        trained(algorithm, dataset_of(np.zeros((3, 4), np.float32)), **SMALL[algorithm])


@every_algorithm
def test_what_was_used_is_told_and_steps_come_in_order(algorithm: str) -> None:
    told: list[tuple[str, int, int]] = []
    found = open_trainer(algorithm).fit(ask_of(algorithm, dataset_of(MATRIX)), lambda *step: told.append(step))
    assert all(value is not None for value in found.parameters.values())
    assert set(found.parameters) == set(open_trainer(algorithm).parameters)
    *_, (step, done, total) = told
    assert done == total > 0 and step in ("fitting", "counting")
    fitting = [at for name, at, _ in told if name == step]
    assert fitting == sorted(fitting) and fitting[0] == 0


# -- as the libraries do ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
def test_als_is_implicits(weighted: bool) -> None:
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix
    from threadpoolctl import threadpool_limits

    matrix = grouped(weighted=weighted)
    rows, scores = top("als", matrix, 3, weights="linear", alpha=4.0)
    with threadpool_limits(1, "blas"):
        theirs = AlternatingLeastSquares(factors=8, regularization=2.0, alpha=4.0, iterations=4, num_threads=1, random_state=3)
    user_items = csr_matrix(matrix)
    theirs.fit(user_items, show_progress=False)
    items, their_scores = theirs.recommend(3, user_items[3], N=10)
    assert rows == items.tolist() and scores == pytest.approx(their_scores.tolist(), rel=1e-4)
    if not weighted:
        similar, _ = answered(trained("als", dataset_of(matrix), **SMALL["als"], alpha=4.0).bundle, Query(similar_to=1004, k=5))
        assert similar == theirs.similar_items(4, 6)[0].tolist()[1:]


def test_bpr_is_implicits() -> None:
    from implicit.cpu.bpr import BayesianPersonalizedRanking
    from scipy.sparse import csr_matrix

    matrix = grouped(weighted=True)
    rows, scores = top("bpr", matrix, 3)
    theirs = BayesianPersonalizedRanking(factors=8, iterations=100, learning_rate=0.05, num_threads=1, random_state=3)
    user_items = csr_matrix(np.minimum(matrix, 1))
    theirs.fit(user_items, show_progress=False)
    items, their_scores = theirs.recommend(3, user_items[3], N=10)
    assert rows == items.tolist() and scores == pytest.approx(their_scores.tolist(), rel=1e-4)
    similar, cosines = answered(trained("bpr", dataset_of(matrix), **SMALL["bpr"]).bundle, Query(similar_to=1004, k=5))
    items, their_cosines = theirs.similar_items(4, 6)
    assert similar == items.tolist()[1:] and cosines == pytest.approx(their_cosines.tolist()[1:], rel=1e-4)


def test_nmf_in_steps_is_sklearns_at_once() -> None:
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    rows, scores = top("nmf", MATRIX, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs = NMF(6, init="nndsvda", max_iter=25, tol=0.0, random_state=3)
        reconstructed = theirs.fit_transform(MATRIX) @ theirs.components_
    assert rows == ranked(reconstructed[3], np.flatnonzero(MATRIX[3]).tolist(), 10)
    assert scores == pytest.approx(reconstructed[3][rows].tolist(), rel=1e-3)


def test_svd_is_the_truncated_decomposition() -> None:
    rows, scores = top("svd", MATRIX, 3, power_iterations=30)
    left, values, right = np.linalg.svd(MATRIX.astype(np.float64))
    reconstructed = (left[:, :6] * values[:6]) @ right[:6]
    assert rows == ranked(reconstructed[3], np.flatnonzero(MATRIX[3]).tolist(), 10)
    assert scores == pytest.approx(reconstructed[3][rows].tolist(), abs=1e-4)


@pytest.mark.parametrize("users", [60, 700])
def test_ease_is_its_closed_form(users: int) -> None:
    """Also for more items than are mirrored at once."""
    matrix = grouped(users, 40 if users == 60 else 1100, weighted=True)
    inverse = np.linalg.inv(matrix.T.astype(np.float64) @ matrix + 5.0 * np.eye(matrix.shape[1]))
    weights = np.eye(len(inverse)) - inverse / np.diag(inverse)
    scores = matrix[3] @ weights
    scores[matrix.sum(axis=0) == 0] = -np.inf
    bundle = trained("ease", dataset_of(matrix), regularization=5.0, weights="linear").bundle
    for left_out, exclude_seen in ((np.flatnonzero(matrix[3]).tolist(), True), ([], False)):
        rows, answers = answered(bundle, Query(["u3"], 20, exclude_seen=exclude_seen))
        assert rows == ranked(scores, left_out, 20)
        assert answers == pytest.approx(scores[rows].tolist(), rel=1e-4)


def test_popular_counts_users_and_compares_nothing() -> None:
    matrix = grouped(weighted=True)
    bundle = trained("popular", dataset_of(matrix)).bundle
    counts = (matrix > 0).sum(axis=0)
    rows, scores = answered(bundle, Query(["u3"], 10))
    assert rows == ranked(counts, np.flatnonzero(matrix[3]).tolist(), 10) and scores == counts[rows].tolist()
    assert answered(bundle, Query(liked=[1000, 1001], k=10))[0] == ranked(counts, (0, 1), 10)
    with pytest.raises(InvalidQuery, match="the same for everybody"):
        answered(bundle, Query(similar_to=1000))
    assert open_trainer("popular").is_floor and not open_trainer("als").is_floor


# -- what surrounds them ----------------------------------------------------------------------------------------------


def test_ease_says_beforehand_how_much_memory_it_wants() -> None:
    check_memory(10_000, 4 << 30)
    with pytest.raises(Untrainable, match=r"6\.2 GiB for 20,000 items.*may have 4\.0 GiB") as caught:
        check_memory(20_000, 4 << 30)
    assert caught.value.detail["memory_bytes"] == 4 << 30
    with pytest.raises(Untrainable, match="40 items"):
        trained("ease", dataset_of(MATRIX), memory_bytes=1 << 20)


@pytest.mark.parametrize(("how", "wanted"), [("log", [1.0, 2.0, 3.0]), ("linear", [1.0, 3.0, 7.0]), ("equal", [1.0, 1.0, 1.0])])
def test_weights_are_scaled_and_one_is_always_one(how: str, wanted: list[float]) -> None:
    cells = ask_of("als", dataset_of(np.array([[1.0, 3.0, 7.0]], np.float32))).seen
    assert scaled(cells, how).weights.tolist() == wanted


@pytest.mark.parametrize("algorithm", ["als", "ease", "nmf", "svd"])
def test_what_users_have_counts_when_it_serves_as_it_did_when_it_was_learned(algorithm: str) -> None:
    matrix = grouped(weighted=True)
    bundle = trained(algorithm, dataset_of(matrix), **SMALL[algorithm], weights="log").bundle
    assert bundle.arrays["seen.weights"].tolist() == pytest.approx(np.log2(1 + matrix[matrix > 0]).tolist())
    scorer: Any = open_scorer_of(bundle)
    scores = []
    for weight in (1.0, 3.0, 7.0):
        subject = scorer.met("nobody", [Recent(1004, 1.0, 0.0), Recent(1007, weight, 0.0)])
        scores.append(scorer.exact(subject, np.arange(40)))
    if algorithm in ("ease", "svd"):
        assert scores[2] - scores[1] == pytest.approx(scores[1] - scores[0], abs=1e-5)
    assert not np.allclose(scores[0], scores[1])


def test_too_few_to_decompose_is_said() -> None:
    with pytest.raises(Untrainable, match="1 users and 3 items"):
        trained("svd", dataset_of(np.ones((1, 3), np.float32)), factors=2)


def test_more_factors_than_there_can_be_are_fewer() -> None:
    matrix = grouped(6, 5, 2)
    assert trained("svd", dataset_of(matrix), factors=64).parameters["factors"] == 4
    assert trained("nmf", dataset_of(matrix), factors=64).parameters["factors"] == 5


@pytest.mark.parametrize("algorithm", ["als", "ease", "svd"])
def test_where_nothing_can_be_held_out_nothing_is_searched(algorithm: str) -> None:
    """Nobody has two items that somebody else has, too."""
    found = trained(algorithm, dataset_of(np.eye(4, dtype=np.float32)), **({"factors": 2} if algorithm == "als" else {}))
    assert found.notes == {} and all(value is not None for value in found.parameters.values())
    assert open_scorer_of(found.bundle).details["algorithm"] == algorithm


@pytest.mark.parametrize("algorithm", ["als", "ease", "svd"])
def test_what_was_searched_is_recorded_with_what_each_value_gave(algorithm: str) -> None:
    found = trained(algorithm, dataset_of(MATRIX), **({"factors": 8, "sweeps": 3} if algorithm == "als" else {}))
    search = found.notes["search"]
    best = max(search["tried"], key=search["tried"].__getitem__)
    assert found.parameters[search["parameter"]] == float(best) and len(search["tried"]) >= 3
    assert search["metric"] == "ndcg@10"
