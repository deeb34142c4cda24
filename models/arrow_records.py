"""Values of a pickled Apache Arrow array, read from records: pandas keeps text in them. Child only; pyarrow is not needed.

Covers: text, whole numbers, floats and booleans, in one chunk or several. Does not cover: nested, dictionary and time types.
Source: the Arrow columnar format (validity bitmaps least significant bit first, offsets of variable-size layouts) and
`_restore_array`, `chunked_array` of pyarrow/array.pxi and table.pxi, which are what such a pickle calls.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.records import Record, is_index, is_record

_TEXT = {"string": np.int32, "utf8": np.int32, "large_string": np.int64, "large_utf8": np.int64}
_NUMBERS = {
    **{f"{sign}int{bits}": np.dtype(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "halffloat": np.dtype(np.float16),
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
}


def arrow_values(value: Any) -> list[Any] | None:
    """The values, None for null; None where the record is no such array, or contradicts itself."""
    if is_record(value, "chunked_array") and value.args and isinstance(value.args[0], list):
        chunks = [_chunk(chunk) for chunk in value.args[0]]
        return None if any(chunk is None for chunk in chunks) else [item for chunk in chunks for item in chunk or ()]
    return _chunk(value)


def _chunk(value: Any) -> list[Any] | None:
    if not (is_record(value, "_restore_array") and value.args and isinstance(value.args[0], tuple) and len(value.args[0]) == 7):
        return None
    kind, length, _, offset, buffers, _, _ = value.args[0]
    name = kind.args[0] if is_record(kind, "type_for_alias") and kind.args else None
    if not (isinstance(name, str) and is_index(length) and is_index(offset) and isinstance(buffers, list) and 2 <= len(buffers) <= 3):
        return None
    bounds = offset, offset + length
    validity, first, *rest = [_buffer(part) for part in buffers]
    found: list[Any] | None = None
    if name in _TEXT and rest:
        found = _texts(_part(first, _TEXT[name], offset, offset + length + 1), rest[0] if rest[0] is not None else b"")
    elif name in _NUMBERS:
        numbers = _part(first, _NUMBERS[name], *bounds)
        found = None if numbers is None else numbers.tolist()
    elif name == "bool":
        found = _bits(first, *bounds)
    if found is None or buffers[0] is None:
        return found
    is_there = _bits(validity, *bounds)
    return None if is_there is None else [item if there else None for item, there in zip(found, is_there, strict=True)]


def _buffer(part: Any) -> bytes | memoryview | None:
    raw = part.args[0] if isinstance(part, Record) and part.name == "py_buffer" and part.args else None
    return memoryview(raw) if isinstance(raw, (bytes, bytearray, memoryview)) else None


def _part(raw: bytes | memoryview | None, dtype: Any, begin: int, end: int) -> NDArray[Any] | None:
    """Items begin..end of a buffer; None where it does not hold them. An array without items may have no buffer."""
    width = np.dtype(dtype).itemsize
    if raw is None or len(raw) < end * width:
        return np.zeros(0, dtype) if end == begin else None
    return np.frombuffer(raw, dtype, end - begin, begin * width)


def _bits(raw: bytes | memoryview | None, begin: int, end: int) -> list[bool] | None:
    packed = _part(raw, np.uint8, begin // 8, -(-end // 8))
    return None if packed is None else np.unpackbits(packed, bitorder="little")[begin % 8 :][: end - begin].astype(np.bool_).tolist()


def _texts(bounds: NDArray[Any] | None, text: bytes | memoryview) -> list[Any] | None:
    if bounds is None or not len(bounds):
        return None if bounds is None else []
    if int(bounds[0]) < 0 or int(bounds[-1]) > len(text) or bool((bounds[1:] < bounds[:-1]).any()):
        return None
    ends = bounds.tolist()
    return [bytes(text[start:end]).decode("utf-8", "replace") for start, end in pairwise(ends)]
