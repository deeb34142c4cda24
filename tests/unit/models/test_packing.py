"""What holds for every family's packing: when a model was trained, as it is shown."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from models.packing import pack
from tests.unit.loaders.formats.reading import read_file

AT = datetime(2026, 3, 4, 5, 6, 7)  # without a zone, as most are saved


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    ("saved", "shown"),
    [
        (AT, "2026-03-04T05:06:07"),
        (AT.replace(tzinfo=UTC), "2026-03-04T05:06:07Z"),
        (AT.replace(microsecond=50, tzinfo=timezone(timedelta(hours=7, minutes=30))), "2026-03-04T05:06:07.000050+07:30"),
        (AT.replace(tzinfo=timezone(-timedelta(hours=3, minutes=30), "NST")), "2026-03-04T05:06:07-03:30"),
        (1_772_600_767.5, 1_772_600_767.5),
        ("9" * 100, "9" * 64),
        ([1], None),
    ],
)
def test_when_it_was_trained_keeps_its_zone(saved: Any, shown: Any, protocol: int) -> None:
    root = read_file(pickle.dumps({"content_weight": 0.6, "collaborative_weight": 0.4, "trained_at": saved}, protocol)).root
    assert pack(root)[0].details.get("trained_at") == shown
