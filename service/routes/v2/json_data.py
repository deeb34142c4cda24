"""The `data` of a tensor as JSON: nested or flat, checked against its datatype and shape, long ones in slices.

Covers: both directions. Does not cover: the message around it (`message`), bytes after the JSON (`binary_data`).

JSON has no NaN: in an FP tensor it is null, in both directions. An integer is no bool and has no fraction; what does not fit
an integer datatype is refused, FP16 and FP32 round.

Source: kserve/open-inference-protocol, inference_rest, "Tensor Data": row-major, nested or flattened.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from math import prod
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from loaders.told import whole
from service.body import decode
from service.errors import InvalidField, MalformedBody
from service.routes.v2.datatypes import BYTES, NUMPY_OF, Tensor

_READ_AT_ONCE = 16 << 10
"""Bytes of one call of the decoder, which lets no other thread run meanwhile."""
_WRITTEN_AT_ONCE = 1000
"""Elements of one call of the encoder."""
_KINDS: dict[str, Any] = {"b": bool, "i": int, "u": int, "f": float | None}
_PLACE = re.compile(r"^\[(\d+)\]", re.ASCII)
_split: Callable[[bytes], list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


def read_json(name: str, datatype: str, shape: Sequence[int], raw: bytes) -> Tensor:
    """The tensor whose `data` is `raw`, JSON. Raises InvalidField, named after the tensor or an element of it."""
    text = raw.strip()
    if not text.startswith(b"["):
        raise InvalidField(name, "data must be an array")
    is_nested = text[1:].lstrip().startswith(b"[")
    kind: Any = str if datatype == BYTES else _KINDS[NUMPY_OF[datatype].kind]
    for _ in range(len(shape) if is_nested else 1):
        kind = list[kind]
    values = _elements(name, text, shape, is_nested, msgspec.json.Decoder(kind))
    _require_count(name, shape, is_nested, len(values))
    if is_nested:
        values = _flattened(name, shape, values)
    return Tensor(name, datatype, tuple(shape), values if datatype == BYTES else _array(name, datatype, values))


def write_json(tensor: Tensor) -> msgspec.Raw:
    """The `data` of a tensor, flat."""
    values = tensor.to_list()
    parts = (_written(values[begin : begin + _WRITTEN_AT_ONCE]) for begin in range(0, len(values), _WRITTEN_AT_ONCE))
    return msgspec.Raw(b"[" + b",".join(part[1:-1] for part in parts) + b"]")


def _written(values: list[Any]) -> bytes:
    try:
        return _encode(values)
    except UnicodeEncodeError:  # a hosted model may answer halves of surrogate pairs
        return _encode(whole(values))


def _require_count(name: str, shape: Sequence[int], is_nested: bool, found: int) -> None:
    """Of the outermost array."""
    count, what = (shape[0], "rows") if is_nested and shape else (prod(shape), "elements")
    if found != count:
        raise InvalidField(name, f"data has {found} {what}, the shape {list(shape)} has {count}")


def _elements(name: str, text: bytes, shape: Sequence[int], is_nested: bool, decoder: msgspec.json.Decoder[Any]) -> list[Any]:
    """The outermost array."""
    values: list[Any] = []
    for part in _parts(name, text, shape, is_nested):
        try:
            values += decode(part, decoder.decode)
        except (InvalidField, MalformedBody) as error:
            place = getattr(error, "field", "")
            found = _PLACE.match(place)
            if found is not None:
                place = f"[{len(values) + int(found[1])}]{place[found.end() :]}"
            raise InvalidField(name + (place if found else ""), error.detail) from error
    return values


def _parts(name: str, text: bytes, shape: Sequence[int], is_nested: bool) -> Iterator[bytes]:
    """The array as arrays of some of its elements."""
    if len(text) <= _READ_AT_ONCE:
        yield text
    elif is_nested or b'"' in text:
        elements = _split(text)
        _require_count(name, shape, is_nested, len(elements))  # a million empty lists are 4 MB, and take seconds to read
        yield from _runs(elements)
    else:
        yield from _cut(text[1:-1])


def _runs(elements: Sequence[msgspec.Raw]) -> Iterator[bytes]:
    run: list[msgspec.Raw] = []
    nbytes = 0
    for element in elements:
        length = memoryview(element).nbytes
        if run and nbytes + length > _READ_AT_ONCE:
            yield b"[" + b",".join(run) + b"]"
            run, nbytes = [], 0
        run.append(element)
        nbytes += length
    yield b"[" + b",".join(run) + b"]"


def _cut(inner: bytes) -> Iterator[bytes]:
    """Numbers between commas: no object an element."""
    begin = 0
    while begin <= len(inner):
        end = inner.find(b",", begin + _READ_AT_ONCE)
        end = len(inner) if end < 0 else end
        yield b"[" + inner[begin:end] + b"]"
        begin = end + 1


def _flattened(name: str, shape: Sequence[int], values: list[Any]) -> list[Any]:
    """Nested lists as one. Raises InvalidField where they are not nested as the shape says."""
    for depth, size in enumerate(shape[1:], start=1):
        wrong = next((at for at, each in enumerate(values) if len(each) != size), None)
        if wrong is not None:
            raise InvalidField(
                name, f"data is not nested as the shape {list(shape)} says: {len(values[wrong])} elements in dimension {depth}"
            )
        values = list(chain.from_iterable(values))
    return values


def _array(name: str, datatype: str, values: list[Any]) -> NDArray[Any]:
    """Raises InvalidField where an element does not fit."""
    dtype = NUMPY_OF[datatype]
    if dtype.kind in "iu" and values:
        bounds = np.iinfo(dtype)
        wrong = next((at for at, value in enumerate(values) if not bounds.min <= value <= bounds.max), None)
        if wrong is not None:
            raise InvalidField(name, f"element {wrong} does not fit into {datatype}")
    if dtype.kind != "f":
        return np.array(values, dtype)
    exact = np.array(values, np.float64)
    with np.errstate(over="ignore"):
        found = exact.astype(dtype)
    is_wrong = np.isfinite(exact) & ~np.isfinite(found)
    if is_wrong.any():
        raise InvalidField(name, f"element {int(is_wrong.argmax())} does not fit into {datatype}")
    return found
