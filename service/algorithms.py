"""Which model an algorithm's name means: its own name, or the kind of models that teams of recommenders call so.

Covers: choosing among the configured models. Pure. Does not cover: asking the chosen one (`service.asking`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from service.lifecycle.state import Status
from service.lifecycle.view import ModelView

KINDS: Mapping[str, str] = MappingProxyType({"content_based": "neighbours", "collaborative": "factors", "hybrid": "hybrid"})
"""Algorithm -> the family that it is."""


def family_of(view: ModelView) -> str | None:
    """The family of the model: that of what serves, else the configured one; None while neither says it."""
    if view.loaded is not None:
        return view.loaded.family
    return None if view.settings.family == "auto" else view.settings.family


def model_of(algorithm: str, views: Sequence[ModelView], default: str = "") -> ModelView | None:
    """The model that is meant: of this name; else of that kind, the default one before others, then in the order of `views`."""
    by_name = {view.name: view for view in views}
    if algorithm in by_name:
        return by_name[algorithm]
    alike = [view for view in views if algorithm in KINDS and family_of(view) == KINDS[algorithm]]
    return min(alike, key=lambda view: view.name != default, default=None)


def possible_model(algorithm: str, views: Sequence[ModelView]) -> ModelView | None:
    """A model that may turn out to be of this kind once it is loaded, those on their way before those that failed; None: none will."""
    unknown = [view for view in views if algorithm in KINDS and family_of(view) is None]
    return min(unknown, key=lambda view: view.status not in (Status.LOADING, Status.NOT_STARTED), default=None)
