"""Elements of tensors in both directions: what is written is read again, what is wrong is refused by name."""

from __future__ import annotations

import json
import re
import struct
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service.errors import InvalidField
from service.routes.v2.binary_data import read_binary, write_binary
from service.routes.v2.datatypes import BYTES, NUMPY_OF, Tensor, tensor
from service.routes.v2.json_data import read_json, write_json

SHAPES = arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)
LONG = 20_000
"""Elements that are read and written in several slices."""


@st.composite
def tensors(draw: st.DrawFn, *, is_finite: bool = False) -> Tensor:
    datatype = draw(st.sampled_from([*NUMPY_OF, BYTES]))
    shape = draw(SHAPES)
    if datatype == BYTES:
        return tensor("x", BYTES, shape, draw(st.lists(st.text(), min_size=prod(shape), max_size=prod(shape))))
    dtype = NUMPY_OF[datatype]
    elements = arrays.from_dtype(dtype, allow_infinity=not is_finite) if dtype.kind == "f" else arrays.from_dtype(dtype)
    return Tensor("x", datatype, shape, draw(arrays.arrays(dtype, shape, elements=elements)).reshape(-1))


def assert_same(one: Tensor, other: Tensor) -> None:
    assert (one.datatype, one.shape) == (other.datatype, other.shape)
    np.testing.assert_array_equal(one.values, other.values)


@settings(deadline=None)
@given(tensors())
def test_bytes_come_back(sent: Tensor) -> None:
    assert_same(read_binary("x", sent.datatype, sent.shape, memoryview(write_binary(sent))), sent)


@settings(deadline=None)
@given(tensors(is_finite=True))
def test_flat_json_comes_back(sent: Tensor) -> None:
    assert_same(read_json("x", sent.datatype, sent.shape, bytes(write_json(sent))), sent)


@settings(deadline=None)
@given(tensors(is_finite=True))
def test_nested_json_is_the_same_as_flat(sent: Tensor) -> None:
    nested = np.array(json.loads(bytes(write_json(sent))), object).reshape(sent.shape).tolist()
    if prod(sent.shape) or len(sent.shape) == 1:
        assert_same(read_json("x", sent.datatype, sent.shape, json.dumps(nested, indent=1).encode()), sent)


