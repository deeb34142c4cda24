"""What is known of a hosted model before its child runs. The answers come from that child (`loaders.hosting.scorer`).

Covers: the bundle's metadata, checked. Does not cover: rows and predictions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.bundle import BadBundle, Bundle


@dataclass(frozen=True, slots=True)
class Described:
    """A model to be hosted. model: its class. classes: the classes and functions that unpickling it asks for ("module.name")."""

    model: str
    classes: tuple[str, ...]


def open_scorer(bundle: Bundle) -> Described:
    """The description. Raises BadBundle."""
    model, classes = bundle.meta.get("model"), bundle.meta.get("classes")
    if not (isinstance(model, str) and isinstance(classes, list) and all(isinstance(name, str) for name in classes)):
        raise BadBundle("the model is not described")
    if bundle.arrays:
        raise BadBundle("a hosted model has no arrays")
    return Described(model[:200], tuple(classes))


def warm(described: Described) -> Mapping[str, Any]:
    """Nothing can be scored before the real object exists."""
    return {}
