"""What users did lately: how much of it is kept, what a question is told of it, and how it is filled again."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from models.base import Id, Query
from models.recent import Recent
from service.questions import Rows, TopK
from service.recent import RecentInteractions
from training.ingest.base import Interaction

NOW = 1_772_600_000.0


def did(user: Id, *items: Id, ts: float = NOW) -> list[Interaction]:
    return [Interaction(user, item, 1.0, ts + at) for at, item in enumerate(items)]


def items_of(kept: RecentInteractions, user: Id) -> list[Id]:
    return [each.item for each in kept.of([user]).get(user, ())]


def test_what_was_posted_is_known_from_when_it_came() -> None:
    kept = RecentInteractions()
    kept.add([Interaction(1, 7, 2.5, NOW - 1e6), Interaction(1, 8, 1.0, NOW + 60)], NOW)
    assert kept.of([1, 2]) == {1: [Recent(7, 2.5, NOW), Recent(8, 1.0, NOW + 60)]}
    assert len(kept) == 1


def test_the_latest_of_a_user_and_the_latest_users_are_kept() -> None:
    kept = RecentInteractions(users=2, each=3)
    kept.add(did("a", *range(5)), NOW)
    assert items_of(kept, "a") == [2, 3, 4]
    kept.add(did("b", 1), NOW)
    kept.add(did("a", 9), NOW)
    kept.add(did("c", 1), NOW)
    assert (items_of(kept, "a"), items_of(kept, "b"), items_of(kept, "c")) == ([3, 4, 9], [], [1])


def test_numbers_and_text_are_different_users() -> None:
    kept = RecentInteractions()
    kept.add(did(1, 10), NOW)
    assert items_of(kept, "1") == [] and items_of(kept, 1) == [10]


def test_restoring_takes_the_place_that_nothing_newer_has() -> None:
    kept = RecentInteractions(users=2, each=3)
    kept.add(did("a", 9), NOW)
    latest_first = [*did("a", 3, ts=NOW - 3), *did("b", 2, ts=NOW - 4), *did("a", 1, ts=NOW - 5), *did("c", 1, ts=NOW - 6)]
    kept.restore([*latest_first, *did("a", 0, ts=NOW - 9)])
    assert (items_of(kept, "a"), items_of(kept, "b"), items_of(kept, "c")) == ([1, 3, 9], [2], [])
    assert kept.of(["b"]) == {"b": [Recent(2, 1.0, NOW - 4)]}, "it is known since it happened, for all that can be said"
    kept.add(did("d", 1), NOW)
    assert items_of(kept, "b") == [], "who was restored goes before who came"


def test_what_came_during_the_restoring_is_not_taken_twice() -> None:
    kept = RecentInteractions()
    posted = did(1, 5, 6)
    kept.add(posted, NOW + 100)
    rounded = [each._replace(ts=each.ts + 4e-4) for each in posted]
    kept.restore([*rounded, *did(1, 5, ts=NOW - 50)])
    assert items_of(kept, 1) == [5, 5, 6]


@pytest.mark.parametrize(
    ("users", "is_text", "wanted"),
    [
        ([1, "x", "1"], False, {1, "x"}),
        (["1"], True, {1}),
        (["x"], True, {"x"}),
        (["01"], True, set()),
        (["nobody"], False, set()),
        ([], False, set()),
    ],
)
def test_a_question_is_told_what_its_users_did(users: Sequence[Id], is_text: bool, wanted: set[Id]) -> None:
    kept = RecentInteractions()
    kept.add([*did(1, 5), *did("x", 6)], NOW)
    asked = TopK(Query(users, liked=() if users else (5,)), "users" if users else "liked", is_text=is_text)
    joined = kept.joining(asked)
    assert isinstance(joined, TopK) and set(joined.query.recent) == wanted
    assert (joined is asked) == (not wanted)


def test_rows_are_nobody_s() -> None:
    kept = RecentInteractions()
    kept.add(did(1, 5), NOW)
    asked = Rows([[1.0]])
    assert kept.joining(asked) is asked


def test_what_is_given_away_does_not_change() -> None:
    kept = RecentInteractions()
    kept.add(did(1, 5), NOW)
    given = kept.of([1])
    kept.add(did(1, 6), NOW)
    assert [each.item for each in given[1]] == [5]
