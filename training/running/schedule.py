"""When to train by the clock. Pure: the time, the time zone and chance are arguments.

Covers: cron expressions, the next tick, which ticks are due and which came too late. Does not cover: waiting
(`service.training`), that a tick runs once (`training.running.journal`). An expression is read by `cronsim`, which keeps to what
Debian's cron does, also where the clocks change: a time that is skipped in spring comes when the clocks are forward, one that is
passed twice in autumn comes once, and what runs every few minutes or every hour runs on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from cronsim import CronSim, CronSimError

GRACE_S = 60.0
"""A tick that is seen later than this is let go: the host slept, or nothing ran."""
_COUNTED = 100
_FIELDS = 5


@dataclass(frozen=True, slots=True)
class Tick:
    """A moment of a training's schedule. at: Unix seconds."""

    training: str
    at: float


@dataclass(frozen=True, slots=True)
class Late:
    """Ticks that nobody saw in time. last_at: the last of them, Unix seconds. count: how many, at most a hundred are counted."""

    training: str
    last_at: float
    count: int


@dataclass(frozen=True, slots=True)
class Due:
    """What the clock asks for now. next_at: when it is to be asked again, None where nothing is scheduled."""

    ticks: tuple[Tick, ...]
    late: tuple[Late, ...]
    next_at: float | None


def check_schedule(text: str) -> str | None:
    """What is wrong with a cron expression, in words; None where nothing is."""
    example = 'for example "0 3 * * *" for every night at three'
    if len(text.split()) != _FIELDS:
        return f"{text!r} is no cron expression of five fields (minute, hour, day of month, month, day of week), {example}"
    try:
        never = next_tick(text, 0.0, UTC) is None
    except CronSimError as error:
        return f"{text!r} is no cron expression: {str(error).lower()}, {example}"
    return f"{text!r} never comes" if never else None


def next_tick(expression: str, after: float, zone: tzinfo) -> float | None:
    """The first tick later than `after` (Unix seconds), by the clock of `zone`; None where none comes in fifty years.

    Raises cronsim.CronSimError for what `check_schedule` complains of.
    """
    found = next(CronSim(expression, datetime.fromtimestamp(after, zone)), None)
    return None if found is None else found.timestamp()


def due(schedules: Mapping[str, str], since: Mapping[str, float], now: float, zone: tzinfo, grace_s: float = GRACE_S) -> Due:
    """What is due at `now`. schedules: training -> expression; since: training -> until when its ticks have been seen, Unix seconds.

    Of several ticks of a training within the grace the last counts: one run learns from everything.
    """
    ticks, late, next_at = [], [], []
    for training, expression in schedules.items():
        begins = max(since[training], now - grace_s)
        if begins > since[training] and (missed := _missed(training, expression, since[training], begins, zone)) is not None:
            late.append(missed)
        at, following = None, next_tick(expression, begins, zone)
        while following is not None and following <= now:
            at, following = following, next_tick(expression, following, zone)
        if at is not None:
            ticks.append(Tick(training, at))
        if following is not None:
            next_at.append(following)
    return Due(tuple(ticks), tuple(late), min(next_at, default=None))


def _missed(training: str, expression: str, since: float, until: float, zone: tzinfo) -> Late | None:
    """The ticks in (since, until]."""
    found: list[float] = []
    at = next_tick(expression, since, zone)
    while at is not None and at <= until and len(found) < _COUNTED:
        found.append(at)
        at = next_tick(expression, at, zone)
    return Late(training, found[-1], len(found)) if found else None
