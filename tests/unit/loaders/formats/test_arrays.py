"""Arrays come out of every format as numpy and joblib put them in; in joblib's object arrays, memmaps and old files too."""

from __future__ import annotations

import io
import pickle
from functools import partialmethod
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from numpy.typing import NDArray

from models.records import Array

from .reading import BIG, MemorySink, array_of, read_dripping, read_file

SMALL = np.arange(24)
RECORD = np.dtype([("a", "<i4"), ("b", ">f8", (2, 3)), ("c", "S3"), ("d", [("x", "u1"), ("y", "U2")])])
CASES: dict[str, NDArray[Any]] = {
    **{f"dtype_{code}": SMALL.astype(code) for code in (*"?bBhHiIqQefdgFD", "S4", "U5")},
    **{f"swapped_{code}": SMALL.astype(f">{code}") for code in ("i2", "u4", "f4", "f8", "c16", "U3", "M8[s]")},
    "datetimes": SMALL.astype("M8[ns]"),
    "days": SMALL.astype("M8[25D]"),
    "durations": SMALL.astype("m8[us]"),
    "not_a_time": np.array(["NaT", "2026-01-02"], "M8[h]"),
    "record": np.array([(1, np.ones((2, 3)), b"abc", (7, "zq")), (2, np.zeros((2, 3)), b"", (8, ""))], RECORD),
    "record_with_gaps": np.zeros(3, np.dtype({"names": ["a", "b"], "formats": ["u1", "f8"], "offsets": [3, 16], "itemsize": 32})),
    "fortran": np.asfortranarray(SMALL.reshape(4, 6)),
    "fortran_3d": np.asfortranarray(SMALL.reshape(2, 3, 4)),
    "strided": np.arange(200).reshape(10, 20)[::2, ::-3],
    "transposed": SMALL.reshape(2, 3, 4).transpose(1, 2, 0),
    "broadcast": np.broadcast_to(np.float32(2.5), (3, 4)),
    "scalar": np.array(3.5),
    "scalar_bool": np.array(True),
    "empty": np.zeros((0, 5), "f4"),
    "empty_behind": np.zeros((5, 0), "f4", order="F"),
    "empty_text": np.zeros(3, "U0"),
    "read_only": np.frombuffer(b"abcdefgh", "u2"),
    "recarray": np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    "below": np.arange(BIG // 4 - 1, dtype="f4"),
    "at": np.arange(BIG // 4, dtype="f4"),
    "above": np.arange(BIG // 4 + 1, dtype="f4"),
    "above_fortran": np.asfortranarray(np.arange(60_000.0).reshape(200, 300)),
    "above_swapped": np.arange(30_000, dtype=">f8").reshape(100, 300),
    "above_text": np.arange(9000).astype("U8"),
    "above_strided": np.arange(300_000, dtype="i4")[::2],
}
WAYS = ["pickle2", "pickle3", "pickle4", "pickle5", "joblib", "joblib_lz4", "npz", "npz_compressed"]


def saved(value: Any, way: str) -> bytes:
    file = io.BytesIO()
    if way.startswith("pickle"):
        pickle.dump(value, file, int(way[-1]))
    elif way.startswith("joblib"):
        joblib.dump(value, file, compress=(way.partition("_")[2], 1) if "_" in way else 0)
    else:
        {"npz": np.savez, "npz_compressed": np.savez_compressed}[way](file, **value)
    return file.getvalue()


def assert_same(found: Any, wanted: NDArray[Any]) -> None:
    array = array_of(found)
    assert array.shape == wanted.shape
    # Pickle itself may bring byte order and itemsize of an empty text to what is native.
    assert array.dtype.newbyteorder("=") == np.asarray(wanted).dtype.newbyteorder("=") or wanted.dtype.itemsize == 0
    np.testing.assert_array_equal(array, np.asarray(wanted))


@pytest.mark.parametrize("way", WAYS[:6])
def test_arrays_one_by_one(way: str) -> None:
    for case, wanted in CASES.items():
        root = read_file(saved([1, wanted, case], way)).root
        assert (root[0], root[2]) == (1, case)
        assert_same(root[1], wanted)


@pytest.mark.parametrize("way", WAYS)
def test_arrays_in_one_file(way: str) -> None:
    # numpy describes records and empty texts in .npy in ways that no model file of people has.
    cases = {
        case: wanted for case, wanted in CASES.items() if not way.startswith("npz") or (not wanted.dtype.names and wanted.dtype.itemsize)
    }
    root = read_file(saved(cases, way)).root
    assert set(root) == set(cases)
    for case, wanted in cases.items():
        assert_same(root[case], wanted)


@pytest.mark.parametrize("way", WAYS[:6])
def test_shared_arrays_in_lists_and_dicts(way: str) -> None:
    for array in (np.arange(10), np.arange(50_000, dtype="f8")):
        root = read_file(saved([array, {"a": array, "b": (array,)}], way)).root
        for found in (root[0], root[1]["a"], root[1]["b"][0]):
            assert_same(found, array)
        if way.startswith("pickle"):
            assert root[0] is root[1]["a"] is root[1]["b"][0]


@pytest.mark.parametrize("way", WAYS[:6])
def test_numpy_scalars_are_python_values(way: str) -> None:
    scalars: list[Any] = [
        np.int8(-3),
        np.uint64(2**63 + 1),
        np.float32(0.5),
        np.float16(0.25),
        np.bool_(True),
        np.str_("kota"),
        np.bytes_(b"ab"),
    ]
    scalars += [np.complex128(1j), np.array([7], ">i8")[0], np.str_("")]
    wanted = [scalar.item() for scalar in scalars]
    root = read_file(saved({"keys": {scalar: row for row, scalar in enumerate(scalars)}, "values": scalars}, way)).root
    assert root["values"] == wanted
    assert list(map(type, root["values"])) == list(map(type, wanted))
    assert root["keys"] == {value: row for row, value in enumerate(wanted)}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_in_pieces(protocol: int) -> None:
    value: list[Any] = [np.arange(7), np.arange(20_000, dtype="f4"), "between", np.asfortranarray(np.eye(100)), {1: np.float64(2)}]
    root = read_dripping(saved(value, f"pickle{protocol}"))
    for at in (0, 1, 3):
        assert_same(root[at], value[at])
    assert (root[2], root[4]) == ("between", {1: 2.0})


def test_joblib_in_pieces() -> None:
    value: dict[str, Any] = {"a": np.arange(30_000), "b": [np.array(["x", None, np.arange(3)], object), 5], "c": np.arange(3.0)}
    root = read_dripping(saved(value, "joblib"))
    assert_same(root["a"], value["a"])
    assert root["b"][0].objects[:2] == ["x", None] and root["b"][1] == 5
    assert_same(root["b"][0].objects[2], np.arange(3))
    assert_same(root["c"], np.arange(3.0))


@pytest.mark.parametrize("way", WAYS)
def test_object_arrays_are_lists_of_values(way: str) -> None:
    inner = np.array([1.5, 2.5])
    array = np.empty((2, 3), object)
    array[:] = [["a", 1, None], [inner, {"k": "v"}, 2.5]]
    found = read_file(saved({"it": array, "behind": np.arange(4)}, way)).root
    assert isinstance(found["it"], Array)
    assert found["it"].shape == (2, 3) and found["it"].values is None
    objects = found["it"].objects
    assert objects is not None and objects[:3] == ["a", 1, None] and objects[4:] == [{"k": "v"}, 2.5]
    assert_same(objects[3], inner)
    assert_same(found["behind"], np.arange(4))


@pytest.mark.parametrize("way", ["joblib", "joblib_zlib"])
def test_object_arrays_within_object_arrays(way: str) -> None:
    deep = np.array([np.array(["a", "b"], object), 1, np.array([np.array([None], object), 2], object)], object)
    big = np.arange(20_000, dtype="f8")
    root = read_file(saved([deep, np.array([big, "x"], object), big], way)).root
    assert root[0].objects[0].objects == ["a", "b"]
    assert root[0].objects[2].objects[0].objects == [None]
    assert_same(root[1].objects[0], big)
    assert_same(root[2], big)


@pytest.mark.parametrize("way", ["pickle4", "joblib"])
def test_memmaps(way: str, tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "array", "f4", "w+", shape=(300, 100))
    mapped[:] = np.arange(30_000).reshape(300, 100)
    assert_same(read_file(saved([mapped, 1], way)).root[0], np.asarray(mapped))
    del mapped


@pytest.mark.parametrize("size", [3, 30_000])
def test_files_of_joblib_before_it_aligned_arrays(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """joblib < 1.2 wrote neither padding nor `numpy_array_alignment_bytes`."""
    from joblib.numpy_pickle import NumpyArrayWrapper

    def old_write(self: Any, array: NDArray[Any], pickler: Any) -> None:
        pickler.file_handle.write(array.tobytes("F" if self.order == "F" else "C"))

    for missing in ("absent", None):
        monkeypatch.setattr(NumpyArrayWrapper, "write_array", old_write)
        monkeypatch.setattr(NumpyArrayWrapper, "__getstate__", partialmethod(_without_alignment, missing), raising=False)
        value: dict[str, Any] = {"a": np.arange(size), "f": np.asfortranarray(np.arange(size * 2.0).reshape(2, size)), "z": 1}
        data = saved(value, "joblib")
        root = read_file(data).root
        assert_same(root["a"], value["a"])
        assert_same(root["f"], value["f"])
        assert root["z"] == 1


def _without_alignment(wrapper: Any, missing: str | None) -> dict[str, Any]:
    state = dict(vars(wrapper))
    del state["numpy_array_alignment_bytes"]
    return state if missing == "absent" else {**state, "numpy_array_alignment_bytes": None}


def test_aligned_arrays_of_a_raw_joblib_file_stay_where_they_are() -> None:
    sink = MemorySink()
    value = {"a": np.arange(50_000.0), "small": np.arange(2), "swapped": np.arange(50_000, dtype=">i4")}
    root = read_file(saved(value, "joblib"), sink).root
    assert sink.taken == [200_000], "only what must be turned round is copied"
    for name, wanted in value.items():
        assert_same(root[name], wanted)
    assert not root["a"].values.flags.writeable


def test_streamed_arrays_are_not_copied_on_the_way() -> None:
    for way in ("pickle4", "pickle5", "joblib_lz4"):
        sink = MemorySink()
        tree = read_file(saved({"a": np.ones((300, 200)), "b": np.asfortranarray(np.ones((200, 300)))}, way), sink)
        assert sink.taken == [480_000, 480_000], way
        assert tree.plain_bytes < 2000, way
