"""Reading a pickle as data: the C Unpickler with every class replaced by an inert record.

Covers: plain pickles of protocols 2-5 and joblib files (whose arrays `loaders.formats.joblib` reads). Does not cover: what
a family makes of the records. Child only.

`find_class` never imports anything. The few names that return something other than a record are listed in REAL: numpy's
array, scalar and dtype constructors map to `models.records`, and containers of the standard library map to themselves or
to the plain container they extend.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from typing import Any

from loaders.errors import CorruptArtifact, LoadError, UnknownFormat
from models.records import Array, DType, Malformed, Record, Text, checked_shape, record_class, view_as

from .feed import Feed
from .joblib import wrapper_class
from .opcodes import Broken, check_frame

_RECURSION = "nested too deeply"


def _reconstruct(subtype: Any, shape: Any = None, typecode: Any = None) -> Array:
    if not (isinstance(subtype, type) and issubclass(subtype, Record) and subtype.module.partition(".")[0] == "numpy"):
        raise Malformed("an array of something that is no array class")
    return Array()


def _frombuffer(raw: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> Array:
    """`axes` comes with order "K": an array whose axes were exchanged (numpy >= 2.3), laid out as `shape` says before that."""
    if not isinstance(dtype, DType) or dtype.is_object:
        raise Malformed("array without a dtype")
    if order not in ("C", "F") and (order, axes is None) != ("K", False):
        raise Malformed("array without an order")
    values = view_as(raw, dtype.resolve(), checked_shape(shape), order == "F")
    return Array(values if order != "K" else values.transpose(checked_shape(axes)))


def _scalar(dtype: Any, raw: Any = b"") -> Any:
    """A numpy scalar as the Python value it stands for, so that it hashes like one (ids are often numpy ints)."""
    if not isinstance(dtype, DType):
        raise Malformed("scalar without a dtype")
    if dtype.is_object:
        return raw
    if not isinstance(raw, (bytes, bytearray)):
        raise Malformed("scalar without its bytes")
    resolved = dtype.resolve()
    if resolved.itemsize == 0:
        return "" if resolved.kind == "U" else b""
    value = view_as(raw, resolved, (1,), False)[0]
    return value.item() if resolved.kind in "biufcSU" else value


def _encode(text: Any, encoding: Any = "latin-1", errors: Any = "strict") -> Any:
    """`_codecs.encode` as protocol 2 uses it for bytes. Any other use is not data."""
    if encoding not in ("latin1", "latin-1", "iso-8859-1"):
        raise CorruptArtifact("a string is re-encoded in a way no pickler writes")
    if isinstance(text, Text):
        return text.latin1
    if not isinstance(text, str):
        raise CorruptArtifact("bytes are encoded from something that is no string")
    return text.encode("latin-1")


_BytesRecord = record_class("builtins", "bytes")


def _bytes(value: Any = b"", encoding: Any = None) -> Any:
    """`bytes(...)` and `bytearray(...)` of what is there already; of anything else (a number would allocate it) an inert record."""
    if isinstance(value, Text):
        return value.latin1
    if isinstance(value, str) and encoding in ("latin1", "latin-1"):
        return value.encode("latin-1")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return value
    if isinstance(value, list) and all(isinstance(item, int) and 0 <= item < 256 for item in value):
        return bytes(value)
    return _BytesRecord(value)


def _reconstructor(cls: Any, base: Any = None, state: Any = None) -> Any:
    """`copyreg._reconstructor` and `copyreg.__newobj__`: an instance of a record class."""
    if not (isinstance(cls, type) and issubclass(cls, Record)):
        raise CorruptArtifact("an instance of something that is no class")
    return cls()


def _newobj(cls: Any, *args: Any) -> Any:
    if not (isinstance(cls, type) and issubclass(cls, Record)):
        raise CorruptArtifact("an instance of something that is no class")
    return cls(*args)


class _Dict(dict[Any, Any]):
    """An OrderedDict, defaultdict or Counter: its items. Attributes of the instance are dropped."""

    def __setstate__(self, state: Any) -> None:
        pass


def _dict(*args: Any) -> _Dict:
    """From at most one list of pairs or dict; a defaultdict's factory is dropped."""
    return next((_Dict(source) for source in args if isinstance(source, (dict, list))), _Dict())


