"""Tensors as bytes after the JSON of a message: row-major, little-endian, without padding; BOOL is a byte an element.

Covers: both directions. Does not cover: which tensors of a message are there (`message`), JSON (`json_data`).

BYTES are elements that each begin with their length in 4 bytes, little-endian; they must be UTF-8, as models take text.

Source: triton-inference-server/server, extension_binary_data.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import prod

import numpy as np

from service.errors import InvalidField
from service.routes.v2.datatypes import BYTES, NUMPY_OF, Tensor

_LENGTH = struct.Struct("<I")


def read_binary(name: str, datatype: str, shape: Sequence[int], raw: memoryview) -> Tensor:
    """The tensor that `raw` holds; numbers are not copied. Raises InvalidField, named after the tensor."""
    count = prod(shape)
    if datatype == BYTES:
        return Tensor(name, datatype, tuple(shape), _texts(name, count, raw))
    dtype = NUMPY_OF[datatype]
    if raw.nbytes != count * dtype.itemsize:
        raise InvalidField(name, f"has {raw.nbytes} bytes, {count} elements of {datatype} have {count * dtype.itemsize}")
    if dtype.kind == "b":
        return Tensor(name, datatype, tuple(shape), np.frombuffer(raw, np.uint8) != 0)
    return Tensor(name, datatype, tuple(shape), np.frombuffer(raw, dtype))


def write_binary(tensor: Tensor) -> bytes:
    """The bytes of a tensor."""
    if not isinstance(tensor.values, list):
        return tensor.values.tobytes()
    texts = [text.encode("utf-8", "replace") for text in tensor.values]
    return b"".join(part for text in texts for part in (_LENGTH.pack(len(text)), text))


def _texts(name: str, count: int, raw: memoryview) -> list[str]:
    found: list[str] = []
    position = 0
    while position < raw.nbytes:
        begin = position + _LENGTH.size
        if begin > raw.nbytes:
            raise InvalidField(name, f"the length of element {len(found)} is cut short")
        position = begin + _LENGTH.unpack_from(raw, position)[0]
        if position > raw.nbytes:
            raise InvalidField(name, f"element {len(found)} is {position - begin} bytes long, {raw.nbytes - begin} are left")
        try:
            found.append(str(raw[begin:position], "utf-8"))
        except UnicodeDecodeError as error:
            raise InvalidField(name, f"element {len(found)} is no UTF-8") from error
    if len(found) != count:
        raise InvalidField(name, f"has {len(found)} elements, its shape has {count}")
    return found
