"""What a server has left: files of its store that no record names, processes.

Does not cover: partial downloads of a model that will go on with them; those are asked for by name.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from tests.acceptance.running import Server
from tests.support import wait_until_sync

_ALWAYS = {"lock", "server.json"}


def unnamed_files(store: Path) -> list[str]:
    """Files of the store that are neither its own nor named by the record of a ready model, as paths within it."""
    records = list((store / "kept").glob("*.json"))
    named = {str(record.relative_to(store)) for record in records} | _ALWAYS
    for record in records:
        kept = json.loads(record.read_text())
        named |= {f"{folder}/{kept[key]['name']}" for folder, key in (("artifacts", "artifact"), ("segments", "segment")) if kept[key]}
    files = {str(path.relative_to(store)) for path in store.rglob("*") if not path.is_dir()}
    return sorted(files - named)


def records(store: Path) -> set[str]:
    """Models that have a kept record."""
    return {path.stem for path in (store / "kept").glob("*.json")}


def check_nothing_left(server: Server, *, resumable: Collection[str] = (), deadline_s: float = 10.0) -> None:
    """Raises AssertionError unless the server has no child and its store no file but those of kept models.

    Partial downloads of the models in `resumable` may be there: their next attempt goes on with them. What a finishing
    attempt has just let go may take a moment.
    """
    wait_until_sync(lambda: not server.children(), deadline_s, what="no child is left")
    wait_until_sync(lambda: not _left(server.store, resumable), deadline_s, what="no file is left")


def _left(store: Path, resumable: Collection[str]) -> list[str]:
    starts = tuple(f"partial/{name}-" for name in resumable)
    return [path for path in unnamed_files(store) if not (starts and path.startswith(starts))]
