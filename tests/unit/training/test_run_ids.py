"""Ids of runs, which are names of versions, sort by age whatever the clock says."""

from __future__ import annotations

import pytest

from loaders.published import VERSION_NAME
from training.running.runs import next_id

NOW = 1_795_256_100.0  # 2026-11-21T10:15:00Z


@pytest.mark.parametrize(
    ("newest", "expected"),
    [
        (None, "20261121T101500"),
        ("20261121T101459-ffffff", "20261121T101500"),
        ("20261121T101500-ffffff", "20261121T101501"),
        ("20261121T101959-ffffff", "20261121T102000"),
        ("20301231T235959-000000", "20310101T000000"),
        ("20269999T999999-000000", "20261121T101500"),
        ("99991231T235959-000000", "20261121T101500"),
    ],
    ids=["the first", "after it", "in its second", "the clock was set back", "by years", "no time", "the last second"],
)
def test_an_id_comes_after_the_newest(newest: str | None, expected: str) -> None:
    id = next_id(NOW, newest, "0a1b2c")
    assert id == f"{expected}-0a1b2c"
    assert VERSION_NAME.fullmatch(id)
