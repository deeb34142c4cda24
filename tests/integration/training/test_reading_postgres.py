"""What is special to reading from PostgreSQL: one snapshot, bounded batches, and a server that goes away and comes back.

Does not cover: what rows become (tests/contracts/test_datasets).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from config.schema import DataSettings
from tests.doubles.faults import FaultProxy, Plan
from tests.doubles.postgres import PostgresDatabase
from tests.support import wait_until_sync
from training.dataset import open_reader, trying
from training.dataset import postgres as reading
from training.dataset.base import Dataset
from training.dataset.building import BATCH_ROWS
from training.errors import BadData, DataUnavailable

ROWS = 3 * BATCH_ROWS + 5_000
SECRET = "hunter2-p@ss"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trying, "FIRST_WAIT_S", 0.02)
    monkeypatch.setattr(trying, "LONGEST_WAIT_S", 0.2)


@pytest.fixture
def filled(postgres: PostgresDatabase) -> PostgresDatabase:
    postgres.run(
        "CREATE TABLE interactions AS SELECT n % 1000 AS user_id, n % 777 AS item_id, to_timestamp(1700000000 + n) AS ts"
        f" FROM generate_series(1, {ROWS}) AS n"
    )
    return postgres


def read(url: str, on_progress: Callable[[str, int, int], None] = lambda *told: None, **changed: Any) -> Dataset:
    settings = replace(DataSettings(url=url, attempts=100), **changed)
    return open_reader(settings).read(on_progress)


class Once:
    """Progress that does something after the first batch of interactions, once."""

    def __init__(self, deed: Callable[[], object]) -> None:
        self._deed = deed
        self.told: list[tuple[str, int]] = []
        self.is_done = False

    def __call__(self, step: str, done: int, total: int) -> None:
        self.told.append((step, done))
        if done and not self.is_done:
            self.is_done = True
            self._deed()


def test_rows_come_in_batches(filled: PostgresDatabase) -> None:
    progress = Once(lambda: None)
    found = read(filled.url, progress)
    assert len(found.interactions) == ROWS
    batches = [*range(BATCH_ROWS, ROWS, BATCH_ROWS), ROWS]
    assert [done for step, done in progress.told if step == "reading interactions"] == [0, *batches]


def test_everything_is_read_as_it_was_at_one_moment(filled: PostgresDatabase) -> None:
    filled.run("CREATE TABLE items AS SELECT 1 AS item_id, 'first' AS title")
    change = (
        "UPDATE interactions SET user_id = user_id + 5000;"
        "INSERT INTO interactions VALUES (-1, -1, now()); INSERT INTO items VALUES (2, 'x')"
    )
    found = read(filled.url, Once(lambda: filled.run(change)))
    assert len(found.interactions) == ROWS and found.user_ids == list(range(1000))
    assert found.items is not None and sum(text != "" for text in found.items.text) == 1
    assert read(filled.url).user_ids == [-1, *range(5000, 6000)]


@pytest.mark.parametrize("how", [PostgresDatabase.kill_backends, PostgresDatabase.end_backends], ids=["killed", "ended"])
def test_a_connection_that_breaks_off_is_begun_again_and_nothing_is_there_twice(
    filled: PostgresDatabase, how: Callable[[PostgresDatabase], list[int]]
) -> None:
    untouched = read(filled.url)
    progress = Once(lambda: how(filled))
    found = read(filled.url, progress)
    assert progress.is_done and [done for _, done in progress.told].count(BATCH_ROWS) == 2
    assert any("waiting for the database" in step for step, _ in progress.told)
    assert found.fingerprint == untouched.fingerprint and len(found.interactions) == ROWS


def test_a_server_that_is_killed_and_comes_back_is_read_from_the_start(filled: PostgresDatabase) -> None:
    untouched = read(filled.url)

    def restart() -> None:
        filled.server.kill()
        filled.server.start()

    assert read(filled.url, Once(restart)).fingerprint == untouched.fingerprint


def test_a_server_that_never_comes_back_is_unavailable_for_a_reason_without_the_password(filled: PostgresDatabase) -> None:
    url = filled.url.replace("postgres@", "postgres:hunter2-p%40ss@")
    with pytest.raises(DataUnavailable, match=r"\[data\] \w+: .*(Connect|connection).*tried 3 times") as failed:
        read(url, Once(filled.server.kill), attempts=3)
    assert SECRET not in failed.value.message and "hunter2" not in failed.value.message
    assert failed.value.is_retryable


def test_a_network_that_goes_silent_is_given_up_and_tried_again(filled: PostgresDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_GRACE_S", 0.2)

    async def through_a_proxy() -> tuple[Dataset, list[str]]:
        async with FaultProxy(("127.0.0.1", filled.server.port), Plan(stall_after=500_000)) as proxy:
            told: list[str] = []

            def progress(step: str, done: int, total: int) -> None:
                told.append(step)
                if "waiting" in step:
                    proxy.heal()

            url = filled.url.replace(str(filled.server.port), str(proxy.address[1]))
            return await asyncio.to_thread(read, url, progress, statement_timeout_s=2.0), told

    found, told = asyncio.run(through_a_proxy())
    assert len(found.interactions) == ROWS
    assert [step for step in told if "waiting" in step] == [
        "waiting for the database: [data] interactions: the database did not answer in time"
    ]


def test_a_query_beyond_its_time_limit_is_not_tried_again(filled: PostgresDatabase) -> None:
    told: list[str] = []
    slow = "SELECT user_id, item_id, pg_sleep(0.001) FROM interactions"
    with pytest.raises(DataUnavailable, match=r"interactions: .*statement timeout.*\(statement_timeout is 0\.2 s\)"):
        read(filled.url, lambda *each: told.append(each[0]), interactions=slow, statement_timeout_s=0.2)
    assert told == ["reading interactions"]


@pytest.mark.parametrize(
    ("rest", "words"),
    [("nowhere", "does not exist"), ("{name}?user=guest", "not permitted to log in")],
    ids=["database", "role"],
)
def test_a_server_that_says_no_is_not_asked_again(postgres: PostgresDatabase, rest: str, words: str) -> None:
    postgres.run("DO $$ BEGIN CREATE ROLE guest NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    told: list[str] = []
    url = f"postgresql://127.0.0.1:{postgres.server.port}/{rest.format(name=postgres.name)}"
    with pytest.raises(DataUnavailable, match=words):
        read(url if "user=" in url else f"{url}?user=postgres", lambda *each: told.append(each[0]))
    assert told == []


@pytest.mark.parametrize("rest", ["127.0.0.1:port/x", "127.0.0.1/x?sslmode=perhaps", "127.0.0.1:99999/x", "[::1/x"])
def test_an_address_that_is_none_is_bad_data_without_the_password(rest: str) -> None:
    with pytest.raises(BadData) as failed:
        read(f"postgresql://me:{SECRET.replace('@', '%40')}@{rest}")
    assert "hunter2" not in str(failed.value)


def test_a_password_that_is_not_encoded_is_not_shown_in_part() -> None:
    with pytest.raises(BadData, match="percent-encoded") as failed:
        read("postgresql://me:hunter2/rest@127.0.0.1/x")
    assert "hunter2" not in str(failed.value) and failed.value.__cause__ is None


def test_no_connection_is_left_whatever_happened(filled: PostgresDatabase) -> None:
    read(filled.url)
    with pytest.raises(BadData):
        read(filled.url, interactions="SELECT 1.5 AS user_id, 1 AS item_id FROM interactions")
    wait_until_sync(lambda: filled.backends() == [])


def test_what_others_may_not_read_is_told_in_the_words_of_the_database(filled: PostgresDatabase) -> None:
    filled.run("DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    with pytest.raises(BadData, match=r"interactions: permission denied for table interactions"):
        read(filled.url.replace("postgres@", "reader@"))


def test_what_the_database_advises_is_told_once_and_on_one_line(filled: PostgresDatabase) -> None:
    with pytest.raises(BadData) as failed:
        read(filled.url, interactions="SELECT user_id, item_idd AS item_id FROM interactions")
    advice = 'Perhaps you meant to reference the column "interactions.item_id"'
    assert str(failed.value) == f'[data] interactions: column "item_idd" does not exist. {advice}'


def test_a_password_that_is_missing_is_not_told_like_one_that_is_wrong(postgres: PostgresDatabase) -> None:
    rules = postgres.server.folder / "data" / "pg_hba.conf"
    before, loaded_at = rules.read_text(), postgres.run("SELECT pg_conf_load_time()")
    postgres.run("DO $$ BEGIN CREATE ROLE locked LOGIN PASSWORD 'x'; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    address = f"127.0.0.1:{postgres.server.port}/{postgres.name}"
    try:
        rules.write_text(f"host {postgres.name} locked 127.0.0.1/32 scram-sha-256\n{before}")
        postgres.run("SELECT pg_reload_conf()")
        wait_until_sync(lambda: postgres.run("SELECT pg_conf_load_time()") != loaded_at, what="the server has read its rules")
        with pytest.raises(DataUnavailable, match=r"password authentication failed.*: none was given, set .*password_file"):
            read(f"postgresql://locked@{address}")
        with pytest.raises(DataUnavailable, match=r'password authentication failed for user "locked"$'):
            read(f"postgresql://locked:{SECRET.replace('@', '%40')}@{address}")
    finally:
        rules.write_text(before)
        postgres.run("SELECT pg_reload_conf()")


def test_nothing_is_written_even_by_a_function(filled: PostgresDatabase) -> None:
    filled.run("CREATE FUNCTION careless() RETURNS int LANGUAGE sql AS 'DELETE FROM interactions RETURNING 1';")
    with pytest.raises(BadData, match="read-only transaction"):
        read(filled.url, interactions="SELECT careless() AS user_id, 1 AS item_id")
    assert filled.run("SELECT count(*) FROM interactions") == str(ROWS)


def test_kinds_that_only_a_database_has(postgres: PostgresDatabase) -> None:
    postgres.run("""
        CREATE TYPE kind AS ENUM ('book', 'film');
        CREATE TABLE interactions (user_id uuid, item_id numeric, weight numeric, ts date);
        INSERT INTO interactions VALUES ('6b1f3d0e-2c55-4d1c-9b0e-000000000001', 12, 1.5, '2026-03-01'), (gen_random_uuid(), 7, 2, NULL);
        CREATE TABLE items (item_id numeric, kind kind, genres text[], price numeric(9, 2), made timestamptz, more jsonb, photo bytea);
        INSERT INTO items VALUES (12, 'film', '{a,b,NULL}', 9.50, '2026-01-01 00:00+00', '{"x": 1}', '\\x00');
    """)
    found = read(postgres.url)
    assert "6b1f3d0e-2c55-4d1c-9b0e-000000000001" in found.user_ids and found.item_ids == [7, 12]
    assert found.interactions.times is not None and found.interactions.times[0] == (date(2026, 3, 1) - date(1970, 1, 1)).days * 86_400
    assert found.items is not None and found.items.categories[1] == ("a", "b")
    told = {name: values[1] for name, values in found.items.columns.items()}
    assert told == {
        "kind": "film", "genres": ["a", "b"], "price": 9.5, "made": "2026-01-01T00:00:00+00:00", "more": '{"x": 1}', "photo": b"\x00",
    }  # fmt: skip


def test_infinity_is_no_time(postgres: PostgresDatabase) -> None:
    postgres.run("CREATE TABLE interactions AS SELECT 1 AS user_id, 1 AS item_id, 'infinity'::timestamptz AS ts")
    with pytest.raises(BadData, match="column ts, row 1"):
        read(postgres.url)


@pytest.mark.parametrize("kind", ["timestamptz", "date"])
def test_a_date_that_only_a_database_has_is_bad_data_and_no_bad_address(postgres: PostgresDatabase, kind: str) -> None:
    with pytest.raises(BadData, match=r"^\[data\] interactions: a value cannot be read: .*"):
        read(postgres.url, interactions=f"SELECT 1 AS user_id, 1 AS item_id, '4000-01-01 BC'::{kind} AS ts")


def test_a_query_with_parameters_is_refused_at_once(postgres: PostgresDatabase) -> None:
    with pytest.raises(BadData, match=r"\[data\] interactions: the query has parameters"):
        read(postgres.url, interactions="SELECT $1::int AS user_id, 1 AS item_id")


def test_an_id_that_is_no_number_is_refused(postgres: PostgresDatabase) -> None:
    postgres.run("CREATE TABLE interactions AS SELECT 'NaN'::numeric AS user_id, 1 AS item_id")
    with pytest.raises(BadData, match=r"column user_id, row 1: .*NaN.* is no id"):
        read(postgres.url)


def test_ids_beyond_64_bits_are_ids_too(postgres: PostgresDatabase) -> None:
    postgres.run(f"CREATE TABLE interactions AS SELECT {1 << 70}::numeric AS user_id, 1 AS item_id")
    assert read(postgres.url).user_ids == [1 << 70]
