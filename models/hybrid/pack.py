"""From a hybrid's metadata dict to its weights, lambda and the names of its parts. Child only.

Covers: the dict with `content_weight` and `collaborative_weight`, `default_lambda`, and optionally `content_weight_warm`,
`warm_interactions` and `parts`. There are no arrays: a hybrid answers from those of its parts. Does not cover: a
`similarity_matrix` saved beside them, whose order of items the dict does not tell; the parts have their own.
"""

from __future__ import annotations

from typing import Any

from models.bundle import Bundle
from models.hybrid.blending import Blending, named_parts
from models.packing import Options, PackError

_MARKS = ("content_weight", "collaborative_weight")


def matches(root: Any) -> str | None:
    """Why this family takes the artifact, or None."""
    found = [mark for mark in _MARKS if mark in root] if isinstance(root, dict) else []
    return f"a dict with {' and '.join(found)}" if found else None


def pack(root: Any, options: Options) -> Bundle:
    """The bundle, without arrays. Raises PackError (corrupt_artifact) for weights that are none; absent ones have their defaults."""
    try:
        blending, parts = Blending.of(root), named_parts(root.get("parts"))
    except ValueError as error:
        raise PackError("corrupt_artifact", str(error)) from error
    details: dict[str, Any] = {**blending.to_meta(), "model": "hybrid"}
    if root.get("similarity_matrix") is not None:
        details["warnings"] = ["similarity_matrix is not used: its order of items is not known, and the parts have similarities"]
    return Bundle("hybrid", {}, {**blending.to_meta(), "parts": parts}, details)
