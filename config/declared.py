"""The declaration, read: which sections and keys there are, and under which names each can be set.

Covers: names and types of `config.schema`, derived once. Does not cover: values (`config.values`).
"""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.schema import (
    DataSettings,
    LoadingSettings,
    ModelSettings,
    S3Settings,
    ServerSettings,
    StoreSettings,
    TrainingSettings,
)

ENV_PREFIX = "HOLDFAST_"
MODELS = "models"
TRAINING = "training"
MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
RESERVED_NAMES = ("status", "reload", "clear")
"""Model names that would be mistaken for a route."""
STORE_NAMES = ("partial", "artifacts", "segments", "kept", "lock", "demo")
"""Training names that would be mistaken for something else in the store: <store>/<name>/ holds what a training publishes."""
GATE = {"metric": "ndcg@10", "minimum": 0.0, "tolerance": 0.02, "popular": 1.1}
"""What a gate is made of, with its defaults."""
GATE_METRIC = re.compile(r"(precision|recall|ndcg|map)@([1-9][0-9]{0,2})")
TABLE_NAME = re.compile(r"(?:(?P<schema>[A-Za-z_][A-Za-z0-9_$]{0,62})\.)?(?P<table>[A-Za-z_][A-Za-z0-9_$]{0,62})")
"""Of a table that is written to: it stands in statements, which take no parameter for it."""
PART_ROLES = ("content", "collaborative")
"""What a model can be to a hybrid."""

FLAGS = {"server.host": "--host", "server.port": "--port", "server.workers": "--workers"}
"""Settings that have a flag of their own; every one can be set by `--set SECTION.KEY=VALUE`."""

OTHER_ENV = {
    "HOLDFAST_CONFIG": "The configuration file, where `--config` names none.",
    "HOLDFAST_URL": "The running server that commands such as `holdfast status` ask.",
}
"""Variables of the program that are not settings."""


@dataclass(frozen=True, slots=True)
class Declared:
    """One setting as it is declared in `config.schema`."""

    section: str
    attribute: str
    key: str
    """Its TOML key."""
    kind: str
    """duration, size, path, source, digest, database, str, int, float, bool, mapping (strings), table (of strings, numbers, switches)."""
    default: Any
    help: str
    choices: tuple[str, ...]
    minimum: float | None
    maximum: float | None
    zero: str | None
    env: str | None
    fallback_env: tuple[str, ...]
    secret: bool

    def env_name(self, model: str = "<NAME>") -> str:
        """The variable that sets it, for one model (or training) where it belongs to one."""
        section = f"{self.section}_{model}" if self.section in NAMED else self.section
        return ENV_PREFIX + env_form(f"{section}_{self.key}")


def env_form(name: str) -> str:
    """A name as it stands in an environment variable: upper case, `-` as `_`."""
    return name.upper().replace("-", "_")


def _kind(hint: Any, kind: str | None) -> str:
    if kind is not None:
        return kind
    if typing.get_origin(hint) is not None and issubclass(typing.get_origin(hint), Mapping):
        return "mapping"
    return {str: "str", int: "int", float: "float", bool: "bool", Path: "path"}[hint]


def _declared(section: str, cls: type) -> dict[str, Declared]:
    hints = typing.get_type_hints(cls)
    found = {}
    for each in dataclasses.fields(cls):
        if "help" not in each.metadata:
            continue  # the name of a model: its table's name, not a key
        known = dict(each.metadata)
        default = each.default if each.default is not dataclasses.MISSING else typing.cast(Any, each.default_factory)()
        key, kind = known.pop("key") or each.name, _kind(hints[each.name], known.pop("kind"))
        found[key] = Declared(section=section, attribute=each.name, key=key, kind=kind, default=default, **known)
    return found


SECTIONS: Mapping[str, type] = {
    "server": ServerSettings,
    "store": StoreSettings,
    "loading": LoadingSettings,
    "s3": S3Settings,
    "data": DataSettings,
}
"""The sections that are one table."""

NAMED: Mapping[str, type] = {MODELS: ModelSettings, TRAINING: TrainingSettings}
"""The sections that are one table a name: [models.<name>], [training.<name>]."""

DECLARED: Mapping[str, Mapping[str, Declared]] = {
    **{section: _declared(section, cls) for section, cls in SECTIONS.items()},
    **{section: _declared(section, cls) for section, cls in NAMED.items()},
}
"""Section -> key -> declaration."""
