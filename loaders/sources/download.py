"""From an opened body to a whole, hashed, fsynced file: what HTTPS and S3 have in common.

Covers: resuming, limits, the two clocks, hashing while writing, what stays after a failure. Does not cover: how a
request is made or a validator compared (each source's `OpenBody`).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiofiles

from loaders.errors import DiskFull, NotAModel, TooLarge

from .base import Fetched, Limits, Progress, Revision
from .checks import SNIFFED_BYTES, check_room, check_size, check_start, check_whole, store_errors
from .deadlines import Beat, stall_deadline, total_deadline
from .partial import Partial, discard, forget_validator, read_partial, write_validator
from .threads import on_own_thread, to_the_end

BLOCK_BYTES = 1 << 20
FLUSH_INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True)
class Body:
    """An answer whose bytes can be read now.

    offset: where its first byte belongs (0, or the size of the partial that it goes on with).
    total: size of the whole artifact, where announced.
    resume_token: what a later fetch may resume by, or "" where the source gives nothing strong enough.
    """

    revision: Revision
    offset: int
    total: int | None
    resume_token: str
    chunks: AsyncIterator[bytes]


OpenBody = Callable[["Partial | None", "Revision | None"], AbstractAsyncContextManager["Body | None"]]
"""Asks the source, resuming the partial if it may be, and yields None if the known revision is still current."""


async def download(
    into: Path, *, uri: str, shown: str, limits: Limits, on_progress: Progress, known: Revision | None, open_body: OpenBody
) -> Fetched | None:
    """Fetch what `open_body` opens into the file `into`, as `loaders.sources.base.Source.fetch` says.

    `uri` tells partials of different sources apart and is never shown; `shown` is its redacted form.
    """
    async with total_deadline(limits, shown):
        partial, digest = await on_own_thread(lambda cancelled: _resumable(into, uri, cancelled), name="fetch-resume")
        try:
            async with stall_deadline(limits, shown) as beat, open_body(partial, known) as body:
                if body is None:
                    return None
                _check_announced(body, into, limits, shown)
                if body.offset == 0:
                    digest = hashlib.sha256()
                await to_the_end(asyncio.to_thread(_prepare, into, uri, body))
                size = await _receive(body, into, digest, limits, on_progress, beat, shown)
        except (NotAModel, TooLarge, DiskFull):
            # Known to be bad, or in the way: nobody will go on with it.
            with store_errors(into):
                await to_the_end(asyncio.to_thread(discard, into))
            raise
        sha256 = digest.hexdigest()
        revision = body.revision if body.revision.token else Revision(f"sha256:{sha256}", size)
        is_known = known is not None and known.token == revision.token
        with store_errors(into):
            await to_the_end(asyncio.to_thread(discard if is_known else settle, into))
    if is_known:
        return None
    return Fetched(path=into, size=size, sha256=sha256, revision=revision)


def settle(into: Path) -> None:
    """Make the whole file durable, and forget that it was a part. Raises OSError."""
    descriptor = os.open(into, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    forget_validator(into)


def hash_file(path: Path, size: int, cancelled: threading.Event) -> Any:
    """A SHA-256 fed with the first `size` bytes of `path`; stops early when cancelled. Raises OSError."""
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while size > 0 and not cancelled.is_set():
            block = file.read(min(BLOCK_BYTES, size))
            if not block:
                raise OSError(f"{path} is shorter than it was")
            digest.update(block)
            size -= len(block)
    return digest


def private_opener(path: str, flags: int) -> int:
    """An opener for `open`: owner only, never through a link."""
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _resumable(into: Path, uri: str, cancelled: threading.Event) -> tuple[Partial | None, Any]:
    """The partial that may be resumed, with the digest of its bytes. Read before the request, which would idle meanwhile."""
    partial = read_partial(into, uri)
    if partial is None:
        return None, hashlib.sha256()
    try:
        return partial, hash_file(into, partial.size, cancelled)
    except OSError:
        return None, hashlib.sha256()  # not readable: fetched again


def _check_announced(body: Body, into: Path, limits: Limits, shown: str) -> None:
    if body.total is None:
        return
    check_size(body.total, limits, shown)
    with store_errors(into):
        check_room(body.total - body.offset, into.parent)


def _prepare(into: Path, uri: str, body: Body) -> None:
    """Cut the file to what the body goes on with, and say what it is a part of."""
    with store_errors(into):
        if body.offset == 0:
            forget_validator(into)  # first: a validator must never lie beside bytes of something else
        flags = os.O_WRONLY | os.O_CREAT
        descriptor = private_opener(str(into), flags)
        try:
            os.fchmod(descriptor, 0o600)
            os.ftruncate(descriptor, body.offset)
        finally:
            os.close(descriptor)
        if body.offset == 0 and body.resume_token:
            write_validator(into, uri, body.resume_token, body.total)


async def _receive(body: Body, into: Path, digest: Any, limits: Limits, on_progress: Progress, beat: Beat, shown: str) -> int:
    loop = asyncio.get_running_loop()
    done = body.offset
    flushed_at = loop.time()
    pending = bytearray()
    on_progress(done, body.total)
    with store_errors(into):
        file = await aiofiles.open(into, "r+b", buffering=0, opener=private_opener)
        await file.seek(done)

    async def flush() -> None:
        nonlocal pending
        block, pending = pending, bytearray()
        if done == len(block):  # the first one, since the file began
            check_start(bytes(block[:SNIFFED_BYTES]), shown)
        with store_errors(into):
            await to_the_end(asyncio.gather(_write_all(file, block), asyncio.to_thread(digest.update, block)))

    try:
        try:
            async for chunk in body.chunks:
                beat()
                done += len(chunk)
                check_size(done, limits, shown)
                pending += chunk
                now = loop.time()
                if len(pending) >= BLOCK_BYTES or (now - flushed_at >= FLUSH_INTERVAL_S and done >= SNIFFED_BYTES):
                    await flush()
                    flushed_at = loop.time()
                    beat()
                on_progress(done, body.total)
        finally:
            if pending:
                await flush()  # also after a cut: the next fetch goes on from here
        check_whole(done, body.total, shown)
    finally:
        await to_the_end(file.close())
    on_progress(done, body.total)
    return done


async def _write_all(file: Any, block: bytearray) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[await file.write(rest) :]
