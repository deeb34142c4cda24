"""joblib's arrays: raw bytes behind the wrapper object that announces them.

Covers: `joblib.numpy_pickle.NumpyArrayWrapper` of joblib >= 0.10, aligned (>= 1.2) or not, object arrays included (a nested
pickle, read as data too). Does not cover: the surrounding pickle (`loaders.formats.pickle`), nor the multi-file format of
joblib < 0.10. Child only.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from models.records import Array, DType, Malformed, Record, checked_shape, view_as

from .feed import Feed


def wrapper_class(feed: Feed, on_adopt: Callable[[int, int], memoryview], nested: Callable[[], Any]) -> type[Record]:
    """The class that stands for NumpyArrayWrapper: its state announces an array, whose bytes follow in the stream.

    It reads them (or adopts them in place), then has the feed emit one BINPERSID, so that the unpickler puts
    `replacement` where the wrapper is.
    """

    class Wrapper(Record):
        module = "joblib.numpy_pickle"
        name = "NumpyArrayWrapper"
        __slots__ = ("replacement",)

        def __setstate__(self, state: Any) -> None:
            if not isinstance(state, dict) or not isinstance(state.get("dtype"), DType):
                raise Malformed("joblib array without a dtype")
            shape = checked_shape(state.get("shape"))
            order = state.get("order")
            if order not in ("C", "F"):
                raise Malformed("joblib array without an order")
            self.replacement = _read(state["dtype"], shape, order == "F", state.get("numpy_array_alignment_bytes"))
            feed.replace_top()

    def _read(dtype: DType, shape: tuple[int, ...], fortran: bool, alignment: Any) -> Array:
        feed.joblib_arrays += 1
        if dtype.is_object:
            inner = nested()
            if not isinstance(inner, Array):
                raise Malformed("joblib object array without its array")
            return inner
        resolved = dtype.resolve()
        nbytes = resolved.itemsize * prod(shape)
        if alignment is not None:
            feed.raw(feed.raw(1)[0])
        if not nbytes:
            return Array(view_as(b"", resolved, shape, fortran))
        offset = feed.position()
        if feed.is_adoptable() and offset % 16 == 0 and resolved.isnative:
            feed.skip_raw(nbytes)
            raw = on_adopt(offset, nbytes)
        else:
            raw = feed.divert(nbytes)
        return Array(view_as(raw, resolved, shape, fortran))

    return Wrapper
