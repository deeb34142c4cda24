"""How much each part of a hybrid counts: read from the artifact in the child, checked and applied in the server. Pure.

Covers: weights, lambda, the names of the parts. Does not cover: scores (`models.hybrid.score`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

CONTENT, COLLABORATIVE = "content", "collaborative"
ROLES = (CONTENT, COLLABORATIVE)
DEFAULT_PARTS: Mapping[str, str] = MappingProxyType({CONTENT: "content_based", COLLABORATIVE: "collaborative"})
"""Role -> name of the model that plays it, where neither the artifact nor the configuration names another."""

CONTENT_WEIGHT, COLLABORATIVE_WEIGHT = 0.6, 0.4
WARM_INTERACTIONS = 20
"""Length of history at which a falling content weight has come down to `content_weight_warm`."""
DEFAULT_LAMBDA = 0.9
"""MMR of an artifact without a lambda of its own: diversity that costs no accuracy that can be measured."""

_NUMBERS = ("content_weight", "collaborative_weight", "default_lambda", "content_weight_warm", "warm_interactions")


@dataclass(frozen=True, slots=True)
class Blending:
    """The numbers of a hybrid.

    content_weight, collaborative_weight: at least 0, not both 0. content_weight_warm: what content_weight falls to for
    someone with `warm_interactions` items or more; None: it is the same for everybody. default_lambda: of MMR, 0..1.
    """

    content_weight: float = CONTENT_WEIGHT
    collaborative_weight: float = COLLABORATIVE_WEIGHT
    default_lambda: float = DEFAULT_LAMBDA
    content_weight_warm: float | None = None
    warm_interactions: float = WARM_INTERACTIONS

    def content_share(self, history: int) -> float:
        """The share of content in the score, 0..1, of someone with a history of this many items; the rest is collaborative.

        Falls in a straight line, and what content loses the collaborative part gains.
        """
        total = self.content_weight + self.collaborative_weight
        cold = self.content_weight / total
        if self.content_weight_warm is None:
            return cold
        warm = self.content_weight_warm / total
        way = min(1.0, history / self.warm_interactions) if self.warm_interactions else 1.0
        return cold + (warm - cold) * way

    def to_meta(self) -> dict[str, float | None]:
        """As JSON."""
        return {name: getattr(self, name) for name in _NUMBERS}

    @classmethod
    def of(cls, given: Mapping[Any, Any]) -> Blending:
        """From an artifact or from `to_meta`; a number that is absent or None has its default. Raises ValueError, which names the field."""
        found = {name: number for name in _NUMBERS if (number := _number(given, name)) is not None}
        blending = cls(**found)
        total = blending.content_weight + blending.collaborative_weight
        if total <= 0:
            raise ValueError("content_weight and collaborative_weight add up to 0")
        if blending.default_lambda > 1:
            raise ValueError(f"default_lambda is {blending.default_lambda:g}, which is not between 0 and 1")
        if blending.content_weight_warm is not None and blending.content_weight_warm > total:
            raise ValueError("content_weight_warm is more than both weights together")
        return blending


def _number(given: Mapping[Any, Any], name: str) -> float | None:
    value = given.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1e300:
        told = str(value)[:40] if isinstance(value, float | str) else f"of type {type(value).__name__}"
        raise ValueError(f"{name} is {told}, which is no number from 0 on")
    return float(value)


def named_parts(given: Any) -> dict[str, str]:
    """Role -> model of an artifact's `parts`; {} where it has none. Raises ValueError for roles or names that are none."""
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(name, str) and 0 < len(name) <= 63 for name in given.values()):
        raise ValueError("parts does not map roles to names of models")
    unknown = [str(role)[:40] for role in given if role not in ROLES]
    if unknown:
        raise ValueError(f"parts has the role {unknown[0]!r}: there are {' and '.join(ROLES)}")
    return dict(given)
