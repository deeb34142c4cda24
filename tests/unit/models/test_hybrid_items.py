"""The union of two parts' items: matching id tables of every kind, columns, categories."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import numpy as np
import pytest

from models.base import Id, InvalidQuery
from models.bundle import Bundle
from models.catalogue import Catalogue
from models.columns import pack_columns
from models.hybrid.items import UnionItems, align
from models.ids import pack_ids
from tests.unit.models.building import table_of

KINDS = ("range", "int", "str", "mixed")


def some_ids(kind: str, count: int, seed: int) -> list[Id]:
    """`count` ids of a kind, half of what there is of it: two seeds have many in common."""
    chance = random.Random(seed)
    numbers = chance.sample(range(-50, 2 * count), count)
    texts = ["", "é" * 40, *map(str, chance.sample(range(-50, 2 * count), count - 2))]
    mixed = [*numbers[: count // 2], *texts[: count - count // 2 - 1], 2**70]
    found: dict[str, list[Any]] = {"range": list(range(seed, seed + count)), "int": numbers, "str": texts, "mixed": mixed}
    return found[kind]


@pytest.mark.parametrize("other", KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_table_finds_the_ids_of_another_as_one_by_one(kind: str, other: str) -> None:
    ours, theirs = some_ids(kind, 700, 1), some_ids(other, 500, 2)
    table = table_of(ours)
    wanted = [-1 if (row := table.row(id)) is None else row for id in theirs]
    assert table.match(table_of(theirs)).tolist() == wanted
    assert any(row >= 0 for row in wanted) == ({kind, other} != {"str", "int"} and {kind, other} != {"str", "range"})


def test_tables_without_ids_match_nothing() -> None:
    for ids in ([1, 5], ["a"], [1, "a"]):
        assert table_of([]).match(table_of(ids)).tolist() == [-1] * len(ids)
        assert table_of(ids).match(table_of([])).tolist() == []


def test_texts_with_the_same_hash_are_told_apart() -> None:
    same = ["plumless", "buckeroo"]
    assert len({crc32(word.encode()) for word in same}) == 1
    assert table_of(same).match(table_of(["buckeroo", "x", "plumless"])).tolist() == [1, -1, 0]
    assert table_of(same[:1]).match(table_of(same)).tolist() == [0, -1]


def test_a_long_text_does_not_split_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.ids._COMPARED_AT_ONCE", 10)
    ids: list[Id] = ["a" * 100, "b", "", "c" * 30, *map(str, range(50))]
    assert table_of(ids).match(table_of(ids[::-1])).tolist() == list(range(len(ids)))[::-1]


# -- the union ------------------------------------------------------------------------------------------------------------


def catalogue(ids: Sequence[Id], columns: dict[str, list[Any]], categories: list[list[str]] | None = None) -> Catalogue:
    arrays, meta = pack_ids("item_ids", ids)
    more, described = pack_columns(columns, categories)
    return Catalogue(Bundle("factors", {**arrays, **more}, {"item_ids": meta, "columns": described}), len(ids))


@pytest.fixture
def union() -> UnionItems:
    content = catalogue([7, 5, 9, 3], {"title": ["seven", None, "nine", "three"]}, [["a"], ["b"], ["a", "b"], []])
    collaborative = catalogue([5, 1, 3], {"title": ["FIVE", "ONE", "THREE"], "plays": [50, 10, 30]}, [["c"], ["a"], ["c"]])
    alignment = align(content.table, collaborative.table)
    assert alignment.shared == 2
    return UnionItems(content, collaborative, lambda: alignment)


def test_rows_are_the_collaborative_part_s_first(union: UnionItems) -> None:
    ids = [5, 1, 3, 7, 9]
    assert union.count == 5 and union.ids(np.arange(5)) == ids
    assert [union.row(id) for id in ids] == [0, 1, 2, 3, 4]
    assert union.row("5") is None and union.row(2**80) is None and union.row(4) is None
    assert union.ids(np.array([4, 0, 3])) == [9, 5, 7]


def test_columns_are_content_s_and_else_the_collaborative_part_s(union: UnionItems) -> None:
    rows = np.array([0, 1, 2, 3, 4])
    assert union.values(["plays", "title"], rows) == {
        "plays": [50, 10, 30, None, None],
        "title": ["FIVE", "ONE", "three", "seven", "nine"],
    }
    with pytest.raises(InvalidQuery) as caught:
        union.values(["title", "price"], rows)
    assert caught.value.field == "fields[1]" and "title" in caught.value.message


def test_an_item_is_in_a_category_of_either_part(union: UnionItems) -> None:
    assert union.in_categories(["a"]).tolist() == [False, True, False, True, True]
    assert union.in_categories(["b", "c"]).tolist() == [True, False, True, False, True]
    with pytest.raises(InvalidQuery) as caught:
        union.in_categories(["a", "z"])
    assert caught.value.field == "categories[1]"
    bare = catalogue([1], {})
    without = UnionItems(bare, bare, lambda: align(bare.table, bare.table))
    with pytest.raises(InvalidQuery) as caught:
        without.in_categories(["a"])
    assert caught.value.field == "categories"
