"""An artifact that is a bundle already (a file of `loaders.bundle_file`): passed through, nothing packed. Child only.

Covers: telling such a tree, and its arrays and words back in a bundle. Does not cover: whether the arrays can answer, which
the scorer finds out as of every bundle that somebody else wrote.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from . import FAMILIES
from .bundle import Bundle
from .records import Array

NOTE = "holdfast"
"""The metadata key of a safetensors file that says of which family its tensors are, and what they mean."""
_METADATA = "__metadata__"
_WITHOUT_ARRAYS_OF_THEIR_OWN = frozenset({"hosted"})
_DEPTH = 8


class BadNote(ValueError):
    """The file says that it is a bundle, and is none; the message says why."""


def is_bundle(root: Any) -> bool:
    """Whether an artifact's tree is that of a bundle file, whole or not."""
    metadata = root.get(_METADATA) if isinstance(root, dict) else None
    return isinstance(metadata, dict) and NOTE in metadata


def pass_through(root: Mapping[str, Any]) -> Bundle:
    """The bundle of a tree that `is_bundle`. Raises BadNote."""
    try:
        note = json.loads(root[_METADATA][NOTE])
        family, meta, details, adopted, transposed = (note[key] for key in ("family", "meta", "details", "adopted", "transposed"))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise BadNote(f"what it says of itself cannot be read: {error}"[:300]) from error
    if not (isinstance(meta, dict) and isinstance(details, dict) and isinstance(transposed, list)):
        raise BadNote("what it says of itself is malformed")
    if not isinstance(family, str) or family not in FAMILIES or family in _WITHOUT_ARRAYS_OF_THEIR_OWN:
        raise BadNote(f"it is of family {str(family)[:40]!r}")
    if adopted:
        raise BadNote("it has arrays in another file")
    if not _is_shallow(details, _DEPTH):
        raise BadNote("its details are nested too deeply")
    return Bundle(family, _arrays(root, transposed), meta, details)


def _arrays(root: Mapping[str, Any], transposed: list[Any]) -> dict[str, NDArray[Any]]:
    arrays = {name: value.values for name, value in root.items() if isinstance(value, Array) and value.values is not None}
    for name in transposed:
        if not isinstance(name, str) or name not in arrays:
            raise BadNote(f"it has no array {str(name)[:80]!r} to transpose")
        arrays[name] = arrays[name].T
    return arrays


def _is_shallow(value: Any, depth: int) -> bool:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return depth > 0 and all(_is_shallow(child, depth - 1) for child in children)
