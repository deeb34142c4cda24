"""`holdfast check ARTIFACT|MODEL`: load one artifact in the capped child, and say what is in it and what it takes."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.commands.configuration import add_config_arguments, settings_of
from service.commands.progress import bytes_in_words, printable

if TYPE_CHECKING:
    from config.schema import ModelSettings, Settings


def add_parser(words: Any) -> None:
    """Declare the word."""
    parser = words.add_parser("check", help="load one artifact in a capped child and report on it", description=__doc__)
    parser.add_argument("artifact", metavar="ARTIFACT|MODEL", help="a file, the address of one, or the name of a configured model")
    parser.add_argument("--memory", metavar="SIZE", type=_size, help="memory cap of the child, e.g. 12GiB (default: the model's)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_config_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Report; 0 if the artifact loads, 1 if it does not."""
    from loaders.checking import check
    from loaders.errors import LoadError, UnknownFormat

    settings = settings_of(arguments)
    model = _model_of(arguments.artifact, settings)
    if arguments.memory is not None:
        model = replace(model, memory_bytes=arguments.memory)
    try:
        report: dict[str, Any] = {"verdict": "ok", **asyncio.run(check(settings, model))}
    except LoadError as error:
        report = {"verdict": error.type, "message": error.message, **error.detail}
        if isinstance(error, UnknownFormat):
            report["families"] = _families()
    except OSError as error:
        print(f"holdfast: cannot check {arguments.artifact}: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps({"artifact": arguments.artifact, **report}, indent=2, default=str))
    else:
        print("\n".join(report_lines(arguments.artifact, report)))
    return 0 if report["verdict"] == "ok" else 1


def _model_of(word: str, settings: Settings) -> ModelSettings:
    from config.schema import ModelSettings
    from loaders.sources import check_source

    configured = settings.models.get(word)
    if configured is not None:
        return configured
    source = word if "://" in word else str(Path(word).absolute())
    problem = check_source(source)
    if problem is not None:
        print(f"holdfast: {word}: {problem}", file=sys.stderr)
        raise SystemExit(2)
    return ModelSettings(name="check", source=source)


def _size(text: str) -> int:
    from config.values import parse_size

    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _families() -> dict[str, str]:
    """What each family takes, in its own words."""
    from importlib import import_module

    from models import FAMILIES

    return {name: (import_module(module).__doc__ or "").partition("\n")[0] for name, module in FAMILIES.items()}


def report_lines(artifact: str, report: Mapping[str, Any]) -> list[str]:
    """The report for people: components as a table, then everything else, what has parts a line a part."""
    lines = [artifact]
    for component in report.get("components") or ():
        shape = "x".join(map(str, component.get("shape") or ())) or "-"
        size = bytes_in_words(component["bytes"]) if component.get("bytes") else "-"
        lines.append(f"  {component['name'] or '(the whole)':<32} {component.get('type', ''):<16} {shape:<20} {size:>10}")
    for name, value in report.items():
        if name in ("components", "verdict", "message") or value in ({}, [], None):
            continue
        if isinstance(value, Mapping):
            lines.append(f"  {name}:")
            lines += [f"    {part}: {_in_words(part, each)}" for part, each in value.items() if each is not None]
        else:
            lines.append(f"  {name}: {_in_words(name, value)}")
    lines.append(f"verdict: {report['verdict']}" + (f": {report['message']}" if "message" in report else ""))
    return [printable(line) for line in lines]


def _in_words(name: str, value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_in_words(key, each)}" for key, each in value.items())
    if isinstance(value, list):
        return ", ".join(str(each) if not isinstance(each, list) else f"[{_in_words(name, each)}]" for each in value)
    if name.endswith("_bytes"):
        return bytes_in_words(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
