"""What every writer of `training.ingest.INGESTS` owes: whole requests or nothing, once under a key, ids in their kinds, and back again.

A kind of database that is listed without a place here fails. Does not cover: what a body may say (`tests/unit/service`).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import pytest

from config.schema import DataSettings
from tests.doubles.postgres import PostgresDatabase
from training.dataset import open_reader
from training.errors import DataUnavailable
from training.ingest import INGESTS, base, open_ingest
from training.ingest.base import Appended, Ingest, Interaction, Key, KeyReused, NotTaken, WrongValue

AT = 1_772_600_767.25
ROWS = [Interaction(1, 10, 1.0, AT), Interaction(2, 11, 2.5, AT + 2), Interaction(1, 12, 1.0, AT + 1)]
KEY = Key("k1", "digest")
MAKING = "CREATE TABLE interactions (user_id {id}, item_id {id}, weight {real}, ts {time})"


class Place:
    """A database, its address, and the names of its types."""

    def __init__(self, url: str, run: Callable[[str], list[tuple[Any, ...]]], **types: str) -> None:
        self.url = url
        self.run = run
        self.types = types

    def make(self, sql: str = MAKING, **types: str) -> None:
        self.run(sql.format(**{**self.types, **types}))

    def count(self, table: str = "interactions") -> int:
        return int(self.run(f"SELECT count(*) FROM {table}")[0][0])


def _sqlite(request: pytest.FixtureRequest) -> Place:
    path: Path = request.getfixturevalue("tmp_path") / "data of #1.db"

    def run(sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(path)) as database, database:
            return database.execute(sql).fetchall()

    return Place(f"sqlite:///{path}", run, id="INTEGER", text="TEXT", real="REAL", time="REAL")


def _postgres(request: pytest.FixtureRequest) -> Place:
    database: PostgresDatabase = request.getfixturevalue("postgres")

    def run(sql: str) -> list[tuple[Any, ...]]:
        return [tuple(line.split("|")) for line in database.run(sql).splitlines()]

    return Place(database.url, run, id="bigint", text="text", real="double precision", time="timestamptz")


def _postgres_by_socket(request: pytest.FixtureRequest) -> Place:
    place, database = _postgres(request), request.getfixturevalue("postgres")
    return Place(database.socket_url.replace("postgresql://", "postgres://"), place.run, **place.types)


PLACES: dict[str, Callable[[pytest.FixtureRequest], Place]] = {"sqlite": _sqlite, "postgresql": _postgres, "postgres": _postgres_by_socket}


@pytest.fixture(params=INGESTS)
def place(request: pytest.FixtureRequest) -> Place:
    return PLACES[request.param](request)


@pytest.fixture
async def ingest(place: Place) -> AsyncIterator[Ingest]:
    opened = open_ingest(DataSettings(url=place.url))
    yield opened
    await opened.aclose()


async def recent(ingest: Ingest, limit: int = 1000) -> list[Interaction]:
    async with aclosing(ingest.recent(limit)) as batches:
        return [each async for batch in batches for each in batch]


async def refused(ingest: Ingest, rows: Sequence[Interaction], at: int | None, column: str) -> str:
    with pytest.raises(WrongValue) as found:
        await ingest.append(rows)
    assert (found.value.at, found.value.column) == (at, column)
    return found.value.message


def test_every_kind_of_database_has_a_place() -> None:
    assert PLACES.keys() == INGESTS.keys()


# -- appending ----------------------------------------------------------------------------------------------------------


async def test_the_table_is_made_and_training_reads_what_was_appended(place: Place, ingest: Ingest) -> None:
    assert await recent(ingest) == []
    assert await ingest.append(ROWS) == Appended(3)
    assert await ingest.append(ROWS[:1]) == Appended(1)
    read = await asyncio.to_thread(open_reader(DataSettings(url=place.url)).read, lambda step, done, total: None)
    assert sorted(read.user_ids) == [1, 2] and sorted(read.item_ids) == [10, 11, 12] and len(read.interactions) == 4
    assert read.interactions.times is not None and read.interactions.weights.max() == 2.5
    assert sorted(read.interactions.times.tolist()) == pytest.approx([AT, AT, AT + 1, AT + 2])


async def test_what_was_appended_comes_back_latest_first(ingest: Ingest) -> None:
    await ingest.append(ROWS)
    assert await recent(ingest) == [ROWS[1], ROWS[2], ROWS[0]]
    assert await recent(ingest, 2) == [ROWS[1], ROWS[2]]


async def test_it_comes_back_in_runs(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.ingest.sqlite.RECENT_AT_ONCE", 2)
    monkeypatch.setattr("training.ingest.postgres.RECENT_AT_ONCE", 2)
    await ingest.append(ROWS)
    async with aclosing(ingest.recent(1000)) as batches:
        assert [len(batch) async for batch in batches] == [2, 1]
    async with aclosing(ingest.recent(1000)) as batches:
        await anext(batches)  # whoever has enough lets it go
    assert await ingest.append(ROWS) == Appended(3)


async def test_text_is_text(place: Place, ingest: Ingest) -> None:
    await ingest.append([Interaction("1", "it's", 1.0, AT)])
    assert await recent(ingest) == [Interaction("1", "it's", 1.0, AT)]


async def test_many_at_once_and_from_several_requests(place: Place, ingest: Ingest) -> None:
    many = [Interaction(user, 7, 1.0, AT) for user in range(10_000)]
    await asyncio.gather(ingest.append(many), *(ingest.append(ROWS) for _ in range(12)))
    assert place.count() == 10_000 + 36


async def test_all_of_a_request_or_nothing(place: Place, ingest: Ingest) -> None:
    place.make()
    place.run("ALTER TABLE interactions RENAME TO whole")
    place.run(f"CREATE TABLE interactions (user_id {place.types['id']} CHECK (user_id < 100), item_id {place.types['id']})")
    told = await refused(ingest, [Interaction(5, 6, 1.0, AT), Interaction(500, 6, 1.0, AT)], None, "")
    assert "interactions" in told
    with pytest.raises(WrongValue):
        await ingest.append([Interaction(500, 6, 1.0, AT)], KEY)
    assert place.count() == 0
    assert await ingest.append([Interaction(5, 6, 1.0, AT)], KEY) == Appended(1), "the key was not taken by what failed"


# -- keys ---------------------------------------------------------------------------------------------------------------


async def test_a_request_counts_once_under_its_key(place: Place, ingest: Ingest) -> None:
    assert await ingest.append(ROWS, KEY) == Appended(3)
    assert await ingest.append(ROWS, KEY) == Appended(3, is_duplicate=True)
    assert await ingest.append(ROWS, Key("k2", "digest")) == Appended(3)
    with pytest.raises(KeyReused):
        await ingest.append(ROWS[:1], Key("k1", "another"))
    assert place.count() == 6
    again = open_ingest(DataSettings(url=place.url))
    assert await again.append(ROWS, KEY) == Appended(3, is_duplicate=True)
    await again.aclose()


async def test_of_the_same_request_many_times_at_once_one_is_appended(place: Place, ingest: Ingest) -> None:
    found = await asyncio.gather(*(ingest.append(ROWS, KEY) for _ in range(8)))
    assert sorted(each.is_duplicate for each in found) == [False, *[True] * 7]
    assert place.count() == 3


async def test_keys_are_forgotten(place: Place, ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    await ingest.append(ROWS, KEY)
    for module in ("sqlite", "postgres"):
        monkeypatch.setattr(f"training.ingest.{module}.KEY_KEPT_S", -60.0)
        monkeypatch.setattr(f"training.ingest.{module}.KEYS_BETWEEN_CLEANINGS", 1)
    assert await ingest.append(ROWS, Key("k2", "digest")) == Appended(3)
    assert place.count(base.KEYS_TABLE) == 1
    assert await ingest.append(ROWS, KEY) == Appended(3)


# -- tables of others ---------------------------------------------------------------------------------------------------


async def test_ids_of_the_wrong_kind_are_refused_by_place_and_name(place: Place, ingest: Ingest) -> None:
    place.make()
    good = Interaction(1, 1, 1.0, AT)
    assert "whole numbers" in await refused(ingest, [good, Interaction("1", 1, 1.0, AT)], 1, "user_id")
    assert "whole numbers" in await refused(ingest, [Interaction(1, "x", 1.0, AT)], 0, "item_id")
    await refused(ingest, [good, good, Interaction(1, 2**63, 1.0, AT)], 2, "item_id")
    assert place.count() == 0
    await ingest.append([Interaction(-(2**63), 2**63 - 1, 1.0, AT)])
    assert await recent(ingest) == [Interaction(-(2**63), 2**63 - 1, 1.0, AT)]


async def test_a_column_of_text_takes_no_numbers(place: Place, ingest: Ingest) -> None:
    place.make(id=place.types["text"])
    assert "number" in await refused(ingest, [Interaction("a", 1, 1.0, AT)], 0, "item_id")
    await ingest.append([Interaction("1", "b", 1.0, AT)])
    assert await recent(ingest) == [Interaction("1", "b", 1.0, AT)]


async def test_a_table_without_weights_or_times(place: Place, ingest: Ingest) -> None:
    place.make("CREATE TABLE interactions (item_id {id}, user_id {id})")
    assert "weight" in await refused(ingest, ROWS, 1, "weight")
    assert await ingest.append(ROWS[:1]) == Appended(1)
    assert place.run("SELECT user_id, item_id FROM interactions") in ([(1, 10)], [("1", "10")])
    assert await recent(ingest) == [], "who knows what is recent"


async def test_a_table_in_a_schema_and_names_that_are_words_of_sql(place: Place) -> None:
    schema = "main" if place.url.startswith("sqlite") else "public"
    ingest = open_ingest(DataSettings(url=place.url, ingest_table=f"{schema}.Order"))
    await ingest.append(ROWS, KEY)
    assert await ingest.append(ROWS, KEY) == Appended(3, is_duplicate=True)
    assert place.count('"Order"') == 3 and len(await recent(ingest)) == 3
    await ingest.aclose()


@pytest.mark.parametrize("name", ["", "a b", "a;--", "x.", ".x", "a.b.c", '"a"', "1a", "a" * 64])
def test_what_is_no_name_is_no_table(place: Place, name: str) -> None:
    with pytest.raises(NotTaken, match="ingest_table"):
        open_ingest(DataSettings(url=place.url, ingest_table=name))


async def test_a_table_without_the_columns_takes_nothing_and_says_so(place: Place, ingest: Ingest) -> None:
    place.make("CREATE TABLE interactions (customer {id}, item_id {id}, ts {time})")
    with pytest.raises(NotTaken, match="user_id"):
        await ingest.append(ROWS)
    assert await recent(ingest) == []


async def test_a_table_that_wants_more_takes_nothing_and_says_so(place: Place, ingest: Ingest) -> None:
    place.make("CREATE TABLE interactions (user_id {id}, item_id {id}, shop {text} NOT NULL)")
    assert "shop" in await refused(ingest, ROWS[:1], None, "")


async def test_a_table_that_changes_is_looked_at_again(place: Place, ingest: Ingest) -> None:
    await ingest.append(ROWS)
    place.run("DROP TABLE interactions")
    for _ in range(2):
        try:
            await ingest.append(ROWS)
        except NotTaken:
            continue
    assert place.count() >= 3


async def test_rows_that_are_no_interactions_are_left_out(place: Place, ingest: Ingest) -> None:
    place.make()
    await ingest.append(ROWS)
    place.run("UPDATE interactions SET weight = NULL WHERE item_id = 10")
    place.run("UPDATE interactions SET weight = 0 WHERE item_id = 11")
    place.run("UPDATE interactions SET user_id = NULL WHERE item_id = 12")
    assert await recent(ingest) == [ROWS[0]]


# -- trouble ------------------------------------------------------------------------------------------------------------


async def test_closing_again_and_before_anything_happened(place: Place) -> None:
    ingest = open_ingest(DataSettings(url=place.url))
    await ingest.aclose()
    await ingest.aclose()


@pytest.mark.parametrize("url", ["", "csv:///srv/data", "mysql://x"])
def test_what_takes_no_interactions_says_what_does(url: str) -> None:
    with pytest.raises(NotTaken, match=r"\[data\] url.*postgresql://.*sqlite:///"):
        open_ingest(DataSettings(url=url))


async def test_a_sqlite_that_somebody_else_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.ingest.sqlite.BUSY_S", 0.05)
    ingest = open_ingest(DataSettings(url=f"sqlite:///{tmp_path}/held.db"))
    await ingest.append(ROWS)
    with closing(sqlite3.connect(tmp_path / "held.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DataUnavailable, match="locked"):
            await ingest.append(ROWS)
        other.execute("ROLLBACK")
    assert await ingest.append(ROWS) == Appended(3)
    await ingest.aclose()


async def test_a_reader_of_a_sqlite_holds_no_writer_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.ingest.sqlite.BUSY_S", 0.05)
    path = tmp_path / "read.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE interactions (user_id, item_id, weight, ts)")
        database.execute("INSERT INTO interactions VALUES (1, 2, 1, 3)")
    ingest = open_ingest(DataSettings(url=f"sqlite:///{path}"))
    await ingest.append(ROWS)
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM interactions").fetchone() == (4,)
        assert await ingest.append(ROWS) == Appended(3)
        assert reader.execute("SELECT count(*) FROM interactions").fetchone() == (4,)
    await ingest.aclose()


@pytest.mark.parametrize(
    ("type", "like", "wanted"),
    [
        ("TEXT", None, "2026-03-04T05:06:07.250Z"),
        ("TEXT", "2026-01-01 00:00:00", "2026-03-04 05:06:07.250"),
        ("DATETIME", "2026-01-01 00:00:00+00:00", "2026-03-04 05:06:07.250+00:00"),
        ("INTEGER", 1_700_000_000, 1_772_600_767),
        ("INTEGER", None, 1_772_600_767),
        ("", None, AT),
    ],
)
async def test_times_in_a_sqlite_are_as_the_column_has_them(tmp_path: Path, type: str, like: object, wanted: object) -> None:
    path = tmp_path / "times.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"CREATE TABLE interactions (user_id, item_id, ts {type})")
        if like is not None:
            database.execute("INSERT INTO interactions VALUES (9, 9, ?)", (like,))
    ingest = open_ingest(DataSettings(url=f"sqlite:///{path}"))
    await ingest.append(ROWS[:1])
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT ts FROM interactions WHERE user_id = 1").fetchone() == (wanted,)
    found = await recent(ingest)
    assert found[0].user_id == 1 and found[0].ts == pytest.approx(AT, abs=1)
    await ingest.aclose()


async def test_a_sqlite_that_cannot_be_opened_or_is_none(tmp_path: Path) -> None:
    nowhere = open_ingest(DataSettings(url=f"sqlite:///{tmp_path}/no/such/folder.db"))
    with pytest.raises(DataUnavailable):
        await nowhere.append(ROWS)
    (tmp_path / "text.db").write_text("this is no database at all, but long enough to be looked at " * 20)
    text = open_ingest(DataSettings(url=f"sqlite:///{tmp_path}/text.db"))
    with pytest.raises(NotTaken):
        await text.append(ROWS)
    with pytest.raises(NotTaken):
        await recent(text)
    with pytest.raises(NotTaken, match="schema"):
        open_ingest(DataSettings(url="sqlite:////x.db", ingest_table="other.t"))
    await nowhere.aclose()
    await text.aclose()


# -- PostgreSQL ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("id", "good", "bad"),
    [
        ("smallint", 5, 2**15),
        ("integer", 5, 2**31),
        ("numeric", 5, "5"),
        ("varchar(3)", "abc", 5),
        ("char(3)", "abc", 5),
        ("uuid", "6d1f3f4e-7f0a-4a51-9bb7-3f7c1c7f3f10", "abc"),
    ],
)
async def test_ids_fit_the_columns_of_a_postgres(postgres: PostgresDatabase, id: str, good: Any, bad: Any) -> None:
    postgres.run(f"CREATE TABLE interactions (user_id {id}, item_id {id}, ts timestamptz)")
    ingest = open_ingest(DataSettings(url=postgres.url))
    await ingest.append([Interaction(good, good, 1.0, AT)])
    assert await recent(ingest) == [Interaction(good, good, 1.0, AT)]
    await refused(ingest, [Interaction(good, bad, 1.0, AT)], 0, "item_id")
    if id.endswith("(3)"):
        assert "too long" in await refused(ingest, [Interaction("abcd", good, 1.0, AT)], None, "")
    await ingest.aclose()


@pytest.mark.parametrize(
    ("time", "wanted"),
    [
        ("timestamp", "2026-03-04 05:06:07.25"),
        ("date", "2026-03-04"),
        ("bigint", "1772600767"),
        ("double precision", "1772600767.25"),
        ("numeric", "1772600767.25"),
        ("text", "2026-03-04T05:06:07.250Z"),
    ],
)
async def test_times_in_a_postgres_are_as_the_column_has_them(postgres: PostgresDatabase, time: str, wanted: str) -> None:
    postgres.run(f"ALTER DATABASE {postgres.name} SET timezone = 'Pacific/Kiritimati'")
    postgres.run(f"CREATE TABLE interactions (user_id int, item_id int, weight int, ts {time})")
    ingest = open_ingest(DataSettings(url=postgres.url))
    await ingest.append(ROWS[:1])
    assert postgres.run("SELECT ts FROM interactions") == wanted
    assert len(await recent(ingest)) == 1
    assert "whole numbers" in await refused(ingest, ROWS, 1, "weight")
    await ingest.aclose()


async def test_types_of_its_own_in_a_postgres(postgres: PostgresDatabase) -> None:
    postgres.run("CREATE DOMAIN person AS bigint CHECK (VALUE > 0); CREATE TABLE interactions (user_id person, item_id int)")
    ingest = open_ingest(DataSettings(url=postgres.url))
    await ingest.append(ROWS[:1])
    await refused(ingest, [Interaction(-1, 1, 1.0, AT)], None, "")
    postgres.run("DROP TABLE interactions; CREATE TABLE interactions (user_id int, item_id point)")
    with pytest.raises(NotTaken, match="point"):  # it knew the table before: the database says no, and it is looked at again
        await ingest.append(ROWS[:1])
    with pytest.raises(NotTaken, match="may be"):
        await ingest.append(ROWS[:1])
    await ingest.aclose()


async def test_a_postgres_that_is_away_and_comes_back(postgres: PostgresDatabase) -> None:
    ingest = open_ingest(DataSettings(url=postgres.url))
    await ingest.append(ROWS)
    await asyncio.to_thread(postgres.server.stop)
    for _ in range(2):
        with pytest.raises(DataUnavailable):
            await ingest.append(ROWS)
    with pytest.raises(DataUnavailable):
        await recent(ingest)
    postgres.server.start()  # not in a thread: it ends with the one that began it
    async with asyncio.timeout(30):
        while True:
            try:
                await ingest.append(ROWS, KEY)
                break
            except DataUnavailable:
                continue
    assert postgres.run("SELECT count(*) FROM interactions") == "6"
    await ingest.aclose()


async def test_connections_that_the_server_ends_are_made_anew(postgres: PostgresDatabase) -> None:
    ingest = open_ingest(DataSettings(url=postgres.url))
    await ingest.append(ROWS)
    assert await asyncio.to_thread(postgres.end_backends)
    async with asyncio.timeout(30):
        while True:
            try:
                await ingest.append(ROWS)
                break
            except DataUnavailable:
                continue
    await ingest.aclose()


async def test_a_table_that_is_locked_keeps_nobody_for_ever(postgres: PostgresDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.ingest.postgres.STATEMENT_S", 0.2)
    ingest = open_ingest(DataSettings(url=postgres.url))
    await ingest.append(ROWS)
    import asyncpg

    other = await asyncpg.connect(postgres.url)
    async with other.transaction():
        await other.execute("LOCK TABLE interactions")
        with pytest.raises(DataUnavailable, match="in time"):
            await ingest.append(ROWS)
    await other.close()
    assert await ingest.append(ROWS) == Appended(3)
    assert postgres.run("SELECT count(*) FROM interactions") == "6"
    await ingest.aclose()


async def test_what_a_postgres_says_of_values_is_told_once_and_on_one_line(postgres: PostgresDatabase) -> None:
    postgres.run("CREATE TABLE interactions (user_id int, item_id int CHECK (item_id < 5))")
    async with aclosing(open_ingest(DataSettings(url=postgres.url))) as ingest:
        told = await refused(ingest, ROWS[:1], None, "")
    assert "\n" not in told
    assert told.count("Failing row contains") == 1


async def test_who_may_not_write_is_told_so_without_a_password(postgres: PostgresDatabase) -> None:
    postgres.run("DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN; CREATE TABLE interactions (user_id int, item_id int)")
    url = postgres.url.replace("postgres@", "reader:s3cr%40t@")
    ingest = open_ingest(DataSettings(url=url))
    with pytest.raises(NotTaken, match="permission denied") as refusal:
        await ingest.append(ROWS[:1])
    assert "s3cr" not in str(refusal.value)
    await ingest.aclose()
    postgres.run("DROP OWNED BY reader; DROP ROLE reader")


async def test_a_database_that_is_not_there(postgres: PostgresDatabase) -> None:
    ingest = open_ingest(DataSettings(url=f"{postgres.url}_none"))
    with pytest.raises(DataUnavailable, match="does not exist"):
        await ingest.append(ROWS)
    await ingest.aclose()
    odd = open_ingest(DataSettings(url="postgresql://h:port/db"))
    with pytest.raises(NotTaken, match=r"\[data\] url"):
        await odd.append(ROWS)
    await odd.aclose()


async def test_without_asyncpg_the_line_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "asyncpg", None)
    with pytest.raises(NotTaken, match="pip install"):
        open_ingest(DataSettings(url="postgresql://h/db"))
