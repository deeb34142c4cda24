"""safetensors and npz files with forged headers."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.artifacts.hostile.entry import BOMB, CORRUPT, DAMAGED, FACTORS, ITEMS, REFUSED, USERS, Table, matrix

_USERS_END = USERS * FACTORS * 4
_END = _USERS_END + ITEMS * FACTORS * 4
_DATA = matrix(USERS).tobytes() + matrix(ITEMS).tobytes()


def add_to(table: Table) -> None:
    for name, (says, content, expected) in _safetensors().items():
        table.add(f"safetensors_{name}", says, content, expected, suffix=".safetensors")
    trailing = safetensors(json.dumps(header())) + b"extra"
    table.add("safetensors_trailing", "bytes that no array covers", trailing, CORRUPT, suffix=".safetensors", may_load=True)
    for name, (says, build, expected) in NPZ.items():
        table.add(f"npz_{name}", says, build, expected, suffix=".npz")


def header(**users: Any) -> dict[str, Any]:
    """The honest header, with some fields of user_factors replaced."""
    return {
        "user_factors": {"dtype": "F32", "shape": [USERS, FACTORS], "data_offsets": [0, _USERS_END]} | users,
        "item_factors": {"dtype": "F32", "shape": [ITEMS, FACTORS], "data_offsets": [_USERS_END, _END]},
    }


def safetensors(text: str | bytes, data: bytes = _DATA, length: int | None = None) -> bytes:
    """A safetensors file around any header; `length` is what it claims the header's length to be."""
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def _safetensors() -> dict[str, tuple[str, Callable[[Path], bytes], frozenset[str]]]:
    good = json.dumps(header())
    either = CORRUPT | {"unknown_format", "not_a_model"}

    def raw(text: str | bytes, data: bytes = _DATA, length: int | None = None) -> Callable[[Path], bytes]:
        return lambda _: safetensors(text, data, length)

    def users(**fields: Any) -> Callable[[Path], bytes]:
        return raw(json.dumps(header(**fields)))

    def with_items(**fields: Any) -> Callable[[Path], bytes]:
        whole = header()
        whole["item_factors"] |= fields
        return raw(json.dumps(whole))

    before, end = _USERS_END, _END
    # A duplicate key: json keeps the last, so what was checked need not be what is used.
    twice = good[:-1] + ', "user_factors": {"dtype": "F32", "shape": [1, 300], "data_offsets": [0, 1200]}}'
    return {
        "length_2_63": ("a header of 2**63 bytes", raw(good, length=1 << 63), either),
        "length_all_ones": ("a header of 2**64-1 bytes", raw(good, length=(1 << 64) - 1), either),
        "length_beyond": ("a header longer than the file", raw(good, length=len(_DATA) * 2), either),
        "length_whole": ("a header that ends where the file ends", raw(good, length=len(good) + len(_DATA)), either),
        "length_zero": ("a header of no bytes", raw("", data=_DATA), either),
        "length_short": ("a header cut by its length", raw(good, length=len(good) - 5), either),
        "header_empty": ("a header of no arrays, with data", raw("{}"), REFUSED),
        "header_list": ("a header that is a list", raw(json.dumps([good])), either),
        "header_number": ("a header that is a number", raw("7"), either),
        "header_not_json": ("a header that is no JSON", raw("{user_factors}"), either),
        "header_not_utf8": ("a header that is no UTF-8", raw(b'{"\xff\xfe": 1}'), either),
        "header_huge": ("a header of 110 MB", lambda _: safetensors(good + " " * (110 << 20)), either | BOMB),
        "header_deep": ("a header of a hundred thousand brackets", raw('{"a":' + "[" * 100_000), either | BOMB),
        "header_many": ("a header of 200,000 empty arrays", lambda _: _many(200_000), REFUSED | BOMB),
        "header_bigint": ("a number of 100,000 digits", raw(good.replace("80", "8" * 100_000)), either),
        "header_nul": ("a header that ends in NULs", raw(good + "\0\0\0"), either),
        "duplicate_key": ("a name twice", raw(twice), CORRUPT),
        "offsets_overlap": ("arrays that overlap", with_items(data_offsets=[before - 60_000, end - 60_000]), CORRUPT),
        "offsets_same": ("arrays on the same bytes", with_items(shape=[USERS, FACTORS], data_offsets=[0, before]), CORRUPT),
        "offsets_hole": (
            "a hole between arrays",
            with_items(shape=[ITEMS - 1, FACTORS], data_offsets=[before + FACTORS * 4, end]),
            CORRUPT,
        ),
        "offsets_negative": ("an offset below 0", users(data_offsets=[-before, 0]), CORRUPT),
        "offsets_reversed": ("an end before its begin", users(data_offsets=[before, 0]), CORRUPT),
        "offsets_beyond": (
            "an end beyond the file",
            with_items(shape=[ITEMS * 2, FACTORS], data_offsets=[before, end + 60_000]),
            CORRUPT,
        ),
        "offsets_floats": ("offsets that are floats", users(data_offsets=[0.0, float(before)]), CORRUPT),
        "offsets_text": ("offsets that are text", users(data_offsets=["0", str(before)]), CORRUPT),
        "offsets_bool": ("an offset that is false", users(data_offsets=[False, before]), CORRUPT),
        "offsets_three": ("three offsets", users(data_offsets=[0, before, end]), CORRUPT),
        "offsets_overflow": ("offsets modulo 2**64", users(data_offsets=[1 << 64, (1 << 64) + before]), CORRUPT),
        "offsets_nan": ("an offset of NaN", raw(good.replace("[0, 96000]", "[NaN, 96000]")), CORRUPT),
        "offsets_missing": ("no offsets", raw(json.dumps({"user_factors": {"dtype": "F32", "shape": [1]}})), CORRUPT),
        "shape_product": ("a shape whose product is not the bytes", users(shape=[USERS, FACTORS - 1]), CORRUPT),
        "shape_negative": ("a shape of two negatives", users(shape=[-USERS, -FACTORS]), CORRUPT),
        "shape_overflow": ("a shape whose product is right modulo 2**64", users(shape=[(1 << 62) + USERS * FACTORS]), CORRUPT),
        "shape_floats": ("a shape of floats", users(shape=[80.0, 300.0]), CORRUPT),
        "shape_number": ("a shape that is a number", users(shape=USERS * FACTORS), CORRUPT),
        "shape_of_100": ("a hundred dimensions", users(shape=[1] * 98 + [USERS, FACTORS]), REFUSED),
        "dtype_unknown": ("dtype F99", users(dtype="F99"), REFUSED),
        "dtype_list": ("a dtype that is a list", users(dtype=["F32"]), REFUSED),
        "dtype_bool": ("factors that are bools", users(dtype="BOOL", shape=[USERS, FACTORS * 4]), REFUSED),
        "entry_number": ("an array that is a number", raw(json.dumps(header() | {"x": 7})), CORRUPT),
        "metadata_number": ("metadata that is a number", raw(json.dumps(header() | {"__metadata__": 7})), CORRUPT),
        "only_length": ("a length and no header", lambda _: struct.pack("<Q", 100), either),
        "short": ("seven bytes", lambda _: b"\x08" + bytes(6), either),
        "data_missing": ("a header and no data", raw(good, data=b""), CORRUPT),
    }


