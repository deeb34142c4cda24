"""joblib files whose array wrapper lies: about shape, dtype, class, order or padding of the raw bytes that follow it."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from joblib.numpy_pickle import NumpyArrayWrapper, NumpyPickler

from tests.artifacts.hostile import dtypes
from tests.artifacts.hostile.entry import CORRUPT, DAMAGED, FACTORS, REFUSED, USERS, Call, Table, honest


class _ForgingPickler(NumpyPickler):  # type: ignore[misc]
    """Writes the first array's bytes as they are, behind a wrapper with some attributes replaced."""

    def __init__(self, file: io.BytesIO, forged: dict[str, Any], padding: bytes | None) -> None:
        super().__init__(file, protocol=4)
        self._forged: dict[str, Any] | None = forged
        self._padding = padding

    def save(self, obj: Any) -> None:
        if type(obj) is not np.ndarray or self._forged is None:
            super().save(obj)
            return
        forged, self._forged = self._forged, None
        wrapper = copy.copy(self._create_array_wrapper(obj))
        vars(wrapper).update(forged)
        for name in [name for name, value in forged.items() if value is _ABSENT]:
            del vars(wrapper)[name]
        pickle._Pickler.save(self, wrapper)  # type: ignore[attr-defined]
        self.framer.commit_frame(force=True)
        if self._padding is None:
            self._create_array_wrapper(obj).write_array(obj, self)
        else:
            self.file_handle.write(self._padding + obj.tobytes())


_ABSENT = object()


def forged_joblib(padding: bytes | None = None, **forged: Any) -> bytes:
    """The honest base by joblib, the wrapper of user_factors forged; `padding` replaces the padding in front of its bytes."""
    file = io.BytesIO()
    _ForgingPickler(file, forged, padding).dump(honest())
    return file.getvalue()


FORGED: dict[str, tuple[str, dict[str, Any]]] = {
    "shape_negative": ("a negative shape", {"shape": (-USERS, FACTORS)}),
    "shape_both_negative": ("two negative shapes", {"shape": (-USERS, -FACTORS)}),
    "shape_overflow": ("a shape whose product is 0 modulo 2**64", {"shape": (1 << 32, 1 << 32)}),
    "shape_tb": ("a shape of 1 TB", {"shape": (1 << 28, 1 << 10)}),
    "shape_more": ("more rows than bytes, so that it swallows what follows", {"shape": (USERS + 1, FACTORS)}),
    "shape_beyond_end": ("more rows than the rest of the file", {"shape": (USERS * 9, FACTORS)}),
    "shape_less": ("fewer rows than bytes, so that bytes are read as opcodes", {"shape": (USERS - 1, FACTORS)}),
    "shape_zero": ("no rows, so that all bytes are read as opcodes", {"shape": (0, FACTORS)}),
    "shape_text": ("a shape of text", {"shape": "80"}),
    "shape_none": ("no shape", {"shape": None}),
    "shape_floats": ("a shape of floats", {"shape": (80.0, 300.0)}),
    "shape_empty": ("a shape of no dimension", {"shape": ()}),
    "shape_of_100": ("a hundred dimensions", {"shape": (1,) * 100}),
    "shape_bigint": ("a shape beyond 64 bits", {"shape": (1 << 200,)}),
    "dtype_object": ("objects, so that the bytes are a nested pickle", {"dtype": np.dtype("O")}),
    "dtype_wider": ("f8 over f4", {"dtype": np.dtype("f8")}),
    "dtype_narrower": ("f2 over f4", {"dtype": np.dtype("f2")}),
    "dtype_zero": ("items of no bytes", {"dtype": dtypes.dtype("V0", (3, "|", None, None, None, 0, 1, 0))}),
    "dtype_none": ("no dtype", {"dtype": None}),
    "dtype_forged": ("a field out of bounds", {"dtype": dtypes.structured({"a": (dtypes.F4, 0), "b": (dtypes.F4, 1 << 20)}, 8)}),
    "subclass_unknown": ("a class nobody knows", {"subclass": pickle.Pickler}),
    "subclass_number": ("a class that is a number", {"subclass": 7}),
    "order_unknown": ("order 'Z'", {"order": "Z"}),
    "order_missing": ("no order", {"order": _ABSENT}),
    "shape_missing": ("no shape at all", {"shape": _ABSENT}),
    "alignment_huge": ("an alignment of 2**62", {"numpy_array_alignment_bytes": 1 << 62}),
    "alignment_zero": ("an alignment of 0", {"numpy_array_alignment_bytes": 0}),
    "alignment_negative": ("an alignment of -16", {"numpy_array_alignment_bytes": -16}),
    "alignment_text": ("an alignment of 'x'", {"numpy_array_alignment_bytes": "x"}),
    "alignment_missing": ("no alignment, as joblib 1.1 wrote, but padded", {"numpy_array_alignment_bytes": _ABSENT}),
    "mmap_text": ("an allow_mmap of 'yes'", {"allow_mmap": "yes"}),
}

