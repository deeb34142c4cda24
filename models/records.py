"""What a pickle becomes when it is read as data: inert records, arrays, nothing that runs.

Covers: the value types that `loaders.formats` produces and every family's `pack.py` walks. Does not cover: reading them.
See also: `loaders.formats.pickle` for the reader, Python's `pickletools` for the opcodes that call these methods.

A `Record` stands for an instance of a class that was never imported: sklearn, implicit and scipy objects arrive as
records of named arrays, and `os.system` in a `__reduce__` arrives as a record named `posix.system` that nobody calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

_MAX_ITEMSIZE = 1 << 31
_HAS_OBJECTS = 0x01
_PLAIN_KINDS = frozenset("biufcSUVMm")


class Malformed(ValueError):
    """A record contradicts itself: forged or damaged."""


class Record:
    """An instance (or the result of a call) of `module.name`, with what the pickle gave it and no behaviour."""

    module: ClassVar[str] = ""
    name: ClassVar[str] = ""

    __slots__ = ("args", "kwargs", "pairs", "state", "values")
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    pairs: list[tuple[Any, Any]]
    state: Any
    values: list[Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Record:
        self = object.__new__(cls)
        self.args = args
        self.kwargs = kwargs
        self.state = None
        self.values = []
        self.pairs = []
        return self

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def append(self, value: Any) -> None:
        self.values.append(value)

    def extend(self, values: Iterable[Any]) -> None:
        self.values.extend(values)

    def add(self, value: Any) -> None:
        self.values.append(value)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.pairs.append((key, value))

    def __call__(self, *args: Any, **kwargs: Any) -> Record:
        """What a pickle made by calling an instance (a bound method, a `functools.partial`): a record of the call."""
        return Call(self, *args, **kwargs)

    @property
    def attributes(self) -> dict[str, Any]:
        """The instance dict the pickle carried (with slots merged in), or {} where the state is something else."""
        state = self.state
        if isinstance(state, tuple) and len(state) == 2 and all(part is None or isinstance(part, dict) for part in state):
            return {**(state[0] or {}), **(state[1] or {})}
        return dict(state) if isinstance(state, dict) else {}

    @property
    def class_name(self) -> str:
        return f"{self.module}.{self.name}"

    def __repr__(self) -> str:
        return f"<record {self.class_name}>"


class Call(Record):
    """The result of calling a record; `args[0]` is the one that was called."""

    module = "builtins"
    name = "call"
    __slots__ = ()


def record_class(module: str, name: str) -> type[Record]:
    """A fresh record type for a class; cached by the reader, so that two instances of one class share it."""
    return type("Record", (Record,), {"module": module, "name": name, "__slots__": ()})


def is_record(value: Any, *names: str) -> bool:
    """Whether `value` is an instance record of a class with one of these bare names (`AlternatingLeastSquares`)."""
    return isinstance(value, Record) and value.name.rpartition(".")[2] in names


class Text:
    """A string of 64 KiB or more from a protocol 2 pickle, left as latin-1 bytes in the segment.

    Protocol 2 writes bytes as latin-1 text and re-encodes it at load: `latin1` is what that encoding gives back.
    """

    __slots__ = ("latin1",)

    def __init__(self, latin1: memoryview) -> None:
        self.latin1 = latin1

    def __str__(self) -> str:
        return bytes(self.latin1).decode("latin-1")


class DType:
    """`numpy.dtype` as data. A real dtype is rebuilt only from checked fields: a forged state crashes numpy itself."""

    __slots__ = ("spec", "state")

    def __init__(self, spec: Any = None, align: Any = False, copy: Any = False, metadata: Any = None) -> None:
        self.spec = spec
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple):
            raise Malformed("dtype state is not a tuple")
        self.state = state

    @property
    def is_object(self) -> bool:
        return isinstance(self.spec, str) and self.spec.lstrip("|")[:1] == "O"

    def resolve(self, depth: int = 0) -> np.dtype[Any]:
        """The numpy dtype. Raises Malformed unless it is one of kinds b i u f c S U V M m, with fields inside itemsize."""
        if depth > 4:
            raise Malformed("dtype nested too deeply")
        spec = self.spec
        if isinstance(spec, type) and issubclass(spec, Record):
            spec = {"bool": "?", "bool_": "?", "int": "i8", "float": "f8"}.get(spec.name, spec.name)
        if not isinstance(spec, str) or len(spec) > 24:
            raise Malformed("dtype is not named by a short string")
        state = self.state
        names, fields = (state[3], state[4]) if len(state) >= 6 else (None, None)
        subdtype = state[2] if len(state) >= 6 else None
        if names is not None:
            return self._structured(names, fields, state[5], depth)
        if subdtype is not None:
            return self._subarray(subdtype, depth)
        try:
            dtype = np.dtype(spec)
        except (TypeError, ValueError) as error:
            raise Malformed(f"unknown dtype {spec!r}") from error
        if dtype.kind not in _PLAIN_KINDS or dtype.fields is not None or dtype.subdtype is not None:
            raise Malformed(f"dtype {spec!r} does not hold plain values")
        if dtype.itemsize > _MAX_ITEMSIZE:
            raise Malformed("dtype is too large")
        if dtype.kind in "Mm" and len(state) >= 9:
            dtype = _datetime(dtype.kind, state[8])
        order = self._checked_state(dtype)
        return dtype.newbyteorder("<") if order == "<" else dtype.newbyteorder(">") if order == ">" else dtype

    def _checked_state(self, dtype: np.dtype[Any]) -> str:
        """The byte order of a state that says of a plain dtype what numpy says. Raises Malformed."""
        state = self.state
        if not state:
            return "="
        if len(state) not in (8, 9) or state[0] not in (3, 4) or state[1] not in ("<", ">", "=", "|"):
            raise Malformed("dtype state is malformed")
        if state[5] not in (-1, dtype.itemsize) or not is_index(state[7]) or state[7] & _HAS_OBJECTS:
            raise Malformed("dtype state contradicts its name")
        return str(state[1])

    def _structured(self, names: Any, fields: Any, itemsize: Any, depth: int) -> np.dtype[Any]:
        if not (
            isinstance(names, tuple)
            and isinstance(fields, dict)
            and is_index(itemsize)
            and itemsize <= _MAX_ITEMSIZE
            and len(names) <= 4096
        ):
            raise Malformed("structured dtype is malformed")
        formats, offsets = [], []
        for name in names:
            field = fields.get(name)
            if not (
                isinstance(name, str)
                and isinstance(field, tuple)
                and len(field) >= 2
                and isinstance(field[0], DType)
                and is_index(field[1])
            ):
                raise Malformed("structured dtype has a malformed field")
            if field[0].is_object:
                raise Malformed("objects inside a structured dtype")
            dtype = field[0].resolve(depth + 1)
            if field[1] + dtype.itemsize > itemsize:
                raise Malformed("structured dtype has a field outside its item")
            formats.append(dtype)
            offsets.append(field[1])
        try:
            return np.dtype({"names": list(names), "formats": formats, "offsets": offsets, "itemsize": itemsize})
        except (TypeError, ValueError) as error:
            raise Malformed("structured dtype is malformed") from error

    def _subarray(self, subdtype: Any, depth: int) -> np.dtype[Any]:
        if not (isinstance(subdtype, tuple) and len(subdtype) == 2 and isinstance(subdtype[0], DType)):
            raise Malformed("sub-array dtype is malformed")
        base, shape = subdtype[0].resolve(depth + 1), checked_shape(subdtype[1])
        if base.itemsize * prod(shape) > _MAX_ITEMSIZE:
            raise Malformed("dtype is too large")
        return np.dtype((base, shape))


def _datetime(kind: str, metadata: Any) -> np.dtype[Any]:
    unit = metadata[1] if isinstance(metadata, tuple) and len(metadata) == 2 else None
    if not (isinstance(unit, tuple) and len(unit) >= 2 and isinstance(unit[1], int) and 0 < unit[1] < 1 << 31):
        raise Malformed("datetime dtype without a unit")
    name = unit[0].decode("ascii", "replace") if isinstance(unit[0], bytes) else unit[0]
    if name not in ("generic", "Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as"):
        raise Malformed("datetime dtype with an unknown unit")
    return np.dtype(f"{kind}8") if name == "generic" else np.dtype(f"{kind}8[{unit[1]}{name}]")


def is_index(value: Any) -> bool:
    """A non-negative int that is not a bool."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def checked_shape(shape: Any) -> tuple[int, ...]:
    """`shape` as a tuple of non-negative ints, at most 32 of them. Raises Malformed."""
    if is_index(shape):
        shape = (shape,)
    if not (isinstance(shape, tuple) and len(shape) <= 32 and all(is_index(n) and n < 1 << 62 for n in shape)):
        raise Malformed("array shape is not a tuple of sizes")
    return shape


