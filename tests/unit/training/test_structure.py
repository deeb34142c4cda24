"""What is planted is repeatable, and of the structure that models are to find."""

from __future__ import annotations

import numpy as np
import pytest

from training.made_up.planted import FIRST_AT, SPAN_S, Planted, plant


@pytest.fixture(scope="module")
def planted() -> Planted:
    return plant(users=800, items=400, likes_per_user=25, seed=3)


def test_users_like_what_is_of_their_groups(planted: Planted) -> None:
    liked = planted.item_group[planted.items][:, np.newaxis]
    assert (liked == planted.user_groups[planted.users]).any(axis=1).mean() > 0.75
    main, second = ((planted.item_group[planted.items] == planted.user_groups[planted.users, column]).mean() for column in (0, 1))
    assert main > 1.5 * second


def test_interactions_are_unique_in_time_order_and_repeatable(planted: Planted) -> None:
    pairs = planted.users * 400 + planted.items
    assert len(np.unique(pairs)) == len(pairs)
    assert (np.diff(planted.timestamps) >= 0).all()
    assert planted.timestamps.min() >= FIRST_AT
    assert planted.timestamps.max() < FIRST_AT + SPAN_S
    assert np.bincount(planted.users).min() >= 8
    assert len(set(planted.titles)) == 400
    assert all(category in title for title, category in zip(planted.titles, planted.categories, strict=True))
    again, other = plant(users=800, items=400, likes_per_user=25, seed=3), plant(users=800, items=400, likes_per_user=25, seed=4)
    assert (again.items == planted.items).all()
    assert (again.weights == planted.weights).all()
    assert not np.array_equal(other.items, planted.items)
