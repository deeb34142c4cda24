"""Arrays, dtypes and numpy scalars with forged state: real numpy objects would read or write memory that is not theirs."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

from tests.artifacts.hostile.entry import DAMAGED, FACTORS, REFUSED, USERS, Call, Table, honest, matrix

# The functions by which numpy's own pickles name arrays; taken from real reductions, so that they are this numpy's.
_RECONSTRUCT = np.zeros(1).__reduce__()[0]
_FROMBUFFER = np.zeros(1).__reduce_ex__(5)[0]
_SCALAR = np.float64(1).__reduce__()[0]
F4 = np.dtype("float32")
RAW = matrix(USERS).tobytes()
SHAPE = (USERS, FACTORS)


def array(shape: Any = SHAPE, dtype: Any = F4, fortran: Any = False, raw: Any = RAW, version: Any = 1) -> Call:
    """An ndarray as protocol 4 writes it, each part as given."""
    return Call(_RECONSTRUCT, np.ndarray, (0,), b"b", state=(version, shape, dtype, fortran, raw))


def dtype(name: Any = "f4", state: Any = (3, "<", None, None, None, -1, -1, 0)) -> Call:
    """A dtype as numpy writes it, name and state as given."""
    return Call(np.dtype, name, False, True, state=state)


def structured(fields: Any, itemsize: Any, names: Any = ("a", "b"), subarray: Any = None) -> Call:
    return dtype(f"V{itemsize}", (3, "|", subarray, names, fields, itemsize, 1, 0))


FORGED: dict[str, tuple[str, Any]] = {
    "object": ("object dtype over raw bytes", array(dtype=np.dtype("O"), raw=RAW[: USERS * 8], shape=(USERS,))),
    "object_list": ("object dtype over a list", array(dtype=np.dtype("O"), raw=[1.0] * USERS, shape=(USERS,))),
    "object_short_list": ("object dtype over a list too short", array(dtype=np.dtype("O"), raw=[1.0], shape=(USERS,))),
    "object_by_state": ("f4 whose state says object flags", array(dtype=dtype(state=(3, "|", None, None, None, -1, -1, 63)))),
    "itemsize_zero": ("V0", array(dtype=dtype("V0", (3, "|", None, None, None, 0, 1, 0)))),
    "itemsize_forged": ("f4 with itemsize 4096", array(dtype=dtype(state=(3, "<", None, None, None, 4096, 4, 0)))),
    "itemsize_negative": ("V with itemsize -8", array(dtype=dtype("V8", (3, "|", None, None, None, -8, 1, 0)))),
    "itemsize_huge": ("U of 2 GB", array(dtype=dtype("U536870911", (3, "<", None, None, None, 2147483644, 4, 0)))),
    "kind_unknown": ("a kind that is none", array(dtype=dtype("q99"))),
    "kind_empty": ("an empty kind", array(dtype=dtype(""))),
    "kind_not_text": ("a kind that is a number", array(dtype=dtype(7))),
    "kind_comma": ("a kind that is a list of kinds", array(dtype=dtype("f4,O"))),
    "kind_long": ("a kind of a million characters", array(dtype=dtype("f" * 1_000_000))),
    "dtype_none": ("no dtype", array(dtype=None)),
    "dtype_text": ("a dtype that is text", array(dtype="f4")),
    "dtype_dict": ("a dtype that is a dict", array(dtype={"names": ["a"], "formats": ["O"]})),
    "byteorder_nonsense": ("byte order '?'", array(dtype=dtype(state=(3, "?", None, None, None, -1, -1, 0)))),
    "byteorder_long": ("byte order of two characters", array(dtype=dtype(state=(3, "<>", None, None, None, -1, -1, 0)))),
    "byteorder_number": ("byte order 1", array(dtype=dtype(state=(3, 1, None, None, None, -1, -1, 0)))),
    "state_short": ("a dtype state of two", array(dtype=dtype(state=(3, "<")))),
    "state_version": ("a dtype state of version 99", array(dtype=dtype(state=(99, "<", None, None, None, -1, -1, 0)))),
    "state_dict": ("a dtype state that is a dict", array(dtype=dtype(state={"x": 1}))),
    "field_out_of_bounds": ("a field that begins after the item", array(dtype=structured({"a": (F4, 0), "b": (F4, 1 << 20)}, 8))),
    "field_negative": ("a field before the item", array(dtype=structured({"a": (F4, 0), "b": (F4, -4096)}, 8))),
    "field_object": ("a field of objects", array(dtype=structured({"a": (F4, 0), "b": (np.dtype("O"), 8)}, 16))),
    "field_missing": ("a name without a field", array(dtype=structured({"a": (F4, 0)}, 8))),
    "field_not_tuple": ("a field that is a number", array(dtype=structured({"a": 1, "b": 2}, 8))),
    "field_overflow": ("a field at 2**63-1", array(dtype=structured({"a": (F4, 0), "b": (F4, (1 << 63) - 1)}, 8))),
    "field_titles": ("a field named by a tuple", array(dtype=structured({"a": (F4, 0), ("b",): (F4, 4)}, 8, names=("a", ("b",))))),
    "subarray_huge": ("a subarray of 2**40 items", array(dtype=structured(None, 8, names=None, subarray=(F4, (1 << 40,))))),
    "shape_negative": ("a negative shape", array(shape=(-1, FACTORS))),
    "shape_both_negative": ("two negative shapes, whose product fits", array(shape=(-USERS, -FACTORS))),
    "shape_overflow": ("a shape whose product is 0 modulo 2**64", array(shape=(1 << 32, 1 << 32))),
    "shape_overflow_fits": ("a shape whose product times 4 is right modulo 2**64", array(shape=((1 << 62) + USERS * FACTORS,))),
    "shape_zero_times_huge": ("a shape of 0 times 2**62", array(shape=(0, 1 << 62), raw=b"")),
    "shape_larger": ("one row more than bytes", array(shape=(USERS + 1, FACTORS))),
    "shape_smaller": ("one row less than bytes", array(shape=(USERS - 1, FACTORS))),
    "shape_floats": ("a shape of floats", array(shape=(80.0, 300.0))),
    "shape_bool": ("a shape of bools", array(shape=(True, True))),
    "shape_text": ("a shape of text", array(shape="80")),
    "shape_none": ("no shape", array(shape=None)),
    "shape_of_100": ("a hundred dimensions", array(shape=(1,) * 100, raw=RAW[:4])),
    "shape_bigint": ("a shape beyond 64 bits", array(shape=(1 << 200,))),
    "fortran_text": ("Fortran order 'yes'", array(fortran="yes")),
    "fortran_huge": ("Fortran order 2**70", array(fortran=1 << 70)),
    "raw_none": ("no bytes", array(raw=None)),
    "raw_text": ("text for bytes", array(raw="x" * len(RAW))),
    "raw_list": ("a list for bytes", array(raw=[0] * 10)),
    "raw_short": ("half of the bytes", array(raw=RAW[: len(RAW) // 2])),
    "raw_array": ("an array for bytes", array(raw=matrix(USERS))),
    "version_text": ("an array state of version 'x'", array(version="x")),
    "state_of_3": ("an array state of three", Call(_RECONSTRUCT, np.ndarray, (0,), b"b", state=(SHAPE, F4, RAW))),
    "state_missing": ("an array without a state", Call(_RECONSTRUCT, np.ndarray, (0,), b"b")),
    "state_twice_nested": ("an array as the shape of an array", array(shape=array())),
    "reconstruct_huge": ("_reconstruct of 2**40 items and no state", Call(_RECONSTRUCT, np.ndarray, (1 << 40,), b"b")),
    "reconstruct_other": ("_reconstruct of another class", Call(_RECONSTRUCT, dict, (0,), b"b", state=(1, SHAPE, F4, False, RAW))),
    "ndarray_direct": ("numpy.ndarray called itself, on somebody's buffer", Call(np.ndarray, SHAPE, F4, RAW, 1 << 30)),
    "frombuffer_short": ("_frombuffer of too few bytes", Call(_FROMBUFFER, RAW[:100], F4, SHAPE, "C")),
    "frombuffer_object": ("_frombuffer of objects", Call(_FROMBUFFER, RAW, np.dtype("O"), (USERS * FACTORS // 2,), "C")),
    "frombuffer_order": ("_frombuffer in order 'Z'", Call(_FROMBUFFER, RAW, F4, SHAPE, "Z")),
    "frombuffer_negative": ("_frombuffer of shape -1", Call(_FROMBUFFER, RAW, F4, (-1,), "C")),
    "frombuffer_args": ("_frombuffer of one argument", Call(_FROMBUFFER, RAW)),
    "frombuffer_not_bytes": ("_frombuffer of a number", Call(_FROMBUFFER, 7, F4, SHAPE, "C")),
    "scalar_object": ("a scalar of objects over raw bytes", Call(_SCALAR, np.dtype("O"), b"\x41" * 8)),
    "scalar_short": ("a scalar of too few bytes", Call(_SCALAR, np.dtype("f8"), b"\x41")),
    "scalar_structured": (
        "a scalar with an object field",
        Call(_SCALAR, structured({"a": (F4, 0), "b": (np.dtype("O"), 8)}, 16), b"A" * 16),
    ),
    "scalar_no_bytes": ("a scalar without bytes", Call(_SCALAR, np.dtype("i8"), None)),
}

# A reader that rebuilds a dtype from its name alone, knows one state version and two orders, and takes text for bytes as
# protocol 2 does, reads these as what they were forged from: sound, if not what somebody meant.
_LENIENT = {
    *("fortran_text", "fortran_huge", "shape_bool", "shape_floats", "kind_comma", "dtype_text", "version_text", "raw_array", "raw_text"),
    *("object_by_state", "itemsize_forged", "state_short", "state_version", "reconstruct_other", "frombuffer_order"),
}


def add_to(table: Table) -> None:
    for name, (says, forged) in FORGED.items():
        for protocol in (2, 4) if name in ("object", "field_out_of_bounds", "shape_overflow", "raw_short", "scalar_object") else (4,):
            suffix = "" if protocol == 4 else f"_p{protocol}"
            content = pickle.dumps(honest(user_factors=forged), protocol)
            expected = DAMAGED if name in _LENIENT else REFUSED | {"too_large"}
            table.add(f"dtype_{name}{suffix}", f"user_factors: {says}", content, expected, may_load=name in _LENIENT)
    for name in ("scalar_object", "scalar_short", "scalar_structured", "object"):
        table.add(
            f"dtype_{name}_unused",
            f"in a key nobody needs: {FORGED[name][0]}",
            pickle.dumps(honest(extra=FORGED[name][1]), 4),
            REFUSED,
            may_load=True,
        )
    key = pickle.dumps(honest(user_id_map={Call(_SCALAR, np.dtype("O"), b"\x41" * 8): 0}), 4)
    table.add("dtype_scalar_object_as_id", "a user id that is a scalar of objects over raw bytes", key, REFUSED)
    value = pickle.dumps(honest(user_id_map={1: Call(_SCALAR, np.dtype("i8"), b"\x41")}), 4)
    table.add("dtype_scalar_short_as_row", "a row that is a scalar of too few bytes", value, REFUSED)
