"""The gate: every rule at its edge, what cannot be measured, and what chance may not decide."""

from __future__ import annotations

from dataclasses import replace
from math import nan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.judging.gate import FEW_USERS, Measured, judge
from training.judging.verdict import Duel, Verdict

GOOD = Measured(value=0.40, popular=0.10, users=500, split="time", cut_at=1.0, lead_error=0.01)
NOBODY = Measured(0.0, 0.0, 0, "time", 1.0, unmeasured="nobody came twice")
SERVING = "20261121T000000-000001"


def met(difference: float, error: float, *, users: int = 300) -> Duel:
    return Duel(SERVING, candidate=0.40, champion=0.40 - difference, difference=difference, standard_error=error, users=users)


def verdict(measured: Measured = GOOD, gate: dict[str, Any] | None = None, **named: Any) -> Verdict:
    return judge(gate or {}, measured, **named)


def rule(found: Verdict, name: str) -> bool | None:
    (passed,) = [rule.passed for rule in found.rules if rule.rule == name]
    return passed


def words(found: Verdict, name: str) -> str:
    (message,) = [rule.message for rule in found.rules if rule.rule == name]
    return message


def test_every_verdict_has_the_three_rules_in_order() -> None:
    for found in (verdict(), verdict(NOBODY), verdict(champion=SERVING, duel=met(0.1, 0.01)), verdict(is_floor=True)):
        assert [rule.rule for rule in found.rules] == ["minimum", "popular", "champion"]


def test_a_first_version_that_is_good_is_accepted() -> None:
    found = verdict()
    assert found.accepted
    assert (rule(found, "minimum"), rule(found, "popular"), rule(found, "champion")) == (True, True, None)
    assert (found.metric, found.value, found.popular, found.users, found.split, found.cut_at) == ("ndcg@10", 0.40, 0.10, 500, "time", 1.0)
    assert found.forced_by is None


@pytest.mark.parametrize(("value", "passed"), [(0.30, True), (0.2999, False), (nan, False)])
def test_the_minimum_is_reached_or_not(value: float, passed: bool) -> None:
    found = verdict(replace(GOOD, value=value), {"minimum": 0.3})
    assert rule(found, "minimum") is passed
    assert found.accepted is passed
    assert "0.3000" in words(found, "minimum")


@pytest.mark.parametrize(("value", "times", "passed"), [(0.111, 1.1, True), (0.109, 1.1, False), (0.19, 2.0, False), (0.05, 0.0, True)])
def test_popularity_is_beaten_or_not(value: float, times: float, passed: bool) -> None:
    found = verdict(replace(GOOD, value=value), {"popular": times})
    assert rule(found, "popular") is passed
    assert found.accepted is passed
    assert f"{value:.4f}" in words(found, "popular")
    assert "0.1000" in words(found, "popular")


def test_what_beats_popularity_by_chance_replaces_nothing() -> None:
    lucky = replace(GOOD, value=0.12, lead_error=0.012)
    found = verdict(lucky, champion=SERVING, duel=met(0.05, 0.01))
    assert rule(found, "popular") is False
    assert "2 standard errors (0.0240)" in words(found, "popular")
    assert verdict(replace(lucky, lead_error=0.0099), champion=SERVING, duel=met(0.05, 0.01)).accepted
    assert verdict(lucky).accepted  # but may be the first


def test_popularity_itself_is_not_asked_to_beat_itself() -> None:
    found = verdict(replace(GOOD, value=0.10), is_floor=True)
    assert rule(found, "popular") is None
    assert found.accepted


def test_where_popularity_finds_nothing_one_hit_is_better() -> None:
    assert verdict(replace(GOOD, value=0.001, popular=0.0)).accepted
    nothing = replace(GOOD, value=0.0, popular=0.0)
    assert not verdict(nothing).accepted
    assert rule(verdict(replace(nothing, users=FEW_USERS)), "popular") is None
    assert verdict(replace(nothing, users=FEW_USERS)).accepted
    assert not verdict(replace(nothing, users=FEW_USERS), champion=SERVING, duel=met(0.0, 0.0)).accepted


