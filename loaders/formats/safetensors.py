"""The safetensors layout: `u64 header length | JSON header | buffer`. Read for artifacts, written and checked for segments.

Source: the format description of huggingface/safetensors (no holes, no overlap, header at most 100 MB). Every rule is
checked here, because both an artifact and a child's segment are untrusted input.
"""

from __future__ import annotations

import json
from math import prod
from typing import Any, NamedTuple

import numpy as np

MAX_HEADER = 100_000_000
DTYPES: dict[str, str] = {
    "BOOL": "|b1", "U8": "|u1", "I8": "|i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8", "I64": "<i8",
    "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
NAMES: dict[str, str] = {code: name for name, code in DTYPES.items()}


OTHER_DTYPES = frozenset(("BF16", "C64", "F4", "F6_E2M3", "F6_E3M2", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"))
"""Of the format, but numpy has none of them (or no family a use for it)."""


class BadHeader(ValueError):
    """One broken rule of the format, named by the message."""


class UnreadDtype(BadHeader):
    """A well-formed tensor of a dtype in OTHER_DTYPES."""


class Entry(NamedTuple):
    """One tensor: `offset` counts from the start of the file."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    nbytes: int


def parse(head: bytes, file_size: int) -> tuple[list[Entry], dict[str, str]]:
    """Entries in file order and the metadata. `head` must hold the whole header (see `header_length`). Raises BadHeader."""
    length = header_length(head, file_size)
    try:
        table = json.loads(head[8 : 8 + length].decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise BadHeader(f"the header is not JSON: {error}") from error
    if not isinstance(table, dict):
        raise BadHeader("the header is not an object")
    metadata = table.pop("__metadata__", {})
    if not (isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())):
        raise BadHeader("__metadata__ is not a map of strings")
    entries = sorted((_entry(name, fields, 8 + length) for name, fields in table.items()), key=lambda entry: (entry.offset, entry.nbytes))
    at = 8 + length
    for entry in entries:
        if entry.offset != at:
            raise BadHeader(f"tensor {entry.name[:80]!r} does not begin where the one before it ends")
        at += entry.nbytes
    if at != file_size:
        raise BadHeader(f"the tensors end at byte {at} of {file_size}")
    return entries, metadata


def header_length(head: bytes, file_size: int) -> int:
    """The length of the JSON header. Raises BadHeader."""
    if len(head) < 8:
        raise BadHeader("shorter than a header length")
    length = int.from_bytes(head[:8], "little")
    if length > min(MAX_HEADER, file_size - 8):
        raise BadHeader(f"a header of {length} bytes is declared in a file of {file_size}")
    return length


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise BadHeader("a name is declared twice")
    return table


def _entry(name: str, fields: Any, base: int) -> Entry:
    if not isinstance(fields, dict) or set(fields) != {"dtype", "shape", "data_offsets"}:
        raise BadHeader(f"tensor {name[:80]!r} is not described by dtype, shape and data_offsets")
    shape, offsets = fields["shape"], fields["data_offsets"]
    if not (isinstance(fields["dtype"], str) and fields["dtype"] in DTYPES):
        error = UnreadDtype if isinstance(fields["dtype"], str) and fields["dtype"] in OTHER_DTYPES else BadHeader
        raise error(f"tensor {name[:80]!r} has a dtype that is not read here: {str(fields['dtype'])[:20]}")
    if not (isinstance(shape, list) and len(shape) <= 32 and all(_is_size(n) for n in shape)):
        raise BadHeader(f"tensor {name[:80]!r} has a malformed shape")
    if not (isinstance(offsets, list) and len(offsets) == 2 and all(_is_size(n) for n in offsets) and offsets[0] <= offsets[1]):
        raise BadHeader(f"tensor {name[:80]!r} has malformed offsets")
    dtype = np.dtype(DTYPES[fields["dtype"]])
    nbytes = offsets[1] - offsets[0]
    if prod(shape) * dtype.itemsize != nbytes:
        raise BadHeader(f"tensor {name[:80]!r} of shape {shape} does not fill its {nbytes} bytes")
    return Entry(name, dtype, tuple(shape), base + offsets[0], nbytes)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62


def render(entries: list[Entry], metadata: dict[str, str], length: int) -> bytes:
    """The first `length` bytes of a file with these entries (offsets absolute, >= length). Raises BadHeader if they do not fit."""
    table: dict[str, Any] = {"__metadata__": metadata}
    for entry in entries:
        table[entry.name] = {
            "dtype": NAMES[entry.dtype.str],
            "shape": list(entry.shape),
            "data_offsets": [entry.offset - length, entry.offset - length + entry.nbytes],
        }
    text = json.dumps(table, separators=(",", ":")).encode()
    if len(text) > length - 8:
        raise BadHeader(f"a header of {len(text)} bytes does not fit the {length - 8} reserved for it")
    return (length - 8).to_bytes(8, "little") + text.ljust(length - 8)