def view_as(raw: Any, dtype: np.dtype[Any], shape: tuple[int, ...], fortran: bool) -> NDArray[Any]:
    """The array over `raw` (any buffer), without a copy. Raises Malformed where the sizes differ."""
    size = memoryview(raw).nbytes
    if dtype.itemsize * prod(shape) != size:
        raise Malformed(f"array of shape {shape} and {dtype} does not fill its {size} bytes")
    if prod(shape) == 0 or dtype.itemsize == 0:
        return np.empty(shape, dtype, order="F" if fortran else "C")
    flat = np.frombuffer(raw, dtype)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


class Array:
    """`numpy.ndarray` as data: `values` is the array, or `objects` the flat list of an object array; `shape` its shape."""

    __slots__ = ("fortran", "objects", "shape", "values")

    def __init__(self, values: NDArray[Any] | None = None) -> None:
        self.values = values
        self.objects: list[Any] | None = None
        self.shape: tuple[int, ...] = values.shape if values is not None else ()
        self.fortran = False

    def __setstate__(self, state: Any) -> None:
        if not (isinstance(state, tuple) and len(state) in (4, 5)):
            raise Malformed("array state is malformed")
        shape, dtype, fortran, raw = state[-4:]
        self.shape, self.fortran = checked_shape(shape), bool(fortran)
        if not isinstance(dtype, DType):
            raise Malformed("array without a dtype")
        if dtype.is_object or isinstance(raw, list):
            if not (dtype.is_object and isinstance(raw, list) and len(raw) == prod(self.shape)):
                raise Malformed("object array without its objects")
            self.objects = raw
            return
        if not isinstance(raw, (bytes, bytearray, memoryview)):
            raise Malformed("array without its bytes")
        self.values = view_as(raw, dtype.resolve(), self.shape, self.fortran)

    @classmethod
    def of_objects(cls, objects: list[Any], shape: tuple[int, ...]) -> Array:
        self = cls()
        self.objects, self.shape = objects, shape
        return self

    def to_list(self) -> list[Any]:
        """The elements in memory order of a one-dimensional array, as Python values."""
        if self.objects is not None:
            return self.objects
        return [] if self.values is None else self.values.tolist()

    def __repr__(self) -> str:
        kind = "object" if self.values is None else self.values.dtype
        return f"<array {kind} {self.shape}>"