@pytest.mark.parametrize(
    ("difference", "error", "passed"),
    [
        (0.05, 0.001, True),
        (0.0, 0.0, True),
        (-0.02, 0.001, True),  # as much as the tolerance
        (-0.021, 0.02, True),  # more, but within two standard errors
        (-0.021, 0.0104, False),
        (-0.5, 0.3, True),
        (-0.5, 0.2, False),
        (nan, 0.1, False),
    ],
)
def test_worse_than_what_serves_is_more_than_the_tolerance_and_more_than_noise(difference: float, error: float, passed: bool) -> None:
    found = verdict(champion=SERVING, duel=met(difference, error))
    assert rule(found, "champion") is passed
    assert found.accepted is passed
    assert SERVING in words(found, "champion")


def test_the_tolerance_is_the_operators() -> None:
    assert not verdict(GOOD, {"tolerance": 0.0}, champion=SERVING, duel=met(-0.001, 0.0001)).accepted
    assert verdict(GOOD, {"tolerance": 0.3}, champion=SERVING, duel=met(-0.29, 0.0001)).accepted


@settings(deadline=None)
@given(difference=st.floats(-1, 1), error=st.floats(0, 1), tolerance=st.floats(0, 1))
def test_equal_within_noise_or_tolerance_is_accepted_and_nothing_else_is(difference: float, error: float, tolerance: float) -> None:
    found = verdict(GOOD, {"tolerance": tolerance}, champion=SERVING, duel=met(difference, error))
    assert found.accepted is (-difference <= tolerance or -difference <= 2 * error)


def test_versions_that_cannot_meet_are_decided_by_the_other_rules() -> None:
    found = verdict(champion=SERVING, no_duel="it was split in another way")
    assert rule(found, "champion") is None
    assert "it was split in another way; the other rules decide" in words(found, "champion")
    assert found.accepted
    assert not verdict(replace(GOOD, value=0.1), champion=SERVING, no_duel="...").accepted


def test_one_user_tells_nothing() -> None:
    assert rule(verdict(champion=SERVING, duel=met(-1.0, 0.0, users=1)), "champion") is None


def test_a_first_version_that_nobody_can_measure_is_let_in() -> None:
    found = verdict(NOBODY, {"minimum": 0.5})
    assert found.accepted
    assert rule(found, "minimum") is None
    assert "nobody came twice" in words(found, "minimum")


def test_what_nobody_can_measure_replaces_nothing() -> None:
    found = verdict(NOBODY, champion=SERVING)
    assert not found.accepted
    assert "nobody came twice" in words(found, "minimum")


def test_who_forces_is_recorded_only_where_a_rule_said_no() -> None:
    refused = verdict(replace(GOOD, value=0.01), forced_by="ada")
    assert refused.accepted
    assert refused.forced_by == "ada"
    assert rule(refused, "popular") is False
    assert verdict(forced_by="ada").forced_by is None


@settings(deadline=None)
@given(
    value=st.floats(allow_nan=True, allow_infinity=False),
    popular=st.floats(0, 1),
    users=st.integers(0, 10_000),
    error=st.floats(0, 1),
    has_champion=st.booleans(),
    duel=st.none() | st.builds(met, st.floats(-1, 1), st.floats(0, 1), users=st.integers(0, 50)),
)
def test_whatever_was_measured_gives_a_verdict(
    value: float, popular: float, users: int, error: float, has_champion: bool, duel: Duel | None
) -> None:
    measured = Measured(value, popular, users, "random", None, error)
    found = verdict(measured, champion=SERVING if has_champion else None, duel=duel if has_champion else None)
    assert found.accepted is all(rule.passed is not False for rule in found.rules)
    assert all(rule.message for rule in found.rules)
    assert found.to_json()["accepted"] is found.accepted
