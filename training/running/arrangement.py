"""Who stands behind whom: trainings behind models, and trainings that are parts of others. Pure: reads the settings only.

Does not cover: whether anything is published (`loaders.published`), what a model is made of while it serves (`loaders.parts`).
"""

from __future__ import annotations

from collections.abc import Iterable

from config.checks import HYBRID, PUBLISHED
from config.declared import PART_ROLES
from config.schema import Settings, TrainingSettings


def training_behind(settings: Settings, name: str) -> str | None:
    """The training that a model is served from or falls back to, else the training of this name; None where there is none."""
    model = settings.models.get(name)
    for source in () if model is None else (model.source, model.fallback):
        training = source.removeprefix(PUBLISHED)
        if source.startswith(PUBLISHED) and training in settings.training:
            return training
    return name if name in settings.training else None


def models_from(settings: Settings, training: str) -> list[str]:
    """The models that serve what this training publishes, as their source and not for want of it."""
    return [model.name for model in settings.models.values() if model.source == f"{PUBLISHED}{training}"]


def parts_of(settings: Settings, training: TrainingSettings) -> dict[str, str]:
    """Role -> training that plays it, of a hybrid: those that it names, else those of the roles' names. Else empty."""
    if training.algorithm != HYBRID:
        return {}
    return {role: training.parts.get(role, role) for role in PART_ROLES if role in training.parts or role in settings.training}


def part_models_of(settings: Settings, training: TrainingSettings) -> dict[str, str]:
    """Role -> model that serves the part: the first whose source its training is, else that of the training's name."""
    return {role: next(iter(models_from(settings, part)), part) for role, part in parts_of(settings, training).items()}


def in_order(settings: Settings, trainings: Iterable[str]) -> list[str]:
    """Parts before what is made of them, else as given: a hybrid is measured with the newest versions of its parts."""
    return sorted(trainings, key=lambda name: bool(parts_of(settings, settings.training[name])))
