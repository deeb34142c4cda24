"""The runs that were, in SQLite: `<store>/training.db`. History only: which versions there are is said by their folders.

Covers: keeping runs, which ticks of a schedule were taken, how many interactions came since the last run; a file, or a row of it,
that is damaged. Does not cover: what a run is (`training.running.runs`), its record (`training.running.records`), whether its process
still lives (`training.running.recording`), how runs are counted (`training.running.tallies`). Several processes may have it open.
Blocking, for a thread; every method is one short transaction. Standard library only.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from training.running import tallies
from training.running.records import record_of, run_of
from training.running.runs import Run, RunStatus
from training.running.tallies import Tally

NAME = "training.db"
KEPT_RUNS = 1000
"""Of each training."""
KEPT_TICKS = 1000
BUSY_S = 10.0
"""How long another process may hold the file."""
_VERSION = 1
_SCHEMA = """
CREATE TABLE runs (id TEXT PRIMARY KEY, training TEXT NOT NULL, created_at REAL NOT NULL, status TEXT NOT NULL, record TEXT NOT NULL);
CREATE INDEX runs_of_training ON runs (training, created_at);
CREATE TABLE ticks (training TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (training, at)) WITHOUT ROWID;
CREATE TABLE counters (training TEXT PRIMARY KEY, interactions INTEGER NOT NULL) WITHOUT ROWID;
"""
_UNFINISHED = (RunStatus.QUEUED.value, RunStatus.RUNNING.value)
_OVER = "SELECT record FROM runs WHERE id = ? AND status NOT IN (?, ?)"
_COMPARED = (RunStatus.PUBLISHED.value, RunStatus.REFUSED.value)
T = TypeVar("T")
_log = logging.getLogger("holdfast.training")


class JournalUnavailable(Exception):
    """The journal cannot be read or written now: the disk is full, or another process holds it too long."""


class _Damaged(sqlite3.DatabaseError):
    """The file is a database, but not one of this program."""


class Journal:
    """The journal of a store. `open` it before anything else, `close` it once."""

    def __init__(self, path: Path, *, busy_s: float = BUSY_S) -> None:
        self.path = path
        self._busy_s = busy_s
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._told_of: set[int] = set()
        """Records, by their hash, of which it was said that they are damaged: they are read again and again."""

    def __repr__(self) -> str:
        return f"<Journal {self.path} {'open' if self._database is not None else 'closed'}>"

    def open(self) -> None:
        """Make the file, if there is none; one that is damaged is set aside. Raises JournalUnavailable."""
        with self._lock:
            self._database = self._opened()

    def close(self) -> None:
        """Nothing may be asked afterwards."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    # -- runs ---------------------------------------------------------------------------------------------------------

    def add(self, run: Run) -> None:
        """Keep a new run, and of its training only the newest. Raises JournalUnavailable."""
        oldest = "SELECT id FROM runs WHERE training = ? AND status NOT IN (?, ?) ORDER BY id DESC LIMIT -1 OFFSET ?"

        def write(database: sqlite3.Connection) -> None:
            database.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?)", _row(run))
            database.execute(f"DELETE FROM runs WHERE id IN ({oldest})", (run.training, *_UNFINISHED, KEPT_RUNS))  # noqa: S608 - a constant

        self._write(write)

    def update(self, run: Run) -> None:
        """Keep what became of a run; one that was forgotten meanwhile is kept anew. Raises JournalUnavailable."""

        def write(database: sqlite3.Connection) -> None:
            is_new = run.status.is_over and database.execute(_OVER, (run.id, *_UNFINISHED)).fetchone() is None
            database.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?)", _row(run))
            if is_new:
                tallies.count(database, run)

        self._write(write)

    def end_if_unfinished(self, run: Run) -> Run:
        """Keep how a run ended, unless it is over in the journal already; how it is there afterwards. Raises JournalUnavailable."""

        def write(database: sqlite3.Connection) -> Run:
            row = database.execute(_OVER, (run.id, *_UNFINISHED)).fetchone()
            if row is not None and (found := self._run(row[0])) is not None:
                return found
            database.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?)", _row(run))
            if row is None:
                tallies.count(database, run)
            return run

        return self._write(write)

    def run(self, id: str) -> Run | None:
        """One run. Raises JournalUnavailable."""
        found = self._read("SELECT record FROM runs WHERE id = ?", (id,))
        return next(iter(found), None)

    def runs(self, training: str | None = None, limit: int = 50) -> list[Run]:
        """The newest runs, newest first. Raises JournalUnavailable."""
        of = "" if training is None else "WHERE training = ?"
        named = () if training is None else (training,)
        return self._read(f"SELECT record FROM runs {of} ORDER BY created_at DESC, id DESC LIMIT ?", (*named, limit))  # noqa: S608 - as above

    def unfinished(self) -> list[Run]:
        """Runs that wait or run, oldest first: of any process. Raises JournalUnavailable."""
        return self._read("SELECT record FROM runs WHERE status IN (?, ?) ORDER BY created_at, id", _UNFINISHED)

    def last_compared(self, training: str) -> Run | None:
        """The last run that was published or refused: what new data are compared with. Raises JournalUnavailable."""
        asked = "SELECT record FROM runs WHERE training = ? AND status IN (?, ?) ORDER BY id DESC LIMIT 1"
        return next(iter(self._read(asked, (training, *_COMPARED))), None)

    def last_id(self, training: str) -> str | None:
        """The id of its newest run: ids sort by age, whatever the clock said. Raises JournalUnavailable."""
        found = self._ask(lambda database: database.execute("SELECT max(id) FROM runs WHERE training = ?", (training,)).fetchone())
        return None if found[0] is None else str(found[0])

    def tallies(self) -> list[Tally]:
        """How often runs of each training ended how, those among them that are forgotten. Raises JournalUnavailable."""
        return self._ask(tallies.read)

    # -- the schedule -------------------------------------------------------------------------------------------------

    def take_tick(self, training: str, at: float) -> bool:
        """Whether this tick of a schedule is the caller's: True once, whoever asks. Raises JournalUnavailable."""
        oldest = "SELECT at FROM ticks WHERE training = ? ORDER BY at DESC LIMIT -1 OFFSET ?"

        def write(database: sqlite3.Connection) -> bool:
            taken = database.execute("INSERT OR IGNORE INTO ticks VALUES (?, ?)", (training, at)).rowcount == 1
            database.execute(f"DELETE FROM ticks WHERE training = ? AND at IN ({oldest})", (training, training, KEPT_TICKS))  # noqa: S608
            return taken

        return self._write(write)

    def last_tick(self, training: str) -> float | None:
        """The last tick that was taken, Unix seconds. Raises JournalUnavailable."""
        asked = "SELECT max(at) FROM ticks WHERE training = ? AND typeof(at) IN ('integer', 'real')"
        found = self._ask(lambda database: database.execute(asked, (training,)).fetchone())
        return None if found[0] is None else float(found[0])

    # -- new interactions ---------------------------------------------------------------------------------------------

    def count_interactions(self, trainings: Iterable[str], count: int) -> dict[str, int]:
        """Add to what came since the last run of each of these trainings; what that is now. Raises JournalUnavailable."""
        names = list(trainings)
        added = (
            "INSERT INTO counters VALUES (?, ?) ON CONFLICT (training) DO UPDATE SET interactions = interactions + excluded.interactions"
            " RETURNING interactions"
        )

        def write(database: sqlite3.Connection) -> dict[str, int]:
            return {name: int(database.execute(added, (name, count)).fetchone()[0]) for name in names}

        return self._write(write)

    def forget_interactions(self, training: str) -> None:
        """A run begins: it learns from all that came so far. Raises JournalUnavailable."""
        self._write(lambda database: database.execute("DELETE FROM counters WHERE training = ?", (training,)))

    # -- the file -----------------------------------------------------------------------------------------------------

    def _read(self, asked: str, values: tuple[object, ...]) -> list[Run]:
        rows = self._ask(lambda database: database.execute(asked, values).fetchall())
        found = (self._run(row[0]) for row in rows)
        return [run for run in found if run is not None]

    def _run(self, record: object) -> Run | None:
        """The run of a record, as far as it can be read; None where it cannot, which is said in the log once."""
        run, wrong = run_of(record)
        if wrong and hash(record) not in self._told_of:
            self._told_of.add(hash(record))
            told = {"action": "record_damaged", "run": None if run is None else run.id, "fields": wrong}
            what = "passed over" if run is None else "told without them"
            _log.warning("a run of the journal has fields that cannot be read, and is %s: %s", what, ", ".join(wrong), extra=told)
        return run

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def transaction(database: sqlite3.Connection) -> T:
            with _transaction(database):
                return work(database)

        return self._ask(transaction)

    def _ask(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` gives; a file that turns out to be damaged is set aside, and `work` done on a new one."""
        with self._lock:
            if self._database is None:
                raise JournalUnavailable(f"{self.path} is closed")
            try:
                return work(self._database)
            except sqlite3.Error as error:
                if not _is_damage(error):
                    raise JournalUnavailable(f"{self.path}: {error}") from error
                self._database.close()
                self._database = None
                self._set_aside(error)
            self._database = self._opened()
            try:
                return work(self._database)
            except sqlite3.Error as error:
                raise JournalUnavailable(f"{self.path}: {error}") from error

    def _opened(self) -> sqlite3.Connection:
        try:
            try:
                return self._connected()
            except sqlite3.Error as error:
                if not _is_damage(error):
                    raise
                self._set_aside(error)
            return self._connected()
        except sqlite3.Error as error:
            raise JournalUnavailable(f"{self.path}: {error}") from error
        except OSError as error:
            raise JournalUnavailable(f"{self.path}: {error.strerror or error}") from error

    def _connected(self) -> sqlite3.Connection:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # its journal gets the same mode
        database = sqlite3.connect(self.path, timeout=self._busy_s, isolation_level=None, check_same_thread=False)
        database.text_factory = _text
        try:
            with _transaction(database):
                version = database.execute("PRAGMA user_version").fetchone()[0]
                if version == 0:
                    for statement in filter(str.strip, _SCHEMA.split(";")):
                        database.execute(statement)
                    database.execute(f"PRAGMA user_version = {_VERSION}")
                elif version != _VERSION:
                    raise _Damaged(f"its layout is {version}, and this program's {_VERSION}")
                database.execute(tallies.TABLE)
            found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise _Damaged(str(found))
        except BaseException:
            database.close()
            raise
        return database

    def _set_aside(self, error: sqlite3.Error) -> None:
        aside = self.path.with_name(f"{self.path.name}.damaged-{time.time_ns()}")
        try:
            self.path.rename(aside)
            self.path.with_name(f"{self.path.name}-journal").unlink(missing_ok=True)
        except FileNotFoundError:
            return  # another process has set it aside
        except OSError as failed:
            raise JournalUnavailable(f"{self.path} is damaged ({error}) and cannot be renamed: {failed.strerror or failed}") from failed
        told = {"action": "journal_damaged", "cause": str(error), "kept_as": aside.name}
        _log.error("the journal of runs is damaged: it is set aside, and a new one begun; versions are not in it", extra=told)


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.rollback()
        raise
    database.commit()


def _is_damage(error: sqlite3.Error) -> bool:
    """Not what passes: a disk that is full, a file that is busy or may not be written."""
    name = getattr(error, "sqlite_errorname", "")
    return isinstance(error, _Damaged) or name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or "no such table" in str(error)


def _row(run: Run) -> tuple[object, ...]:
    return run.id, run.training, run.created_at, run.status.value, record_of(run)


def _text(data: bytes) -> str:
    """Text of a file that somebody edited need not be UTF-8."""
    return data.decode("utf-8", "replace")
