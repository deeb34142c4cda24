"""What is measured is what serves: files of every family, asked as they answer, and told nothing of what is held out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from loaders.bundle_file import write_bundle_file
from models.bundle import Bundle
from tests.integration.training.drawing import planted_data
from training.dataset.base import Dataset, Fingerprint, Interactions
from training.errors import Untrainable
from training.judging import metrics
from training.judging.evaluate import Answers, all_metrics, ask, ask_popular, duel, paired, per_user, sampled
from training.judging.opened import Known, Opened, open_version
from training.judging.split import Ground, Held, SeenItems, Split, split
from training.trainers.bundles import Cells, factors_bundle, neighbours_bundle

K = 10


@pytest.fixture(scope="module")
def data() -> Dataset:
    return planted_data()


@pytest.fixture(scope="module")
def parted(data: Dataset) -> Split:
    return split(data, 0.15)


@pytest.fixture(scope="module")
def factors(data: Dataset) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(5)
    users, items = len(data.user_ids), len(data.item_ids)
    return rng.normal(size=(users, 6)).astype(np.float32), rng.normal(size=(items, 6)).astype(np.float32)


def everything(data: Dataset) -> Cells:
    return Cells.of(data.interactions, len(data.user_ids), len(data.item_ids))


def opened(path: Path, bundle: Bundle, data: Dataset, ground: Ground, parts: dict[str, Path] | None = None) -> Opened:
    write_bundle_file(path, bundle)
    return open_version(path, Known(data), ground, parts)


def asked(version: Opened, data: Dataset, ground: Ground) -> Answers:
    return ask(version, data.user_ids, ground, K, lambda done, total: None)


def factor_version(data: Dataset, factors: Any) -> Bundle:
    return factors_bundle(data, *factors, seen=everything(data), algorithm="als")


def test_a_factor_model_is_ranked_over_all_that_the_user_did_not_have(tmp_path: Path, data: Dataset, parted: Split, factors: Any) -> None:
    answers = asked(opened(tmp_path / "m", factor_version(data, factors), data, parted.ground), data, parted.ground)
    scores = factors[0][parted.held.users] @ factors[1].T
    for line, user in zip(scores, parted.held.users.tolist(), strict=True):
        line[parted.seen.indices[parted.seen.indptr[user] : parted.seen.indptr[user + 1]]] = -np.inf
    expected = metrics.hits_of(metrics.best(scores, K), parted.held.items, parted.held.indptr, len(data.item_ids))
    assert answers.hits.tolist() == expected.tolist()
    assert expected.any()
    assert answers.is_known.all()
    assert answers.items == len(data.item_ids)


def test_the_users_are_told_of_as_they_go(tmp_path: Path, data: Dataset, parted: Split, factors: Any) -> None:
    told: list[tuple[int, int]] = []
    version = opened(tmp_path / "m", factor_version(data, factors), data, parted.ground)
    ask(version, data.user_ids, parted.ground, K, lambda done, total: told.append((done, total)))
    users = len(parted.held.users)
    assert told[-1] == (users, users)


def self_similar(data: Dataset, *, with_users: bool = True) -> Bundle:
    """Every item is like itself and nothing else: whoever is told of the holdout meets all of it, else none."""
    similarity = np.eye(len(data.item_ids), dtype=np.float32)
    seen = everything(data) if with_users else None
    return neighbours_bundle(data, "similarity", {"similarity": similarity}, liked="mean", seen=seen, algorithm="content")


@pytest.mark.parametrize("with_users", [True, False], ids=["users of its own", "no users"])
def test_a_model_that_answers_from_histories_is_not_told_what_is_held_out(
    tmp_path: Path, data: Dataset, parted: Split, with_users: bool
) -> None:
    version = opened(tmp_path / "m", self_similar(data, with_users=with_users), data, parted.ground)
    user = int(parted.held.users[0])
    before = set(parted.seen.indices[parted.seen.indptr[user] : parted.seen.indptr[user + 1]].tolist())
    if with_users:
        subject = version.scorer.user(data.user_ids[user])
        assert subject is not None
        assert set(subject.history.tolist()) == before
    answers = asked(version, data, parted.ground)
    assert answers.is_known.all()
    # All that is left ties at nothing, and the first rows win: what is met is met by chance.
    assert per_user(answers, parted.ground, "ndcg@10").mean() < 0.1


def test_rows_of_another_order_are_the_same_version(tmp_path: Path, data: Dataset, parted: Split, factors: Any) -> None:
    rng = np.random.default_rng(1)
    users, items = rng.permutation(len(data.user_ids)), rng.permutation(len(data.item_ids))
    at_user, at_item = np.argsort(users), np.argsort(items)
    old = data.interactions
    moved = Dataset(
        [data.user_ids[row] for row in users],
        [data.item_ids[row] for row in items],
        Interactions(at_user[old.users].astype(np.int32), at_item[old.items].astype(np.int32), old.weights, old.times),
        data.fingerprint,
    )
    one = opened(tmp_path / "one", factor_version(data, factors), data, parted.ground)
    other = opened(tmp_path / "other", factor_version(moved, (factors[0][users], factors[1][items])), data, parted.ground)
    assert asked(one, data, parted.ground).hits.tolist() == asked(other, data, parted.ground).hits.tolist()
    similar = opened(tmp_path / "similar", self_similar(moved), data, parted.ground)
    user = int(parted.held.users[3])
    subject = similar.scorer.user(data.user_ids[user])
    assert subject is not None
    before = parted.seen.indices[parted.seen.indptr[user] : parted.seen.indptr[user + 1]]
    assert sorted(similar.items[subject.history].tolist()) == before.tolist()


def test_whom_and_what_a_version_does_not_know_it_does_not_answer(tmp_path: Path, data: Dataset, parted: Split, factors: Any) -> None:
    users, items = 150, 120
    inside = (data.interactions.users < users) & (data.interactions.items < items)
    smaller = Dataset(
        data.user_ids[:users],
        [*data.item_ids[: items - 1], "gone"],
        data.interactions.take(inside),
        Fingerprint(1, None, ""),
    )
    version = opened(tmp_path / "m", factor_version(smaller, (factors[0][:users], factors[1][:items])), data, parted.ground)
    assert version.items[-1] == -1
    answers = asked(version, data, parted.ground)
    assert answers.is_known.tolist() == (parted.held.users < users).tolist()
    assert not answers.hits[~answers.is_known].any()
    assert answers.hits.any()


def test_a_hybrid_is_asked_with_its_parts(tmp_path: Path, data: Dataset, parted: Split, factors: Any) -> None:
    files = {"collaborative": tmp_path / "c", "content": tmp_path / "t"}
    write_bundle_file(files["collaborative"], factor_version(data, factors))
    write_bundle_file(files["content"], self_similar(data))
    alone = Bundle("hybrid", {}, {"content_weight": 0.0, "collaborative_weight": 1.0, "default_lambda": 1.0, "parts": {}}, {})
    hybrid = opened(tmp_path / "h", alone, data, parted.ground, files)
    collaborative = open_version(files["collaborative"], Known(data), parted.ground)
    assert asked(hybrid, data, parted.ground).hits.tolist() == asked(collaborative, data, parted.ground).hits.tolist()
    content = Bundle("hybrid", {}, {"content_weight": 1.0, "collaborative_weight": 0.0, "default_lambda": 1.0, "parts": {}}, {})
    answers = asked(opened(tmp_path / "i", content, data, parted.ground, files), data, parted.ground)
    assert per_user(answers, parted.ground, "ndcg@10").mean() < 0.1  # its content part is not told of the holdout either


def test_a_hybrid_without_its_parts_is_no_model(tmp_path: Path, data: Dataset, parted: Split) -> None:
    with pytest.raises(Untrainable, match="cannot be put together"):
        opened(tmp_path / "h", Bundle("hybrid", {}, {"parts": {}}, {}), data, parted.ground)


def test_a_model_without_a_finite_score_cannot_answer(tmp_path: Path, data: Dataset, parted: Split, factors: Any) -> None:
    nothing = factors_bundle(data, factors[0], np.full_like(factors[1], np.nan), seen=everything(data), algorithm="als")
    with pytest.raises(Untrainable, match="no finite score"):
        opened(tmp_path / "m", nothing, data, parted.ground)


def small_ground() -> Ground:
    """Users 0 and 2 of three, five items. Item 1 is had by two users, 0 and 3 by one each."""
    held = Held(np.array([0, 2]), np.array([0, 1, 3]), np.array([4, 0, 3], np.int32))
    return Ground(held, SeenItems(np.array([0, 1, 3, 4]), np.array([1, 0, 3, 1], np.int32)))


def test_the_most_popular_are_what_most_users_had() -> None:
    answers = ask_popular(small_ground(), 5, 3)
    # 1 is the most popular, and both have it; 0 and 3 have one user each, 2 and 4 none.
    assert answers.hits.tolist() == [[False, False, False], [True, True, False]]
    assert answers.distinct == 3


def test_all_metrics_are_means_over_users() -> None:
    ground = small_ground()
    answers = Answers(np.array([[True, False], [False, False]]), np.ones(2, np.bool_), 3, 6)
    assert all_metrics(answers, ground, 2) == {
        "precision@2": 0.25,
        "recall@2": 0.5,
        "ndcg@2": 0.5,
        "map@2": 0.5,
        "hit_rate@2": 0.5,
        "coverage@2": 0.5,
    }


def test_a_duel_is_paired_and_leaves_out_whom_the_champion_does_not_know() -> None:
    ground = small_ground()
    mine = Answers(np.array([[True], [False]]), np.ones(2, np.bool_), 1, 5)
    theirs = Answers(np.array([[False], [False]]), np.ones(2, np.bool_), 1, 5)
    found = duel("v", mine, theirs, ground, "hit_rate@1")
    assert found is not None
    assert (found.candidate, found.champion, found.difference, found.users) == (0.5, 0.0, 0.5, 2)
    assert found.standard_error == pytest.approx(np.std([1, 0], ddof=1) / np.sqrt(2))
    stranger = Answers(theirs.hits, np.array([False, True]), 1, 5)
    one = duel("v", mine, stranger, ground, "hit_rate@1")
    assert one is not None
    assert (one.users, one.candidate, one.standard_error) == (1, 0.0, 0.0)
    assert duel("v", mine, Answers(theirs.hits, np.zeros(2, np.bool_), 1, 5), ground, "hit_rate@1") is None


def test_users_who_go_up_and_down_alike_are_no_noise() -> None:
    rng = np.random.default_rng(0)
    users = rng.random(500)
    assert list(paired(users + 0.01, users)) == pytest.approx([0.01, 0.0])


def test_no_more_users_than_asked_for_and_the_same_for_a_seed(parted: Split) -> None:
    some = sampled(parted.ground, 3, most_users=20)
    assert len(some.held.users) == 20
    assert some.held.users.tolist() == sampled(parted.ground, 3, most_users=20).held.users.tolist()
    assert some.held.users.tolist() != sampled(parted.ground, 4, most_users=20).held.users.tolist()
    assert sampled(parted.ground, 3, most_users=10_000).held is parted.held
