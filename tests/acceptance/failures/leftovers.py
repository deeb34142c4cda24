"""What a server has left: files of its store that no record names, processes.

Does not cover: what a model's next attempt goes on with, a partial download or an artifact; those are allowed by the model's name.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from tests.acceptance.running import Server
from tests.support import ConditionNotMet, wait_until_sync

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


def check_nothing_left(server: Server, *, resumable: Collection[str] = (), reused: Collection[str] = (), deadline_s: float = 10.0) -> None:
    """Raises AssertionError unless the server has no child and its store no file but those of kept models.

    A partial download of each model in `resumable` may be there, and one artifact of each in `reused`: their next attempt
    goes on with it. What a finishing attempt has just let go may take a moment.
    """
    try:
        wait_until_sync(lambda: not server.children() and not _left(server.store, resumable, reused), deadline_s, what="nothing is left")
    except ConditionNotMet as error:
        raise AssertionError(f"{error}: {server.children()}, {_left(server.store, resumable, reused)}") from error


def _left(store: Path, resumable: Collection[str], reused: Collection[str]) -> list[str]:
    left = unnamed_files(store)
    partials = tuple(f"partial/{name}-" for name in resumable)
    artifacts = [next((path for path in left if path.startswith(f"artifacts/{name}-")), "") for name in reused]
    return [path for path in left if path not in artifacts and not (partials and path.startswith(partials))]
