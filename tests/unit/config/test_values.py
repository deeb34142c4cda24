"""config.values: how one value is written, and what is said about one that is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config.declared import DECLARED, Declared
from config.values import parse, parse_duration, parse_size, show

SHOWN = [each for keys in DECLARED.values() for each in keys.values() if each.default not in ("", {})]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        ("1h30m", 5400),
        ("250ms", 0.25),
        ("1d", 86400),
        ("1.5s", 1.5),
        ("10", 10),
        ("0", 0),
        ("0.25", 0.25),
        (" 5M ", 300),
    ],
)
def test_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "5 minutes", "5m 3", "1e3", "inf", "nan", "--5", "5x"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2GiB", 2 << 30),
        ("300MB", 300_000_000),
        ("1024", 1024),
        ("1.5KiB", 1536),
        ("0", 0),
        ("7 tib", 7 << 40),
        ("12B", 12),
        ("9007199254740993B", 9007199254740993),
    ],
)
def test_size(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "-1", "1.5", "2 apples", "1e9", "0x10", "1.0000001KiB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a (size|whole number of bytes)"):
        parse_size(text)


def test_a_bare_letter_is_called_ambiguous() -> None:
    with pytest.raises(ValueError, match="G is ambiguous"):
        parse_size("2G")


def declared(dotted: str) -> Declared:
    section, _, key = dotted.partition(".")
    return DECLARED[section][key]


@pytest.mark.parametrize(
    ("dotted", "raw", "complaint"),
    [
        ("server.port", "8000", "a string given where a whole number is expected"),
        ("server.port", True, "a boolean given where a whole number is expected"),
        ("server.port", 1.5, "a number given where a whole number is expected"),
        ("server.host", 1, "a whole number given where a string is expected"),
        ("models.watch", 1, "a whole number given where true or false is expected"),
        ("models.watch", "true", "a string given where true or false is expected"),
        ("models.poll", True, "a boolean given"),
        ("models.poll", float("nan"), "not a finite number"),
        ("models.poll", -1, "cannot be negative"),
        ("models.memory", -1, "cannot be negative"),
        ("models.memory", 2.5, "a number given"),
        ("models.memory", 2, "too small: at least 1MiB; is the unit missing"),
        ("models.load", "lazy", "none of: eager, on_demand"),
        ("models.parts", ["a"], "an array given where a table of strings is expected"),
        ("models.sha256", "abc", "64 hexadecimal digits"),
        ("store.path", "", "a path is expected"),
        ("store.path", "~nobody-of-that-name/x", "home directory"),
        ("server.host", "a\0b", "NUL"),
        ("server.port", 65536, "too large: at most 65535"),
    ],
)
def test_wrong_toml_values(dotted: str, raw: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse(declared(dotted), raw, text=False, base=Path("/b"))


@pytest.mark.parametrize(
    ("dotted", "raw", "value"),
    [
        ("server.port", "9000", 9000),
        ("models.watch", "yes", True),
        ("models.watch", "0", False),
        ("models.memory", "auto", 0),
        ("models.memory", "0", 0),
        ("models.poll", "never", 0.0),
        ("models.parts", "content=a, collaborative=b", {"content": "a", "collaborative": "b"}),
        ("models.sha256", "SHA256:" + "AB" * 32, "ab" * 32),
        ("store.path", "x/y", Path("/b/x/y")),
        ("server.admin_token_file", "token", "/b/token"),
        ("models.source", "m/als.pkl", "/b/m/als.pkl"),
        ("models.source", "/m/als.pkl", "/m/als.pkl"),
        ("models.source", "s3://b/k", "s3://b/k"),
        ("models.source", "file:///m/als.pkl", "file:///m/als.pkl"),
        ("models.source", "training:als", "training:als"),
        ("models.source", "odd:name.pkl", "/b/odd:name.pkl"),
    ],
)
def test_text_values(dotted: str, raw: str, value: Any) -> None:
    assert parse(declared(dotted), raw, text=True, base=Path("/b")) == value


@pytest.mark.parametrize(
    ("dotted", "raw"), [("server.port", "80.5"), ("models.watch", "maybe"), ("models.parts", "content"), ("models.max_in_flight", "many")]
)
def test_wrong_text_values(dotted: str, raw: str) -> None:
    with pytest.raises(ValueError, match=r"not|neither"):
        parse(declared(dotted), raw, text=True, base=Path("/b"))


@pytest.mark.parametrize("each", SHOWN, ids=lambda each: f"{each.section}.{each.key}")
def test_every_default_reads_back_as_it_is_shown(each: Declared) -> None:
    assert parse(each, show(each, each.default), text=True, base=Path()) == each.default
