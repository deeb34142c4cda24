"""What is held out, and that nobody is asked what anybody has learned."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from training.dataset.base import Dataset, Fingerprint, Interactions
from training.errors import Untrainable
from training.judging.split import Cut, Ground, Held, cut_time, pair_hashes, pairs, split, validation

USERS, ITEMS = 40, 30


def dataset(users: object, items: object, times: object = None, *, count: tuple[int, int] = (USERS, ITEMS), shift: int = 0) -> Dataset:
    """Ids are the rows, moved by `shift`."""
    who, what = np.array(users, np.int32), np.array(items, np.int32)
    at = None if times is None else np.array(times, np.float64)
    interactions = Interactions(who, what, np.ones(len(who), np.float32), at)
    return Dataset(
        [f"u{row + shift}" for row in range(count[0])],
        list(range(shift, count[1] + shift)),
        interactions,
        Fingerprint(len(who), None, ""),
    )


def drawn(seed: int, *, n: int = 400, timed: bool = True) -> Dataset:
    rng = np.random.default_rng(seed)
    times = rng.integers(0, 200, n) if timed else None  # many share a time, many pairs come again
    return dataset(rng.integers(USERS, size=n), rng.integers(ITEMS, size=n), times)


def held_pairs(ground: Ground) -> set[tuple[int, int]]:
    return cells(ground.held.users, ground.held.indptr, ground.held.items)


def cells(rows: NDArray[np.int64], indptr: NDArray[np.int64], items: NDArray[np.int32]) -> set[tuple[int, int]]:
    return {(row, item) for at, row in enumerate(rows.tolist()) for item in items[indptr[at] : indptr[at + 1]].tolist()}


def all_pairs(interactions: Interactions) -> set[tuple[int, int]]:
    return set(zip(interactions.users.tolist(), interactions.items.tolist(), strict=True))


# -- by time -----------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(seed=st.integers(0, 300), share=st.floats(0.05, 0.5))
def test_by_time_all_that_is_learned_is_before_all_that_is_held_out(seed: int, share: float) -> None:
    found = split(drawn(seed), share)
    assert found.kind == "time"
    assert found.train.interactions.times is not None
    assert found.after.times is not None
    assert found.train.interactions.times.max() <= found.cut.at < found.after.times.min()
    assert len(found.train.interactions) + len(found.after) == 400
    assert len(found.after) == pytest.approx(share * 400, abs=12)  # to a tie


@settings(deadline=None)
@given(seed=st.integers(0, 300), timed=st.booleans())
def test_what_is_measured_is_new_to_a_user_who_is_learned_from_and_an_item_that_is(seed: int, timed: bool) -> None:
    found = split(drawn(seed, n=150, timed=timed), 0.2)
    learned, measured = all_pairs(found.train.interactions), held_pairs(found.ground)
    warm_users, warm_items = {user for user, _ in learned}, {item for _, item in learned}
    expected = {(u, i) for u, i in all_pairs(found.after) if (u, i) not in learned and u in warm_users and i in warm_items}
    assert measured == expected
    assert cells(np.arange(USERS), found.seen.indptr, found.seen.indices) == learned


def test_interactions_at_the_cut_are_learned_from() -> None:
    assert cut_time(np.array([1.0, 2, 3, 4, 5, 5, 5, 6, 7, 8]), 0.3) == 5.0
    assert cut_time(np.array([1.0, 2, 3, 4, 5, 6, 7, 7, 8, 8]), 0.25) == 7.0


def test_many_of_one_time_at_the_end_are_held_out_together() -> None:
    assert cut_time(np.array([1.0, 2, 3, 4, 5, 6, 7, 9, 9, 9]), 0.1) == 7.0


def test_times_that_tell_nothing_give_no_cut() -> None:
    assert cut_time(np.full(10, 3.0), 0.1) is None
    assert cut_time(np.array([1.0, 2, 2, 2, 2, 2, 2, 2]), 0.1) is None


@pytest.mark.parametrize("times", [None, np.full(200, 5.0), np.arange(200) // 5], ids=["no times", "all the same", "everybody came once"])
def test_without_times_that_tell_the_split_is_random_and_says_why(times: NDArray[np.float64] | None) -> None:
    found = split(dataset(np.arange(200) // 5, np.arange(200) * 7 % ITEMS, times), 0.2)
    assert found.kind == "random"
    assert found.cut.at is None
    assert found.cut.salt
    assert found.notes["random_because"]
    assert len(found.held.users)


# -- at random ---------------------------------------------------------------------------------------------------------


def test_a_pair_is_held_out_in_every_run_or_in_none() -> None:
    before, later = drawn(1, n=300, timed=False), drawn(1, n=600, timed=False)
    first, second = split(before, 0.2), split(later, 0.2)
    assert not all_pairs(first.train.interactions) & all_pairs(second.after)
    assert not all_pairs(second.train.interactions) & all_pairs(first.after)


def test_the_side_of_a_pair_follows_from_its_ids_not_its_rows() -> None:
    one = dataset([0, 1, 2, 3], [4, 5, 6, 7], shift=0)
    other = dataset([1, 2, 3, 4], [5, 6, 7, 8], shift=-1)
    assert pair_hashes(one, "1").tolist() == pair_hashes(other, "1").tolist()
    assert pair_hashes(one, "1").tolist() != pair_hashes(one, "2").tolist()


def test_an_id_of_another_kind_is_another_id() -> None:
    numbers = dataset([0], [0])
    texts = Dataset(numbers.user_ids, [str(id) for id in numbers.item_ids], numbers.interactions, numbers.fingerprint)
    assert pair_hashes(numbers, "1").tolist() != pair_hashes(texts, "1").tolist()


def test_hashes_are_even() -> None:
    users, items = np.divmod(np.arange(USERS * ITEMS), ITEMS)
    found = pair_hashes(dataset(users, items), "1")
    counts = np.histogram(found, 10, (0.0, 1.0))[0]
    assert counts.min() > 80  # of 120 expected in each tenth
    assert counts.max() < 160


def test_hashes_are_the_same_in_every_version_of_the_program() -> None:
    found = pair_hashes(dataset([0, 1], [2, 3]), "1")  # other ones would let a published version meet what it has learned
    assert found.tolist() == [0.8348101907215282, 0.7844829288680548]


def test_nothing_to_learn_from_is_said() -> None:
    with pytest.raises(Untrainable, match="no interactions"):
        split(dataset([], []), 0.1)


# -- the ground two versions share -------------------------------------------------------------------------------------


def test_two_versions_by_time_meet_on_what_is_later_than_both() -> None:
    times = np.arange(400)
    data = drawn(5)
    data = dataset(data.interactions.users, data.interactions.items, times)
    mine = split(data, 0.3)
    later = Cut("time", 350.0, "", 0.1)
    shared = mine.shared_with([later])
    assert shared is not None
    learned = {pair for pair, at in zip(_listed(data), times.tolist(), strict=True) if at <= 350}
    assert held_pairs(shared) <= {pair for pair, at in zip(_listed(data), times.tolist(), strict=True) if at > 350} - learned
    assert held_pairs(shared)
    assert cells(np.arange(USERS), shared.seen.indptr, shared.seen.indices) == learned  # nobody is answered with what was between
    older = mine.shared_with([Cut("time", 10.0, "", 0.1)])
    assert older is not None
    assert older.held is mine.held


def _listed(data: Dataset) -> list[tuple[int, int]]:
    return list(zip(data.interactions.users.tolist(), data.interactions.items.tolist(), strict=True))


def test_nothing_is_shared_with_a_version_that_learned_from_all_of_it() -> None:
    shared = split(drawn(5), 0.2).shared_with([Cut("time", 1e9, "", 0.1)])
    assert shared is not None
    assert not len(shared.held.users)


def test_two_random_versions_meet_on_what_both_held_out() -> None:
    data = drawn(6, timed=False)
    mine, theirs = split(data, 0.4), split(data, 0.2)
    shared = mine.shared_with([theirs.cut])
    assert shared is not None
    assert not held_pairs(shared) & all_pairs(theirs.train.interactions)
    assert held_pairs(shared) <= all_pairs(theirs.after)
    assert held_pairs(shared)
    same = mine.shared_with([mine.cut])
    assert same is not None
    assert same.held is mine.held


@pytest.mark.parametrize("other", [Cut("random", None, "1", 0.2), Cut("time", 50.0, "other", 0.2)], ids=["another kind", "another salt"])
def test_versions_that_were_split_in_other_ways_share_no_fair_ground(other: Cut) -> None:
    assert split(drawn(7), 0.2).shared_with([other]) is None


# -- for searching parameters ------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(seed=st.integers(0, 300))
def test_validation_holds_out_one_item_of_a_user_and_never_the_last_of_either(seed: int) -> None:
    data = drawn(seed, n=120)
    found = validation(data, seed)
    assert np.diff(found.held.indptr).tolist() == [1] * len(found.held.users)
    learned = all_pairs(found.train.interactions)
    assert not learned & held_pairs(found.ground)
    assert learned | held_pairs(found.ground) == all_pairs(data.interactions)
    assert {item for _, item in held_pairs(found.ground)} <= {item for _, item in learned}
    assert set(found.held.users.tolist()) <= {user for user, _ in learned}


def test_validation_is_bounded_and_the_same_for_a_seed() -> None:
    data = drawn(3)
    assert len(validation(data, 1, most_users=7).held.users) == 7
    assert held_pairs(validation(data, 1).ground) == held_pairs(validation(data, 1).ground)
    assert held_pairs(validation(data, 1).ground) != held_pairs(validation(data, 2).ground)


def test_nobody_with_two_items_gives_an_empty_validation() -> None:
    found = validation(dataset([0, 1, 2], [0, 1, 2]), 0)
    assert not len(found.held.users)
    assert len(found.train.interactions) == 3


# -- rows --------------------------------------------------------------------------------------------------------------


def test_held_can_be_taken_in_part() -> None:
    held = Held.of(np.array([0 * 10 + 1, 0 * 10 + 4, 3 * 10 + 2, 5 * 10 + 0]), 10)
    part = held.take(np.array([0, 2]))
    assert part.users.tolist() == [0, 5]
    assert part.indptr.tolist() == [0, 2, 3]
    assert part.items.tolist() == [1, 4, 0]


def test_pairs_are_sorted_and_distinct() -> None:
    assert pairs(dataset([2, 0, 2], [1, 3, 1]).interactions, 10).tolist() == [3, 21]
