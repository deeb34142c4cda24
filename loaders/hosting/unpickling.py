"""Unpickling for real, with every name checked before it is imported. Hosting child only, behind its walls.

Covers: plain pickles and joblib files (its own unpickler, object arrays included), compressed or not. Does not cover: which
names are allowed (`loaders.hosting.allowed`), what may be done with them (`loaders.hosting.rules`), protocols below 2
(refused when the file was sniffed).
"""

from __future__ import annotations

import inspect
import io
import os
import pickle
from collections.abc import Callable
from typing import Any

from loaders.errors import CorruptArtifact, LoadError, MissingLibrary
from loaders.formats.streams import InflatedStream, inflate
from loaders.hosting.allowed import ALLOWED, MAKERS, untrusted_type
from loaders.hosting.rules import Rules, ruled

_BUFFER = 1 << 20
_WRAPPER = ("joblib.numpy_pickle", "NumpyArrayWrapper")
_PIP = {"sklearn": "scikit-learn", "skopt": "scikit-optimize", "umap": "umap-learn"}
"""Packages that pip knows by another name than Python does."""

_NO_MEMORY = ("failed to map segment", "annot allocate memory")
"""How the loader of shared libraries says that the memory cap is hit."""


def unpickle(fd: int, is_joblib: bool, *, trusts_all: bool) -> Any:
    """The object in the artifact behind `fd`, which is left open.

    Raises UntrustedType (unless it `trusts_all`) for a name or a deed that is not allowed, MissingLibrary for a name that
    cannot be imported, CorruptArtifact for whatever else goes wrong on the way; MemoryError.
    """
    try:
        with _opened(fd) as file:
            if is_joblib:
                return _joblib(file, trusts_all)
            return (_AnyUnpickler if trusts_all else _KnownUnpickler)(file).load()
    except (LoadError, MemoryError):
        raise
    except RecursionError as error:
        raise CorruptArtifact("unpickling failed: nested too deeply") from error
    except Exception as error:
        words = " ".join(str(error).split())[:300]
        raise CorruptArtifact(f"unpickling failed: {type(error).__name__}: {words}") from error


def _opened(fd: int) -> io.BufferedReader:
    os.lseek(fd, 0, os.SEEK_SET)
    inflated = inflate(fd, os.pread(fd, 4096, 0))
    if inflated is not None:
        return io.BufferedReader(_Inflated(inflated[1]), _BUFFER)
    return io.BufferedReader(io.FileIO(fd, closefd=False), _BUFFER)


class _Inflated(io.RawIOBase):
    """A decompressed stream as a file object."""

    def __init__(self, stream: InflatedStream) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._stream.readinto(memoryview(buffer).cast("B"))


def checked(module: str, name: str, trusts_all: bool, find: Callable[[str, str], Any]) -> Any:
    """What `find(module, name)` imports. Raises UntrustedType before it does so, MissingLibrary where it cannot."""
    if not trusts_all and (module, name) not in ALLOWED:
        raise untrusted_type([f"{module}.{name}"])
    try:
        return find(module, name)
    except (ImportError, AttributeError) as error:
        if any(words in str(error) for words in _NO_MEMORY):
            raise MemoryError(str(error)) from error
        package = module.partition(".")[0]
        pip = _PIP.get(package, package)
        if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == package:
            raise MissingLibrary(f"the model needs {package}, which is not installed: pip install {pip}", library=package) from error
        told = f"the installed {pip} has no {module}.{name}: install the version that the model was saved with"
        raise MissingLibrary(f"{told} ({error})"[:500], library=package) from error


class _AnyUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return checked(module, name, True, super().find_class)


class _KnownUnpickler(Rules, pickle._Unpickler):
    dispatch = ruled(pickle._Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        return self.found(module, name, checked(module, name, False, super().find_class), (module, name) in MAKERS)


def _joblib(file: io.BufferedReader, trusts_all: bool) -> Any:
    try:
        from joblib.numpy_pickle import NumpyArrayWrapper, NumpyUnpickler
    except ImportError as error:
        raise MissingLibrary("the model was saved by joblib, which is not installed: pip install joblib", library="joblib") from error

    class Wrapper(NumpyArrayWrapper):  # type: ignore[misc]
        """joblib before 1.6 reads the pickle inside an object array without asking `find_class`."""

        def read_array(self, unpickler: Any, *rest: Any) -> Any:
            if self.dtype.hasobject:
                return (_AnyUnpickler if trusts_all else _KnownUnpickler)(unpickler.file_handle).load()
            return super().read_array(unpickler, *rest)

    class AnyReader(NumpyUnpickler):  # type: ignore[misc]
        def find_class(self, module: str, name: str) -> Any:
            return Wrapper if (module, name) == _WRAPPER else checked(module, name, True, super().find_class)

    class KnownReader(Rules, NumpyUnpickler):  # type: ignore[misc]
        dispatch = ruled(NumpyUnpickler.dispatch)

        def find_class(self, module: str, name: str) -> Any:
            value = Wrapper if (module, name) == _WRAPPER else checked(module, name, False, super().find_class)
            return self.found(module, name, value, (module, name) in MAKERS)

    given: dict[str, Any] = {"ensure_native_byte_order": True, "mmap_mode": None}
    known = inspect.signature(NumpyUnpickler.__init__).parameters
    reader = AnyReader if trusts_all else KnownReader
    return reader("artifact", file, **{name: value for name, value in given.items() if name in known}).load()
