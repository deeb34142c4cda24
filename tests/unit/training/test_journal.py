"""The journal of runs: what is kept, what is forgotten, and a file that is damaged."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

import training.running.journal
from tests.unit.service.a_run import a_published_run
from training.running.journal import Journal, JournalUnavailable
from training.running.runs import Run, RunCause, RunStatus
from training.running.tallies import Tally


def a_run(id: str = "20261121T101500-000001", training: str = "als", at: float = 1.0, status: RunStatus = RunStatus.QUEUED) -> Run:
    return Run(id, training, "als", status, RunCause.COMMAND, at)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "store" / "training.db")
    journal.open()
    yield journal
    journal.close()


def test_a_run_comes_back_as_it_was_kept(journal: Journal) -> None:
    run = replace(
        a_published_run("20261121T101500-000001"), failure={"type": "bad_data", "message": "no"}, step="epoch 3 of 6", progress=0.5,
        reason="it waits", forced=True,
    )  # fmt: skip
    journal.add(run)
    assert journal.run(run.id) == run
    journal.update(replace(run, status=RunStatus.FAILED, ended_at=3.0))
    found = journal.run(run.id)
    assert found is not None and found.status is RunStatus.FAILED and found.ended_at == 3.0
    assert journal.run("nobody") is None


def test_runs_are_told_newest_first_and_of_one_training(journal: Journal) -> None:
    for at, name in enumerate(["als", "bpr", "als"]):
        journal.add(a_run(f"{at}", name, float(at)))
    assert [run.id for run in journal.runs()] == ["2", "1", "0"]
    assert [run.id for run in journal.runs("als")] == ["2", "0"]
    assert [run.id for run in journal.runs(limit=1)] == ["2"]


def test_the_oldest_runs_are_forgotten_but_none_that_still_runs(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training.running.journal, "KEPT_RUNS", 2)
    journal.add(a_run("still-queued", at=0.0))
    journal.add(a_run("of-another", "bpr", 0.5, RunStatus.FAILED))
    for at in range(1, 5):
        journal.add(a_run(f"{at}", at=float(at), status=RunStatus.PUBLISHED))
    assert [run.id for run in journal.runs()] == ["4", "3", "of-another", "still-queued"]


def test_what_is_compared_is_the_last_that_was_measured(journal: Journal) -> None:
    assert journal.last_compared("als") is None
    for at, status in enumerate([RunStatus.PUBLISHED, RunStatus.REFUSED, RunStatus.SKIPPED, RunStatus.FAILED, RunStatus.CRASHED]):
        journal.add(a_run(f"{at}", at=float(at), status=status))
    found = journal.last_compared("als")
    assert found is not None and found.id == "1"


def test_unfinished_runs_are_found_oldest_first(journal: Journal) -> None:
    for at, status in enumerate(RunStatus):
        journal.add(a_run(f"{at}", at=-float(at), status=status))
    assert [run.status for run in journal.unfinished()] == [RunStatus.RUNNING, RunStatus.QUEUED]


def test_how_a_run_ended_is_not_said_anew_by_who_thought_it_dead(journal: Journal) -> None:
    crashed = a_run(status=RunStatus.CRASHED)
    for status, kept in ((RunStatus.RUNNING, RunStatus.CRASHED), (RunStatus.PUBLISHED, RunStatus.PUBLISHED)):
        journal.update(a_run(status=status))
        assert journal.end_if_unfinished(crashed).status is kept
        found = journal.run(crashed.id)
        assert found is not None and found.status is kept


def test_a_tick_is_taken_once_whoever_asks(journal: Journal) -> None:
    other = Journal(journal.path)
    other.open()
    assert journal.last_tick("als") is None
    assert [journal.take_tick("als", 60.0), other.take_tick("als", 60.0), journal.take_tick("bpr", 60.0)] == [True, False, True]
    assert other.take_tick("als", 120.0)
    assert journal.last_tick("als") == 120.0
    other.close()


def test_old_ticks_are_forgotten(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training.running.journal, "KEPT_TICKS", 2)
    assert all(journal.take_tick("als", float(at)) for at in range(5))
    assert [journal.take_tick("als", float(at)) for at in (3, 4)] == [False, False]
    with sqlite3.connect(journal.path) as database:
        assert database.execute("SELECT count(*) FROM ticks").fetchone() == (2,)
    database.close()


def test_interactions_are_counted_until_a_run_begins(journal: Journal) -> None:
    assert journal.count_interactions(["als", "bpr"], 3) == {"als": 3, "bpr": 3}
    journal.forget_interactions("als")
    assert journal.count_interactions(["als", "bpr"], 2) == {"als": 2, "bpr": 5}


def test_it_is_private_and_lasts(journal: Journal) -> None:
    journal.add(a_run())
    journal.close()
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(journal.path.parent.stat().st_mode) == 0o700
    with pytest.raises(JournalUnavailable, match="closed"):
        journal.runs()
    journal.open()
    assert journal.run(a_run().id) == a_run()


@pytest.mark.parametrize("content", [b"no database " * 100, b"SQLite format 3\0" + b"\xff" * 4096], ids=["text", "header"])
def test_a_damaged_file_is_set_aside_and_a_new_one_begun(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "training.db").write_bytes(content)
    journal = Journal(tmp_path / "training.db")
    journal.open()
    journal.add(a_run())
    assert [run.id for run in journal.runs()] == [a_run().id]
    journal.close()
    (aside,) = tmp_path.glob("training.db.damaged-*")
    assert aside.read_bytes() == content
    assert "set aside" in caplog.text


def test_a_file_of_another_layout_is_set_aside(journal: Journal) -> None:
    with sqlite3.connect(journal.path) as database:
        database.execute("PRAGMA user_version = 2")
    database.close()
    journal.close()
    journal.open()
    assert journal.runs() == []
    assert len(list(journal.path.parent.glob("training.db.damaged-*"))) == 1


def test_damage_that_shows_later_costs_the_history_and_nothing_else(journal: Journal) -> None:
    for at in range(50):
        journal.add(replace(a_run(f"{at}", at=float(at)), log=("x" * 500,)))
    journal.close()
    journal.open()
    size = journal.path.stat().st_size
    with journal.path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    with journal.path.open("r+b") as file:  # the change counter: what is cached counts no more
        file.seek(24)
        file.write(b"\xff\xff\xff\x01")
    assert journal.runs() == []
    journal.add(a_run())
    assert journal.run(a_run().id) == a_run()


def test_a_file_that_is_busy_is_no_damage(journal: Journal) -> None:
    other = Journal(journal.path, busy_s=0.0)
    other.open()
    holder = sqlite3.connect(journal.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalUnavailable, match="locked"):
        other.add(a_run())
    holder.close()
    other.add(a_run())
    other.close()
    assert not list(journal.path.parent.glob("*.damaged-*"))


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalUnavailable, match="file"):
        Journal(tmp_path / "file" / "training.db").open()


def test_a_run_that_a_newer_program_wrote_is_passed_over(journal: Journal) -> None:
    journal.add(a_run("1"))
    with sqlite3.connect(journal.path) as database:
        database.execute("INSERT INTO runs VALUES ('2', 'als', 2.0, 'dreaming', '{\"status\": \"dreaming\"}')")
        database.execute("INSERT INTO runs SELECT '3', training, 3.0, status, json_set(record, '$.id', '3', '$.mood', 1) FROM runs LIMIT 1")
    database.close()
    assert [run.id for run in journal.runs()] == ["3", "1"]


def edited(path: Path, statement: str, *values: object) -> None:
    """Edit the file by hand."""
    with sqlite3.connect(path) as database:
        database.execute(statement, values)
    database.close()


@pytest.mark.parametrize(
    "record",
    [b"\xff\xfe", "", "no", "7", "[]", "[" * 100_000, 7, 1e300, "{}", '{"id": 7}', "9" * 5000],
    ids=["bytes", "empty", "no JSON", "number", "list", "deep", "integer", "real", "nothing", "no run", "digits"],
)
def test_a_record_that_is_none_is_passed_over_and_said_once(journal: Journal, record: object, caplog: pytest.LogCaptureFixture) -> None:
    journal.add(a_run("1"))
    journal.add(a_run("2", at=2.0))
    edited(journal.path, "UPDATE runs SET record = ? WHERE id = '2'", record)
    assert [[run.id for run in journal.runs()] for _ in range(2)] == [["1"], ["1"]]
    assert journal.run("2") is None
    assert [run.id for run in journal.unfinished()] == ["1"]
    assert [each.getMessage().partition(":")[0] for each in caplog.records] == [
        "a run of the journal has fields that cannot be read, and is passed over"
    ]
    journal.update(a_run("2", at=2.0, status=RunStatus.CANCELLED))
    assert [run.id for run in journal.runs()] == ["2", "1"], "what is written anew is whole"


def test_text_that_is_no_utf_8_is_read_as_far_as_it_is(journal: Journal) -> None:
    journal.add(replace(a_run(), requested_by="ada"))
    edited(journal.path, "UPDATE runs SET record = CAST(replace(CAST(record AS BLOB), CAST('ada' AS BLOB), x'61ff61') AS TEXT)")
    assert [run.requested_by for run in journal.runs()] == ["a\ufffda"]


def test_numbers_that_somebody_made_text_are_passed_over(journal: Journal) -> None:
    journal.take_tick("als", 60.0)
    journal.update(a_run("1", status=RunStatus.FAILED))
    journal.update(a_run("1", "bpr", status=RunStatus.FAILED))
    edited(journal.path, "INSERT INTO ticks VALUES ('als', 'tomorrow')")
    edited(journal.path, "UPDATE tallies SET count = 'many' WHERE training = 'als'")
    assert journal.last_tick("als") == 60.0
    assert journal.tallies() == []
    journal.update(a_run("2", "bpr", status=RunStatus.FAILED))
    assert [each.training for each in journal.tallies()] == ["bpr"]


def _adds(path: Path, numbers: range) -> int:
    journal = Journal(path)
    journal.open()
    for number in numbers:
        journal.add(a_run(f"{number:04}", at=float(number)))
    taken = sum(journal.take_tick("als", float(tick)) for tick in range(20))
    journal.close()
    return taken


def test_several_connections_write_it_at_the_same_time(journal: Journal) -> None:
    with ThreadPoolExecutor(2) as pool:
        taken = list(pool.map(_adds, [journal.path] * 4, [range(at, at + 25) for at in range(0, 100, 25)]))
    assert len(journal.runs(limit=1000)) == 100
    assert sum(taken) == 20


def test_runs_are_counted_once_by_how_they_ended_and_outlive_the_runs(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training.running.journal, "KEPT_RUNS", 1)
    died = {"type": "child_crashed", "message": "gone"}
    for number in range(3):
        run = a_run(f"{number}", at=float(number))
        journal.add(run)
        journal.update(replace(run, status=RunStatus.RUNNING))
        assert len(journal.tallies()) == min(number, 1)
        ended = replace(run, status=RunStatus.CRASHED, failure=died, ended_at=10.0 + number)
        journal.end_if_unfinished(ended)
        journal.end_if_unfinished(replace(ended, status=RunStatus.FAILED))
        journal.update(ended)
    journal.add(a_run("of-another", "bpr"))
    journal.update(replace(a_run("of-another", "bpr"), status=RunStatus.PUBLISHED, ended_at=20.0))
    assert len(journal.runs("als")) < 3
    crashed = Tally("als", RunStatus.CRASHED, "child_crashed", 3, 12.0)
    assert sorted(journal.tallies(), key=str) == [crashed, Tally("bpr", RunStatus.PUBLISHED, "", 1, 20.0)]


def test_a_journal_from_before_runs_were_counted_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "training.db"
    first = Journal(path)
    first.open()
    first.add(a_run())
    first.close()
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE tallies")
    database.close()
    journal = Journal(path)
    journal.open()
    assert (len(journal.runs()), journal.tallies()) == (1, [])
    journal.close()
    assert list(tmp_path.glob("*damaged*")) == []
