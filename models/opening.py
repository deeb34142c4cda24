"""From a bundle to what answers from it, whoever wrote the bundle.

Covers: choosing the family's scorer, and one exception for everything that is wrong with arrays or metadata that were not
written by a family's own pack. Does not cover: mapping a bundle (`loaders.segment`), asking the scorer (`models.base`).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from . import FAMILIES
from .base import Scorer
from .bundle import BadBundle, Bundle

_UNSOUND = (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError)
"""What reading metadata or arrays of another form than expected raises."""


def open_scorer_of(bundle: Bundle) -> Scorer:
    """The scorer of a bundle's family. Raises BadBundle where the family is not known, or does not find what belongs to it."""
    if bundle.family not in FAMILIES:
        raise BadBundle(f"{bundle.family[:40]!r} is no family of models")
    try:
        scorer: Scorer = _half_of(bundle.family).open_scorer(bundle)
    except _UNSOUND as error:  # BadBundle is a ValueError
        raise error if isinstance(error, BadBundle) else BadBundle(f"{type(error).__name__}: {error}"[:500]) from error
    return scorer


def warm_scorer(family: str, scorer: Scorer) -> dict[str, Any]:
    """Score a sample; what was learned from it, for the details. Raises BadBundle where that cannot be done."""
    try:
        learned: dict[str, Any] = _half_of(family).warm(scorer)
    except _UNSOUND as error:
        raise error if isinstance(error, BadBundle) else BadBundle(f"{type(error).__name__}: {error}"[:500]) from error
    return learned


def _half_of(family: str) -> Any:
    return import_module(f"{FAMILIES[family]}.score")
