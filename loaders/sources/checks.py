"""What every source refuses, in one place: too large, no room, a web page, nothing at all; and what the disk's errors mean.

Covers: decisions about sizes and first bytes. Does not cover: reading or writing them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loaders.errors import DiskFull, NotAModel, SourceUnavailable, TooLarge

from .base import Limits

SNIFFED_BYTES = 512
_HTML_STARTS = (b"<!doctype html", b"<html", b"<head", b"<body", b"<script", b"<title", b"<meta")


def check_size(size: int, limits: Limits, uri: str) -> None:
    """Raises TooLarge if `size` bytes, announced or received, are more than allowed."""
    if size > limits.max_bytes:
        raise TooLarge(f"{uri}: {size} bytes, and at most {limits.max_bytes} are allowed", size_bytes=size, limit_bytes=limits.max_bytes)


def check_room(need_bytes: int, folder: Path) -> None:
    """Raises DiskFull if the file system of `folder` has less than `need_bytes` left for this user. Blocks: one statvfs."""
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if need_bytes > free:
        raise DiskFull(f"{need_bytes} more bytes are needed and the store has {free}", need_bytes=need_bytes, free_bytes=free)


def check_start(start: bytes, uri: str) -> None:
    """Raises NotAModel if the first bytes of an artifact are those of a web page. `start` is up to SNIFFED_BYTES long."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(_HTML_STARTS):
        raise web_page(uri)


def check_whole(received: int, total: int | None, uri: str) -> None:
    """Raises NotAModel if nothing came, SourceUnavailable if less than announced (it is worth another try)."""
    if total is not None and received < total:
        raise SourceUnavailable(f"{uri}: ended after {received} of {total} bytes", bytes_done=received, bytes_total=total)
    if total is not None and received > total:
        raise SourceUnavailable(f"{uri}: sent {received} bytes where {total} were announced", bytes_done=received, bytes_total=total)
    if received == 0:
        raise NotAModel(f"{uri}: the file is empty")


def web_page(uri: str) -> NotAModel:
    """The failure of a source that answers with HTML."""
    return NotAModel(f"{uri}: a web page (HTML), not a model")


@contextmanager
def store_errors(into: Path) -> Iterator[None]:
    """Turn OSErrors of writing `into` into DiskFull: no room, or a store that cannot be written. Wrap nothing of the source in it."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no room left for {into.name} in the store") from error
        raise DiskFull(f"the store cannot be written: {error.strerror or error}", errno=error.errno) from error
