"""From everything the operator wrote to one `Settings`, or to every problem with it at once.

Covers: precedence (command line > environment > `.env` > file > default), what must fit together. Does not cover: secrets in files
of their own (`config.secret_files`), reading a layer (`config.layers`), one value (`config.values`), the declaration (`config.schema`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from config.checks import PUBLISHED, CheckParameters, CheckSource, Known, check
from config.declared import DECLARED, MODELS, NAMED, SECTIONS, TRAINING, Declared
from config.errors import ConfigError, Problem
from config.layers import ENVIRONMENT, Given, Layer, read_dotenv, read_environment, read_overrides, read_toml
from config.schema import ModelSettings, Settings, TrainingSettings
from config.secret_files import with_admin_token, with_database_password
from config.values import parse

DEFAULT_FILE = "holdfast.toml"


def load_settings(
    overrides: Mapping[str, str] = MappingProxyType({}),
    *,
    config_file: Path | None = None,
    environ: Mapping[str, str],
    cwd: Path,
    check_source: CheckSource | None = None,
    families: Collection[str] | None = None,
    algorithms: Collection[str] | None = None,
    check_schedule: CheckSource | None = None,
    check_parameters: CheckParameters | None = None,
) -> Settings:
    """What the operator asked for. Raises ConfigError with every problem; reads files, changes nothing.

    overrides: dotted key -> text, from the command line. config_file: must exist; None means HOLDFAST_CONFIG, else
    holdfast.toml in `cwd` if there is one. Relative paths start at the folder of the file (of `cwd` without one) where
    the file or its `.env` gives them, at `cwd` where the environment or the command line does.
    check_source, families, algorithms, check_schedule, check_parameters: what only other rooms know; None does not check
    it. A training that no model takes its versions from is served as a model of its own name.
    """
    merge = _Merge()
    cwd = cwd.absolute()
    path = file_of(config_file, environ, cwd)
    folder = path.parent if path is not None else cwd
    if path is not None:
        merge.add(read_toml(path))
    dotenv_path = folder / ".env"
    dotenv, problems = read_dotenv(dotenv_path)
    merge.problems += problems
    merge.add(read_environment(dotenv, str(dotenv_path), folder, merge.names))
    merge.add(read_environment(environ, ENVIRONMENT, cwd, merge.names))
    merge.add(read_overrides(overrides, cwd))
    _add_fallbacks(merge, ((environ, ENVIRONMENT), (dotenv, str(dotenv_path))), cwd)

    tables = {section: cls(**merge.values(section, "", folder)) for section, cls in SECTIONS.items()}
    named = {
        section: {name: cls(name=name, **merge.values(section, name, folder)) for name in merge.of(section)}
        for section, cls in NAMED.items()
    }
    trainings: dict[str, TrainingSettings] = named[TRAINING]
    models = _with_published(named[MODELS], trainings)
    settings = Settings(
        **tables,
        models=MappingProxyType(models),
        training=MappingProxyType(trainings),
        origins=MappingProxyType(merge.origins()),
    )
    settings = dataclasses.replace(
        settings,
        server=with_admin_token(merge, settings.server, environ),
        data=with_database_password(merge, settings.data, environ),
    )
    check(merge, settings, Known(check_source, families, algorithms, check_schedule, check_parameters))
    if merge.problems:
        raise ConfigError(dict.fromkeys(merge.problems))
    return settings


def _with_published(models: Mapping[str, ModelSettings], trainings: Mapping[str, TrainingSettings]) -> dict[str, ModelSettings]:
    """The models; those that a training publishes are watched, and trained where nothing is published yet."""
    served = {each.removeprefix(PUBLISHED) for model in models.values() for each in (model.source, model.fallback)}
    found = dict(models)
    for name in trainings:
        if name not in served and name not in models:
            found[name] = ModelSettings(name=name, source=f"{PUBLISHED}{name}")
    for name, model in found.items():
        if model.source.startswith(PUBLISHED):
            found[name] = dataclasses.replace(model, watch=True, fallback=model.fallback or model.source)
    return found


def file_of(config_file: Path | None, environ: Mapping[str, str], cwd: Path) -> Path | None:
    """The configuration file: the one that is named, which need not exist, else the default one if it is there."""
    if config_file is None and environ.get("HOLDFAST_CONFIG"):
        config_file = Path(environ["HOLDFAST_CONFIG"])
    if config_file is not None:
        return cwd / config_file
    default = cwd / DEFAULT_FILE
    return default if default.exists() else None


@dataclass
class _Merge:
    """The layers put on top of each other, and every problem so far."""

    given: dict[tuple[str, str, str], Given] = field(default_factory=dict)
    value: dict[tuple[str, str, str], Any] = field(default_factory=dict)
    rank: dict[tuple[str, str, str], int] = field(default_factory=dict)
    names: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """Models and trainings: (section, name) -> where it was named first, and as what."""
    problems: list[Problem] = field(default_factory=list)
    layers: int = 0

    def add(self, layer: Layer) -> None:
        """Put a layer on top. What it overrides is read too, so that a mistake shows before the override is taken away."""
        self.layers += 1
        self.problems += layer.problems
        for each in layer.given:
            self.given[each.path] = each
            self.rank[each.path] = self.layers
            try:
                self.value[each.path] = parse(each.declared, each.raw, text=each.text, base=each.base)
            except ValueError as error:
                self.problems.append(each.problem(str(error)))
        for name, origin in layer.names.items():
            self.names.setdefault(name, origin)

    def of(self, section: str) -> list[str]:
        """The names that tables of this section have."""
        return [name for each, name in self.names if each == section]

    def values(self, section: str, model: str, folder: Path) -> dict[str, Any]:
        """Attribute -> value of what was given; a relative default path starts at `folder`."""
        found = {}
        for key, declared in DECLARED[section].items():
            path = (section, model, key)
            if path in self.value:
                found[declared.attribute] = self.value[path]
            elif isinstance(declared.default, Path):
                found[declared.attribute] = folder / declared.default
        return found

    def origins(self) -> dict[str, str]:
        return {given.dotted: f"{given.where}: {given.name}" for given in self.given.values()}

    def complain(self, section: str, model: str, key: str, message: str) -> None:
        """A problem of a value, named where it was given, or by its key where it was not."""
        given = self.given.get((section, model, key))
        dotted = ".".join(part for part in (section, model, key) if part)
        self.problems.append(given.problem(message) if given is not None else Problem("configuration", dotted, message))


def _add_fallbacks(merge: _Merge, places: tuple[tuple[Mapping[str, str], str], ...], base: Path) -> None:
    """AWS_* and the like: only what nothing else set. Credentials are never mixed from two places."""
    wanted = [each for keys in DECLARED.values() for each in keys.values() if each.fallback_env]
    credentials = [each for each in wanted if each.secret or each.key == "access_key_id"]
    for group in (credentials, *([each] for each in wanted if each not in credentials)):
        if any((each.section, "", each.key) in merge.given for each in group):
            continue
        for variables, where in places:
            if found := [given for each in group if (given := _fallback(each, variables, where, base)) is not None]:
                merge.add(Layer(tuple(found)))
                break


def _fallback(declared: Declared, variables: Mapping[str, str], where: str, base: Path) -> Given | None:
    name = next((name for name in declared.fallback_env if variables.get(name)), None)
    return None if name is None else Given(declared, "", variables[name], True, where, name, base)
