"""One declaration: the dataclasses, the flags, the variables and the page agree."""

from __future__ import annotations

import argparse
import dataclasses

import pytest

from config.declared import DECLARED, FLAGS, MODELS, NAMED, SECTIONS, TRAINING, Declared
from config.load import load_settings
from config.reference import add_serve_arguments, overrides_of, page
from config.schema import Settings
from config.values import show
from tests.support import ROOT

EVERY = [each for keys in DECLARED.values() for each in keys.values()]
NOT_ALONE = ("workers", "default_model", "fallback", "admin_token_file", "password_file", "publish_to")
"""Settings with one allowed value, or that must fit something else: `test_load` has them."""
named = pytest.mark.parametrize("each", EVERY, ids=lambda each: f"{each.section}.{each.key}")


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="holdfast serve")
    add_serve_arguments(parser)
    return parser


def sample(each: Declared) -> str:
    """A value that is allowed and is not the default."""
    if each.choices:
        return next(choice for choice in each.choices if choice != each.default)
    special = {
        "bool": show(each, not each.default),
        "mapping": "content=a",
        "table": 'metric="map@5", minimum=0.25',
        "database": "sqlite:////d.db",
        "digest": "ab" * 32,
        "source": "/s",
        "path": "/p",
    }
    return special.get(each.kind) or {"str": "word", "duration": "77s", "size": "777MiB", "int": "77", "float": "0.25"}[each.kind]


def attribute(settings: Settings, each: Declared) -> object:
    owner = getattr(settings, each.section)["a"] if each.section in NAMED else getattr(settings, each.section)
    return getattr(owner, each.attribute)


@pytest.mark.parametrize("each", [each for each in EVERY if each.key not in NOT_ALONE], ids=lambda each: f"{each.section}.{each.key}")
def test_its_variable_and_its_dotted_key_set_it_alike(each: Declared, tmp_path: object) -> None:
    value = sample(each)
    needed = {MODELS: {"models.a.source": "/a"}, TRAINING: {"training.a.algorithm": "als", "data.url": "csv:///d"}}
    base = dict(needed.get(each.section, {}))
    if each.key == "parts":
        value = "content=b"
        base["models.b.source"] = "/b"
        base |= {"training.a.algorithm": "hybrid", "training.b.algorithm": "als", "data.url": "csv:///d"}
    if each.key == "after_interactions":
        base["data.url"] = "sqlite:////d.db"
    pairs = {"access_key_id": "secret_access_key", "secret_access_key": "access_key_id"}
    if each.key in pairs:
        base[f"s3.{pairs[each.key]}"] = "other"
    dotted = f"{each.section}.a.{each.key}" if each.section in NAMED else f"{each.section}.{each.key}"
    base.pop(dotted, None)
    by_variable = load_settings(base, environ={each.env_name("a"): value}, cwd=ROOT / "tests")
    by_key = load_settings({**base, dotted: value}, environ={}, cwd=ROOT / "tests")
    assert attribute(by_variable, each) == attribute(by_key, each) != each.default
    assert each.env_name("a") in by_variable.origin(dotted)


def test_every_field_is_declared_once() -> None:
    for section, cls in {**SECTIONS, **NAMED}.items():
        fields = {each.name for each in dataclasses.fields(cls)} - {"name"}
        assert {each.attribute for each in DECLARED[section].values()} == fields
    names = [each.env_name() for each in EVERY] + [each.env for each in EVERY if each.env]
    assert len(names) == len(set(names))
    assert {each.name for each in dataclasses.fields(Settings)} == {*SECTIONS, *NAMED, "origins"}


@pytest.mark.parametrize("section", NAMED)
def test_a_variable_of_a_named_table_can_be_split_in_one_way_only(section: str) -> None:
    keys = list(DECLARED[section])
    assert [(key, other) for key in keys for other in keys if key.endswith(f"_{other}")] == []


@named
def test_units_stand_in_the_attribute(each: Declared) -> None:
    suffix = {"duration": "_s", "size": "_bytes"}.get(each.kind)
    if suffix is not None:
        assert each.attribute.endswith(suffix)
    assert each.help.endswith(".")


@named
def test_the_page_names_it(each: Declared) -> None:
    assert f"`{each.env_name()}`" in page()
    assert each.help in page()


def test_the_page_is_the_one_in_the_docs() -> None:
    assert (ROOT / "docs" / "reference" / "settings.md").read_text() == page(), "run `make docs`"


def test_flags_and_set_become_overrides(parser: argparse.ArgumentParser) -> None:
    given = parser.parse_args(["--port", "0", "--set", "models.als.parts=content=a", "--set", "server.port=9", "--set", "server.host=x"])
    assert overrides_of(given) == {"server.port": "0", "models.als.parts": "content=a", "server.host": "x"}
    assert overrides_of(parser.parse_args([])) == {}


def test_help_names_the_variable_of_each_flag(parser: argparse.ArgumentParser) -> None:
    words = " ".join(parser.format_help().split())
    for dotted, flag in FLAGS.items():
        section, _, key = dotted.partition(".")
        assert flag in words
        assert f"env {DECLARED[section][key].env_name()};" in words
    assert "HOLDFAST_CONFIG" in words


def test_a_set_without_a_value_is_refused(parser: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser.parse_args(["--set", "server.port"])
    assert "is not SECTION.KEY=VALUE" in capsys.readouterr().err
