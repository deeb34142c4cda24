"""Columns: what goes in comes back as JSON, categories are found, forged ones are refused."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.base import InvalidQuery
from models.bundle import BadBundle, Bundle
from models.column_kinds import MAX_LIST, MAX_TEXT, Column
from models.columns import CATEGORIES, MAX_COLUMNS, open_columns, pack_columns

texts = st.text(max_size=5)
COLUMNS = (
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=4, max_size=4),
    st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), min_size=4, max_size=4),
    st.lists(st.none() | st.booleans(), min_size=4, max_size=4),
    st.lists(st.none() | texts, min_size=4, max_size=4),
    st.lists(st.none() | st.lists(texts, max_size=3), min_size=4, max_size=4),
)


def opened(columns: dict[str, Any], categories: Any = None, count: int | None = None) -> dict[str, Column]:
    arrays, meta = pack_columns(columns, categories)
    assert json.loads(json.dumps(meta)) == meta
    return open_columns(Bundle("factors", arrays, {"columns": meta}), len(next(iter(columns.values()))) if count is None else count)


def everything(column: Column, count: int) -> list[Any]:
    found = column.values(np.arange(count))
    assert found == [column.values(np.array([row]))[0] for row in range(count)]
    json.dumps(found, allow_nan=False)
    return found


def replaced(value: Any) -> Any:
    """What JSON can carry of a text: no half of a surrogate pair."""
    return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace") if isinstance(value, str) else value


@given(values=st.one_of(*COLUMNS))
@settings(deadline=None, max_examples=200)
def test_values_come_back(values: list[Any]) -> None:
    found = everything(opened({"a": values})["a"], 4)
    assert found == [[replaced(word) for word in value] if isinstance(value, list) else replaced(value) for value in values]
    assert [type(value) for value in found] in (
        [type(value) for value in values],
        [float if value is not None else type(None) for value in values],
    )


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([1, None, math.nan, 3], [1, None, None, 3]),
        ([1, 2.5, None, math.inf], [1.0, 2.5, None, None]),
        ([True, None, False, math.nan], [True, None, False, None]),
        (["a", math.nan, None, "d\x00"], ["a", None, None, "d\x00"]),
        (["a", 3, True, 2.5], ["a", "3", "True", "2.5"]),
        ([None] * 4, [None] * 4),
        ([("b", "a"), {"d", "c"}, frozenset(), None], [["b", "a"], ["c", "d"], [], None]),
        (list(np.array([1, 2, 3, 4], np.int32)), [1, 2, 3, 4]),
        (list(np.array(["a", "b", "c", "d"])), ["a", "b", "c", "d"]),
        (np.array([1, 2, 3, 4], ">i2"), [1, 2, 3, 4]),
        (np.array([1, 2, 3, 2**64 - 1], "u8"), [1, 2, 3, 2**64 - 1]),
        (np.array([0.5, np.nan, -np.inf, 2], "f4"), [0.5, None, None, 2.0]),
        (np.array([0.5, 1, 2, 3], np.longdouble), [0.5, 1.0, 2.0, 3.0]),
        (np.array([True, False, True, True]), [True, False, True, True]),
        (np.array(["a", "", "c", "d"]), ["a", "", "c", "d"]),
    ],
)
def test_kinds_of_values(values: Any, wanted: list[Any]) -> None:
    found = everything(opened({"a": values})["a"], 4)
    assert found == wanted and list(map(type, found)) == list(map(type, wanted))


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1},
        Ellipsis,
        b"x",
        [1.0],
        ["a", 1],
        [["a"]],
        2**63,
        1 + 2j,
        "x" * (MAX_TEXT + 1),
        ["x" * (MAX_TEXT + 1)],
        ["a"] * (MAX_LIST + 1),
    ],
    ids=str,
)
def test_what_is_no_value_leaves_its_column_out(value: Any) -> None:
    assert set(opened({"a": [value, value], "b": [1, 2]})) == {"b"}
    assert set(opened({"a": [["a"], value], "b": [1, 2]})) - {"a"} == {"b"}


def test_numbers_too_long_to_be_written_among_text() -> None:
    assert set(opened({"a": ["x", 10**5000], "b": [1, 2], "c": [0.5, 10**5000]})) == {"b"}


def test_more_columns_than_are_kept() -> None:
    many = {f"c{at}": [at] for at in range(MAX_COLUMNS + 5)}
    assert list(opened(many, [["x"]])) == [CATEGORIES, *list(many)[: MAX_COLUMNS - 1]]
    assert set(opened({"\u6771" * 5000: [1], "b": [2], 3: [1]})) == {"b"}  # type: ignore[dict-item]
    assert opened({"": [1]})[""].values(np.array([0])) == [1]
    assert open_columns(Bundle("factors", {}), 3) == {}
    with pytest.raises(ValueError, match="length"):
        pack_columns({"a": [1], "b": [1, 2]})


def test_categories() -> None:
    genres = [["Drama"], [], ["Comedy", "Drama"], ["\u6771"]]
    columns = opened({"genres": ["Drama", "", "Comedy|Drama", "\u6771"]}, genres)
    assert not columns[CATEGORIES].is_shown and columns["genres"].is_shown
    assert columns[CATEGORIES].holds_any(["Drama"]).tolist() == [True, False, True, False]
    assert columns[CATEGORIES].holds_any(["\u6771", "Comedy"]).tolist() == [False, False, True, True]
    for words in (["Drama", "dram"], ["Comedy", ""], ["Comedy", "Zzz"]):
        with pytest.raises(InvalidQuery) as caught:
            columns[CATEGORIES].holds_any(words)
        assert caught.value.field == "categories[1]"
    own: list[list[Any]] = [["Comedy", None, "Drama"], [["Comedy"], [], ["Drama"]]]
    for values in own:
        shown = opened({CATEGORIES: values})[CATEGORIES]
        assert shown.is_shown and everything(shown, 3) == [["Comedy"], [], ["Drama"]]
        assert shown.holds_any(["Drama"]).tolist() == [False, False, True]
    with pytest.raises(InvalidQuery) as caught:
        opened({CATEGORIES: [1, 2]})[CATEGORIES].holds_any(["Drama"])
    assert caught.value.field == "categories"


@given(st.lists(st.lists(st.sampled_from("abcdef"), max_size=4), min_size=1, max_size=20))
@settings(deadline=None)
def test_rows_of_a_category_are_found(lists: list[list[str]]) -> None:
    column = opened({"x": [0] * len(lists)}, lists)[CATEGORIES]
    for word in {word for words in lists for word in words}:
        assert column.holds_any([word]).tolist() == [word in words for words in lists]


GOOD: dict[str, list[Any]] = {"n": [1, None, 3], "f": [0.5, 1.5, 2.5], "t": ["a", "bb", None], "l": [["x", "y"], [], ["y"]]}


@pytest.mark.parametrize(
    "change",
    [
        {"0.values": None},
        {"0.values": np.zeros(2, "i8")},
        {"0.values": np.zeros((3, 1), "i8")},
        {"0.values": np.zeros(3)},
        {"0.missing": np.zeros(3, "u1")},
        {"0.missing": np.zeros(4, "?")},
        {"1.values": np.zeros(3, "i8")},
        {"2.offsets": np.array([0, 3, 1, 3])},
        {"2.offsets": np.array([0, -1, 3, 3])},
        {"2.offsets": np.array([1, 1, 3, 3])},
        {"2.offsets": np.array([0, 1, 3, 4])},
        {"2.offsets": np.array([0, 1, 3])},
        {"2.offsets": np.array([0, 100, -100, 3], "i1")},
        {"2.utf8": np.zeros(3, "u2")},
        {"2.utf8": np.zeros(MAX_TEXT + 4, "u1"), "2.offsets": np.array([0, 1, 3, MAX_TEXT + 4])},
        {"3.indptr": np.array([0, 2, 1, 3])},
        {"3.indptr": np.array([0, 2, 2, 4])},
        {"3.indptr": np.array([0, 2, 3])},
        {"3.indptr": np.array([0, 0, 0, MAX_LIST + 1]), "3.indices": np.zeros(MAX_LIST + 1, "i4")},
        {"3.indices": np.array([0, 1, 2], "i4")},
        {"3.indices": np.array([0, -1, 1], "i4")},
        {"3.indices": np.zeros(3)},
        {"3.offsets": np.zeros(0, "i8")},
        {"3.offsets": np.array([0, 1])},
    ],
    ids=str,
)
def test_forged_columns_are_refused(change: dict[str, NDArray[Any] | None]) -> None:
    arrays, meta = pack_columns(GOOD)
    assert everything(open_columns(Bundle("factors", arrays, {"columns": meta}), 3)["l"], 3) == GOOD["l"]
    forged = {**arrays, **{f"columns.{name}": array for name, array in change.items()}}
    with pytest.raises(BadBundle):
        open_columns(Bundle("factors", {name: array for name, array in forged.items() if array is not None}, {"columns": meta}), 3)


@pytest.mark.parametrize(
    "meta",
    [
        {},
        "no list",
        [1],
        [{}],
        [{"name": "a", "kind": "other", "shown": True}],
        [{"name": "a", "kind": [], "shown": True}],
        [{"name": 1, "kind": "int", "shown": True}],
        [{"name": "a", "kind": "int", "shown": True}] * 2,
        [{"name": f"{at}", "kind": "int"} for at in range(MAX_COLUMNS + 1)],
    ],
    ids=str,
)
def test_forged_metadata_is_refused(meta: Any) -> None:
    arrays = {f"columns.{at}.values": np.zeros(1, "i8") for at in range(MAX_COLUMNS + 1)}
    with pytest.raises(BadBundle):
        open_columns(Bundle("factors", arrays, {"columns": meta}), 1)


def test_words_out_of_order_in_a_forged_vocabulary_are_only_not_found() -> None:
    arrays, meta = pack_columns({}, [["a"], ["b"], ["c"]])
    arrays["columns.0.utf8"] = np.frombuffer(b"cab", np.uint8)
    column = open_columns(Bundle("factors", arrays, {"columns": meta}), 3)[CATEGORIES]
    with pytest.raises(InvalidQuery):
        column.holds_any(["c"])
