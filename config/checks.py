"""What one value alone cannot show: whether everything the operator wrote fits together.

Covers: models, trainings, data, and what they name of each other. Does not cover: one value (`config.values`), merging
layers (`config.load`). Pure: asks nobody.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from config.declared import (
    GATE,
    GATE_METRIC,
    MODEL_NAME,
    MODELS,
    PART_ROLES,
    RESERVED_NAMES,
    STORE_NAMES,
    TABLE_NAME,
    TRAINING,
)
from config.errors import Problem
from config.layers import Given, did_you_mean
from config.schema import ModelSettings, Settings, TrainingSettings

CheckSource = Callable[[str], "str | None"]
"""Says in words what is wrong with a text, or None."""
CheckParameters = Callable[[str, Mapping[str, Any]], Sequence[str]]
"""Says in words what is wrong with each parameter of an algorithm that is known."""
PUBLISHED = "training:"
"""What the source of a model begins with that takes what a training publishes."""
HYBRID = "hybrid"
S3_PREFIX = re.compile(r"s3://[A-Za-z0-9][A-Za-z0-9._-]+(/[^/\s?#]+)+/?")
"""A bucket, and where in it; not the bucket itself, where two trainings would overwrite each other."""


class Merge(Protocol):
    """What was given, and where: see `config.load`."""

    given: dict[tuple[str, str, str], Given]
    names: dict[tuple[str, str], tuple[str, str]]
    problems: list[Problem]

    def complain(self, section: str, model: str, key: str, message: str) -> None:
        """A problem of a value, named where it was given, or by its key where it was not."""
        ...


class Known(NamedTuple):
    """What only other rooms know; None is not checked."""

    check_source: CheckSource | None = None
    families: Collection[str] | None = None
    algorithms: Collection[str] | None = None
    check_schedule: CheckSource | None = None
    check_parameters: CheckParameters | None = None


def check(merge: Merge, settings: Settings, known: Known) -> None:
    """Add every problem to `merge.problems`."""
    server, s3 = settings.server, settings.s3
    if server.workers > 1:
        merge.complain("server", "", "workers", "more than one serving process is not supported yet: set 1")
    if not server.host:
        merge.complain("server", "", "host", "is empty: 127.0.0.1 serves this host only, 0.0.0.0 every network")
    if server.default_model and server.default_model not in settings.models:
        hint = did_you_mean(server.default_model, settings.models)
        merge.complain("server", "", "default_model", f"no model {server.default_model!r} is configured{hint}")
    if bool(s3.access_key_id) != bool(s3.secret_access_key):
        missing, present = ("secret_access_key", "access_key_id") if s3.access_key_id else ("access_key_id", "secret_access_key")
        merge.complain("s3", "", present, f"is set without {missing}")
    if not TABLE_NAME.fullmatch(settings.data.ingest_table):
        rule = "letters, digits and _, with or without a schema and a dot before it"
        merge.complain("data", "", "ingest_table", f"{settings.data.ingest_table!r} is no name of a table: {rule}")
    for model in settings.models.values():
        _check_model(merge, model, settings, known)
    for training in settings.training.values():
        _check_training(merge, training, settings, known)


def _check_name(merge: Merge, section: str, name: str, taken: Mapping[str, str]) -> None:
    if (section, name) not in merge.names:
        return  # implied by a training, which is checked itself
    where, written = merge.names[section, name]
    if not MODEL_NAME.fullmatch(name):
        rule = "1 to 63 of a-z, 0-9, - and _, the first a letter or digit"
        merge.problems.append(Problem(where, written, f"{name!r} cannot name a {_SINGULAR[section]}: {rule}"))
    elif name in taken:
        merge.problems.append(Problem(where, written, f"{name!r} cannot name a {_SINGULAR[section]}: {taken[name]}"))


_SINGULAR = {MODELS: "model", TRAINING: "training"}
_MODELS_TAKEN = dict.fromkeys(RESERVED_NAMES, f"{', '.join(RESERVED_NAMES)} are routes")
_TRAININGS_TAKEN = {**_MODELS_TAKEN, **dict.fromkeys(STORE_NAMES, f"{', '.join(STORE_NAMES)} are something else in the store")}


def _check_model(merge: Merge, model: ModelSettings, settings: Settings, known: Known) -> None:
    def complain(key: str, message: str) -> None:
        merge.complain(MODELS, model.name, key, message)

    _check_name(merge, MODELS, model.name, _MODELS_TAKEN)
    if not model.source:
        given = merge.given.get((MODELS, model.name, "source"))
        if given is None:
            merge.problems.append(
                Problem(merge.names[MODELS, model.name][0], f"models.{model.name}", "has no source: every model needs one")
            )
        elif given.raw == "":
            complain("source", "is empty: every model needs one")
    elif known.check_source is not None and (problem := known.check_source(model.source)) is not None:
        complain("source", problem)
    elif model.source.startswith(PUBLISHED):
        _check_published(complain, "source", model.source, settings)
    if known.families is not None and model.family not in ("auto", *known.families):
        complain("family", f"{model.family!r} is none of: auto, {', '.join(known.families)}{did_you_mean(model.family, known.families)}")
    if model.fallback and model.fallback != model.source:
        if model.source.startswith(PUBLISHED):
            complain("fallback", "a model that takes what a training publishes falls back to that training: leave it out")
        elif not model.fallback.startswith(PUBLISHED):
            complain("fallback", f"{model.fallback!r} is not training:NAME, the name of a [training.NAME]")
        else:
            _check_published(complain, "fallback", model.fallback, settings)
    for part, other in model.parts.items():
        if part not in PART_ROLES:
            complain("parts", f"{part!r} is no part of a hybrid: those are {' and '.join(PART_ROLES)}{did_you_mean(part, PART_ROLES)}")
        if other not in settings.models or other == model.name:
            complain("parts", f"{part} names {other!r}, which is not another configured model{did_you_mean(other, settings.models)}")


def _check_published(complain: Callable[[str, str], None], key: str, written: str, settings: Settings) -> None:
    name = written.removeprefix(PUBLISHED)
    if name not in settings.training:
        complain(key, f"no [training.{name}] is configured{did_you_mean(name, settings.training)}")


def _check_training(merge: Merge, training: TrainingSettings, settings: Settings, known: Known) -> None:
    def complain(key: str, message: str) -> None:
        merge.complain(TRAINING, training.name, key, message)

    _check_name(merge, TRAINING, training.name, _TRAININGS_TAKEN)
    if ("data", "", "url") not in merge.given:
        where, written = merge.names[TRAINING, training.name]
        merge.problems.append(Problem(where, written, 'has nothing to train from: set [data] url, for example "sqlite:///var/data.db"'))
    if not training.algorithm:
        choices = f": {', '.join(known.algorithms)}" if known.algorithms else ""
        complain("algorithm", f"is not set: every training needs one{choices}")
    elif known.algorithms is not None and training.algorithm not in known.algorithms:
        hint = did_you_mean(training.algorithm, known.algorithms)
        complain("algorithm", f"{training.algorithm!r} is none of: {', '.join(known.algorithms)}{hint}")
    elif known.check_parameters is not None and training.parameters:
        for problem in known.check_parameters(training.algorithm, training.parameters):
            complain("parameters", problem)
    if training.schedule and known.check_schedule is not None and (wrong := known.check_schedule(training.schedule)) is not None:
        complain("schedule", wrong)
    if training.after_interactions and settings.data.url.startswith("csv:"):
        complain("after_interactions", "a folder of CSV files takes no interactions: use sqlite:/// or postgresql://")
    _check_gate(complain, training.gate)
    if training.publish_to and not S3_PREFIX.fullmatch(training.publish_to):
        complain("publish_to", f"{training.publish_to!r} is not s3://BUCKET/PREFIX")
    if training.parts and training.algorithm != HYBRID:
        complain("parts", f"only a hybrid has parts, not {training.algorithm or 'this'}")
    for part, other in training.parts.items():
        if part not in PART_ROLES:
            complain("parts", f"{part!r} is no part of a hybrid: those are {' and '.join(PART_ROLES)}{did_you_mean(part, PART_ROLES)}")
        found = settings.training.get(other)
        if found is None or found is training:
            complain("parts", f"{part} names {other!r}, which is not another configured training{did_you_mean(other, settings.training)}")
        elif found.algorithm == HYBRID:
            complain("parts", f"{part} names {other!r}, which is a hybrid itself")


def _check_gate(complain: Callable[[str, str], None], gate: Mapping[str, Any]) -> None:
    for key, value in gate.items():
        if key not in GATE:
            complain("gate", f"unknown key {key!r}{did_you_mean(key, GATE)}")
        elif key == "metric":
            if not isinstance(value, str) or not GATE_METRIC.fullmatch(value):
                complain("gate", f"metric {value!r} is none of precision@K, recall@K, ndcg@K, map@K with K from 1 to 999")
        elif isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            complain("gate", f"{key} is {value!r}, which is no number from 0 on")
