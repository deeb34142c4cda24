"""From a row of the table to an interaction, whatever kinds of columns it has; and times as a column of text has them.

Covers: values. Does not cover: queries (one file a kind of database), what trainings read (`training.dataset.values`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from training.ingest.base import Id, Interaction


def interactions_in(rows: Iterable[Sequence[Any]]) -> list[Interaction]:
    """Those of (user_id, item_id, weight, ts) that are interactions: of ids, a positive weight (NULL is 1) and a time."""
    found = []
    for user, item, weight, ts in rows:
        user_id, item_id, at, number = _id(user), _id(item), seconds_of(ts), 1.0 if weight is None else _number(weight)
        if user_id is not None and item_id is not None and at is not None and number is not None and number > 0:
            found.append(Interaction(user_id, item_id, number, at))
    return found


def seconds_of(value: Any) -> float | None:
    """Unix seconds of a time, a date, a number or ISO 8601, UTC where it has no zone; None of anything else."""
    if isinstance(value, str) and _number(value) is None:
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if isinstance(value, datetime):
        return (value if value.tzinfo is not None else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
    return _number(value)


def text_of(ts: float, like: str | None) -> str:
    """A time as text: as `like`, another one of the same column, has it with regard to the `T` and the zone; RFC 3339 without one."""
    at = datetime.fromtimestamp(ts, UTC).replace(tzinfo=None)
    if like is None or "T" in like:
        return at.isoformat(timespec="milliseconds") + "Z"
    has_zone = like.rstrip().endswith(("Z", "+00:00"))
    return at.isoformat(" ", timespec="milliseconds") + ("+00:00" if has_zone else "")


def _id(value: Any) -> Id | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | str):
        return value
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        return int(value)
    return str(value) if isinstance(value, UUID) else None


def _number(value: Any) -> float | None:
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None
