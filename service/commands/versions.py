"""`holdfast versions NAME`: the versions of a model that the running server keeps, and which of them serves."""

from __future__ import annotations

import argparse
import json
from typing import Any

from service.client import Holdfast, Versions
from service.client.wire import segment
from service.commands.progress import bytes_in_words, printable
from service.commands.server import add_server_arguments, carried_out, client_of, find_server
from service.commands.tables import table_lines


def add_parser(words: Any) -> None:
    """Declare the word."""
    parser = words.add_parser("versions", help="show the kept versions of a model", description=__doc__)
    parser.add_argument("name", metavar="NAME", help="the model")
    add_server_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Show them; 0 shown, 1 not. Leaves by SystemExit(3) without a server."""
    return carried_out(client_of(find_server(arguments)), lambda client: _show(client, arguments))


def _show(client: Holdfast, arguments: argparse.Namespace) -> int:
    if arguments.json:
        print(json.dumps(client.ask("GET", f"/models/{segment(arguments.name)}/versions"), indent=2))
    else:
        print("\n".join(version_lines(client.versions(arguments.name))))
    return 0


def version_lines(versions: Versions) -> list[str]:
    """A table with one line a version, the newest first as the server tells them."""
    if not versions.versions:
        return [printable(f"{versions.model}: no version is kept")]
    titles = ["version", "", "family", "loaded", "artifact", "segment", "metrics"]
    rows = [
        [
            each.version,
            " ".join(word for word, holds in (("live", each.live), ("pinned", each.pinned)) if holds),
            each.family,
            each.loaded_at,
            None if each.artifact_bytes is None else bytes_in_words(each.artifact_bytes),
            None if each.segment_bytes is None else bytes_in_words(each.segment_bytes),
            ", ".join(
                f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in (each.metrics or {}).items()
            )
            or None,
        ]
        for each in versions.versions
    ]
    return [printable(versions.model), *table_lines(titles, rows)]
