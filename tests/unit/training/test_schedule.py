"""When the clock asks for a run: ticks, late ones, and the two days a year on which the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.running.schedule import Due, Late, Tick, check_schedule, due, next_tick

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo = BERLIN) -> float:
    """Unix seconds of a wall clock; with an offset where it would be ambiguous."""
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=zone)).timestamp()


def ticks(expression: str, after: str, count: int) -> list[str]:
    found, moment = [], at(after)
    for _ in range(count):
        tick = next_tick(expression, moment, BERLIN)
        assert tick is not None
        moment = tick
        found.append(datetime.fromtimestamp(tick, BERLIN).isoformat(timespec="minutes"))
    return found


@pytest.mark.parametrize("text", ["0 3 * * *", "*/15 * * * *", "0 */6 * * 1-5", "30 2 1,15 * *", "0 0 * * SUN", "0 4 29 2 *"])
def test_what_cron_takes_is_taken(text: str) -> None:
    assert check_schedule(text) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "five fields"),
        ("@daily", "five fields"),
        ("* * * * * *", "five fields"),  # with seconds, which cron has not
        ("61 * * * *", "bad minute"),
        ("0 25 * * *", "bad hour"),
        ("0 3 * * moonday", "bad day-of-week"),
        ("0 0 31 2 *", "bad day-of-month"),
        ("never ever on any day", "bad minute"),
    ],
)
def test_what_is_none_is_said_with_an_example(text: str, says: str) -> None:
    problem = check_schedule(text)
    assert problem is not None and says in problem and "0 3 * * *" in problem


def test_the_wall_clock_of_the_zone_counts() -> None:
    assert ticks("0 3 * * *", "2026-01-10T03:00", 2) == ["2026-01-11T03:00+01:00", "2026-01-12T03:00+01:00"]
    assert next_tick("0 3 * * *", at("2026-01-10T00:00"), BERLIN) == at("2026-01-10T02:00+00:00")
    assert next_tick("0 3 * * *", at("2026-01-10T00:00"), UTC) == at("2026-01-10T03:00+00:00")


def test_a_time_that_the_clocks_leave_out_comes_when_they_are_forward() -> None:
    assert ticks("30 2 * * *", "2026-03-28T12:00", 2) == ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]
    assert ticks("*/30 * * * *", "2026-03-29T01:10", 3) == ["2026-03-29T01:30+01:00", "2026-03-29T03:00+02:00", "2026-03-29T03:30+02:00"]


def test_a_time_that_the_clocks_pass_twice_comes_once() -> None:
    assert ticks("30 2 * * *", "2026-10-24T12:00", 2) == ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]
    assert ticks("30 * * * *", "2026-10-25T01:45", 3) == ["2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00", "2026-10-25T03:30+01:00"]


def look(since: str, now: str, expression: str = "0 3 * * *") -> Due:
    return due({"als": expression}, {"als": at(since)}, at(now), BERLIN)


def test_nothing_is_due_before_its_time() -> None:
    assert look("2026-01-10T02:00", "2026-01-10T02:59:59") == Due((), (), at("2026-01-10T03:00"))


def test_a_tick_is_due_from_its_moment_on_for_the_grace() -> None:
    tick = Tick("als", at("2026-01-10T03:00"))
    assert look("2026-01-10T02:00", "2026-01-10T03:00") == Due((tick,), (), at("2026-01-11T03:00"))
    assert look("2026-01-10T02:00", "2026-01-10T03:00:59").ticks == (tick,)


def test_a_tick_that_was_seen_is_not_due_again() -> None:
    assert look("2026-01-10T03:00", "2026-01-10T03:00:10") == Due((), (), at("2026-01-11T03:00"))


def test_what_came_while_nobody_looked_is_late_and_counted() -> None:
    found = look("2026-01-10T02:00", "2026-01-13T12:00")
    assert found == Due((), (Late("als", at("2026-01-13T03:00"), 4),), at("2026-01-14T03:00"))


def test_of_several_the_last_is_due_and_the_older_ones_are_late() -> None:
    found = look("2026-01-10T02:00", "2026-01-10T02:10:30", "* * * * *")
    assert found.ticks == (Tick("als", at("2026-01-10T02:10")),)
    assert found.late == (Late("als", at("2026-01-10T02:09"), 9),)
    assert found.next_at == at("2026-01-10T02:11")


def test_a_year_of_sleep_is_told_in_a_moment() -> None:
    found = look("2025-01-10T02:00", "2026-01-10T02:10:30", "* * * * *")
    assert found.late[0].count == 100
    assert found.ticks


def test_every_training_has_its_own_clock_and_the_nearest_is_waited_for() -> None:
    now = at("2026-01-10T03:00")
    found = due({"als": "0 3 * * *", "bpr": "5 3 * * *"}, dict.fromkeys(("als", "bpr"), now - 1), now, BERLIN)
    assert [tick.training for tick in found.ticks] == ["als"]
    assert found.next_at == at("2026-01-10T03:05")
    assert due({}, {}, now, BERLIN) == Due((), (), None)


@given(
    start=st.integers(1_760_000_000, 1_800_000_000),
    steps=st.lists(st.integers(1, 90), min_size=1, max_size=60),
    expression=st.sampled_from(["* * * * *", "*/5 * * * *", "30 2 * * *", "0 * * * *"]),
)
def test_looking_every_so_often_sees_each_tick_once_or_says_that_it_was_late(start: int, steps: list[int], expression: str) -> None:
    since, now = float(start), float(start)
    seen: list[float] = []
    told = 0
    for step in steps:
        now += step
        found = due({"als": expression}, {"als": since}, now, BERLIN)
        seen += [tick.at for tick in found.ticks]
        told += sum(late.count for late in found.late)
        since = now
    expected, tick = [], next_tick(expression, float(start), BERLIN)
    while tick is not None and tick <= now:
        expected.append(tick)
        tick = next_tick(expression, tick, BERLIN)
    assert seen == sorted(set(seen)) and set(seen) <= set(expected)
    # Of two within one grace the first is neither due nor late: the run of the second learns from everything.
    assert len(expected) - sum(step > 60 for step in steps) <= len(seen) + told <= len(expected)
