"""`holdfast load`, `unload`, `reload`, `rollback`, `clear`: command the models of a running server.

Covers: which models, waiting for what comes of it, exit codes; `clear` and `rollback` also without a server. Does not cover: what a command
does to a model (`service.lifecycle`).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import msgspec

from service.client import Holdfast, HoldfastError, ModelStatus, ServerUnavailable, Unauthorized
from service.client.waiting import OnProgress
from service.commands.progress import ModelProgress, bytes_in_words, model_line
from service.commands.server import (
    EXIT_FAILED,
    Found,
    add_server_arguments,
    carried_out,
    client_of,
    find_server,
    seconds_in,
    tell,
    token_of,
)
from service.commands.stored import training_in, versions_in

if TYPE_CHECKING:
    from config.schema import Settings
    from training.running.runner import Runner

WAIT_S = 600.0
_EPILOG = "Exit codes: 0 done; 1 it failed, the reason is on stderr; 2 wrong usage or configuration; 3 no server runs on the store."

Command = Callable[[Holdfast, argparse.Namespace, str, float | bool, OnProgress], ModelStatus]

_COMMANDS: dict[str, tuple[str, Command]] = {
    "load": ("load a model, if it is not loaded", lambda client, _, name, wait, show: client.load(name, wait=wait, on_progress=show)),
    "unload": ("serve a model no more", lambda client, _, name, wait, show: client.unload(name, wait=wait, on_progress=show)),
    "reload": (
        "ask the source again, and load what is new",
        lambda client, given, name, wait, show: client.reload(name, force=given.force, wait=wait, on_progress=show),
    ),
    "rollback": (
        "go back to the version before",
        lambda client, given, name, wait, show: client.rollback(name, given.to, unpin=given.unpin, wait=wait, on_progress=show),
    ),
}
_LEFT_ALONE = ("unloaded", "not_started")
"""What nobody wants loaded is not loaded by reloading everything."""


def add_parser(words: Any) -> None:
    """Declare the words."""
    for word, (summary, _) in _COMMANDS.items():
        parser = words.add_parser(word, help=summary, description=f"{summary.capitalize()}. Waits for it.", epilog=_EPILOG)
        _add_names(parser, takes_all=word != "rollback")
        if word == "reload":
            parser.add_argument("--force", action="store_true", help="load again even what has not changed")
        if word == "rollback":
            where = parser.add_mutually_exclusive_group()
            where.add_argument("--to", metavar="VERSION", help="the version to go back to [default: the one before what is current]")
            where.add_argument("--unpin", action="store_true", help="go nowhere, but let training switch to new versions again")
        waiting = parser.add_mutually_exclusive_group()
        waiting.add_argument("--wait", metavar="SECONDS", type=seconds_in, default=WAIT_S, help="wait at most so long (default: 600)")
        waiting.add_argument("--no-wait", action="store_true", help="return as soon as the server knows of it")
        add_server_arguments(parser, is_admin=True)
        parser.set_defaults(run=run, word=word, parser=parser)
    summary = "delete fetched artifacts and unused segments; what serves keeps serving"
    parser = words.add_parser("clear", help=summary, description=f"{summary.capitalize()}. Without a server, on the store.", epilog=_EPILOG)
    _add_names(parser, takes_all=True)
    add_server_arguments(parser, is_admin=True)
    parser.set_defaults(run=clear, parser=parser)


def _add_names(parser: argparse.ArgumentParser, *, takes_all: bool) -> None:
    if not takes_all:
        parser.add_argument("name", metavar="NAME", help="the model")
        parser.set_defaults(all=False)
        return
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("name", metavar="NAME", nargs="?", help="the model")
    which.add_argument("--all", action="store_true", help="every model")


def run(arguments: argparse.Namespace) -> int:
    """Give the command; 0 done, 1 where it failed for a model. Leaves by SystemExit(3) without a server."""
    found = find_server(arguments)
    if arguments.word == "rollback" and found.url is None and found.settings is not None:
        training = training_in(found.settings, arguments.name)
        if training is not None:
            return _roll_back_in_store(found.settings, training, arguments)
    return carried_out(_admin_client(found, arguments), lambda client: _command_all(client, arguments))


def _roll_back_in_store(settings: Settings, training: str, arguments: argparse.Namespace) -> int:
    from service.commands.versions import show_stored

    by = "holdfast rollback"

    def switch(runner: Runner, name: str) -> Coroutine[Any, Any, object]:
        return runner.unpin(name, by=by) if arguments.unpin else runner.roll_back(name, arguments.to, by=by)

    return show_stored(versions_in(settings, arguments.name, training, switch), arguments)


def _command_all(client: Holdfast, arguments: argparse.Namespace) -> int:
    command = _COMMANDS[arguments.word][1]
    wait: float | bool = False if arguments.no_wait else arguments.wait
    names = _all_names(client, arguments.word) if arguments.all else [arguments.name]
    progress = ModelProgress(sys.stderr)
    done: list[ModelStatus] = []
    for name in names:
        try:
            done.append(command(client, arguments, name, wait, progress.tell))
        except (ServerUnavailable, Unauthorized):
            raise  # the others would fare no better
        except HoldfastError as error:
            progress.end()
            tell(error, client.url)
        progress.end()
    _print(done, arguments)
    return 0 if len(done) == len(names) else EXIT_FAILED


def _all_names(client: Holdfast, word: str) -> list[str]:
    return [model.name for model in client.models() if word != "reload" or model.status not in _LEFT_ALONE]


def _print(done: list[ModelStatus], arguments: argparse.Namespace) -> None:
    told = msgspec.to_builtins(done)
    if not arguments.json:
        for model in told:
            print(model_line(model))
    elif arguments.all:
        print(json.dumps({"models": told}, indent=2))
    elif told:
        print(json.dumps(told[0], indent=2))


def clear(arguments: argparse.Namespace) -> int:
    """Clear through the server, else the store itself; 0 done, 1 failed."""
    found = find_server(arguments)
    if found.url is None and found.settings is not None:
        return _clear_store(found.settings, arguments)
    return carried_out(_admin_client(found, arguments), lambda client: _told(client.clear(arguments.name).freed_bytes, arguments))


def _admin_client(found: Found, arguments: argparse.Namespace) -> Holdfast:
    return client_of(found, token=token_of(arguments, found.settings))


def _clear_store(settings: Settings, arguments: argparse.Namespace) -> int:
    from loaders.cache import Store, StoreInUse

    if not settings.store.path.is_dir():
        return _told(0, arguments)
    store = Store(settings.store.path, settings.store.max_bytes)
    try:
        store.open()
        try:
            return _told(store.clear(arguments.name), arguments)
        finally:
            store.close()
    except (OSError, StoreInUse) as error:
        print(f"holdfast: cannot clear: {error}", file=sys.stderr)
        return EXIT_FAILED


def _told(freed_bytes: int, arguments: argparse.Namespace) -> int:
    print(json.dumps({"freed_bytes": freed_bytes}, indent=2) if arguments.json else f"{bytes_in_words(freed_bytes)} freed")
    return 0
