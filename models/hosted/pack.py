"""Which artifacts must be unpickled for real, and what they would name. Runs in the capped child over inert records.

Covers: finding the estimator, and every class and function that the pickle asks for, so that what is not trusted is refused
before anything is imported. Does not cover: whether it can predict (only the real object knows: `loaders.hosting`).
"""

from __future__ import annotations

from typing import Any

from models.bundle import Bundle
from models.estimator_records import unwrap
from models.packing import Options, PackError
from models.records import Array, Record

_NO_MODELS = (
    "builtins", "__builtin__", "_codecs", "array", "codecs", "collections", "copyreg", "copy_reg", "datetime", "decimal", "functools",
    "implicit", "lightfm", "numpy", "operator", "os", "pandas", "pathlib", "polars", "posix", "pyarrow", "re", "scipy", "subprocess",
    "sys", "types", "uuid",
)  # fmt: skip
"""Top packages whose objects are values, or models that another family takes or nobody does."""
_MOST_CLASSES = 400
_MOST_CHARACTERS = 16 << 10
"""The header of a segment is 64 KiB for everything; what is cut off here is still refused when it is unpickled."""


def matches(root: Any) -> str | None:
    """Why this family takes the artifact, or None."""
    model = unwrap(root)
    if model is None or not _is_an_instance(model):
        return None
    words = f"a {model.class_name[:200]}" if model is root else f"a dict with a {model.class_name[:200]}"
    return f"{words}, which no other family takes: it is unpickled in a process of its own"


def pack(root: Any, options: Options) -> Bundle:
    """The bundle: no arrays; meta {"model": class, "classes": [every class and function named], "is_cut": bool}. Raises PackError."""
    model = unwrap(root)
    if model is None:
        raise PackError("unknown_format", f"there is no object to host in a {type(root).__name__}")
    seen = named(root)
    classes: list[str] = []
    length = 0
    for name in seen:
        length += len(name) + 3
        if len(classes) == _MOST_CLASSES or length > _MOST_CHARACTERS:
            break
        classes.append(name)
    meta = {"model": model.class_name[:200], "classes": classes, "is_cut": len(classes) < len(seen)}
    return Bundle("hosted", {}, meta, {"model": model.class_name[:200]})


def _is_an_instance(value: Record) -> bool:
    """Whether a pickler wrote it as an object with attributes: what a call returned (`os.system(...)`) is no model."""
    return bool(value.attributes) and not value.args and value.module.partition(".")[0] not in _NO_MODELS


def named(root: Any) -> list[str]:
    """Every class and function ("module.name") in an artifact, in the order they are met. No recursion: it may be nested deeply."""
    names: dict[str, None] = {}
    seen: set[int] = set()
    todo: list[Any] = [root]
    while todo:
        value = todo.pop()
        if isinstance(value, type):
            if issubclass(value, Record):
                names[f"{value.module}.{value.name}"[:200]] = None
            continue
        if not isinstance(value, (Record, Array, dict, list, tuple, set, frozenset)) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Record):
            inside = [type(value), value.args, value.kwargs, value.state, value.values, value.pairs]
        elif isinstance(value, Array):
            inside = [value.objects]
        elif isinstance(value, dict):
            inside = [*value.keys(), *value.values()]
        else:
            inside = list(value)
        todo += reversed(inside)
    names.pop("builtins.call", None)
    return list(names)
