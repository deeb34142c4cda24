"""docs/reference/cli.md, from any parser, and from that of the program."""

from __future__ import annotations

import argparse

import pytest

from service.cli import build_parser
from service.reference.command_line import page


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="holdfast")
    words = parser.add_subparsers()
    do = words.add_parser("do", help="does <it> or|and not", description="Does it.\n\n    Well.")
    do.add_argument("model", nargs="+", help="which")
    do.add_argument("-k", "--count", metavar="N", default=7, help="how many (default: %(default)s)")
    do.add_argument("--kind", choices=["a", "b"], required=True)
    do.add_argument("--only", nargs="+", metavar="ID")
    do.add_argument("--quick", action=argparse.BooleanOptionalAction)
    do.add_argument("--force", action="store_true", help="100%% sure")
    undo = words.add_parser("undo", help="undoes it")
    which = undo.add_mutually_exclusive_group(required=True)
    which.add_argument("model", nargs="?", metavar="MODEL")
    which.add_argument("--all", action="store_true")
    how = undo.add_mutually_exclusive_group()
    how.add_argument("--soft", action="store_true")
    how.add_argument("--by", metavar="WAY")
    return parser


def test_words_and_arguments(parser: argparse.ArgumentParser) -> None:
    told = page(parser)
    assert "| [`do`](#holdfast-do) | does \\<it> or\\|and not |" in told
    assert "    holdfast do MODEL ... [--count N] --kind {a,b} [--only ID ...] [--quick | --no-quick] [--force]\n" in told
    assert "| `-k N`, `--count N` | how many (default: 7) |" in told
    assert "| `--kind {a,b}` |  |" in told
    assert "| `--force` | 100% sure |" in told
    assert "    holdfast undo (MODEL | --all) [--soft | --by WAY]\n" in told
    assert "undoes it" in told.partition("## holdfast undo")[2]


def test_it_does_not_depend_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    before = page(build_parser())
    monkeypatch.setenv("COLUMNS", "40")
    assert page(build_parser()) == before


def test_the_exit_codes_are_told_one_a_row(parser: argparse.ArgumentParser) -> None:
    assert "| 0 | done |\n| 1 | failed |" in page(parser)
    assert "| 130 | interrupted |" in page(parser)
