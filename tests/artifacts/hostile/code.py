"""Files that try to run something when unpickled. Read as data, they are records of a class nobody knows."""

from __future__ import annotations

import _codecs
import builtins
import collections
import importlib
import io
import os
import pickle
import posix
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from tests.artifacts.hostile.entry import REFUSED, UNKNOWN, Call, Table, honest

_CALLS = ("os_system", "eval", "exec", "popen", "open", "import", "object_array")
"""What these call is nobody's data: the verdict names it."""


def add_to(table: Table) -> None:
    def add(name: str, says: str, payload: Callable[[Path], Any], *, inside: str = "", joblib_too: bool = False) -> None:
        """`payload(marker)` is the object; alone in the file, or as the value of key `inside` of the honest base."""

        def whole(marker: Path) -> Any:
            return honest(**{inside: payload(marker)}) if inside else payload(marker)

        # Beside a whole model, what a reader makes of a value it does not need is its own business, if nothing runs.
        # A builtin that a reader knows as data (bytearray, OrderedDict) may be found to be malformed.
        expected = UNKNOWN | {"untrusted_type"} if not inside and name in _CALLS else REFUSED | {"untrusted_type"}
        is_needed = inside in ("", "user_factors", "user_id_map")
        table.add(f"code_{name}", says, lambda marker: pickle.dumps(whole(marker), 4), expected, may_load=not is_needed)
        if joblib_too:
            table.add(
                f"code_{name}_joblib",
                f"{says}, by joblib",
                lambda marker: by_joblib(whole(marker)),
                expected,
                suffix=".joblib",
                may_load=not is_needed,
            )

    add("os_system", "os.system in __reduce__", shell, joblib_too=True)
    add("eval", "eval in __reduce__", lambda marker: Call(builtins.eval, python(marker)), joblib_too=True)
    add("exec", "exec in __reduce__", lambda marker: Call(builtins.exec, python(marker)))
    add("popen", "subprocess.Popen in __reduce__", lambda marker: Call(subprocess.Popen, ["touch", str(marker)]))
    add("open", "io.open of a new file", lambda marker: Call(io.open, str(marker), "w"))
    add("import", "importlib.import_module", lambda _: Call(importlib.import_module, "this"))
    add("bytearray_huge", "a bytearray of 50 GB asked for by REDUCE", lambda _: Call(bytearray, 50 << 30))
    add(
        "codecs_encode",
        "_codecs.encode with a codec that is not latin-1",
        lambda _: Call(_codecs.encode, b"x" * 99, "zip"),
        inside="user_factors",
    )
    for key in ("user_factors", "user_id_map", "extra", "is_trained"):
        add(f"os_system_as_{key}", f"os.system as the value of {key}", shell, inside=key)
    add("os_system_as_key", "os.system as a user id", lambda marker: {shell(marker): 0}, inside="user_id_map")
    add(
        "os_system_in_state",
        "os.system in the state of an ordinary object",
        lambda marker: Call(collections.OrderedDict, state={"x": shell(marker)}),
    )
    add("setstate", "a state whose keys are the names a reader may use", lambda _: Call(collections.OrderedDict, state=dunders()))

    def object_array(marker: Path) -> Any:
        array = np.empty(3, dtype=object)
        array[:] = [1, shell(marker), [shell(marker)]]
        return array

    add("object_array", "os.system in an object array, which joblib pickles apart", object_array, joblib_too=True)
    add("object_array_as_user_factors", "the same as user_factors", object_array, inside="user_factors", joblib_too=True)
    add("object_array_as_extra", "the same where nobody looks", object_array, inside="extra", joblib_too=True)

    for name, stream in STREAMS.items():
        table.add(f"code_{name}", "a hand-written stream that names what it must not get", stream, REFUSED | {"untrusted_type"})


def shell(marker: Path) -> Any:
    return Call(posix.system, f"touch {marker}")


def python(marker: Path) -> str:
    return f"__import__('pathlib').Path({str(marker)!r}).touch()"


def dunders() -> dict[str, Any]:
    return dict.fromkeys(("__class__", "__dict__", "__setstate__", "append", "extend", "args", "state", "name", "module"), 1)


def by_joblib(obj: Any) -> bytes:
    file = io.BytesIO()
    joblib.dump(obj, file)
    return file.getvalue()


def _short(text: str) -> bytes:
    return b"\x8c" + bytes([len(text.encode())]) + text.encode()


def _touch(marker: Path) -> bytes:
    return b"S'touch " + os.fsencode(marker) + b"'\n"


STREAMS: dict[str, Callable[[Path], bytes]] = {
    "inst": lambda marker: b"(" + _touch(marker) + b"ios\nsystem\n.",
    "obj": lambda marker: b"(cos\nsystem\n" + _touch(marker) + b"o.",
    "global_reduce": lambda marker: b"cos\nsystem\n(" + _touch(marker) + b"tR.",
    "stack_global": lambda marker: b"\x80\x04" + _short("os") + _short("system") + b"\x93(" + _touch(marker) + b"tR.",
    "dotted": lambda marker: b"\x80\x04" + _short("numpy") + _short("f2py.os.system") + b"\x93(" + _touch(marker) + b"tR.",
    "newobj": lambda marker: b"\x80\x02cos\nsystem\n(" + _touch(marker) + b"t\x81.",
    "newobj_ex": lambda marker: b"\x80\x04cos\nsystem\n(" + _touch(marker) + b"t}\x92.",
    "partial": lambda marker: b"\x80\x02cfunctools\npartial\n(cos\nsystem\n" + _touch(marker) + b"tR)R.",
    "methodcaller": lambda marker: (
        b"\x80\x02coperator\nmethodcaller\n(" + _touch(marker) + b"tR(cpathlib\nPath\n" + _touch(marker) + b"tRtR."
    ),
    "reduce_of_a_string": lambda _: b"\x80\x02X\x02\x00\x00\x00os)R.",
    "append_to_array": lambda _: b"\x80\x02cnumpy\nndarray\n)\x81K\x01a.",
    "setitem_on_dtype": lambda _: b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00f4\x85RK\x01K\x02s.",
    "add_to_record": lambda _: b"\x80\x04\x8c\x05other\x8c\x05Thing\x93)\x81(K\x01\x90.",
    "name_not_text": lambda _: b"\x80\x04K\x01K\x02\x93.",
    "name_of_10_mb": lambda _: b"\x80\x04X\x80\x96\x98\x00" + b"m" * 10_000_000 + _short("f") + b"\x93)R.",
    "name_with_surrogate": lambda _: b"\x80\x04X\x06\x00\x00\x00os\xed\xa0\x80x" + _short("system") + b"\x93)R.",
    "name_with_controls": lambda _: b"\x80\x04" + _short("os\n\x1b[31m\x00{0}%s") + _short("system\r\n\r\n") + b"\x93)R.",
}


def _build_on(module: str, name: str) -> Callable[[Path], bytes]:
    """BUILD with slot state on what find_class gave, not on an instance: a setattr on the reader's own class."""
    state = b"N}(X\x0c\x00\x00\x00__setstate__K\x01X\x04\x00\x00\x00nameK\x01u\x86b."
    return lambda _: b"\x80\x02c" + f"{module}\n{name}\n".encode() + state


for _module, _name in (("numpy", "ndarray"), ("numpy", "dtype"), ("os", "system"), ("joblib.numpy_pickle", "NumpyArrayWrapper")):
    STREAMS[f"build_on_{_name}"] = _build_on(_module, _name)
