"""One column of a pickled table, read from records. Child only; pandas is not needed.

Covers: numpy arrays, lists, pandas' text, nullable, categorical and date arrays, Series, row labels, cells that hold lists or
dates. Does not cover: time spans, periods, intervals, sparse arrays (None says that a column is not read), tables
(`models.frames`).
Source: `NDArrayBacked.__setstate__` of pandas/_libs/arrays.pyx, `BaseMaskedArray` of pandas/core/arrays/masked.py,
`BlockManager.__reduce__` and `__setstate__` of pandas/_libs/internals.pyx, `_new_Index` of pandas/core/indexes/base.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrow_records import arrow_values
from models.records import Array, Record, is_record

Values = Sequence[Any] | NDArray[Any]

_MISSING = ("NA", "NAType", "NaT", "NaTType")
_MASKED = ("IntegerArray", "FloatingArray", "BooleanArray")
_MOST_DEPTH = 3
"""Of columns inside columns (the categories of a categorical): records may hold themselves."""
_MOST_CATEGORIES = 1 << 24
_RESOLUTIONS = {7: "s", 8: "ms", 9: "us", 10: "ns"}
"""NPY_DATETIMEUNIT of numpy, as pandas 2 and later write it into a Timestamp."""


def is_column(value: Any) -> bool:
    """Whether `column_values` may read it as a column."""
    return isinstance(value, (list, tuple)) or (isinstance(value, Array) and len(value.shape) == 1) or is_record(value, "Series")


def column_values(values: Any, depth: int = 0) -> Values | None:
    """A column of any kind as a list (None for missing) or a one-dimensional array of numbers; None where it is not read."""
    if depth > _MOST_DEPTH:
        return None
    if isinstance(values, (list, tuple)):
        return [cell_value(value) for value in values]
    if isinstance(values, Array):
        if len(values.shape) != 1:
            return None
        if values.objects is not None:
            return [cell_value(value) for value in values.objects]
        return None if values.values is None else plain_values(values.values)
    if not isinstance(values, Record):
        return None
    state = values.attributes
    if is_record(values, "Series"):
        _, blocks = axes_and_blocks(state.get("_mgr", state.get("_data")))
        return column_values(blocks[0][0], depth + 1) if len(blocks) == 1 else None
    if is_record(values, *_MASKED):
        return _masked(state.get("_data"), state.get("_mask"))
    if is_record(values, "ArrowStringArray", "ArrowExtensionArray"):
        return arrow_values(state.get("_pa_array", state.get("_data")))
    backed = _backed(values)
    return None if backed is None else _backed_values(backed, depth)


def block_values(values: Any) -> list[Values | None]:
    """The columns of a block: the rows of a matrix, also where pandas keeps an array of its own over one (dates)."""
    if isinstance(values, Array):
        return [column_values(line) for line in _lines(values)]
    backed = _backed(values) if isinstance(values, Record) else None
    if backed is not None and len(backed.array.shape) == 2:
        return [_backed_values(backed._replace(array=line), 0) for line in _lines(backed.array)]
    return [column_values(values)]


def _lines(matrix: Array) -> list[Array]:
    if len(matrix.shape) != 2:
        return []
    if matrix.values is not None:
        return [Array(line) for line in matrix.values]
    width, rows = matrix.shape
    objects = matrix.objects or []
    return [Array.of_objects(objects[line * rows : (line + 1) * rows], (rows,)) for line in range(width)]


def row_labels(axis: Any, depth: int = 0) -> Values | None:
    """The labels of an index; None where they are not read (several levels). A range is as long as it says it is."""
    if not (isinstance(axis, Record) and len(axis.args) == 2 and isinstance(axis.args[1], dict)):
        return None
    state = axis.args[1]
    if getattr(axis.args[0], "name", "").rpartition(".")[2] != "RangeIndex":
        return column_values(state.get("data"), depth)
    bounds = state.get("start"), state.get("stop"), state.get("step")
    return whole_range(*bounds, 1 << 62)


def whole_range(start: Any, stop: Any, step: Any, most: int) -> range | None:
    """The range; None where these are no ints, or ints beyond `most`."""
    if not (type(start) is type(stop) is type(step) is int) or not step or max(abs(start), abs(stop)) > most:
        return None
    return range(start, stop, step)


def axes_and_blocks(manager: Any) -> tuple[list[Any], list[tuple[Any, Any]]]:
    """Axes, and (values, places) of the blocks: pandas 1.3 and later give them to the constructor, earlier ones to __setstate__."""
    if not isinstance(manager, Record):
        return [], []
    if len(manager.args) >= 2 and isinstance(manager.args[0], tuple) and isinstance(manager.args[1], list):
        blocks = [block.args for block in manager.args[0] if isinstance(block, Record)]
        return manager.args[1], [(args[0], args[1]) for args in blocks if len(args) >= 2]
    extra = manager.state[3] if isinstance(manager.state, tuple) and len(manager.state) >= 4 else None
    state = extra.get("0.14.1") if isinstance(extra, dict) else None
    if not (isinstance(state, dict) and isinstance(state.get("axes"), list) and isinstance(state.get("blocks"), list)):
        return [], []
    return state["axes"], [(block.get("values"), block.get("mgr_locs")) for block in state["blocks"] if isinstance(block, dict)]


def plain_values(values: NDArray[Any]) -> Values | None:
    """A one-dimensional array as a column: numbers as they are, text and dates as lists."""
    if values.ndim != 1:
        return None
    if values.dtype.kind == "M":
        return _dates(values, "")
    if values.dtype.kind == "U":
        return values.tolist()  # type: ignore[no-any-return]
    return values if values.dtype.kind in "biuf" else None


def _masked(data: Any, mask: Any) -> Values | None:
    if not (isinstance(data, Array) and data.values is not None and isinstance(mask, Array) and mask.values is not None):
        return None
    if data.values.ndim != 1 or data.values.dtype.kind not in "biuf" or mask.values.dtype.kind != "b" or mask.shape != data.shape:
        return None
    return [None if gone else value for value, gone in zip(data.values.tolist(), mask.values.tolist(), strict=True)]


class _Backed(NamedTuple):
    """An array that pandas keeps over a numpy array: the class that does (`Categorical`), its dtype, the array."""

    name: str
    dtype: Any
    array: Array


def _backed(record: Record) -> _Backed | None:
    """Its state is (dtype, array[, attributes]), or the instance dict before pandas 1.3."""
    cls = record.args[0] if record.name.endswith("__pyx_unpickle_NDArrayBacked") and record.args else type(record)
    found = record.attributes
    parts: tuple[Any, ...] = (found.get("_dtype"), found.get("_codes", found.get("_ndarray", found.get("_data"))))
    if isinstance(record.state, tuple) and len(record.state) in (2, 3) and isinstance(record.state[1], Array):
        parts = record.state
    dtype, array = parts[:2]
    return _Backed(getattr(cls, "name", "").rpartition(".")[2], dtype, array) if isinstance(array, Array) else None


def _backed_values(backed: _Backed, depth: int) -> Values | None:
    name, dtype, array = backed
    if name == "Categorical":
        return _categories(dtype, array, depth)
    if name == "DatetimeArray" and array.values is not None and array.values.dtype.kind == "M":
        return _dates(array.values.reshape(-1), "Z" if is_record(dtype, "DatetimeTZDtype") else "")
    return column_values(array, depth + 1) if name in ("StringArray", "PandasArray", "NumpyExtensionArray") else None


def _categories(dtype: Any, codes: Array, depth: int) -> Values | None:
    names = row_labels(dtype.attributes.get("categories"), depth + 1) if isinstance(dtype, Record) else None
    if names is None or len(names) > _MOST_CATEGORIES or codes.values is None or codes.values.dtype.kind != "i":
        return None
    flat = codes.values.reshape(-1)
    if len(flat) and (int(flat.min()) < -1 or int(flat.max()) >= len(names)):
        return None
    words = [*(names.tolist() if isinstance(names, np.ndarray) else names), None]  # code -1 is missing
    return [words[code] for code in flat.tolist()]


def _dates(values: NDArray[Any], zone: str) -> Values | None:
    """ISO 8601: days where no value has a time, else to the second or as fine as they are. Times with a zone are in UTC."""
    unit: Any = np.datetime_data(values.dtype)[0]
    try:
        there = values[~np.isnat(values)]
        if bool((there.astype("M8[s]") == there).all()):
            unit = "D" if not zone and bool((there.astype("M8[D]") == there).all()) else "s"
        texts = np.datetime_as_string(values, unit=unit).tolist()
    except (ValueError, TypeError, OverflowError):
        return None  # a unit or a year that no calendar has
    return [None if text == "NaT" else text + zone for text in texts]


def cell_value(value: Any) -> Any:
    """A value of an object column as Python has it, None for pandas' missing ones, lists flat; what is not read stays as it is."""
    if isinstance(value, (list, tuple)):
        return [_leaf(part) for part in value]
    if isinstance(value, Array) and len(value.shape) == 1:
        parts = value.objects if value.objects is not None else value.values.tolist() if value.values is not None else []
        return [_leaf(part) for part in parts]
    return _leaf(value)


