"""`holdfast versions NAME`: the versions of a model that are kept, how each did, which one serves; and serving another of them.

Through the running server, or without one in the store, for models that are trained here.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import msgspec

from service.client import Holdfast, Versions
from service.client.wire import segment
from service.commands.operate import WAIT_S
from service.commands.progress import model_line
from service.commands.server import add_server_arguments, carried_out, client_of, find_server, token_of
from service.commands.stored import Switch, training_in, versions_in
from service.commands.tables import width_of
from service.commands.version_table import version_lines


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
        _print(client.versions(arguments.name))
    return 0


def show_stored(versions: Versions | int, arguments: argparse.Namespace) -> int:
    """Print what lies in the store; the exit code, which is told instead where it was of no avail."""
    if isinstance(versions, int):
        return versions
    if arguments.json:
        print(json.dumps(msgspec.to_builtins(versions), indent=2))
    else:
        _print(versions)
    return 0


def _print(versions: Versions) -> None:
    print("\n".join(version_lines(versions, width_of(sys.stdout))))