def summarise(root: Any, limit: int = 200) -> list[dict[str, Any]]:
    """What an artifact holds: {"name","type","shape","dtype","bytes"} a component, two levels deep, at most `limit`."""
    rows: list[dict[str, Any]] = []

    def visit(name: str, value: Any, depth: int) -> None:
        if len(rows) >= limit:
            return
        row: dict[str, Any] = {"name": name, "type": type_name(value), "shape": None, "dtype": None, "bytes": None}
        if isinstance(value, Array):
            row["shape"] = list(value.shape)
            row["dtype"] = "object" if value.values is None else str(value.values.dtype)
            row["bytes"] = None if value.values is None else value.values.nbytes
        elif isinstance(value, (list, tuple, dict, set, frozenset)):
            row["shape"] = [len(value)]
        rows.append(row)
        children: Mapping[Any, Any] = value.attributes if isinstance(value, Record) else value if isinstance(value, dict) else {}
        if depth < 2 and len(children) <= 64:
            for key, child in children.items():
                if isinstance(key, str) and (depth == 0 or isinstance(child, (Array, Record, dict))):
                    visit(f"{name}.{key[:80]}" if name else key[:80], child, depth + 1)

    visit("", root, 0)
    return rows


def type_name(value: Any) -> str:
    """A word for a person: `dict`, `implicit.cpu.als.AlternatingLeastSquares`, `numpy.ndarray`."""
    if isinstance(value, Record):
        return value.class_name[:200]
    if isinstance(value, type) and issubclass(value, Record):
        return f"class {value.module}.{value.name}"[:200]
    return "numpy.ndarray" if isinstance(value, Array) else type(value).__name__


def classes_seen(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The distinct class names among summarised components, in order."""
    return list(dict.fromkeys(row["type"] for row in rows if "." in row["type"] and row["type"] != "numpy.ndarray"))