def _leaf(value: Any) -> Any:
    if isinstance(value, type):
        return None if getattr(value, "name", "") in _MISSING else value
    if is_record(value, "_nat_unpickle", "__nat_unpickle"):
        return None
    return _moment(value) if isinstance(value, Record) else value


def _moment(value: Record) -> Any:
    """datetime.date, datetime.datetime and pandas.Timestamp as ISO text; another record as it is."""
    raw = value.args[0] if value.args else None
    if is_record(value, "date", "datetime") and isinstance(raw, bytes) and len(raw) in (4, 10):
        day = f"{raw[0] << 8 | raw[1]:04d}-{raw[2]:02d}-{raw[3]:02d}"
        return day if len(raw) == 4 else f"{day}T{raw[4]:02d}:{raw[5]:02d}:{raw[6]:02d}"
    if is_record(value, "_unpickle_timestamp") and isinstance(raw, int) and abs(raw) < 1 << 62:
        unit = "ns" if len(value.args) < 4 else _RESOLUTIONS.get(value.args[3]) if type(value.args[3]) is int else None
        zone = "" if value.args[2:3] in ((), (None,)) else "Z"
        found = None if unit is None else _dates(np.array([raw], np.int64).view(f"M8[{unit}]"), zone)
        return value if found is None else found[0]
    return value
