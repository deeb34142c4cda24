"""Tables of every pandas become columns without pandas; what is not read is named; forged ones end in no crash."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundle import Bundle
from models.columns import open_columns, pack_columns
from models.frames import Frame, frame_columns, is_frame
from models.packing import PackError
from models.records import Array, record_class
from tests.artifacts.frames import LEFT_OUT, UNREAD, WANTED, frames

from .reading import records_of

FOLDER = Path(__file__).parents[2] / "artifacts" / "pandas"
SAVED = sorted(path.name for path in FOLDER.glob("*.pkl"))


@pytest.fixture(params=["this pandas", *SAVED])
def tables(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Any]]:
    with records_of(frames() if request.param == "this pandas" else FOLDER / request.param, tmp_path) as root:
        yield root


def as_json(frame: Frame) -> dict[str, list[Any]]:
    """Through a bundle, as an answer would have them."""
    arrays, meta = pack_columns(frame.columns)
    columns = open_columns(Bundle("neighbours", arrays, {"columns": meta}), frame.rows)
    found = {name: column.values(np.arange(frame.rows)) for name, column in columns.items()}
    json.dumps(found, allow_nan=False)
    return found


def test_saved_frames_of_older_pandas_and_of_arrow_are_there() -> None:
    assert all((FOLDER / name).stat().st_size < 20_000 for name in SAVED)
    assert SAVED == ["1.5.3.pkl", "2.2.3.pkl", "3.1.1-arrow.pkl"]


def test_every_kind_of_column(tables: dict[str, Any]) -> None:
    frame = frame_columns(tables["plain"])
    assert is_frame(tables["plain"])
    assert (frame.rows, list(frame.index or ()), frame.index_name) == (4, [0, 1, 2, 3], None)
    assert set(frame.unread) == set(UNREAD)
    found = as_json(frame)
    assert set(frame.columns) - set(found) == set(LEFT_OUT)
    for name, wanted in WANTED.items():
        assert found[name] == wanted, name
        assert list(map(type, found[name])) == list(map(type, wanted)), name


def test_labels_of_rows(tables: dict[str, Any]) -> None:
    labels = {name: frame_columns(tables[name]) for name in ("by_id", "by_text", "chosen", "every_other", "levels", "none")}
    found = {name: (None if frame.index is None else list(frame.index), frame.index_name, frame.rows) for name, frame in labels.items()}
    assert found == {
        "by_id": ([11, 7, 42, 5], "destination_id", 4),
        "by_text": (list("abcd"), "item", 4),
        "chosen": ([2, 0], None, 2),
        "every_other": ([0, 2], None, 2),
        "levels": (None, None, 4),
        "none": ([], None, 0),
    }
    assert list(labels["levels"].columns) == ["price"] and "destination_id" not in labels["by_id"].columns


def test_a_frame_that_grew_and_one_that_was_cut(tables: dict[str, Any]) -> None:
    assert as_json(frame_columns(tables["grown"])) == {
        "zero": [9, 8, 7, 6],
        "price": WANTED["price"],
        "rating": WANTED["rating"],
        "text": list("pqrs"),
        "5": [1.0] * 4,
    }
    assert as_json(frame_columns(tables["chosen"])) == {"name": [WANTED["name"][2], WANTED["name"][0]], "rating": [3, 4]}
    assert as_json(frame_columns(tables["numbers"]))["rating"] == [4.0, 5.0, 3.0, 1.0]
    assert as_json(frame_columns(tables["none"])) == {"name": [], "price": []}


def test_series_are_columns(tables: dict[str, Any]) -> None:
    frame = frame_columns(tables["series"])
    assert as_json(frame) == {"id": WANTED["destination_id"], "name": WANTED["name"], "visits": WANTED["visits"]}


def test_arrow_columns(tmp_path: Path) -> None:
    for name in SAVED:
        with records_of(FOLDER / name, tmp_path) as tables:
            if "arrow" not in tables:
                continue
            frame, part = frame_columns(tables["arrow"]), frame_columns(tables["arrow_part"])
            wanted: dict[str, list[Any]] = {"text": ["a", None, "c"], "n": [1, None, 3], "x": [0.5, None, 2.0], "b": [True, None, False]}
            assert as_json(frame) == wanted and frame.unread == ("t",)
            assert as_json(part) == {name: values[1:] for name, values in wanted.items()} and list(part.index or ()) == [1, 2]


@pytest.mark.parametrize(
    ("table", "wanted"),
    [
        ({"id": [1, 2], "title": ("a", None)}, {"id": [1, 2], "title": ["a", None]}),
        ({"id": np.array([1, 2]), "tags": [["x"], []]}, {"id": [1, 2], "tags": [["x"], []]}),
        ([{"id": 1, "title": "a"}, {"id": 2, "year": 1999}], {"id": [1, 2], "title": ["a", None], "year": [None, 1999]}),
        (np.array([(1, "a"), (2, "b")], [("id", "i4"), ("title", "U3")]), {"id": [1, 2], "title": ["a", "b"]}),
        ({"id": [1, 2], "when": np.array(["2020-01-01", "NaT"], "M8[D]")}, {"id": [1, 2], "when": ["2020-01-01", None]}),
        ({"id": [1, 2], "when": np.array([1, 2], "M8[Y]"), "raw": [b"a", b"b"]}, {"id": [1, 2], "when": ["1971-01-01", "1972-01-01"]}),
    ],
    ids=str,
)
def test_tables_without_pandas(table: Any, wanted: dict[str, Any], tmp_path: Path) -> None:
    with records_of(table, tmp_path) as root:
        frame = frame_columns(root)
        assert as_json(frame) == wanted and list(frame.index or ()) == [0, 1]


@pytest.mark.parametrize(
    "table", [None, 1, "text", [], {}, [1], {"a": 1}, {1: [1]}, {"a": [1], "b": [1, 2]}, {"a": np.zeros((2, 2))}, slice(3)], ids=str
)
def test_what_is_no_table(table: Any, tmp_path: Path) -> None:
    with records_of(table, tmp_path) as root, pytest.raises(PackError) as caught:
        frame_columns(root)
    assert caught.value.type == "corrupt_artifact"


# -- forged -------------------------------------------------------------------------------------------------------------


def made(name: str, *args: Any, state: Any = None) -> Any:
    record = record_class("pandas", name)(*args)
    record.__setstate__(state)
    return record


def index_of(data: Any, **more: Any) -> Any:
    return made("_new_Index", record_class("pandas", "Index"), {"data": data, "name": None, **more})


def range_of(start: Any, stop: Any, step: Any) -> Any:
    return made("_new_Index", record_class("pandas", "RangeIndex"), {"name": None, "start": start, "stop": stop, "step": step})


def frame_of(*blocks: Any, names: Any = None, rows: Any = None) -> Any:
    manager = made(
        "BlockManager",
        tuple(made("_unpickle_block", values, places, 2) for values, places in blocks),
        [index_of(Array.of_objects(["a", "b"], (2,))) if names is None else names, range_of(0, 3, 1) if rows is None else rows],
    )
    return made("DataFrame", state={"_mgr": manager})


GOOD = (Array(np.arange(3.0).reshape(1, 3)), made("slice", 0, 1, 1))


def nested_categories() -> Any:
    """A categorical that is its own categories."""
    dtype = made("CategoricalDtype", state={})
    categorical = made("__pyx_unpickle_NDArrayBacked", record_class("pandas", "Categorical"), state=(dtype, Array(np.zeros(3, np.int8))))
    dtype.state["categories"] = index_of(categorical)
    return categorical


def nested_series() -> Any:
    series = made("Series", state={})
    series.state["_mgr"] = made("SingleBlockManager", (made("_unpickle_block", series, made("slice", 0, 1, 1)),), [])
    return series


def nested_list() -> Array:
    endless: list[Any] = []
    endless.append(endless)
    return Array.of_objects([endless] * 3, (1, 3))


def arrow(*parts: Any) -> Any:
    return made("ArrowStringArray", state={"_pa_array": made("_restore_array", parts)})


def alias(name: Any) -> Any:
    return made("type_for_alias", name)


def buffer(data: Any) -> Any:
    return made("py_buffer", data)


def offsets(*values: int) -> Any:
    return buffer(np.array(values, np.int32).tobytes())


def endless_chunks() -> Any:
    chunks: list[Any] = []
    record = made("chunked_array", chunks)
    chunks.append(record)
    return made("ArrowStringArray", state={"_pa_array": record})


FORGED: dict[str, Any] = {
    "slice far outside": (GOOD[0], made("slice", 0, 1 << 60, 1)),
    "slice without a step": (GOOD[0], made("slice", 1, 2, 0)),
    "slice of text": (GOOD[0], made("slice", "a", "b", 1)),
    "slice beyond the names": (GOOD[0], made("slice", 5, 6, 1)),
    "negative place": (GOOD[0], Array(np.array([-1]))),
    "more rows": (Array(np.zeros((1, 4))), made("slice", 1, 2, 1)),
    "two columns in one place": (Array(np.zeros((2, 3))), made("slice", 1, 2, 1)),
    "cube": (Array(np.zeros((1, 1, 3))), made("slice", 1, 2, 1)),
    "nothing": (None, made("slice", 1, 2, 1)),
    "unknown": (made("SparseArray"), made("slice", 1, 2, 1)),
    "endless categories": (nested_categories(), made("slice", 1, 2, 1)),
    "endless series": (nested_series(), made("slice", 1, 2, 1)),
    "codes beyond": (
        made(
            "__pyx_unpickle_NDArrayBacked",
            record_class("pandas", "Categorical"),
            state=(made("CategoricalDtype", state={"categories": range_of(0, 2, 1)}), Array(np.array([0, 2, 1], np.int8))),
        ),
        made("slice", 1, 2, 1),
    ),
    "a range of categories without end": (
        made(
            "__pyx_unpickle_NDArrayBacked",
            record_class("pandas", "Categorical"),
            state=(made("CategoricalDtype", state={"categories": range_of(0, 1 << 61, 1)}), Array(np.array([0, 2, 1], np.int8))),
        ),
        made("slice", 1, 2, 1),
    ),
    "mask of another length": (
        made("IntegerArray", state={"_data": Array(np.arange(3)), "_mask": Array(np.zeros(2, bool))}),
        made("slice", 1, 2, 1),
    ),
    "mask of numbers": (made("IntegerArray", state={"_data": Array(np.arange(3)), "_mask": Array(np.arange(3))}), made("slice", 1, 2, 1)),
    "dates without a unit": (Array(np.zeros((1, 3), "M8")), made("slice", 1, 2, 1)),
    "arrow: nothing": (arrow(), made("slice", 1, 2, 1)),
    "arrow: a type that is none": (
        arrow(alias(["string"]), 3, 0, 0, [None, offsets(0, 1, 2, 3), buffer(b"abc")], [], None),
        made("slice", 1, 2, 1),
    ),
    "arrow: offsets that fall": (
        arrow(alias("string"), 3, 0, 0, [None, offsets(0, 2, 1, 3), buffer(b"abc")], [], None),
        made("slice", 1, 2, 1),
    ),
    "arrow: offsets beyond": (
        arrow(alias("string"), 3, 0, 0, [None, offsets(0, 1, 2, 9), buffer(b"abc")], [], None),
        made("slice", 1, 2, 1),
    ),
    "arrow: negative offsets": (
        arrow(alias("string"), 3, 0, 0, [None, offsets(-9, 1, 2, 3), buffer(b"abc")], [], None),
        made("slice", 1, 2, 1),
    ),
    "arrow: too few offsets": (
        arrow(alias("string"), 3, 0, 1, [None, offsets(0, 1, 2, 3), buffer(b"abc")], [], None),
        made("slice", 1, 2, 1),
    ),
    "arrow: too short a bitmap": (arrow(alias("bool"), 3, 0, 1 << 40, [None, buffer(b"a")], [], None), made("slice", 1, 2, 1)),
    "arrow: a length without end": (arrow(alias("int64"), 1 << 61, 0, 0, [buffer(b""), buffer(b"")], [], None), made("slice", 1, 2, 1)),
    "arrow: no buffer": (arrow(alias("int64"), 3, 0, 0, [None, "no buffer"], [], None), made("slice", 1, 2, 1)),
    "arrow: no text": (arrow(alias("string"), 3, 0, 0, [None, offsets(0, 1, 2, 3), None], [], None), made("slice", 1, 2, 1)),
    "arrow: endless chunks": (endless_chunks(), made("slice", 1, 2, 1)),
}


@pytest.mark.parametrize("block", FORGED.values(), ids=FORGED)
def test_a_forged_block_leaves_its_column_out(block: tuple[Any, Any]) -> None:
    frame = frame_columns(frame_of(GOOD, block))
    assert as_json(frame) == {"a": [0.0, 1.0, 2.0]} and frame.unread == ("b",) and frame.rows == 3


def test_arrow_arrays_that_begin_inside_their_buffers() -> None:
    bits = buffer(np.packbits([0, 1, 0, 1, 1, 0, 0, 0, 0, 1, 0, 1], bitorder="little").tobytes())
    there = buffer(np.packbits([0, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1], bitorder="little").tobytes())
    frame = frame_columns(
        frame_of(
            (arrow(alias("bool"), 3, 1, 3, [there, bits], [], None), made("slice", 0, 1, 1)),
            (arrow(alias("bool"), 3, 0, 9, [None, bits], [], None), made("slice", 1, 2, 1)),
        )
    )
    assert as_json(frame) == {"a": [True, None, False], "b": [True, False, True]}


def test_cells_that_hold_themselves_are_no_column() -> None:
    frame = frame_columns(frame_of(GOOD, (nested_list(), made("slice", 1, 2, 1))))
    assert as_json(frame) == {"a": [0.0, 1.0, 2.0]}


@pytest.mark.parametrize(
    ("names", "rows"),
    [
        (range_of(0, 1 << 61, 1), None),
        (None, range_of(0, 1 << 61, 1)),
        (None, range_of(0, "x", 1)),
        (None, range_of(0, 3, 0)),
        (None, range_of(0, 5, 1)),
        (None, made("MultiIndex")),
        (index_of(Array.of_objects([["a"], 10**5000], (2,))), None),
        (index_of(nested_list()), None),
        (made("MultiIndex"), None),
    ],
)
def test_forged_labels(names: Any, rows: Any) -> None:
    frame = frame_columns(frame_of(GOOD, (Array(np.ones((1, 3))), made("slice", 1, 2, 1)), names=names, rows=rows))
    assert frame.rows == 3 and (frame.index is None) == (rows is not None)
    assert (names is None) == (list(frame.columns) == ["a", "b"])
    as_json(frame)


@pytest.mark.parametrize(
    "manager", [None, 1, made("BlockManager"), made("BlockManager", (), []), made("BlockManager", state=(1, 2, 3, {"0.14.1": {}}))]
)
def test_a_frame_without_its_axes(manager: Any) -> None:
    with pytest.raises(PackError, match="axes"):
        frame_columns(made("DataFrame", state={"_mgr": manager}))


def test_frames_of_before_pandas_1_3() -> None:
    blocks = [{"values": GOOD[0], "mgr_locs": made("BlockPlacement", made("slice", 0, 1, 1))}, "no block"]
    state: Any = ([], [], [], {"0.14.1": {"axes": [index_of(Array.of_objects(["a"], (1,))), range_of(4, 7, 1)], "blocks": blocks}})
    frame = frame_columns(made("DataFrame", state={"_data": made("BlockManager", state=state)}))
    assert as_json(frame) == {"a": [0.0, 1.0, 2.0]} and list(frame.index or ()) == [4, 5, 6]
