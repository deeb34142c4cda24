"""What is read of the disk, the kernel and an artifact's own words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from service.telemetry.readings import STORE_LOOKED_AT_EVERY_S, UsageReader, bytes_in, trained_at

KIB = 1024


def test_holes_take_nothing_and_a_file_of_two_names_counts_once(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    whole = tmp_path / "deep" / "er" / "whole"
    whole.write_bytes(b"x" * 64 * KIB)
    taken = bytes_in(tmp_path)
    assert taken >= 64 * KIB
    os.link(whole, tmp_path / "again")
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(10**9)
    (tmp_path / "link").symlink_to(whole)
    assert bytes_in(tmp_path) < taken + 64 * KIB


def test_a_folder_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    assert bytes_in(tmp_path / "nowhere") == 0
    assert UsageReader(tmp_path / "nowhere").read().store_free_bytes == 0


def test_the_store_is_looked_at_once_a_minute(tmp_path: Path) -> None:
    now = 1000.0
    reader = UsageReader(tmp_path, clock=lambda: now)
    before = reader.read()
    assert before.private_bytes > 0
    assert before.memory_free_bytes >= 0
    assert before.store_free_bytes > 0
    (tmp_path / "new").write_bytes(b"x" * 64 * KIB)
    now += STORE_LOOKED_AT_EVERY_S - 1
    assert reader.read().store_bytes == before.store_bytes
    now += 1
    assert reader.read().store_bytes >= before.store_bytes + 64 * KIB


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("2026-01-01T00:00:00Z", 1767225600.0),
        ("2026-01-01T00:00:00", 1767225600.0),
        ("2026-01-01T07:00:00.500000+07:00", 1767225600.5),
        ("2026-01-01", 1767225600.0),
        (1767225600, 1767225600.0),
        ("yesterday", None),
        ("", None),
        (float("nan"), None),
        (float("inf"), None),
        (-1, None),
        (None, None),
        ([2026], None),
    ],
    ids=str,
)
def test_a_time_of_training_is_read_where_it_can_be(told: Any, expected: float | None) -> None:
    assert trained_at({"trained_at": told}) == expected
    assert trained_at({}) is None
