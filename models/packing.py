"""Which family does an artifact belong to, and its bundle. Child and training only: imports every family's `pack`.

Covers: choosing by family name or from the records, and the checks that all dict shapes share. Does not cover: what a
family keeps (its `pack.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import FAMILIES
from .bundle import Bundle
from .passing import BadNote, is_bundle, pass_through
from .records import Array, Record, classes_seen, is_record, summarise


class PackError(ValueError):
    """An artifact cannot be packed: `type` is the public failure type (see loaders.errors), `detail` JSON."""

    def __init__(self, type: str, message: str, **detail: Any) -> None:
        super().__init__(message)
        self.type = type
        self.message = message
        self.detail = detail


NewArray = Callable[[tuple[int, ...], "np.dtype[Any]"], NDArray[Any]]
"""A new C-contiguous array of a shape and dtype; what is in it is not said."""


class Options(NamedTuple):
    """What the operator may say about packing, and where large arrays that are computed find room.

    new_array: the child gives one that lies in the segment already, so that it costs no private memory and no copy.
    """

    id_column: str = ""
    new_array: NewArray = np.empty


NO_OPTIONS = Options()


class Fit(NamedTuple):
    """A family that takes an artifact, and why."""

    family: str
    reason: str


def pack(root: Any, family: str = "auto", options: Options = NO_OPTIONS) -> tuple[Bundle, str]:
    """The bundle of an artifact, and why this family. Raises PackError."""
    if is_bundle(root):
        return _passed_through(root, family)
    if isinstance(root, dict) and _is_false(root.get("is_trained")):
        raise PackError("not_trained", "the artifact says is_trained = False")
    fits = [
        Fit(name, reason)
        for name, module in FAMILIES.items()
        if family in ("auto", name) and (reason := import_module(f"{module}.pack").matches(root)) is not None
    ]
    if not fits:
        components = summarise(root)
        seen = classes_seen(components) or [components[0]["type"]]
        wanted = "no family takes" if family == "auto" else f"family {family!r} does not take"
        keys = f" with keys {', '.join(sorted(map(str, root)))[:300]}" if isinstance(root, dict) else ""
        raise PackError("unknown_format", f"{wanted} this artifact: {', '.join(seen[:10])}{keys}", classes=seen[:50])
    fit = fits[0]
    with np.errstate(all="ignore"):  # what overflows is found where arrays are checked, and numbers that are none where they are used
        bundle = import_module(f"{FAMILIES[fit.family]}.pack").pack(root, options)
    details = dict(bundle.details)
    if isinstance(root, dict) and (trained := _text_time(root.get("trained_at"))) is not None:
        details["trained_at"] = trained
    return Bundle(bundle.family, bundle.arrays, bundle.meta, details), fit.reason


def _passed_through(root: Any, family: str) -> tuple[Bundle, str]:
    try:
        bundle = pass_through(root)
    except BadNote as error:
        raise PackError("corrupt_artifact", f"the artifact is no bundle, though it says so: {error}") from error
    if family not in ("auto", bundle.family):
        raise PackError("unknown_format", f"family {family!r} does not take this artifact: a bundle of family {bundle.family}", classes=[])
    return bundle, f"a bundle of family {bundle.family}"


def _is_false(value: Any) -> bool:
    return value is False or (isinstance(value, Array) and value.shape == () and value.values is not None and not value.values.all())


def _text_time(value: Any) -> Any:
    """`trained_at` as it can be shown: strings and numbers as they are, a datetime record in ISO form."""
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return value if not isinstance(value, str) else value[:64]
    if is_record(value, "datetime") and value.args and isinstance(value.args[0], bytes) and len(value.args[0]) == 10:
        b = value.args[0]
        micro = int.from_bytes(b[7:10], "big")
        told = f"{b[0] << 8 | b[1]:04d}-{b[2]:02d}-{b[3]:02d}T{b[4]:02d}:{b[5]:02d}:{b[6]:02d}" + (f".{micro:06d}" if micro else "")
        return told + _offset(value.args[1] if len(value.args) > 1 else None)
    return None


def _offset(zone: Any) -> str:
    """How a `datetime.timezone` is written behind a time: "Z", "+07:00"; "" where there is none, or one of another kind."""
    delta = zone.args[0] if is_record(zone, "timezone") and zone.args else None
    parts: tuple[Any, ...] = delta.args[:2] if isinstance(delta, Record) and is_record(delta, "timedelta") else ()
    if len(parts) != 2 or not all(isinstance(part, int) and abs(part) <= 86_400 for part in parts):
        return ""
    minutes = (parts[0] * 86_400 + parts[1]) // 60
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}" if minutes else "Z"


def numeric(value: Any, what: str, *, ndim: int) -> NDArray[Any]:
    """A real array of rank `ndim`, in the machine's byte order. Raises PackError(corrupt_artifact)."""
    array = value.values if isinstance(value, Array) else None
    if array is None or array.ndim != ndim or array.dtype.kind not in "biuf":
        found = f"{value!r}" if isinstance(value, (Array, Record)) else type(value).__name__
        raise PackError("corrupt_artifact", f"{what} is not a numeric array of rank {ndim}: {found[:200]}")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def floats(value: Any, what: str) -> NDArray[Any]:
    """A matrix of float32 or float64; other numbers become float32. Raises PackError(corrupt_artifact)."""
    array = numeric(value, what, ndim=2)
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)
