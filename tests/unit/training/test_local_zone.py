"""The host's own wall clock, held against the zone that it is set to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from training.running.local_zone import LocalZone
from training.running.schedule import next_tick

ZONES = ("Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kolkata", "UTC")


@pytest.fixture(params=ZONES)
def zone(request: pytest.FixtureRequest) -> Iterator[ZoneInfo]:
    """The zone that this process is in for the test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield ZoneInfo(request.param)
    time.tzset()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(1_600_000_000, 1_950_000_000))
def test_every_moment_has_the_wall_clock_of_the_zone(zone: ZoneInfo, at: int) -> None:
    ours, theirs = datetime.fromtimestamp(at, LocalZone()), datetime.fromtimestamp(at, zone)
    assert (ours.replace(tzinfo=None), ours.fold, ours.utcoffset()) == (theirs.replace(tzinfo=None), theirs.fold, theirs.utcoffset())
    assert ours.tzname() == theirs.tzname()
    assert ours.timestamp() == at


def changes_of(zone: ZoneInfo) -> list[datetime]:
    """The hours of 2026 in which its clocks change."""
    hours = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(365 * 24)]
    return [hour for hour in hours if hour.astimezone(zone).utcoffset() != (hour + timedelta(hours=1)).astimezone(zone).utcoffset()]


@pytest.mark.parametrize("expression", ["30 2 * * *", "*/10 * * * *", "15 * * * *", "0 1,2,3 * * *"])
def test_ticks_around_a_change_of_the_clocks_are_those_of_the_zone(zone: ZoneInfo, expression: str) -> None:
    for change in changes_of(zone):
        ours = theirs = (change - timedelta(hours=3)).timestamp()
        for _ in range(12):
            ours, theirs = next_tick(expression, ours, LocalZone()) or 0.0, next_tick(expression, theirs, zone) or 0.0
            assert ours == theirs
