"""Which models a hybrid is made of: what the artifact names, what the operator says instead, what is usual.

Covers: names, and that they are configured. Does not cover: whether those models are ready, or can play their roles
(`service.lifecycle.parts`), how their answers become one (`models.hybrid`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from config.schema import ModelSettings
from loaders.errors import PartUnavailable
from models.hybrid.blending import DEFAULT_PARTS

HYBRID = "hybrid"


def parts_of(model: ModelSettings, named: Mapping[str, str], configured: Collection[str]) -> dict[str, str]:
    """Role -> name of a model. `named` is the artifact's own, the model's settings come before it, the default after.

    Raises PartUnavailable, which names every part that is none of the `configured` models or the model itself. A model that
    is not configured either is only being looked at (`holdfast check`): it needs none of its parts.
    """
    parts = {**DEFAULT_PARTS, **named, **model.parts}
    wrong = {role: name for role, name in parts.items() if name not in configured or name == model.name}
    if wrong and model.name in configured:
        told = [
            f"part {role} is {name!r}, which is {'the hybrid itself' if name == model.name else 'no configured model'}"
            for role, name in wrong.items()
        ]
        example = ", ".join(f'{role} = "..."' for role in wrong)
        raise PartUnavailable(f"{'; '.join(told)}: add the model, or set parts = {{ {example} }} of {model.name}", parts=parts)
    return parts
