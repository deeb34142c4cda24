"""The server.json of a store: how commands find the server that runs on it.

Covers: writing, reading and removing it. Does not cover: the store's lock (`loaders`), talking to the server (`service.commands`).
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

import msgspec

NAME = "server.json"


class Presence(msgspec.Struct):
    """A running server. `started_at` is Unix seconds."""

    pid: int
    url: str
    started_at: float


def announce(store: Path, presence: Presence) -> None:
    """Write server.json, private to the owner, in one step: a reader sees all of it or none. Raises OSError."""
    store.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{NAME}.", dir=store)  # mkstemp makes it 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(presence) + b"\n")
        Path(name).replace(store / NAME)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(name).unlink()
        raise


def find(store: Path) -> Presence | None:
    """The server that announced itself in this store and still has a process; None otherwise."""
    try:
        presence = msgspec.json.decode((store / NAME).read_bytes(), type=Presence)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        return None
    try:
        os.kill(presence.pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # it lives, as another user
    return presence


def withdraw(store: Path) -> None:
    """Remove server.json if it is this process's own."""
    presence = find(store)
    if presence is not None and presence.pid == os.getpid():
        with suppress(FileNotFoundError):
            (store / NAME).unlink()
