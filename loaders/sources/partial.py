"""A download that is not whole yet: the file, and beside it what it is a part of.

Covers: the validator file (`<artifact>.json`). Does not cover: who may resume from it (each source asks its server).
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

RESUMABLE_BYTES = 512
"""Less is fetched again: the first bytes are looked at together, to tell a web page from a model."""


@dataclass(frozen=True, slots=True)
class Partial:
    """The first `size` bytes of the revision that `token` names; `total` is its whole size, where known."""

    token: str
    size: int
    total: int | None


def validator_path(into: Path) -> Path:
    """Where the validator of the partial file `into` lies."""
    return into.with_name(into.name + ".json")


def read_partial(into: Path, uri: str) -> Partial | None:
    """What lies at `into`, if it can be resumed from `uri`; None if there is nothing, or nothing that says what it is."""
    try:
        told = json.loads(validator_path(into).read_text())
        size = os.stat(into, follow_symlinks=False).st_size
        total = told["total"]
        # One byte is asked for again, where all are there but were not published: a range that begins at the end is an error.
        usable = size if total is None else min(size, int(total) - 1)
        if told["origin"] != _origin(uri) or not told["token"] or usable < RESUMABLE_BYTES:
            return None
        return Partial(token=str(told["token"]), size=usable, total=total)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_validator(into: Path, uri: str, token: str, total: int | None) -> None:
    """Say what `into` is a part of, before its first byte is written. Raises OSError."""
    target = validator_path(into)
    temporary = target.with_name(target.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "w") as file:
        json.dump({"origin": _origin(uri), "token": token, "total": total}, file)
    temporary.replace(target)


def forget_validator(into: Path) -> None:
    """What lies at `into` is no part of anything any more. Raises OSError."""
    validator_path(into).unlink(missing_ok=True)


def discard(into: Path) -> None:
    """Remove the partial file and its validator. Raises OSError."""
    forget_validator(into)
    into.unlink(missing_ok=True)


def _origin(uri: str) -> str:
    # A digest: the address may hold a signature or a password.
    return hashlib.sha256(uri.encode("utf-8", "surrogateescape")).hexdigest()
