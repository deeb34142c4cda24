"""Where values come from, one layer at a time: a TOML file, an environment (real or `.env`), the command line.

Covers: reading each into a flat list of what was given, with its origin; unknown names. Does not cover: which layer
wins (`config.load`), what a value means (`config.values`).
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from config.declared import DECLARED, ENV_PREFIX, FLAGS, MODELS, NAMED, OTHER_ENV, TRAINING, Declared, env_form
from config.errors import Problem

ENVIRONMENT = "environment"
COMMAND_LINE = "command line"

# A Kubernetes Service called holdfast, or holdfast-something, puts these into every pod of its namespace.
_KUBERNETES_NAME = re.compile(r"HOLDFAST(_\w+)?_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")
_KUBERNETES_VALUE = re.compile(r"(tcp|udp|sctp)://.+:\d+")
_MODEL_URL = re.compile(r"MODEL_(\w+)_URL")


@dataclass(frozen=True, slots=True)
class Given:
    """One value that the operator gave."""

    declared: Declared
    model: str
    """The model's name, or the training's; "" where the setting belongs to neither."""
    raw: object
    text: bool
    """A string to be read, not a typed TOML value."""
    where: str
    name: str
    base: Path
    """The folder that a relative path starts at."""

    @property
    def path(self) -> tuple[str, str, str]:
        return (self.declared.section, self.model, self.declared.key)

    @property
    def dotted(self) -> str:
        return ".".join(part for part in self.path if part)

    def problem(self, message: str) -> Problem:
        return Problem(self.where, self.name, message)


@dataclass(frozen=True, slots=True)
class Layer:
    """What one place gave, in the order in which later values win."""

    given: tuple[Given, ...] = ()
    problems: tuple[Problem, ...] = ()
    names: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """Models and trainings that the place names, even with no value: (section, name) -> where, and as what."""


def _collect(found: Iterable[Given | Problem], names: Mapping[tuple[str, str], tuple[str, str]] | None = None) -> Layer:
    every = list(found)
    given = tuple(each for each in every if isinstance(each, Given))
    problems = tuple(each for each in every if isinstance(each, Problem))
    named = dict(names or {})
    for each in given:
        if each.model:
            named.setdefault((each.declared.section, each.model), (each.where, each.name))
    return Layer(given, problems, named)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """ "; did you mean X?" or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def read_toml(path: Path) -> Layer:
    """What a TOML file gives. An unreadable file, or one that is not TOML, is one problem."""
    where = str(path)
    try:
        document = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        return Layer(problems=(Problem(where, "", f"cannot be read: {error.strerror}"),))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        return Layer(problems=(Problem(where, "", f"is not TOML: {error}"),))
    named = {
        (section, name): (where, f"{section}.{name}")
        for section in NAMED
        for name, table in _tables(document.get(section)).items()
        if isinstance(table, dict)
    }
    return _collect(_from_document(document, where, path.parent), named)


def _tables(found: object) -> Mapping[str, object]:
    return found if isinstance(found, dict) else {}


def _from_document(document: Mapping[str, object], where: str, base: Path) -> Iterator[Given | Problem]:
    for section, table in document.items():
        if section not in DECLARED:
            yield Problem(where, section, f"unknown section{did_you_mean(section, DECLARED)}")
        elif not isinstance(table, dict):
            yield Problem(where, section, f"is a section: write [{section}{'.<name>' if section in NAMED else ''}]")
        elif section not in NAMED:
            yield from _from_table(section, "", table, where, base)
        else:
            for name, each in table.items():
                if isinstance(each, dict):
                    yield from _from_table(section, name, each, where, base)
                else:
                    yield Problem(where, f"{section}.{name}", f"is a table: write [{section}.{name}]")


def _from_table(section: str, model: str, table: Mapping[str, object], where: str, base: Path) -> Iterator[Given | Problem]:
    for key, raw in table.items():
        dotted = ".".join(part for part in (section, model, key) if part)
        if key in DECLARED[section]:
            yield Given(DECLARED[section][key], model, raw, False, where, dotted, base)
        else:
            yield Problem(where, dotted, f"unknown key{did_you_mean(key, DECLARED[section])}")


def read_dotenv(path: Path) -> tuple[dict[str, str], list[Problem]]:
    """The variables of a `.env` file; none if there is no such file. Nothing is expanded, os.environ is not touched."""
    from dotenv.parser import parse_stream

    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        return {}, []
    except (OSError, UnicodeDecodeError) as error:
        return {}, [Problem(str(path), "", f"cannot be read: {error}")]
    bindings = list(parse_stream(StringIO(text)))
    problems = [Problem(str(path), f"line {each.original.line}", "is not NAME=value") for each in bindings if each.error]
    return {each.key: each.value for each in bindings if each.key is not None and each.value is not None}, problems