_MULTIARRAY = ("numpy._core.multiarray", "numpy.core.multiarray")
_NUMERIC = ("numpy._core.numeric", "numpy.core.numeric")
_BUILTINS = ("builtins", "__builtin__")
REAL: dict[tuple[str, str], Any] = {
    **{(module, "_reconstruct"): _reconstruct for module in _MULTIARRAY},
    **{(module, "scalar"): _scalar for module in _MULTIARRAY},
    **{(module, "_frombuffer"): _frombuffer for module in _NUMERIC},
    ("numpy", "dtype"): DType,
    ("_codecs", "encode"): _encode,
    **{(module, name): _bytes for module in _BUILTINS for name in ("bytes", "bytearray")},
    **{
        (module, name): {"set": set, "frozenset": frozenset, "list": list}[name]
        for module in _BUILTINS
        for name in ("set", "frozenset", "list")
    },
    **{(module, "dict"): _dict for module in _BUILTINS},
    **{(module, "complex"): complex for module in _BUILTINS},
    ("collections", "OrderedDict"): _dict,
    ("collections", "defaultdict"): lambda factory=None, *args: _dict(*args),
    ("collections", "Counter"): _dict,
    **{(module, "_reconstructor"): _reconstructor for module in ("copyreg", "copy_reg")},
    **{(module, "__newobj__"): _newobj for module in ("copyreg", "copy_reg")},
}
"""(module, name) -> what stands for it. Everything else becomes a record class."""


class _Reader(pickle.Unpickler):
    """One C Unpickler over a feed. `nested` readers (joblib's object arrays) share the feed and the classes."""

    def __init__(self, feed: Feed, classes: dict[tuple[str, str], Any]) -> None:
        super().__init__(feed, fix_imports=False, encoding="latin1", buffers=feed)
        self._classes = classes

    def find_class(self, module: str, name: str) -> Any:
        key = (module, name)
        found = self._classes.get(key)
        if found is None:
            found = self._classes[key] = record_class(module, name)
        return found

    def persistent_load(self, pid: Any) -> Any:
        array = getattr(pid, "replacement", None)
        if array is None:
            raise CorruptArtifact("the pickle refers to objects outside the file")
        return array


_MALFORMED = (
    pickle.UnpicklingError, Malformed, EOFError, ValueError, TypeError, AttributeError, KeyError, IndexError,
    OverflowError, UnicodeError, ImportError, RecursionError, zipfile.BadZipFile, io.UnsupportedOperation,
)  # fmt: skip


def read_pickle(feed: Feed, on_adopt: Callable[..., Any]) -> Any:
    """The root object of the pickle behind `feed`, made of plain containers and `models.records`.

    `on_adopt(offset, nbytes)` gives the memory of an array that may stay in the file. Raises CorruptArtifact for whatever
    no pickler writes; MemoryError only where the memory cap was really hit.
    """
    classes = dict(REAL)

    def nested() -> Any:
        with feed.inner_pickle():
            return _Reader(feed, classes).load()

    classes["joblib.numpy_pickle", "NumpyArrayWrapper"] = wrapper_class(feed, on_adopt, nested)
    try:
        root = _Reader(feed, classes).load()
    except LoadError:
        raise
    except MemoryError:
        try:
            check_frame(feed.last_frame, memo_limit=feed.plain_bytes)
        except Broken as error:
            raise CorruptArtifact(f"forged or damaged near byte {feed.position()}: {error}") from error
        raise
    except _MALFORMED as error:
        raise CorruptArtifact(f"not a well-formed pickle near byte {feed.position()}: {_one_line(error)}") from error
    if isinstance(root, type):
        raise UnknownFormat(f"the artifact is a class, not an object: {getattr(root, 'module', '')}.{getattr(root, 'name', root.__name__)}")
    return root


def _one_line(error: BaseException) -> str:
    text = _RECURSION if isinstance(error, RecursionError) else str(error)
    return " ".join(text.split())[:200] or type(error).__name__