def _many(count: int) -> bytes:
    entries = ",".join(f'"a{number}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}' for number in range(count))
    return safetensors("{" + entries + "}", data=b"")


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), allow_pickle=True)
    return file.getvalue()


def forged_npy(text: str, data: bytes = matrix(USERS).tobytes(), length: int | None = None) -> bytes:
    """An .npy of format 2.0 with any header text; `length` is what it claims the header's length to be."""
    raw = text.encode() + b"\n"
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(raw) if length is None else length) + raw + data


def archive(files: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    """A zip with fixed times."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        for name, content in files.items():
            zipped.writestr(zipfile.ZipInfo(name), content, compress_type=how)
    return file.getvalue()


def npz(users: bytes, how: int = zipfile.ZIP_STORED) -> bytes:
    return archive({"user_factors.npy": users, "item_factors.npy": npy(matrix(ITEMS))}, how)


@cache
def _zip_bomb() -> bytes:
    """One array of 512 MiB of zeros, 2000 times as large as the file."""
    file = io.BytesIO()
    descr = forged_npy("{'descr': '<f4', 'fortran_order': False, 'shape': (524288, 256), }", b"")
    with zipfile.ZipFile(file, "w") as zipped:
        zipped.writestr(zipfile.ZipInfo("item_factors.npy"), npy(matrix(ITEMS)))
        member = zipfile.ZipInfo("user_factors.npy")
        member.compress_type = zipfile.ZIP_DEFLATED
        with zipped.open(member, "w", force_zip64=True) as out:
            out.write(descr)
            for _ in range(512):
                out.write(bytes(1 << 20))
    return file.getvalue()


def _patched(signature: bytes, offset: int, value: bytes) -> bytes:
    """An honest npz with bytes replaced in every record that begins with `signature`."""
    content = bytearray(npz(npy(matrix(USERS))))
    at = content.find(signature)
    while at >= 0:
        content[at + offset : at + offset + len(value)] = value
        at = content.find(signature, at + 4)
    return bytes(content)


_LOCAL, _CENTRAL = b"PK\x03\x04", b"PK\x01\x02"
_FINE = "{'descr': '<f4', 'fortran_order': False, 'shape': (80, 300), }"
_BAD_ZIP = CORRUPT | {"unknown_format", "not_a_model"}


def _forged(text: str, **more: Any) -> Callable[[Path], bytes]:
    return lambda _: npz(forged_npy(text, **more))


def _named(name: str) -> Callable[[Path], bytes]:
    return lambda _: archive({name: npy(matrix(USERS)), "item_factors.npy": npy(matrix(ITEMS))})


def _code(marker: Path) -> bytes:
    return npz(forged_npy(f"{{'descr': __import__('os').system('touch {marker}') or '<f4', 'fortran_order': False, 'shape': (80, 300), }}"))


NPZ: dict[str, tuple[str, Callable[[Path], bytes], frozenset[str]]] = {
    "bomb": ("512 MiB of zeros, deflated", lambda _: _zip_bomb(), BOMB),
    "crc": ("an array whose bytes are not those of its CRC", lambda _: npz(npy(matrix(USERS))).replace(_DATA[:4], b"\0\0\0\0", 1), CORRUPT),
    "name_parent": ("a member named ../user_factors.npy", _named("../user_factors.npy"), REFUSED),
    "name_absolute": ("a member with an absolute name", _named("/user_factors.npy"), REFUSED),
    "name_twice": ("user_factors in two members", lambda _: npz(npy(matrix(USERS))).replace(b"item_factors", b"user_factors"), REFUSED),
    "not_npy": ("a member that is no array", lambda _: npz(b"hello"), REFUSED),
    "member_empty": ("a member of no bytes", lambda _: npz(b""), REFUSED),
    "no_members": ("members that are not arrays", lambda _: archive({"readme.txt": b"hello"}), REFUSED | {"not_a_model"}),
    "header_code": ("a header with an expression in it", _code, CORRUPT),
    "header_huge": ("a header of 4 GB by its length", _forged(_FINE, length=0xFFFFFFFF), CORRUPT),
    "header_long": ("a header of 20 MB", _forged(_FINE + " " * (20 << 20)), CORRUPT | BOMB),
    "header_deep": ("a header of a hundred thousand brackets", _forged("(" * 100_000), CORRUPT),
    "header_signs": ("a header of a million minus signs", _forged("-" * 1_000_000 + "1"), CORRUPT),
    "header_bigint": ("a shape of 10,000 digits", _forged(_FINE.replace("80", "8" * 10_000)), CORRUPT),
    "header_list": ("a header that is a list", _forged("[1, 2]"), CORRUPT),
    "header_keys": ("a header without its shape", _forged("{'descr': '<f4', 'fortran_order': False}"), CORRUPT),
    "header_version": ("format 9.9", lambda _: npz(b"\x93NUMPY\x09\x09" + forged_npy(_FINE)[8:]), CORRUPT),
    "dtype_object": ("objects over raw bytes", _forged(_FINE.replace("<f4", "|O")), DAMAGED),
    "dtype_object_pickle": ("an object array, which is a pickle", lambda _: npz(npy(np.full((USERS, FACTORS), None))), DAMAGED),
    "dtype_unknown": ("a dtype that is none", _forged(_FINE.replace("<f4", "<q9")), REFUSED),
    "dtype_nested": ("a field of objects", _forged(_FINE.replace("'<f4'", "[('a', '<f4'), ('b', '|O')]")), DAMAGED),
    "shape_negative": ("a shape of two negatives", _forged(_FINE.replace("(80, 300)", "(-80, -300)")), CORRUPT),
    "shape_tb": ("a shape of 1 TB", _forged(_FINE.replace("(80, 300)", "(268435456, 1024)")), CORRUPT),
    "shape_overflow": (
        "a shape whose product is right modulo 2**64",
        _forged(_FINE.replace("(80, 300)", "(4611686018427411904,)")),
        CORRUPT,
    ),
    "shape_floats": ("a shape of floats", _forged(_FINE.replace("(80, 300)", "(80.0, 300.0)")), CORRUPT),
    "shape_larger": ("one row more than bytes", _forged(_FINE.replace("80", "81")), CORRUPT),
    "data_missing": ("a header and half of the data", _forged(_FINE, data=_DATA[:1000]), CORRUPT),
    "encrypted": ("members flagged as encrypted", lambda _: _patched(_CENTRAL, 8, b"\x01\x00"), _BAD_ZIP),
    "method_unknown": ("a compression that is none", lambda _: _patched(_CENTRAL, 10, b"\x63\x00"), _BAD_ZIP),
    "size_larger": ("members that claim to be larger", lambda _: _patched(_CENTRAL, 24, b"\xff\xff\xff\x7f"), _BAD_ZIP | BOMB),
    "offset_beyond": ("members beyond the file", lambda _: _patched(_CENTRAL, 42, b"\xff\xff\xff\x7f"), _BAD_ZIP),
    "local_broken": ("local headers that are none", lambda _: _patched(_LOCAL, 0, b"XX"), _BAD_ZIP),
}