# The wrapper's alignment, class and allow_mmap change nothing for who reads the padding byte and ignores the rest; a
# wrong order or class that a reader takes for the usual one gives the right array too.
_LENIENT = ("alignment_", "mmap_", "subclass_", "order_unknown", "shape_less", "shape_floats", "dtype_narrower")


def add_to(table: Table) -> None:
    def add(name: str, says: str, build: Callable[[Path], bytes] | bytes, expected: frozenset[str], may_load: bool = False) -> None:
        table.add(f"wrapper_{name}", says, build, expected, suffix=".joblib", may_load=may_load)

    for name, (says, forged) in FORGED.items():
        add(name, f"wrapper of user_factors: {says}", _forge(forged), DAMAGED, may_load=name.startswith(_LENIENT))
    add("padding_beyond_end", "a padding of 255 bytes that are not there", lambda _: forged_joblib(padding=b"\xff"), DAMAGED, may_load=True)
    add("padding_at_end", "a padding longer than the file", lambda _: _cut_after_wrapper(b"\xff\xff"), CORRUPT)
    add("bytes_missing", "a wrapper and nothing behind it", lambda _: _cut_after_wrapper(b""), CORRUPT)
    add(
        "in_plain_pickle", "a wrapper in a pickle that is not joblib's", lambda _: pickle.dumps(honest(user_factors=_wrapper()), 4), DAMAGED
    )
    add("as_key", "a wrapper as a dict's key", lambda _: _dump(honest(user_id_map={_wrapper(): 1})), DAMAGED)
    add("without_state", "a wrapper without its state", lambda _: _dump(honest(user_factors=Call(NumpyArrayWrapper))), DAMAGED)
    add(
        "state_number",
        "a wrapper whose state is a number",
        lambda _: _dump(honest(user_factors=Call(_wrapper().__reduce_ex__(1)[0], NumpyArrayWrapper, object, None, state=7))),
        REFUSED,
    )
    add("old_zndarray", "joblib 0.9's ZNDArrayWrapper, which names another file", _old_wrapper, DAMAGED)
    add("old_file", "the header of joblib 0.9's compressed files", b"ZF0x10               x\x9c" + b"junk" * 10, DAMAGED)


def _forge(forged: dict[str, Any]) -> Callable[[Path], bytes]:
    return lambda _: forged_joblib(**forged)


def _wrapper() -> NumpyArrayWrapper:
    return NumpyArrayWrapper(np.ndarray, (USERS, FACTORS), "C", np.dtype("f4"), allow_mmap=True)


def _dump(obj: Any) -> bytes:
    file = io.BytesIO()
    joblib.dump(obj, file)
    return file.getvalue()


def _cut_after_wrapper(rest: bytes) -> bytes:
    mark = b"PADDING-IS-HERE!"
    return forged_joblib(padding=mark).split(mark)[0] + rest


def _old_wrapper(marker: Path) -> bytes:
    from joblib.numpy_pickle_compat import ZNDArrayWrapper

    wrapper = ZNDArrayWrapper(str(marker), (0, (USERS,), False, b""), np.ndarray)
    return pickle.dumps(honest(user_factors=wrapper), 2)
