"""What is special to reading from SQLite and from CSV files: a file that is missing, locked, changed meanwhile, or none at all.

Does not cover: what rows become (tests/contracts/test_datasets).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.schema import DataSettings
from training.dataset import open_reader, trying
from training.dataset import sqlite as reading
from training.dataset.base import Dataset
from training.dataset.building import BATCH_ROWS
from training.errors import BadData, DataUnavailable

ROWS = BATCH_ROWS + 5_000


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trying, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(trying, "LONGEST_WAIT_S", 0.05)
    monkeypatch.setattr(reading, "_BUSY_S", 0.0)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "data.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE interactions (user_id, item_id)")
        connection.executemany("INSERT INTO interactions VALUES (?, ?)", [(at % 100, at % 77) for at in range(ROWS)])
    return path


def read(url: str, on_progress: Callable[[str, int, int], None] = lambda *told: None, **changed: Any) -> Dataset:
    return open_reader(replace(DataSettings(url=url), **changed)).read(on_progress)


def do(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path, timeout=0)) as connection, connection:
        connection.executescript(sql)


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_sqlite_is_read_as_it_was_at_one_moment_and_nothing_is_left_behind(database: Path, mode: str) -> None:
    do(database, f"PRAGMA journal_mode = {mode}; CREATE TABLE items (item_id, title); INSERT INTO items VALUES (1, 'x')")
    refused: list[bool] = []

    def write(step: str, done: int, total: int) -> None:
        if done == BATCH_ROWS:
            try:
                do(database, "INSERT INTO items VALUES (2, 'y')")
                refused.append(False)
            except sqlite3.OperationalError:
                refused.append(True)

    found = read(f"sqlite:///{database}", write)
    assert refused == [mode == "delete"], "a database in WAL mode takes writes meanwhile"
    assert found.items is not None and sum(text != "" for text in found.items.text) == 1
    do(database, "INSERT INTO items VALUES (3, 'z'); PRAGMA wal_checkpoint(TRUNCATE)")
    assert sorted(path.name for path in database.parent.iterdir()) == ["data.db"]


def test_a_sqlite_file_that_is_missing_is_named_and_not_made(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.db"
    with pytest.raises(BadData, match=r"there is no database .*nowhere\.db"):
        read(f"sqlite:///{path}")
    assert not path.exists()


def test_a_file_that_is_no_sqlite_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_bytes(b"these are notes, and not a database at all" * 100)
    with pytest.raises(BadData, match="not a database"):
        read(f"sqlite:///{path}")


def test_a_database_that_stays_locked_is_unavailable_and_one_that_is_freed_is_read(database: Path) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DataUnavailable, match=r"data\.db: database is locked \(tried 3 times\)"):
            read(f"sqlite:///{database}", attempts=3)
    assert len(read(f"sqlite:///{database}", attempts=3).interactions) == ROWS


def test_a_lock_that_is_given_up_meanwhile_is_waited_out(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")

        def wait(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 2:
                other.execute("ROLLBACK")

        monkeypatch.setattr("training.dataset.sqlite.time.sleep", wait)
        assert len(read(f"sqlite:///{database}", attempts=5).interactions) == ROWS
    assert len(waits) == 2


def test_a_query_of_sqlite_beyond_its_time_limit_is_stopped(database: Path) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) AS user_id, 1 AS item_id FROM n"
    with pytest.raises(DataUnavailable, match=r"interactions: the query took longer than statement_timeout, 0\.1 s"):
        read(f"sqlite:///{database}", interactions=endless, statement_timeout_s=0.1)


def test_another_database_is_neither_written_nor_made(database: Path, tmp_path: Path) -> None:
    with pytest.raises(BadData):
        read(f"sqlite:///{database}", interactions=f"ATTACH '{tmp_path / 'other.db'}' AS other")
    assert not (tmp_path / "other.db").exists()


def test_bytes_are_no_ids(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    do(path, "CREATE TABLE interactions (user_id, item_id); INSERT INTO interactions VALUES (1, x'00')")
    with pytest.raises(BadData, match=r"column item_id, row 1: b'\\x00' is no id"):
        read(f"sqlite:///{path}")


def test_text_that_is_no_utf_8_is_told_in_the_words_of_the_database(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    do(path, "CREATE TABLE interactions (user_id, item_id); INSERT INTO interactions VALUES (1, CAST(x'ff' AS TEXT))")
    with pytest.raises(BadData, match="Could not decode"):
        read(f"sqlite:///{path}")


# -- CSV ----------------------------------------------------------------------------------------------------------------


def files(folder: Path, **contents: str | bytes) -> str:
    for name, content in contents.items():
        (folder / f"{name}.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    return f"csv://{folder}"


def test_quotes_lines_and_a_byte_order_mark(tmp_path: Path) -> None:
    url = files(
        tmp_path,
        interactions="\ufeffuser_id,item_id\r\n1,2\r\n\r\n3,4\r\n",
        items='item_id,title,about\n2,"A ""b"", c","two\nlines"\n4,x,\n',
    )
    found = read(url)
    assert found.user_ids == [1, 3] and found.items is not None
    assert list(found.items.text) == ['A "b", c two\nlines', "x"] and found.items.columns["about"] == ["two\nlines", None]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_the_separator_is_that_of_the_header(tmp_path: Path, separator: str) -> None:
    url = files(tmp_path, interactions=f"user_id{separator}item_id{separator}weight\n1{separator}a,b{separator}2.5\n")
    found = read(url)
    assert found.item_ids == ["a,b"] and found.interactions.weights.tolist() == [2.5]


def test_columns_have_the_kind_of_all_their_values(tmp_path: Path) -> None:
    items = "item_id,whole,number,code,switch,long\n1,5,5,05,true,9223372036854775807\n2,,0.5,17,FALSE,1\n3,-7,1e3,,,\n"
    found = read(files(tmp_path, interactions="user_id,item_id\n1,1\n", items=items)).items
    assert found is not None
    assert found.columns == {
        "whole": [5, None, -7], "number": [5.0, 0.5, 1000.0], "code": ["05", "17", None], "switch": [True, False, None],
        "long": [(1 << 63) - 1, 1, None],
    }  # fmt: skip
    assert list(found.text) == ["05", "17", ""], "numbers are no text"


def test_ids_are_numbers_only_if_they_are_in_every_file(tmp_path: Path) -> None:
    url = files(tmp_path, interactions="user_id,item_id\n1,1\n", items="item_id,title\n1,a\n", user_features="user_id,age\n1,30\n")
    assert (read(url).user_ids, read(url).item_ids) == ([1], [1])
    files(tmp_path, items="item_id,title\n1,a\nB-2,b\n", user_features="user_id,age\nme,30\n")
    assert (read(url).user_ids, read(url).item_ids) == (["1", "me"], ["1", "B-2"])


def test_files_of_other_names_and_features_that_lie_there(tmp_path: Path) -> None:
    url = files(tmp_path, ratings="user_id,item_id\n1,1\n", item_features="item_id,feature\n1,sea\n")
    found = read(url, interactions="ratings.csv")
    assert found.item_features is not None and found.item_features.names == ["sea"]
    with pytest.raises(BadData, match=r"there is no file .*films\.csv"):
        read(url, interactions="ratings.csv", items="films.csv")


def test_a_folder_or_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"there is no folder .*nowhere"):
        read(f"csv://{tmp_path / 'nowhere'}")
    with pytest.raises(BadData, match=r"there is no file .*interactions\.csv"):
        read(f"csv://{tmp_path}")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("user_id,item_id\n1\n", "row 1: has 1 values where the header names 2"),
        ("user_id,item_id\n1,2\n1,2,3\n", "row 2: has 3 values"),
        ('user_id,item_id\n1,"2\n', "line 2: unexpected end of data"),
        ('user_id,item_id\n1,"a"b\n', "line 2: "),
        (b"user_id,item_id\n1,\xff\xfe\n", "is not UTF-8"),
        ("user_id,user_id,item_id\n1,2,3\n", "there are two columns of this name"),
    ],
    ids=["empty", "short", "long", "open-quote", "after-quote", "bytes", "twice"],
)
def test_a_file_that_is_no_csv_is_refused_and_says_where(tmp_path: Path, content: str | bytes, words: str) -> None:
    with pytest.raises(BadData, match=rf"interactions\.csv.*{words}"):
        read(files(tmp_path, interactions=content))


@pytest.mark.parametrize("kind", ["csv", "sqlite"])
def test_what_may_not_be_read_is_unavailable(tmp_path: Path, kind: str) -> None:
    url = files(tmp_path, interactions="user_id,item_id\n1,1\n") if kind == "csv" else f"sqlite:///{tmp_path / 'data.db'}"
    tmp_path.chmod(0o000)
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(DataUnavailable, match="cannot be read: Permission denied"):
            read(url)
    finally:
        os.seteuid(was)
        tmp_path.chmod(0o700)


def test_a_file_that_is_replaced_meanwhile_is_read_to_its_end(tmp_path: Path) -> None:
    url = files(tmp_path, interactions="user_id,item_id\n1,1\n", items="item_id,title\n" + "".join(f"{at},a\n" for at in range(ROWS)))

    def replace_it(step: str, done: int, total: int) -> None:
        if step == "reading items" and not done:
            files(tmp_path, fresh="item_id,title\n1,z\n")
            (tmp_path / "fresh.csv").replace(tmp_path / "items.csv")

    found = read(url, replace_it)
    assert len(found.item_ids) == ROWS and found.items is not None and set(found.items.text) == {"a"}
