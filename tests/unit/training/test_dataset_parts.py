"""The parts that a data set is built of: growing columns, numbering, values, categories, patience.

Does not cover: databases (tests/contracts/test_datasets), fingerprints (test_fingerprint).
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from training.dataset import growing, open_reader, values
from training.dataset.building import DatasetBuilder
from training.dataset.columns import Columns, Place, Table, split_categories
from training.dataset.entities import Entities
from training.dataset.growing import Growing
from training.dataset.trying import FIRST_WAIT_S, LONGEST_WAIT_S, Patience, TriesAgain
from training.dataset.values import Cell
from training.errors import BadData, DataUnavailable

CELL = Cell(Place("table"), "column", 101)


@pytest.mark.parametrize("sizes", [[], [0], [1], [4], [3, 1], [3, 2, 9, 0, 4], [8, 8]])
def test_a_column_grows_over_blocks(monkeypatch: pytest.MonkeyPatch, sizes: list[int]) -> None:
    monkeypatch.setattr(growing, "_BLOCK", 4)
    column = Growing(np.int32)
    whole = np.arange(sum(sizes), dtype=np.int64)
    for part in np.split(whole, np.cumsum(sizes)[:-1]) if sizes else []:
        column.append(part)
    found = column.take()
    assert found.dtype == np.int32 and found.tolist() == whole.tolist()
    assert column.take().tolist() == []
    column.append(np.array([7]))
    assert column.take().tolist() == [7]


def test_users_are_numbered_in_the_order_of_their_ids_whole_numbers_first() -> None:
    entities = Entities()
    assert entities.rows(["b", 10, "a", 9, "10", 10]).tolist() == [0, 1, 2, 3, 4, 1]
    ids, final = entities.settle(is_text=False)
    assert ids == [9, 10, "10", "a", "b"] and final.tolist() == [4, 1, 3, 0, 2]


@pytest.mark.parametrize(
    ("texts", "ids"),
    [
        (["10", "9", "-1", "0"], [-1, 0, 9, 10]),
        (["10", "09"], ["09", "10"]),
        (["1", "-0"], ["-0", "1"]),
        (["1", "+2"], ["+2", "1"]),
        (["1", "٢"], ["1", "٢"]),
        (["1", " 2"], [" 2", "1"]),
        (["1", str(1 << 63)], ["1", str(1 << 63)]),
        (["1", "9" * 5000], ["1", "9" * 5000]),
        ([str((1 << 63) - 1), str(-(1 << 63))], [-(1 << 63), (1 << 63) - 1]),
        ([], []),
    ],
    ids=["whole", "leading-zero", "minus-zero", "plus", "other-digits", "space", "65-bits", "long", "64-bits", "none"],
)
def test_ids_of_a_file_are_whole_numbers_if_all_are(texts: list[str], ids: list[Any]) -> None:
    entities = Entities()
    entities.rows(texts)
    assert entities.settle(is_text=True)[0] == ids


@pytest.mark.parametrize(
    ("given", "id"),
    [
        (5, 5),
        ("5", "5"),
        (5.0, 5),
        (Decimal("5.0"), 5),
        (1 << 80, 1 << 80),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        ("", ""),
    ],
    ids=["int", "str", "float", "decimal", "huge", "uuid", "empty"],
)
def test_ids(given: Any, id: Any) -> None:
    assert [(type(each), each) for each in values.ids([given], CELL)] == [(type(id), id)]


@pytest.mark.parametrize(
    "given", [None, True, 1.5, math.nan, math.inf, Decimal("1.5"), Decimal("NaN"), b"5", date(2026, 1, 1), [1]], ids=repr
)
def test_what_is_no_id_is_named_with_its_row(given: Any) -> None:
    with pytest.raises(BadData, match=r"table, column column, row 103: .* is no id"):
        values.ids([1, 2, given, 3], CELL)


def test_weights() -> None:
    found = values.weights([None, 2, 0.5, True, Decimal("1.25"), "3", 0, -1], CELL)
    assert found.dtype == np.float32 and found.tolist() == [1.0, 2.0, 0.5, 1.0, 1.25, 3.0, 0.0, -1.0]


@pytest.mark.parametrize("given", [math.nan, math.inf, 1e39, "much", 1 << 2000, [1], date(2026, 1, 1)], ids=lambda given: repr(given)[:20])
def test_what_is_no_weight_is_named_with_its_row(given: Any) -> None:
    with pytest.raises(BadData, match=r"table, column column, row 102: .* is no (weight|finite number)"):
        values.weights([1.0, given], CELL)


def test_times_of_many_kinds() -> None:
    given = [None, 5, 5.5, Decimal(6), datetime(1970, 1, 1, 0, 1, tzinfo=UTC), datetime(1970, 1, 1, 0, 2), date(1970, 1, 2)]
    found = values.times([*given, "7", "1970-01-01T00:03:00+00:00", " 1970-01-03 "], CELL)
    assert math.isnan(found[0]) and found[1:].tolist() == [5.0, 5.5, 6.0, 60.0, 120.0, 86_400.0, 7.0, 180.0, 172_800.0]


@pytest.mark.parametrize("given", ["", "soon", True, math.nan, "nan", 1e12, -1e12, "1e12", datetime.max, b"1", "2026-13-01"], ids=repr)
def test_what_is_no_time_is_named_with_its_row(given: Any) -> None:
    with pytest.raises(BadData, match=r"table, column column, row 102: .*is no (time|finite number)"):
        values.times([None, given], CELL)


@pytest.mark.parametrize(
    ("given", "plain"),
    [(Decimal("3.50"), 3.5), (Decimal(3), 3), (Decimal("NaN"), None), (Decimal("sNaN"), None), (math.inf, None),
     (Decimal(1 << 62), 1 << 62), (Decimal(1 << 70), float(1 << 70)), (Decimal("-1e130000"), None),
     (date(2026, 1, 2), "2026-01-02"), (["a", None, 1], ["a", "1"])],
    ids=["decimal", "whole", "nan", "signalling", "infinite", "62-bits", "70-bits", "endless", "date", "list"],
)  # fmt: skip
def test_values_that_answers_carry(given: Any, plain: Any) -> None:
    assert values.plain(given) == plain and type(values.plain(given)) is type(plain)


def test_long_values_are_cut_in_messages() -> None:
    with pytest.raises(BadData) as failed:
        values.ids([b"x" * 1000], CELL)
    assert len(failed.value.message) < 150


@pytest.mark.parametrize(
    ("given", "words"),
    [(None, ()), ("", ()), ("a", ("a",)), (" a | b;a||", ("a", "b")), (["x|y", None, " "], ("x|y",)), (7, ("7",)), ("a, b", ("a, b",))],
)
def test_categories(given: Any, words: tuple[str, ...]) -> None:
    assert split_categories(given) == words


def test_two_columns_of_one_name_are_ambiguous_only_where_they_are_read() -> None:
    columns = Columns(["user_id", "x", "x", "Item_ID"], Place("table"))
    assert (columns.needed("user_id"), columns.needed("item_id")) == (0, 3)
    with pytest.raises(BadData, match="column x: there are two"):
        columns.others(0)
    with pytest.raises(BadData, match="column 2 has no name"):
        Columns(["user_id", " "], Place("table")).others(0)


def test_features_are_long_only_if_nothing_else_stands_there() -> None:
    place = Place("table")
    assert Columns(["user_id", "Feature"], place).is_long and Columns(["value", "user_id", "feature"], place).is_long
    assert not Columns(["user_id", "feature", "age"], place).is_long and not Columns(["user_id", "value"], place).is_long


def test_a_builder_without_interactions_is_a_mistake() -> None:
    with pytest.raises(RuntimeError):
        DatasetBuilder(10, lambda *told: None).finish()


def test_features_of_cold_users_and_rows_of_no_features() -> None:
    builder = DatasetBuilder(10, lambda *told: None)
    builder.begin(Table.INTERACTIONS, ["user_id", "item_id"], Place("a")).add([(2, 1)])
    sink = builder.begin(Table.USER_FEATURES, ["user_id", "age"], Place("b"))
    sink.add([(3, 30), (1, None)])
    sink.add([(2, -1)])
    found = builder.finish()
    assert found.user_ids == [1, 2, 3] and found.user_features is not None
    assert found.user_features.indptr.tolist() == [0, 0, 1, 2] and found.user_features.values.tolist() == [-1.0, 30.0]


def test_a_database_is_tried_so_often_with_growing_waits() -> None:
    patience = Patience(8)
    waits = [patience.next_wait_s(TriesAgain("gone")) for _ in range(7)]
    bounds = [min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**at) for at in range(7)]
    assert all(bound / 2 <= wait <= bound for wait, bound in zip(waits, bounds, strict=True))
    with pytest.raises(DataUnavailable, match=r"gone \(tried 8 times\)"):
        patience.next_wait_s(TriesAgain("gone"))
    with pytest.raises(DataUnavailable, match=r"gone \(tried once\)"):
        Patience(1).next_wait_s(TriesAgain("gone"))


def test_a_scheme_that_is_not_known_is_refused() -> None:
    from config.schema import DataSettings

    with pytest.raises(BadData, match="names no database"):
        open_reader(DataSettings(url="mysql://x/y"))


class CountedName(str):
    """A name that counts how often any is compared."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        CountedName.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_a_header_of_many_columns_is_not_compared_each_with_each() -> None:
    CountedName.compared = 0
    columns = Columns([CountedName(f"column {number}") for number in range(2000)], Place("items.csv"))
    assert len(columns.others(0)) == 1999
    assert CountedName.compared < 20_000


def test_names_of_columns_that_are_a_megabyte_long_are_cut_in_messages() -> None:
    with pytest.raises(BadData, match="there is no column item_id, only: xxx") as found:
        Columns(["x" * (1 << 20)] * 30, Place("items.csv")).needed("item_id")
    assert len(found.value.message) < 3000
    with pytest.raises(BadData, match="two columns") as found:
        Columns(["x" * (1 << 20)] * 2, Place("items.csv")).others()
    assert len(found.value.message) < 300
