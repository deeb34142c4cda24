"""What every kind of database of the table of readers gives for the same content.

Covers: `training.dataset`, for each scheme listed. Does not cover: what is special to one (tests/integration/training).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest

from tests.contracts.databases import STAGES, Stage
from training.dataset import READERS, open_reader
from training.dataset.base import Dataset, Features
from training.errors import BadData

NAMES = ("user_id", "item_id")
WHOLE = ("user_id", "item_id", "weight", "ts")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(params=STAGES)
def stage(request: pytest.FixtureRequest) -> Stage:
    return STAGES[request.param](request)


def read(stage: Stage, **changed: Any) -> Dataset:
    return open_reader(replace(stage.settings, **changed)).read(lambda *told: None)


def pairs(dataset: Dataset) -> list[tuple[Any, ...]]:
    """Every interaction with its ids, in order."""
    found = dataset.interactions
    times = [None] * len(found) if found.times is None else found.times.tolist()
    rows = zip(found.users.tolist(), found.items.tolist(), found.weights.tolist(), times, strict=True)
    told = [(dataset.user_ids[user], dataset.item_ids[item], weight, at) for user, item, weight, at in rows]
    return sorted(told, key=repr)


def named(features: Features | None, row: int) -> dict[str, float]:
    """The features of a row by name."""
    assert features is not None
    some = slice(int(features.indptr[row]), int(features.indptr[row + 1]))
    assert list(features.indices[some]) == sorted(features.indices[some])
    return {features.names[at]: value for at, value in zip(features.indices[some], features.values[some].tolist(), strict=True)}


def test_every_scheme_has_a_stage() -> None:
    assert set(STAGES) == set(READERS)


def test_pairs_alone_are_enough(stage: Stage) -> None:
    stage.put("interactions", NAMES, [(2, 10), (1, 30), (2, 10), (-5, 20)])
    found = read(stage)
    assert found.user_ids == [-5, 1, 2] and found.item_ids == [10, 20, 30]
    assert pairs(found) == [(-5, 20, 1.0, None), (1, 30, 1.0, None), (2, 10, 1.0, None), (2, 10, 1.0, None)]
    assert found.interactions.times is None and found.items is None
    assert found.user_features is None and found.item_features is None and found.notes == {}
    kinds = [found.interactions.users.dtype, found.interactions.items.dtype, found.interactions.weights.dtype]
    assert kinds == [np.int32, np.int32, np.float32]


@pytest.mark.parametrize(
    "ids",
    [("b", "a", "c"), ("1", "2", "x"), ("007", "10", "9"), ("Zoë", "日本", "🜚 |;\n\"'")],
    ids=["letters", "some-digits", "leading-zeros", "unicode"],
)
def test_ids_that_are_text_stay_text(stage: Stage, ids: Sequence[str]) -> None:
    stage.put("interactions", NAMES, [(id, id) for id in ids])
    found = read(stage)
    assert found.user_ids == found.item_ids == sorted(ids)


def test_ids_of_64_bits(stage: Stage) -> None:
    least, most = -(1 << 63), (1 << 63) - 1
    stage.put("interactions", NAMES, [(most, least), (least, most), (0, 1234567890123456789)])
    found = read(stage)
    assert found.user_ids == [least, 0, most] and found.item_ids == [least, 1234567890123456789, most]


def test_kinds_of_ids_are_kept_where_a_column_can_mix_them(stage: Stage) -> None:
    stage.put("interactions", NAMES, [(1, "a"), ("1", "b"), (2.0, "a")] if stage.keeps_kinds else [("1", "a"), ("x", "b"), ("2", "a")])
    found = read(stage)
    assert found.user_ids == ([1, 2, "1"] if stage.keeps_kinds else ["1", "2", "x"])


def test_columns_are_found_by_name_in_any_order_and_case_and_others_are_not_read(stage: Stage) -> None:
    stage.put("interactions", ("note", "TS", "Item_ID", "user_id"), [("x", 5, 1, 2)])
    assert pairs(read(stage)) == [(2, 1, 1.0, 5.0)]


def test_weights(stage: Stage) -> None:
    rows = [(1, 1, 0.5), (1, 2, None), (2, 1, 0.0), (2, 2, -3.0), (3, 1, 4.0), (9, 9, 0.0)]
    stage.put("interactions", ("user_id", "item_id", "weight"), rows)
    found = read(stage)
    assert pairs(found) == [(1, 1, 0.5, None), (1, 2, 1.0, None), (3, 1, 4.0, None)]
    assert found.user_ids == [1, 3], "who is only known from rows that say nothing is not known"
    assert found.notes == {"without_weight": 3} and found.fingerprint.interactions == 3


@pytest.mark.parametrize("weight", [float("inf"), 1e39], ids=["infinite", "beyond-float32"])
def test_a_weight_that_is_no_finite_number_is_refused_with_its_row(stage: Stage, weight: float) -> None:
    stage.put("interactions", ("user_id", "item_id", "weight"), [(1, 1, 2.0), (1, 2, weight)])
    with pytest.raises(BadData, match=r"interactions.*, column weight, row 2: .*no (weight|finite number)"):
        read(stage)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (NOON, NOON.timestamp()),
        (NOON.astimezone(timezone(timedelta(hours=7))), NOON.timestamp()),
        (1_700_000_000, 1_700_000_000.0),
        (1_700_000_000.25, 1_700_000_000.25),
        ("2026-03-01T12:00:00Z", NOON.timestamp()),
        ("2026-03-01 12:00:00", NOON.timestamp()),
        ("2026-03-01", NOON.timestamp() - 12 * 3600),
        ("1700000000", 1_700_000_000.0),
    ],
    ids=["utc", "zone", "int", "float", "iso", "naive", "date", "digits"],
)
def test_times(stage: Stage, written: Any, seconds: float) -> None:
    stage.put("interactions", ("user_id", "item_id", "ts"), [(1, 1, written)])
    found = read(stage)
    assert pairs(found) == [(1, 1, 1.0, seconds)]
    assert found.fingerprint.latest_at == seconds


@pytest.mark.parametrize("written", [1_700_000_000_000, "yesterday", 1e300], ids=["milliseconds", "words", "far"])
def test_what_is_no_time_is_refused_with_its_row(stage: Stage, written: Any) -> None:
    stage.put("interactions", ("user_id", "item_id", "ts"), [(1, 1, written)])
    with pytest.raises(BadData, match=r"column ts, row 1: .* is no time"):
        read(stage)


def test_rows_without_a_time_are_as_old_as_the_oldest(stage: Stage) -> None:
    stage.put("interactions", ("user_id", "item_id", "ts"), [(1, 1, 50), (1, 2, None), (1, 3, 40)])
    found = read(stage)
    assert pairs(found) == [(1, 1, 1.0, 50.0), (1, 2, 1.0, 40.0), (1, 3, 1.0, 40.0)]
    assert found.notes == {"without_time": 1}


def test_a_column_of_times_that_is_empty_is_none(stage: Stage) -> None:
    stage.put("interactions", ("user_id", "item_id", "ts"), [(1, 1, None), (1, 2, None)])
    found = read(stage)
    assert found.interactions.times is None and found.fingerprint.latest_at is None and found.notes == {}


def test_an_empty_table_is_an_empty_data_set(stage: Stage) -> None:
    stage.put("interactions", WHOLE, [])
    found = read(stage)
    assert (len(found.interactions), found.user_ids, found.item_ids) == (0, [], [])
    assert found.fingerprint.interactions == 0 and found.fingerprint.latest_at is None


@pytest.mark.parametrize("missing", NAMES)
def test_a_column_that_is_missing_is_named(stage: Stage, missing: str) -> None:
    stage.put("interactions", ["user" if name == missing else name for name in NAMES], [(1, 1)])
    with pytest.raises(BadData, match=rf"interactions.*: there is no column {missing}, only: .*user"):
        read(stage)


def test_an_id_that_is_null_is_refused_with_its_row(stage: Stage) -> None:
    stage.put("interactions", NAMES, [(1, 1), (2, None), (3, 1)])
    with pytest.raises(BadData, match=r"column item_id, row 2: NULL is no id: leave such rows out \(.*item_id IS NOT NULL\)"):
        read(stage)


def test_numbers_that_are_not_whole_are_no_ids(stage: Stage) -> None:
    stage.put("interactions", NAMES, [(1.0, 1), (2.5, 1)])
    if not stage.has_kinds:
        assert read(stage).user_ids == ["1.0", "2.5"]
        return
    with pytest.raises(BadData, match=r"column user_id, row 2: 2\.5 is no id"):
        read(stage)


def test_more_interactions_than_allowed_are_an_error(stage: Stage) -> None:
    stage.put("interactions", NAMES, [(1, 1), (2, 1), (3, 1)])
    assert len(read(stage, max_interactions=3).interactions) == 3
    with pytest.raises(BadData, match=r"more than 2 rows.* max_interactions"):
        read(stage, max_interactions=2)


ITEM_NAMES = ("item_id", "title", "genres", "price", "about", "new")
ITEM_ROWS = [
    (3, "Lake of Aru", ["Water", "Quiet"], 10, "cool;deep", True),
    (1, "Temple", [], None, None, False),
    (7, None, ["Water"], 12, "busy", None),
]


def test_items_with_categories_text_and_columns(stage: Stage) -> None:
    stage.put("interactions", NAMES, [(1, 3), (1, 5)])
    stage.put("items", ITEM_NAMES, ITEM_ROWS)
    found = read(stage)
    assert found.item_ids == [1, 3, 5, 7], "what is only known from its description is there, and cold"
    assert found.items is not None
    assert list(found.items.categories) == [(), ("Water", "Quiet"), (), ("Water",)]
    assert list(found.items.text) == ["Temple", "Lake of Aru cool;deep", "", "busy"]
    assert list(found.items.columns) == ["title", "genres", "price", "about", "new"]
    assert found.items.columns["price"] == [None, 10, None, 12]
    assert found.items.columns["title"] == ["Temple", "Lake of Aru", None, None]
    assert found.items.columns["new"] == [False, True, None, None]


def test_categories_in_one_text_and_a_row_each(stage: Stage) -> None:
    stage.put("interactions", NAMES, [(1, 1)])
    stage.put("things", ("item_id", "name", "category"), [(1, "a", "x; y|x"), (2, "b", "z"), (2, "b", "x"), (3, "c", None)])
    found = open_reader(stage.asking(interactions="interactions", items="things")).read(lambda *told: None).items
    assert found is not None
    assert list(found.categories) == [("x", "y"), ("x", "z"), ()] and list(found.text) == ["a", "b", "c"]
    assert found.columns["category"] == ["x; y|x", "x|z", None]


def test_rows_of_one_item_that_contradict_each_other_are_refused(stage: Stage) -> None:
    stage.put("interactions", NAMES, [(1, 1)])
    stage.put("items", ("item_id", "name"), [(1, "a"), (1, "b")])
    with pytest.raises(BadData, match=r"items.*, column name, row 2: .?1.? is told of by several rows"):
        read(stage)


def test_features_a_column_each(stage: Stage) -> None:
    stage.put("interactions", NAMES, [(1, 1)])
    rows = [(1, 30, "Bandung", True, 0.5), (9, 0, "Jakarta", False, None), (2, None, None, None, -2.0)]
    stage.put("users", ("user_id", "age", "city", "member", "mood"), rows)
    found = open_reader(stage.asking(interactions="interactions", user_features="users")).read(lambda *told: None)
    assert found.user_ids == [1, 2, 9]
    features = found.user_features
    assert features is not None and list(features.names) == sorted(features.names)
    assert named(features, 0) == {"age": 30.0, "city=Bandung": 1.0, "member": 1.0, "mood": 0.5}
    assert named(features, 1) == {"mood": -2.0}
    assert named(features, 2) == {"city=Jakarta": 1.0}
    assert features.values.dtype == np.float32 and features.indices.dtype == np.int32 and features.indptr.dtype == np.int64


def test_features_a_row_each(stage: Stage) -> None:
    stage.put("interactions", NAMES, [(1, 1)])
    rows = [(1, "tag:sea", 2.0), (1, "tag:sea", 0.5), (4, "tag:sun", None), (4, "weight", -1.5), (1, "none", 0.0)]
    stage.put("tags", ("item_id", "feature", "value"), rows)
    found = open_reader(stage.asking(interactions="interactions", item_features="tags")).read(lambda *told: None)
    assert found.item_ids == [1, 4]
    assert named(found.item_features, 0) == {"tag:sea": 2.5}
    assert named(found.item_features, 1) == {"tag:sun": 1.0, "weight": -1.5}


def test_features_without_values_and_words_as_values(stage: Stage) -> None:
    stage.put("interactions", NAMES, [(1, 1)])
    stage.put("tags", ("item_id", "feature"), [(1, "sea"), (1, "sun")])
    stage.put("traits", ("user_id", "feature", "value"), [(1, "city", "Oslo"), (1, "job", "baker")])
    found = open_reader(stage.asking(interactions="interactions", item_features="tags", user_features="traits")).read(lambda *told: None)
    assert named(found.item_features, 0) == {"sea": 1.0, "sun": 1.0}
    assert named(found.user_features, 0) == {"city=Oslo": 1.0, "job=baker": 1.0}


def test_a_user_with_two_rows_of_features_is_refused(stage: Stage) -> None:
    stage.put("interactions", NAMES, [(1, 1)])
    stage.put("users", ("user_id", "age"), [(1, 30), (1, 31)])
    with pytest.raises(BadData, match=r"user_id, row 2: .*1.* is told of by two rows"):
        open_reader(stage.asking(interactions="interactions", user_features="users")).read(lambda *told: None)


def test_features_that_are_not_finite_and_tables_without_any(stage: Stage) -> None:
    stage.put("interactions", NAMES, [(1, 1)])
    stage.put("users", ("user_id",), [(1,)])
    with pytest.raises(BadData, match="no column besides user_id"):
        open_reader(stage.asking(interactions="interactions", user_features="users")).read(lambda *told: None)
    stage.put("more", ("user_id", "age"), [(1, 1e39)])
    with pytest.raises(BadData, match=r"column age, row 1: .*32 bits"):
        open_reader(stage.asking(interactions="interactions", user_features="more")).read(lambda *told: None)


def put_everything(stage: Stage, seed: int | None = None) -> Dataset:
    """A little of everything, its rows in an order of `seed`."""
    chance = random.Random(seed)

    def shuffled(rows: Sequence[Any]) -> list[Any]:
        return list(rows) if seed is None else chance.sample(rows, len(rows))

    rows = [(user, f"item {item}", 0.5 + user % 3, 1_700_000_000 + 60 * item) for user in range(40) for item in range(user % 7)]
    stage.put("interactions", WHOLE, shuffled([*rows, *rows[:5], (3, "Zoë", None, 1_700_000_000.5)]))
    items = [(f"item {at}", f"The {at}th", ["a", "b"][: at % 3], at * 0.5) for at in range(9)]
    stage.put("items", ("item_id", "title", "category", "price"), shuffled(items))
    stage.put("traits", ("user_id", "age", "city"), shuffled([(user, user % 50, "AB"[user % 2]) for user in range(45)]))
    stage.put("tags", ("item_id", "feature", "value"), shuffled([(f"item {at % 10}", f"tag {at % 4}", 0.25 * at) for at in range(30)]))
    wanted = stage.asking(interactions="interactions", items="items", user_features="traits", item_features="tags")
    return open_reader(wanted).read(lambda *told: None)


def test_the_same_content_has_the_same_fingerprint_in_every_database_on_every_machine(stage: Stage) -> None:
    found = put_everything(stage)
    assert found.fingerprint.to_json() == {"interactions": 121, "latest_at": 1_700_000_300.0, "digest": DIGEST}


DIGEST = "20d65c2aac12eaf2c3dadcbfac03d2a2"


def test_the_order_of_rows_changes_nothing(stage: Stage) -> None:
    found = put_everything(stage, seed=7)
    assert found.fingerprint.digest == DIGEST
    assert found.user_ids == list(range(45)) and found.item_ids == sorted(str(id) for id in found.item_ids)
    assert found.items is not None and found.items.text[1] == "The 0th"


def test_what_happened_is_told_while_it_is_read(stage: Stage) -> None:
    stage.put("interactions", NAMES, [(user, 1) for user in range(10)])
    stage.put("items", ("item_id", "title"), [(1, "a")])
    told: list[tuple[str, int, int]] = []
    open_reader(stage.settings).read(lambda *each: told.append(each))
    assert told == [("reading interactions", 0, 0), ("reading interactions", 10, 0), ("reading items", 0, 0), ("reading items", 1, 0)]


def test_a_table_that_is_not_there_is_named_at_once(stage: Stage) -> None:
    with pytest.raises(BadData, match=r"interactions"):
        read(stage, attempts=100)
    stage.put("interactions", NAMES, [(1, 1)])
    with pytest.raises(BadData, match=r"nowhere"):
        open_reader(replace(stage.asking(interactions="interactions", items="nowhere"), attempts=100)).read(lambda *told: None)


@pytest.mark.parametrize(
    "query",
    ["DELETE FROM interactions", "DELETE FROM interactions RETURNING *", "INSERT INTO interactions VALUES (2, 2) RETURNING *", "COMMIT",
     "SELEC 1", "SELECT * FROM interactions; DELETE FROM interactions",
     "SELECT user_id, user_id, item_id FROM interactions", ""],
    ids=["delete", "delete-returning", "insert-returning", "commit", "mistyped", "two", "twice", "empty"],
)  # fmt: skip
def test_a_query_that_does_not_ask_is_refused_and_nothing_is_written(stage: Stage, query: str) -> None:
    stage.put("interactions", NAMES, [(1, 1)])
    if stage.speaks_sql:
        with pytest.raises(BadData, match=r"\[data\] interactions"):
            read(stage, interactions=query)
    assert pairs(read(stage)) == [(1, 1, 1.0, None)]
