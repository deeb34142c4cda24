"""`holdfast status`: ask the running server how it is; without one, say so and show the store."""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from service.commands.configuration import add_config_arguments, settings_of
from service.commands.progress import model_line

TIMEOUT_S = 10.0
EXIT_NO_SERVER = 3


def add_parser(words: Any) -> None:
    """Declare the word."""
    parser = words.add_parser("status", help="show the running server's models", description=__doc__)
    add_config_arguments(parser)
    parser.add_argument("--url", help="the server to ask (env HOLDFAST_URL; default: the one that runs on the store)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Show the status; 0 with a server, 1 when the server named by --url or HOLDFAST_URL does not answer, 3 when none runs."""
    from service.presence import find

    named = arguments.url or os.environ.get("HOLDFAST_URL")
    if named:
        try:
            return _show(named, ask(named), arguments.json)
        except (OSError, ValueError) as error:
            print(f"holdfast: {named} does not answer: {error}", file=sys.stderr)
            return 1
    settings = settings_of(arguments)
    presence = find(settings.store.path)
    if presence is not None:
        try:
            return _show(presence.url, ask(presence.url), arguments.json)
        except (OSError, ValueError) as error:
            print(f"holdfast: server.json names {presence.url} (pid {presence.pid}), which does not answer: {error}", file=sys.stderr)
    return _show_store(settings.store.path, sorted(settings.models), arguments.json)


def ask(url: str) -> dict[str, Any]:
    """GET {url}/status. Raises OSError (urllib's errors among them), ValueError for an answer that is no status."""
    if not url.startswith(("http://", "https://")):
        raise ValueError("a server's URL begins with http:// or https://")
    # No proxy: the server is asked where it is, whatever the environment says about the way to the internet.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url.rstrip("/") + "/status", timeout=TIMEOUT_S) as response:
        body = json.load(response)
    if not isinstance(body, dict) or not isinstance(body.get("models"), list):
        raise ValueError("this is not the status of a Holdfast server")
    return body


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
