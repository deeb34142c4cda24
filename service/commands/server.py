"""Which server a command talks to, with which token, and how it says that this did not work.

Covers: `--url`, `--token-file`, `--json`; server.json of the store; exit codes of calls. Does not cover: the calls
(`service.client`), what is printed of their results (the words themselves).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from service.client import Holdfast, HoldfastError, RequestRefused, ServerUnavailable
from service.commands.configuration import EXIT_CONFIGURATION, add_config_arguments, settings_of
from service.commands.progress import printable

if TYPE_CHECKING:
    from config.schema import Settings

EXIT_FAILED = 1
EXIT_NO_SERVER = 3
UNREACHABLE_S = 10.0
"""A server that restarts is back by then; somebody waits at a terminal."""


def add_server_arguments(parser: argparse.ArgumentParser, *, is_admin: bool = False) -> None:
    """The configuration (for the store in which a server announces itself), --url and --json; --token-file for commands."""
    add_config_arguments(parser)
    parser.add_argument("--url", help="the server to ask [env HOLDFAST_URL; default the one that runs on the store]")
    if is_admin:
        parser.add_argument(
            "--token-file",
            metavar="FILE",
            type=Path,
            help="file that holds the admin token [default: ADMIN_LOAD_TOKEN, or what the configuration says]",
        )
    parser.add_argument("--json", action="store_true", help="print JSON")


def seconds_in(text: str) -> float:
    """A time of the command line. Raises ArgumentTypeError."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return seconds


class Found(NamedTuple):
    """Where the server of a command is; None when none runs on the store of the settings."""

    url: str | None
    settings: Settings | None


def find_server(arguments: argparse.Namespace) -> Found:
    """The server that is named, else the one that runs on the configured store. Leaves by SystemExit(2) for a wrong configuration."""
    from service.presence import find

    url = arguments.url or os.environ.get("HOLDFAST_URL")
    if url:
        return Found(url, None)
    settings = settings_of(arguments)
    presence = find(settings.store.path)
    return Found(None if presence is None else presence.url, settings)


def client_of(found: Found, *, token: str = "", deadline_s: float = UNREACHABLE_S) -> Holdfast:
    """A client of the server that was found. Leaves by SystemExit: 3 where none was, 2 for a URL or a token that is none."""
    if found.url is None:
        assert found.settings is not None  # noqa: S101  nobody named a server, so the settings were read
        print(f"holdfast: no server runs on the store {found.settings.store.path}: start one, or name one with --url", file=sys.stderr)
        raise SystemExit(EXIT_NO_SERVER)
    try:
        return Holdfast(found.url, token, deadline_s=deadline_s, unreachable_s=UNREACHABLE_S)
    except ValueError as error:
        print(f"holdfast: {error}", file=sys.stderr)
        raise SystemExit(EXIT_CONFIGURATION) from error


def token_of(arguments: argparse.Namespace, settings: Settings | None) -> str:
    """The admin token: of --token-file, ADMIN_LOAD_TOKEN or the configuration; "" without one. Leaves by SystemExit(2)."""
    if arguments.token_file is not None:
        try:
            return str(arguments.token_file.read_text(encoding="utf-8")).strip()
        except (OSError, UnicodeDecodeError) as error:
            print(f"holdfast: --token-file {arguments.token_file}: {error}", file=sys.stderr)
            raise SystemExit(EXIT_CONFIGURATION) from error
    return os.environ.get("ADMIN_LOAD_TOKEN") or (settings or settings_of(arguments)).server.admin_token


def carried_out(client: Holdfast, work: Callable[[Holdfast], int]) -> int:
    """The exit code of `work`; 1, with the reason in one line, where a call failed."""
    with client:
        try:
            return work(client)
        except HoldfastError as error:
            tell(error, client.url)
            return EXIT_FAILED


def tell(error: HoldfastError, url: str) -> None:
    """Why a call failed, on stderr."""
    words = error.message
    if isinstance(error, ServerUnavailable) and error.status is None:
        words = f"{url} does not answer: {words}"
    elif isinstance(error, RequestRefused) and error.field:
        words = f"{error.field}: {words}"
    print(printable(f"holdfast: {words}"), file=sys.stderr)
