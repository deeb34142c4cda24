"""`holdfast versions NAME`: the versions of a model that are kept, how each did, which one serves; and serving another of them.

Through the running server, or without one in the store, for models that are trained here.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from service.client import Holdfast, KeptVersion, Versions
from service.client.wire import segment
from service.commands.operate import WAIT_S
from service.commands.progress import bytes_in_words, model_line, printable
from service.commands.server import add_server_arguments, carried_out, client_of, find_server, token_of
from service.commands.stored import Switch, training_in, versions_in
from service.commands.tables import table_lines


def add_parser(words: Any) -> None:
    """Declare the word."""
    parser = words.add_parser("versions", help="show the kept versions of a model, or serve one of them", description=__doc__)
    parser.add_argument("name", metavar="NAME", help="the model")
    parser.add_argument("--activate", metavar="VERSION", help="serve this version, also one that was withdrawn, and pin none")
    add_server_arguments(parser, is_admin=True)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Show them, or serve one; 0 done, 1 not. Leaves by SystemExit(3) without a server for a model that is not trained here."""
    found = find_server(arguments)
    training = training_in(found.settings, arguments.name) if found.url is None and found.settings is not None else None
    if training is not None and found.settings is not None:
        return show_stored(versions_in(found.settings, arguments.name, training, _switch(arguments)), arguments)
    if not arguments.activate:
        return carried_out(client_of(found), lambda client: _show(client, arguments))
    return carried_out(client_of(found, token=token_of(arguments, found.settings)), lambda client: _activate(client, arguments))


def _switch(arguments: argparse.Namespace) -> Switch | None:
    version = arguments.activate
    return None if version is None else lambda runner, training: runner.activate(training, version, by="holdfast versions")


def _activate(client: Holdfast, arguments: argparse.Namespace) -> int:
    model = msgspec.to_builtins(client.activate(arguments.name, arguments.activate, wait=WAIT_S))
    print(json.dumps(model, indent=2) if arguments.json else model_line(model))
    return 0


def _show(client: Holdfast, arguments: argparse.Namespace) -> int:
    if arguments.json:
        print(json.dumps(client.ask("GET", f"/models/{segment(arguments.name)}/versions"), indent=2))
    else:
        print("\n".join(version_lines(client.versions(arguments.name))))
    return 0


def show_stored(versions: Versions | int, arguments: argparse.Namespace) -> int:
    """Print what lies in the store; the exit code, which is told instead where it was of no avail."""
    if isinstance(versions, int):
        return versions
    print(json.dumps(msgspec.to_builtins(versions), indent=2) if arguments.json else "\n".join(version_lines(versions)))
    return 0


def version_lines(versions: Versions) -> list[str]:
    """A table with one line a version, the newest first as the server tells them; columns that no version has are left out."""
    if not versions.versions:
        return [printable(f"{versions.model}: no version is kept")]
    rows = [_row(each, versions) for each in versions.versions]
    titles = [title for title in rows[0] if title in _ALWAYS or any(row[title] is not None for row in rows)]
    withdrawn = [
        f"  {each.version} was withdrawn: {each.withdrawn.get('type')}: {each.withdrawn.get('message')}"
        for each in versions.versions
        if each.withdrawn is not None
    ]
    return [printable(versions.model), *table_lines(titles, [[row[title] for title in titles] for row in rows]), *map(printable, withdrawn)]


_ALWAYS = ("version", "", "family", "artifact")


def _row(each: KeptVersion, versions: Versions) -> dict[str, str | None]:
    flags = {
        "live": each.live,
        "current": each.version == versions.current and not each.live,
        "pinned": each.pinned,
        "withdrawn": each.withdrawn is not None,
    }
    return {
        "version": each.version,
        "": " ".join(word for word, holds in flags.items() if holds),
        "family": each.family,
        "algorithm": each.algorithm,
        "published": each.published_at,
        "loaded": each.loaded_at,
        "artifact": None if each.artifact_bytes is None else bytes_in_words(each.artifact_bytes),
        "segment": None if each.segment_bytes is None else bytes_in_words(each.segment_bytes),
        "verdict": None if each.verdict is None else _verdict(each.verdict),
        "metrics": ", ".join(_metrics(each)) or None,
    }


def _verdict(verdict: Mapping[str, Any]) -> str:
    if verdict.get("forced_by"):
        return f"forced by {verdict['forced_by']}"
    return "accepted" if verdict.get("accepted") else "refused"


def _metrics(each: KeptVersion) -> Sequence[str]:
    """The one that the gate judged by, where there was a gate: all of them make a line that no terminal holds; --json has them."""
    judged_by = (each.verdict or {}).get("metric")
    told = [(name, value) for name, value in (each.metrics or {}).items() if judged_by in (None, name)]
    return [f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in told]