@pytest.mark.parametrize("datatype", ["INT64", "FP64", BYTES])
@pytest.mark.parametrize("shape", [(LONG,), (LONG // 4, 4), (2, LONG // 2)])
def test_long_json_is_read_in_slices(datatype: str, shape: tuple[int, ...]) -> None:
    values: list[Any] = [f"é{at}, [1]" for at in range(LONG)] if datatype == BYTES else list(range(LONG))
    sent = tensor("x", datatype, shape, values)
    flat = bytes(write_json(sent))
    assert_same(read_json("x", datatype, shape, flat), sent)
    nested = json.dumps(np.array(json.loads(flat), object).reshape(shape).tolist()).encode()
    assert_same(read_json("x", datatype, shape, nested), sent)


def test_a_fault_far_down_is_named_by_its_place() -> None:
    data: list[Any] = [0] * LONG
    data[LONG - 5] = "x"
    for text in (json.dumps(data), json.dumps(data).replace(", ", ","), json.dumps([*map(str, data[:-5]), 7, *data[-4:]])):
        datatype = BYTES if text.startswith('["') else "INT64"
        with pytest.raises(InvalidField) as caught:
            read_json("x", datatype, (LONG,), text.encode())
        assert caught.value.field == f"x[{LONG - 5}]"


@pytest.mark.parametrize(
    "datatype, shape, data, told",
    [
        ("FP64", [2], "5", "must be an array"),
        ("FP64", [2], "null", "must be an array"),
        ("FP64", [2], "[1]", "1 elements, the shape [2] has 2"),
        ("FP64", [1, 2], "[1, 2, 3]", "3 elements, the shape [1, 2] has 2"),
        ("FP64", [2, 2], "[[1, 2], [3]]", "not nested as the shape [2, 2]"),
        ("FP64", [2, 2], "[[1, 2, 3, 4]]", "1 rows, the shape [2, 2] has 2"),
        ("FP64", [4], "[[1, 2], [3, 4]]", "Expected `float | null`"),
        ("FP64", [2, 1], "[[[1]], [[2]]]", "Expected `float | null`"),
        ("FP64", [], "[[1]]", "Expected `float | null`"),
        ("FP64", [1], '["1"]', "got `str`"),
        ("FP64", [1], "[1e400]", "out of range"),
        ("FP32", [2], "[1, 1e39]", "element 1 does not fit into FP32"),
        ("FP16", [1], "[-70000]", "element 0 does not fit into FP16"),
        ("INT8", [2], "[1, 128]", "element 1 does not fit into INT8"),
        ("UINT64", [1], "[-1]", "element 0 does not fit into UINT64"),
        ("UINT64", [1], "[18446744073709551616]", "element 0 does not fit into UINT64"),
        ("INT64", [1], "[1.5]", "Expected `int`"),
        ("INT64", [1], "[true]", "Expected `int`"),
        ("INT64", [1], "[null]", "Expected `int`"),
        ("BOOL", [1], "[1]", "Expected `bool`"),
        ("BYTES", [1], "[1]", "Expected `str`"),
        ("BYTES", [1], '["\\ud800"]', ""),
    ],
)
def test_wrong_json_is_refused_by_name(datatype: str, shape: list[int], data: str, told: str) -> None:
    with pytest.raises(InvalidField) as caught:
        read_json("x", datatype, shape, data.encode())
    assert caught.value.field.startswith("x")
    assert told in caught.value.detail


@pytest.mark.parametrize("shape, element", [([1, 2], "[{}]"), ([1], '"", {}')], ids=["nested", "texts"])
def test_too_many_elements_are_refused_before_they_are_read(shape: list[int], element: str) -> None:
    data = "[" + ",".join([element] * 5000) + "]"  # the first slice of it is no FP64 at all
    with pytest.raises(InvalidField, match=rf"the shape {re.escape(str(shape))} has 1"):
        read_json("x", "FP64", shape, data.encode())


def test_null_is_nan_in_both_directions() -> None:
    for datatype in ("FP16", "FP32", "FP64"):
        found = read_json("x", datatype, [2], b"[null, 1]")
        assert np.isnan(found.values[0]) and found.values[1] == 1
        assert json.loads(bytes(write_json(found))) == [None, 1.0]


@pytest.mark.parametrize(
    "datatype, shape, raw, told",
    [
        ("FP64", [2], b"\0" * 15, "15 bytes, 2 elements of FP64 have 16"),
        ("INT8", [0], b"\0", "1 bytes, 0 elements"),
        ("BYTES", [1], struct.pack("<I", 3) + b"ab", "element 0 is 3 bytes long, 2 are left"),
        ("BYTES", [2], struct.pack("<I", 1) + b"a" + b"\0\0\0", "the length of element 1 is cut short"),
        ("BYTES", [2], struct.pack("<I", 1) + b"a", "has 1 elements, its shape has 2"),
        ("BYTES", [1], struct.pack("<I", 1) + b"\xff", "element 0 is no UTF-8"),
    ],
)
def test_wrong_bytes_are_refused_by_name(datatype: str, shape: list[int], raw: bytes, told: str) -> None:
    with pytest.raises(InvalidField) as caught:
        read_binary("x", datatype, shape, memoryview(raw))
    assert caught.value.field == "x"
    assert told in caught.value.detail


def test_text_is_length_prefixed_and_numbers_are_little_endian() -> None:
    assert write_binary(tensor("x", BYTES, [2], ["é", ""])) == b"\2\0\0\0\xc3\xa9\0\0\0\0"
    assert write_binary(tensor("x", "INT32", [1], [1])) == b"\1\0\0\0"
    assert write_binary(tensor("x", "BOOL", [2], [True, False])) == b"\1\0"
    assert read_binary("x", "BOOL", [2], memoryview(b"\7\0")).to_list() == [True, False]


def test_halves_of_surrogate_pairs_are_replaced() -> None:
    odd = tensor("x", BYTES, [1], ["\ud800"])
    assert json.loads(bytes(write_json(odd))) == ["\ufffd"]
    assert write_binary(odd) == b"\1\0\0\0?"


def test_a_tensor_has_as_many_elements_as_its_shape() -> None:
    with pytest.raises(ValueError, match="3 elements"):
        tensor("x", "FP64", [2, 2], [1, 2, 3])