def read_environment(variables: Mapping[str, str], where: str, base: Path, names: Iterable[tuple[str, str]]) -> Layer:
    """What an environment gives; empty variables count as not set. `names`: models and trainings that weaker layers named.

    In one environment HOLDFAST_<SECTION>_<KEY> wins over MODEL_<NAME>_URL, and that over ALS_MODEL_PATH.
    """
    present = {name: value for name, value in variables.items() if value}
    named: dict[str, dict[str, list[str]]] = {section: {} for section in NAMED}
    for section, name in names:
        named[section].setdefault(env_form(name), []).append(name)
    known = named[MODELS]
    found: list[Given | Problem] = []
    source = DECLARED[MODELS]["source"]
    if "ALS_MODEL_PATH" in present:
        found.append(Given(source, "als", present["ALS_MODEL_PATH"], True, where, "ALS_MODEL_PATH", base))
        known.setdefault("ALS", ["als"])
    for name, value in present.items():
        if (match := _MODEL_URL.fullmatch(name)) and not name.startswith(ENV_PREFIX):
            found.append(_given_or_ambiguous(source, _model_of(known, match[1]), value, where, name, base))
            known.setdefault(env_form(match[1]), [match[1].lower()])
    by_env = {each.env: each for keys in DECLARED.values() for each in keys.values() if each.env is not None}
    found += [Given(by_env[name], "", value, True, where, name, base) for name, value in present.items() if name in by_env]
    ours = [(name, value) for name, value in present.items() if name.startswith(ENV_PREFIX) and name not in OTHER_ENV]
    for name, value in ours:
        if not (_KUBERNETES_NAME.fullmatch(name) or (name.endswith("_PORT") and _KUBERNETES_VALUE.fullmatch(value))):
            found.append(_from_variable(name, value, where, base, named))
    return _collect(found)


def _from_variable(name: str, value: str, where: str, base: Path, named: Mapping[str, Mapping[str, list[str]]]) -> Given | Problem:
    rest = name.removeprefix(ENV_PREFIX)
    section = next((section for section in NAMED if rest.startswith(f"{env_form(section)}_")), None)
    if section is None:
        by_name = {each.env_name(): each for section, keys in DECLARED.items() if section not in NAMED for each in keys.values()}
        if name in by_name:
            return Given(by_name[name], "", value, True, where, name, base)
        return Problem(where, name, f"unknown variable{did_you_mean(name, [*by_name, *OTHER_ENV])}")
    rest = rest.removeprefix(f"{env_form(section)}_")
    # No key ends like `_<another key>` (a test says so), so there is at most one way to split.
    splits = [
        (rest.removesuffix(f"_{env_form(key)}"), each) for key, each in DECLARED[section].items() if rest.endswith(f"_{env_form(key)}")
    ]
    if not splits or not splits[0][0]:
        words = rest.lower().split("_")
        hints = [did_you_mean("_".join(words[-length:]), DECLARED[section]) for length in (3, 2, 1)]
        said = f"unknown key of a {_SINGULAR[section]}: {ENV_PREFIX}{env_form(section)}_<NAME>_<KEY>"
        return Problem(where, name, f"{said}{next(filter(None, hints), '')}")
    return _given_or_ambiguous(splits[0][1], _model_of(named[section], splits[0][0]), value, where, name, base)


_SINGULAR = {MODELS: "model", TRAINING: "training"}


def _model_of(known: Mapping[str, list[str]], written: str) -> list[str]:
    return known.get(env_form(written), [written.lower()])


def _given_or_ambiguous(declared: Declared, models: list[str], value: str, where: str, name: str, base: Path) -> Given | Problem:
    if len(models) > 1:
        return Problem(where, name, f"could mean any of the {_SINGULAR[declared.section]}s {', '.join(models)}: set it in the file")
    return Given(declared, models[0], value, True, where, name, base)


def read_overrides(overrides: Mapping[str, str], base: Path) -> Layer:
    """What the command line gives: "server.port" -> "9000", "models.als.memory" -> "2GiB"."""
    return _collect(_from_override(dotted, value, base) for dotted, value in overrides.items())


def _from_override(dotted: str, value: str, base: Path) -> Given | Problem:
    name = FLAGS.get(dotted, f"--set {dotted}")
    section, _, rest = dotted.partition(".")
    model, _, key = rest.rpartition(".")
    if section not in DECLARED:
        return Problem(COMMAND_LINE, name, f"unknown section{did_you_mean(section, DECLARED)}")
    if bool(model) != (section in NAMED):
        return Problem(COMMAND_LINE, name, f"is not a setting: write --set {section}{'.<name>' if section in NAMED else ''}.<key>=<value>")
    if key not in DECLARED[section]:
        return Problem(COMMAND_LINE, name, f"unknown key{did_you_mean(key, DECLARED[section])}")
    return Given(DECLARED[section][key], model, value, True, COMMAND_LINE, name, base)
