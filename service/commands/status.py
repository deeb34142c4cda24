"""`holdfast status`: ask the running server how it is; without one, say so and show the store."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from service.client import Holdfast
from service.commands.progress import model_line
from service.commands.server import EXIT_NO_SERVER, add_server_arguments, carried_out, client_of, find_server

_EPILOG = """\
Exit codes: 0 a server answered; 1 the one that is named, or runs on the store, does not answer; 2 wrong usage or configuration;
3 no server runs on the store."""


def add_parser(words: Any) -> None:
    """Declare the word."""
    parser = words.add_parser("status", help="show the running server's models", description=__doc__, epilog=_EPILOG)
    add_server_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Show the status; 0 with a server, 1 when the server that is named, or runs on the store, does not answer, 3 when none runs."""
    found = find_server(arguments)
    if found.url is None and found.settings is not None:
        return _show_store(found.settings.store.path, sorted(found.settings.models), arguments.json)
    return carried_out(client_of(found, deadline_s=0), lambda client: _show(client.url, _ask(client), arguments.json))


def _ask(client: Holdfast) -> dict[str, Any]:
    """The status with all its fields. Raises HoldfastError."""
    client.status()  # whatever else answers there is told apart from a Holdfast server
    told: dict[str, Any] = client.ask("GET", "/status")
    return told


def _show(url: str, status: dict[str, Any], as_json: bool) -> int:
    if as_json:
        print(json.dumps({"running": True, "url": url, **status}, indent=2))
        return 0
    print(f"holdfast {status['version']} on {url}, up {status['uptime_s']:.0f} s")
    for model in status["models"]:
        print("  " + model_line(model))
    if not status["models"]:
        print("  no model is configured")
    return 0


def _show_store(store: Path, configured: list[str], as_json: bool) -> int:
    kept = {folder.name: size_bytes(folder) for folder in sorted(store.iterdir())} if store.is_dir() else {}
    if as_json:
        print(json.dumps({"running": False, "store": {"path": str(store), "bytes": kept}, "configured": configured}, indent=2))
        return EXIT_NO_SERVER
    print(f"No server runs on the store {store}.")
    print(f"  configured: {', '.join(configured) or 'no model'}")
    for name, size in kept.items():
        print(f"  {name}: {size} bytes")
    return EXIT_NO_SERVER


def size_bytes(path: Path) -> int:
    """The bytes of a file, or of all files under a folder; what vanishes meanwhile counts as nothing."""
    if not path.is_dir() or path.is_symlink():
        return _own_bytes(path)
    return sum(_own_bytes(Path(folder, name)) for folder, _, names in os.walk(path) for name in names)


def _own_bytes(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0
