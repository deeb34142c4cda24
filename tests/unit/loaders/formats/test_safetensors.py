"""The safetensors layout agrees with the safetensors library both ways, and each of its rules is checked."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray
from safetensors import deserialize
from safetensors.numpy import load, save

from loaders.errors import CorruptArtifact, UnknownFormat
from loaders.formats.safetensors import DTYPES, MAX_HEADER, OTHER_DTYPES, BadHeader, Entry, header_length, parse, render

from .reading import read_file

arrays = st.dictionaries(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(lambda name: name != "__metadata__"),
    st.sampled_from(sorted(DTYPES.values())).flatmap(
        lambda code: npst.arrays(np.dtype(code), npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
    ),
    min_size=1,
    max_size=5,
)


def same(found: NDArray[Any], wanted: NDArray[Any]) -> bool:
    return found.dtype == wanted.dtype and found.shape == wanted.shape and found.tobytes() == wanted.tobytes()


@given(tensors=arrays, metadata=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2))
@settings(deadline=None)
def test_reads_what_the_library_writes(tensors: dict[str, NDArray[Any]], metadata: dict[str, str]) -> None:
    root = read_file(save({name: np.ascontiguousarray(array).reshape(array.shape) for name, array in tensors.items()}, metadata)).root
    assert root.pop("__metadata__", {}) == metadata
    assert set(root) == set(tensors)
    assert all(same(root[name].values, array) for name, array in tensors.items())


@given(tensors=arrays)
@settings(deadline=None)
def test_the_library_reads_what_is_rendered(tensors: dict[str, NDArray[Any]]) -> None:
    # The library wants tensors of wider types first only of its own writer; any order without gaps is read.
    length, at, entries, payload = 4096, 4096, [], b""
    for name, array in tensors.items():
        entries.append(Entry(name, array.dtype, array.shape, at, array.nbytes))
        payload, at = payload + array.tobytes(), at + array.nbytes
    data = render(entries, {"k": "v"}, length) + payload
    found = load(data)
    assert set(found) == set(tensors) and all(same(found[name], array) for name, array in tensors.items())
    again, metadata = parse(data[:length], len(data))
    assert sorted(again) == sorted(entries) and metadata == {"k": "v"}


GOOD = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "b": {"dtype": "U8", "shape": [3], "data_offsets": [8, 11]}}


def file_with(table: Any, payload: int = 11, *, text: str | None = None, length: int | None = None) -> bytes:
    header = (json.dumps(table) if text is None else text).encode()
    return (len(header) if length is None else length).to_bytes(8, "little") + header + bytes(payload)


def changed(name: str, **fields: Any) -> dict[str, Any]:
    return {**GOOD, name: {**GOOD[name], **fields}}


BROKEN: dict[str, bytes] = {
    "cut_payload": file_with(GOOD, 10),
    "trailing": file_with(GOOD, 12),
    "gap": file_with(changed("b", data_offsets=[9, 12]), 12),
    "overlap": file_with(changed("b", data_offsets=[7, 10]), 10),
    "overlap_that_adds_up": file_with(changed("b", data_offsets=[4, 7])),
    "begins_late": file_with({"a": {"dtype": "U8", "shape": [1], "data_offsets": [1, 2]}}, 2),
    "twice_the_same": file_with(changed("b", data_offsets=[0, 8], shape=[8]), 8),
    "backwards": file_with(changed("b", data_offsets=[11, 8])),
    "negative_offset": file_with(changed("a", data_offsets=[-8, 0])),
    "float_offset": file_with(changed("a", data_offsets=[0.0, 8.0])),
    "three_offsets": file_with(changed("a", data_offsets=[0, 4, 8])),
    "no_offsets": file_with({"a": {"dtype": "F32", "shape": [2]}}),
    "more_fields": file_with(changed("a", strides=[4])),
    "shape_too_small": file_with(changed("a", shape=[1])),
    "shape_too_large": file_with(changed("a", shape=[3])),
    "negative_shape": file_with(changed("a", shape=[-1, -2])),
    "shape_wraps_round": file_with(changed("a", shape=[1 << 33, 1 << 33])),
    "huge_shape": file_with(changed("a", shape=[1 << 70, 0])),
    "bool_shape": file_with(changed("a", shape=[True, 2])),
    "text_shape": file_with(changed("a", shape="2")),
    "many_dimensions": file_with(changed("a", shape=[1] * 40 + [2])),
    "made_up_dtype": file_with(changed("a", dtype="F31")),
    "object_dtype": file_with(changed("a", dtype="O")),
    "number_as_dtype": file_with(changed("a", dtype=4)),
    "list_as_dtype": file_with(changed("a", dtype=["F32"])),
    "tensor_is_a_list": file_with({"a": [1]}),
    "header_is_a_list": file_with([], 0, text=" [1]   {"),
    "metadata_of_numbers": file_with({**GOOD, "__metadata__": {"x": 1}}),
    "metadata_is_a_list": file_with({**GOOD, "__metadata__": ["x"]}),
    "not_json": file_with(None, text="{'a': 1}"),
    "deeply_nested": file_with(None, text='{"a":' * 100_000),
    "declared_twice": file_with(None, text=json.dumps(GOOD)[:-1] + "," + json.dumps(GOOD)[1:]),
    "not_utf8": (8).to_bytes(8, "little") + b'{"\xff":1}' + bytes(3),
    "huge_number": file_with(None, text='{"a":{"dtype":"U8","shape":[' + "9" * 5000 + '],"data_offsets":[0,1]}}', payload=1),
}


def test_the_file_that_is_broken_below_is_whole() -> None:
    assert read_file(file_with(GOOD)).root["a"].values.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("rule", BROKEN)
def test_every_rule(rule: str) -> None:
    data = BROKEN[rule]
    with pytest.raises(BadHeader):
        parse(data, len(data))
    if data[8:9] == b"{":
        with pytest.raises(CorruptArtifact):
            read_file(data)


def test_header_length() -> None:
    with pytest.raises(BadHeader):
        header_length(b"1234567", 100)
    for length, size in ((93, 100), (MAX_HEADER + 1, 1 << 40), ((1 << 64) - 1, 1 << 40)):
        with pytest.raises(BadHeader):
            header_length(length.to_bytes(8, "little"), size)
    assert header_length((92).to_bytes(8, "little"), 100) == 92


def test_a_header_that_does_not_fit_is_not_rendered() -> None:
    entry = Entry("x" * 300, np.dtype("u1"), (0,), 256, 0)
    with pytest.raises(BadHeader):
        render([entry], {}, 256)


@pytest.mark.parametrize("dtype", sorted(OTHER_DTYPES))
def test_dtypes_that_are_not_read_are_no_damage(dtype: str) -> None:
    data = file_with({"a": {"dtype": dtype, "shape": [2], "data_offsets": [0, 4]}}, 4)
    with pytest.raises(UnknownFormat, match=dtype):
        read_file(data)


@pytest.mark.parametrize("dtype", sorted({*DTYPES, *OTHER_DTYPES} - {name for name in OTHER_DTYPES if name.endswith("FNUZ")}))
def test_these_dtypes_are_the_library_s(dtype: str) -> None:
    """Not those that only its newest releases know."""
    assert load_any(file_with({"a": {"dtype": dtype, "shape": [0], "data_offsets": [0, 0]}}, 0))[0][0] == "a"


def load_any(data: bytes) -> Any:
    return deserialize(data)  # type: ignore[no-untyped-call]


def test_an_unaligned_tensor_is_copied_and_an_aligned_one_stays() -> None:
    odd = {"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}, "b": {"dtype": "F64", "shape": [2], "data_offsets": [1, 17]}}
    payload = b"\x07" + np.array([1.5, -2.5]).tobytes()
    root = read_file(file_with(odd, 0) + payload).root
    assert root["a"].values.tolist() == [7] and root["b"].values.tolist() == [1.5, -2.5]
    assert root["b"].values.flags.aligned
