"""Id tables: every kind goes in and comes back, "1" is not 1, and forged tables are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import models.ids
from models.bundle import BadBundle, Bundle
from models.ids import IdTable, UnsupportedId, longest_run, pack_ids, plain_id

from .building import table_of

ints = st.integers() | st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 40)
texts = st.text(max_size=6)


@given(
    ids=st.lists(ints, unique=True, max_size=30)
    | st.lists(texts, unique=True, max_size=30)
    | st.lists(ints | texts | ints.map(str), unique_by=lambda value: (type(value), value), max_size=30)
)
@settings(deadline=None)
def test_round_trip(ids: list[Any]) -> None:
    table = table_of(ids)
    back = table.ids(np.arange(len(ids)))
    assert back == ids and list(map(type, back)) == list(map(type, ids))
    for row, id in enumerate(ids):
        assert table.row(id) == row
        other = str(id) if isinstance(id, int) else int(id) if id.lstrip("-").isdecimal() and str(int(id)) == id else None
        if other is not None and other not in ids:
            assert table.row(other) is None
    assert table.rows([*ids, "not there either", 2**200]) == list(range(len(ids)))


@pytest.mark.parametrize(
    ("ids", "kind"),
    [
        ([], "int"),
        ([5], "range"),
        ([5, 6, 7], "range"),
        ([7, 6, 5], "int"),
        ([-1, 0, 1], "range"),
        ([2**63 - 1, -(2**63)], "int"),
        ([2**63, 1], "mixed"),
        ([-(2**63) - 1], "mixed"),
        (["a", "b"], "str"),
        (["1", 1], "mixed"),
        ([1.0, 3.0], "int"),
        ([b"ab", "c"], "str"),
    ],
)
def test_kinds(ids: list[Any], kind: str) -> None:
    arrays, meta = pack_ids("t", ids)
    assert (meta["kind"], meta["count"]) == (kind if ids else meta["kind"], len(ids))
    assert all(array.dtype.kind in "iu" and array.flags.c_contiguous for array in arrays.values())


@pytest.mark.parametrize("ids", [[2**63 - 1], [2**63 - 2, 2**63 - 1], [-(2**63)], [-(2**63), 1 - 2**63]])
def test_a_range_reaches_the_ends_of_64_bits(ids: list[int]) -> None:
    table = table_of(ids)
    assert table.kind == "range"
    assert table.ids(np.arange(len(ids))) == ids
    assert table.rows([*ids, 2**63, -(2**63) - 1]) == list(range(len(ids)))
    assert table.match(table_of([7, *ids])).tolist() == [-1, *range(len(ids))]


@pytest.mark.parametrize("dtype", ["i1", "u2", ">i4", "u8", "U3", "S3"])
def test_arrays_of_ids(dtype: str) -> None:
    ids = np.array([3, 1, 120], dtype)
    table = table_of(ids)
    wanted = [str(n) for n in (3, 1, 120)] if dtype[0] in "US" else [3, 1, 120]
    assert table.ids(np.arange(3)) == wanted
    assert [table.row(id) for id in wanted] == [0, 1, 2]
    assert table.row(3 if dtype[0] in "US" else "3") is None


def test_a_range_has_ends() -> None:
    table = table_of([5, 6, 7])
    assert [table.row(id) for id in (4, 5, 7, 8, "5", True, 2**70)] == [None, 0, 2, None, None, None, None]
    for ids in ([0, 1], [1, 0, 7], ["1", "True"], ["x", 1]):
        assert table_of(ids).row(True) is None


@pytest.mark.parametrize("ids", [[1, 2, 1], ["a", "a"], [1, "1", 1], [2**70, 2**70], np.array([4, 4]), [1.0, 1], [b"a", "a"]])
def test_an_id_stands_for_one_row(ids: Any) -> None:
    with pytest.raises(ValueError, match="two rows"):
        pack_ids("t", ids)


@pytest.mark.parametrize("value", [None, True, 1.5, float("nan"), float("inf"), (1,), [1], {}, np.array(1)])
def test_what_is_no_id(value: Any) -> None:
    with pytest.raises(UnsupportedId):
        plain_id(value)
    with pytest.raises(UnsupportedId):
        pack_ids("t", [1, value])


def test_strings_that_hash_alike_are_told_apart_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.ids, "crc32", lambda text: len(text) % 2)
    ids = [f"{n:03}" for n in range(models.ids.MAX_COLLISIONS)]
    table = table_of(ids)
    assert [table.row(id) for id in ids] == list(range(len(ids)))
    assert table.row("999") is None
    with pytest.raises(ValueError, match="collide"):
        pack_ids("t", [*ids, "one"])


@given(st.lists(st.integers(0, 6), max_size=40))
def test_longest_run(values: list[int]) -> None:
    assert longest_run(np.array(sorted(values), np.uint32)) == max(map(values.count, values), default=0)


def forged(kind: str, change: dict[str, NDArray[Any] | None], meta: dict[str, Any] | None = None) -> None:
    kinds: dict[str, list[Any]] = {"int": [9, 4, 7], "str": ["a", "bb", "c"], "mixed": ["a", 1, "c"], "range": [4, 5, 6]}
    arrays, found = pack_ids("ids", kinds[kind])
    arrays.update({f"ids.{name}": array for name, array in change.items() if array is not None})
    for name, array in change.items():
        if array is None:
            del arrays[f"ids.{name}"]
    IdTable("ids", Bundle("factors", arrays, {"ids": {**found, **(meta or {})}}), 3)


@pytest.mark.parametrize("kind", ["int", "str", "mixed", "range"])
def test_the_tables_that_are_forged_below_are_good(kind: str) -> None:
    forged(kind, {})


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        *((kind, {"order": np.array([0, 1, rogue])}) for kind in ("int", "str") for rogue in (3, -1, 2**40)),
        *((kind, {"order": array}) for kind in ("int", "str") for array in (None, np.zeros(2, "i8"), np.zeros((3, 1), "i8"), np.zeros(3))),
        ("int", {"ids": np.zeros(3)}),
        ("int", {"sorted": np.zeros(2, "i8")}),
        ("str", {"offsets": np.array([0, 1, 3])}),
        ("str", {"offsets": np.array([0, 3, 1, 4])}),
        ("str", {"offsets": np.array([1, 2, 3, 4])}),
        ("str", {"offsets": np.array([0, 1, 3, 5])}),
        ("str", {"offsets": np.array([0, -1, 3, 4])}),
        ("str", {"offsets": np.array([0, 100, -100, 4], "i1")}),  # falls by 200, which wraps to a rise
        ("str", {"utf8": np.zeros(4, "f4")}),
        ("str", {"hashes": np.zeros(3, "i8")}),
        ("mixed", {"is_int": None}),
        ("mixed", {"is_int": np.zeros(2, "u1")}),
    ],
)
def test_forged_tables_are_refused(kind: str, change: dict[str, Any]) -> None:
    with pytest.raises(BadBundle):
        forged(kind, change)


@pytest.mark.parametrize(
    "meta", [{"kind": "bytes"}, {"kind": None}, {"count": 4}, {"start": "4"}, {"start": 2**63 - 2}, {"start": -(2**70)}]
)
def test_forged_metadata_is_refused(meta: dict[str, Any]) -> None:
    with pytest.raises(BadBundle):
        forged("range", {}, meta)


def test_colliding_hashes_of_a_forged_table_are_refused() -> None:
    ids = [f"{n}" for n in range(models.ids.MAX_COLLISIONS + 1)]
    arrays, meta = pack_ids("ids", ids)
    arrays["ids.hashes"] = np.zeros(len(ids), np.uint32)
    with pytest.raises(BadBundle, match="collide"):
        IdTable("ids", Bundle("factors", arrays, {"ids": meta}), len(ids))


@pytest.mark.parametrize("text", ["--5", "-", "x", "\u00b2", "9" * 5000])
def test_a_forged_int_that_is_none_is_text(text: str) -> None:
    encoded = text.encode()
    arrays, meta = pack_ids("ids", [text, 7])
    arrays["ids.is_int"] = np.ones(2, np.uint8)
    assert arrays["ids.utf8"].tobytes().startswith(encoded)
    assert IdTable("ids", Bundle("factors", arrays, {"ids": meta}), 2).ids(np.arange(2)) == [text, 7]


def test_in_words() -> None:
    assert table_of([4, 5, 6, 7]).in_words() == "int: 4, 5, 6, ..."
    assert table_of(["a"]).in_words() == "str: 'a'"
    assert table_of([1, "x"]).in_words() == "mixed: 1, 'x'"
