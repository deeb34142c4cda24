"""Real runs in their capped process over a real PostgreSQL.

Covers: that the process reaches the database from behind its walls, and what is said when the database breaks off for good. Does
not cover: how runs end otherwise (test_runs), reading itself (test_reading_postgres).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.schema import MIB, DataSettings, TrainingSettings
from loaders.published import STAGING
from tests.doubles.postgres import PostgresDatabase
from training.errors import DataUnavailable
from training.running.plan import Plan
from training.running.process import Progress, train

RUN = "20261121T000001-000001"


@pytest.fixture
def plan(tmp_path: Path, postgres: PostgresDatabase) -> Plan:
    postgres.run(
        "CREATE TABLE interactions AS SELECT n % 900 AS user_id, 'item ' || (n % 613) * (n % 7) AS item_id,"
        " to_timestamp(1700000000 + n) AS ts FROM generate_series(1, 60000) AS n"
    )
    training = TrainingSettings(name="popular", algorithm="popular", memory_bytes=512 * MIB, timeout_s=120.0)
    return Plan(
        RUN, tmp_path, DataSettings(url=postgres.url.replace("postgres@", "postgres:hunter2@"), attempts=1), training, code_version="test"
    )


@pytest.fixture
def lock_fd(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    yield fd
    os.close(fd)


async def test_a_run_reads_from_postgresql(plan: Plan, lock_fd: int) -> None:
    progress = Progress()
    await train(plan, lock_fd, progress, lambda frame: None)
    assert progress.outcome["outcome"] == "accepted", progress.outcome
    assert progress.outcome["fingerprint"]["interactions"] == 60_000


async def test_a_database_that_breaks_off_for_good_fails_the_run_with_the_cause(
    plan: Plan, lock_fd: int, postgres: PostgresDatabase, tmp_path: Path
) -> None:
    def kill(frame: Mapping[str, Any]) -> None:
        if frame["kind"] == "progress" and postgres.server.is_running:
            postgres.server.kill()

    slow = "SELECT user_id, item_id, ts FROM interactions, LATERAL (SELECT pg_sleep(0.001 + 0 * user_id)) AS slow"
    plan = replace(plan, data=replace(plan.data, interactions=slow))
    progress = Progress()
    with pytest.raises(DataUnavailable, match=r"\[data\] .*\(tried once\)") as failed:
        await train(plan, lock_fd, progress, kill)
    assert "hunter2" not in f"{failed.value} {progress.log}"
    assert not (tmp_path / "popular" / f"{STAGING}{RUN}").exists()
