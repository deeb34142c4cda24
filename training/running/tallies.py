"""How often runs of each training ended how: numbers that only grow, kept in the journal beside the runs and outliving them.

Covers: the table, counting a run once, reading. Does not cover: the runs (`training.running.journal`), which are forgotten one
day. Inside the journal's transactions; standard library only.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from training.running.runs import Run, RunStatus

TABLE = """
CREATE TABLE IF NOT EXISTS tallies (
    training TEXT NOT NULL, status TEXT NOT NULL, failure TEXT NOT NULL, count INTEGER NOT NULL, last_at REAL NOT NULL,
    PRIMARY KEY (training, status, failure)
) WITHOUT ROWID
"""
SUCCESSES = frozenset({RunStatus.PUBLISHED, RunStatus.SKIPPED})
"""A run without anything new to learn is one too: its data were read and compared."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Runs of a training that ended alike. failure: its type, "" where nothing failed. last_at: when the last ended, Unix seconds."""

    training: str
    status: RunStatus
    failure: str
    count: int
    last_at: float


def count(database: sqlite3.Connection, run: Run) -> None:
    """One more run that ended like this one. For who knows that it was not counted yet."""
    failure = "" if run.failure is None else str(run.failure.get("type", ""))
    added = (
        "INSERT INTO tallies VALUES (?, ?, ?, 1, ?) ON CONFLICT (training, status, failure)"
        " DO UPDATE SET count = count + 1, last_at = max(last_at, excluded.last_at)"
    )
    database.execute(added, (run.training, run.status.value, failure, run.ended_at or run.created_at))


def read(database: sqlite3.Connection) -> list[Tally]:
    """All there are, but for those that a newer program counted otherwise, or whose numbers somebody made to be none."""
    are_numbers = "typeof(count) = 'integer' AND typeof(last_at) IN ('integer', 'real')"
    rows = database.execute(f"SELECT training, status, failure, count, last_at FROM tallies WHERE {are_numbers}").fetchall()  # noqa: S608
    known = {status.value for status in RunStatus}
    return [Tally(training, RunStatus(status), failure, number, at) for training, status, failure, number, at in rows if status in known]
