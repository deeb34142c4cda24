"""The command line as a page: docs/reference/cli.md, made from the parser that the program itself uses.

Covers: words, their arguments, exit codes. Does not cover: what a setting means (`config.reference`). argparse's own help is not
used: how it is laid out depends on the terminal and on the version of Python, and a page in the repository must not.
"""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Iterator

from service import cli
from service.reference.markdown_text import cell, escaped

INTRODUCTION = """\
# Command line

Made from the parser in `service/cli.py` by `make docs`; do not edit.

Each word also takes `--help`, and `holdfast --version` says which version this is. Words that act on a running server find it by
`--url`, by `HOLDFAST_URL`, or by what the server left in the store of the configuration. Long work shows a progress bar on a
terminal and plain lines elsewhere.
"""


def page(parser: argparse.ArgumentParser) -> str:
    """The whole of docs/reference/cli.md. `parser`: that of `service.cli.build_parser`, a word for each of its commands."""
    words = _words(parser)
    return "\n".join([INTRODUCTION, *_exit_codes(), *_overview(words), *(line for word in words.items() for line in _word(*word))])


def _words(parser: argparse.ArgumentParser) -> dict[str, tuple[str, argparse.ArgumentParser]]:
    """Word -> its line in the overview, its own parser."""
    (words,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    helps = {choice.dest: choice.help or "" for choice in words._choices_actions}
    return {name: (helps[name], own) for name, own in words.choices.items()}


def _exit_codes() -> Iterator[str]:
    told = " ".join(inspect.cleandoc(cli.__doc__ or "").partition("Exit codes: ")[2].split()).removesuffix(".")
    yield "| exit code | when |"
    yield "|---|---|"
    for code, when in re.findall(r"(\d+) (.*?)(?:, (?=\d)|$)", told):
        yield f"| {code} | {cell(when)} |"
    yield ""


def _overview(words: dict[str, tuple[str, argparse.ArgumentParser]]) -> Iterator[str]:
    yield "| word | what it does |"
    yield "|---|---|"
    for name, (help, _) in words.items():
        yield f"| [`{name}`](#holdfast-{name}) | {cell(help)} |"
    yield ""


def _word(name: str, declared: tuple[str, argparse.ArgumentParser]) -> Iterator[str]:
    parser = declared[1]
    arguments = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    yield f"## holdfast {name}\n"
    yield escaped(inspect.cleandoc(parser.description or declared[0])) + "\n"
    yield f"    {' '.join([f'holdfast {name}', *_usage(parser, arguments)])}\n"
    yield "| argument | what |"
    yield "|---|---|"
    for action in arguments:
        yield f"| {cell(', '.join(f'`{spelling}`' for spelling in _spellings(action)))} | {cell(_help(parser, action))} |"
    yield ""


def _usage(parser: argparse.ArgumentParser, arguments: list[argparse.Action]) -> Iterator[str]:
    """What has no name first: after an option of several values it would count as one of them. Of what excludes one another, a choice."""
    groups = {id(action): group for group in parser._mutually_exclusive_groups for action in group._group_actions}
    told: list[object] = []
    for action in sorted(arguments, key=lambda action: bool(action.option_strings)):
        group = groups.get(id(action))
        if group is None:
            yield _in_usage(action)
        elif group not in told:
            told.append(group)
            choices = " | ".join(_in_usage(each).removeprefix("[").removesuffix("]") for each in group._group_actions)
            yield f"({choices})" if group.required else f"[{choices}]"


def _in_usage(action: argparse.Action) -> str:
    """`[--memory SIZE]`, `MODEL`, `[MODEL ...]`."""
    if not action.option_strings:
        return {"?": f"[{_value(action)}]", "*": f"[{_value(action)}]"}.get(str(action.nargs), _value(action))
    spellings = _spellings(action)
    told = " | ".join(spellings) if isinstance(action, argparse.BooleanOptionalAction) else spellings[-1]
    return told if action.required else f"[{told}]"


def _spellings(action: argparse.Action) -> list[str]:
    """`-k N`, `--count N`; the value alone where it has no name."""
    value = "" if action.nargs == 0 else f" {_value(action)}"
    return [f"{spelling}{value}" for spelling in action.option_strings] or [_value(action)]


def _value(action: argparse.Action) -> str:
    name = "{" + ",".join(map(str, action.choices)) + "}" if action.choices is not None else action.dest.upper()
    name = action.metavar if isinstance(action.metavar, str) else name
    return f"{name} ..." if action.nargs in ("*", "+") else name


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    return (action.help or "") % {**vars(action), "prog": parser.prog}
