"""A shop's database in PostgreSQL, small, from which the installed program trains: how it is made, changed and slowed down.

Covers: planted interactions as tables, shuffling what there is to learn, a reader that is in the middle of its stream, the settings
that train from it. Does not cover: the server itself (`tests.doubles.postgres`).
"""

from __future__ import annotations

from typing import Any

from tests.acceptance.running import Config
from tests.doubles.postgres import PostgresDatabase
from tests.support import wait_until_sync
from training.dataset.building import BATCH_ROWS
from training.made_up.planted import plant

USERS, ITEMS = 1_200, 200
"""Of which there are more than `BATCH_ROWS` interactions, but not many more."""
QUICK: dict[str, Any] = {"factors": 16, "regularization": 30.0, "sweeps": 3}
LONG: dict[str, Any] = {**QUICK, "factors": 512, "sweeps": 1000}
"""Parameters of a run that outlasts every test."""
INTERACTIONS = (
    "SELECT user_id, item_id, weight, ts FROM interactions,"
    f" LATERAL (SELECT CASE WHEN number > {BATCH_ROWS} THEN pg_sleep((SELECT seconds FROM pace)) END) AS paced"
)
"""What is read after the first batch comes at the pace of `slow_down`."""


def make_shop(postgres: PostgresDatabase) -> None:
    """The tables `interactions` and `items`; users and items are numbered from 1. The same ones every time."""
    planted = plant(users=USERS, items=ITEMS, likes_per_user=20)
    rows = zip(
        (planted.users + 1).tolist(), (planted.items + 1).tolist(), planted.weights.tolist(), planted.timestamps.tolist(), strict=True
    )
    likes = ",".join(f"({number},{user},{item},{weight},to_timestamp({at}))" for number, (user, item, weight, at) in enumerate(rows))
    told = ",".join(f"({row + 1},'{title}','{planted.categories[row]}')" for row, title in enumerate(planted.titles))
    assert len(planted.users) > BATCH_ROWS
    postgres.run(
        "CREATE TABLE pace AS SELECT 0::float8 AS seconds;"
        "CREATE TABLE items (item_id int, title text, category text);"
        "CREATE TABLE interactions (number int, user_id int, item_id int, weight real, ts timestamptz);"
        f"INSERT INTO items VALUES {told}; INSERT INTO interactions VALUES {likes};"
    )


def shuffle(postgres: PostgresDatabase) -> None:
    """Every interaction gets the item of another one: as many of each user and of each item, and nothing to learn from them."""
    postgres.run(
        "CREATE TEMPORARY TABLE shuffled AS SELECT number, item_id FROM"
        " (SELECT number, row_number() OVER (ORDER BY number) AS row FROM interactions) AS here"
        " JOIN (SELECT item_id, row_number() OVER (ORDER BY md5(number::text)) AS row FROM interactions) AS there USING (row);"
        "UPDATE interactions SET item_id = shuffled.item_id FROM shuffled WHERE shuffled.number = interactions.number;"
    )


def slow_down(postgres: PostgresDatabase, seconds: float) -> None:
    """Whoever begins to read from now on waits so long for each row after the first batch."""
    postgres.run(f"UPDATE pace SET seconds = {seconds}")


def wait_mid_stream(postgres: PostgresDatabase) -> None:
    """Until a reader has had its first batch and waits for more."""
    asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    wait_until_sync(lambda: postgres.run(asked) != "0", 60.0, what="a reader is in the middle of its stream")


def config_of(
    postgres: PostgresDatabase, *, parameters: dict[str, Any] | None = None, data: dict[str, Any] | None = None, **als: Any
) -> Config:
    """A training `als` over the shop, and so a model of that name. als: more of its settings; data: more of the data's."""
    return {
        "data": {"url": postgres.url, "interactions": INTERACTIONS, "attempts": 2, **(data or {})},
        "training.als": {"algorithm": "als", "memory": "1GiB", **als},
        "training.als.parameters": QUICK if parameters is None else parameters,
    }
