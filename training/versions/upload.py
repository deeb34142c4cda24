"""What is published here, copied to S3 for servers elsewhere.

Covers: the objects of a version, and which of them is current, in an order in which no reader ever finds half of one. Does not
cover: who may reach the bucket (`loaders.sources.s3_store`), when it is done (`training.running.carrying`), old versions, which
the rules of the bucket delete.

    PREFIX/VERSION/model.safetensors, PREFIX/VERSION/version.json   written once
    PREFIX/model.safetensors                                        the last one that was published to serve: what `source` names elsewhere
    PREFIX/current.json                                             which one that is, written last
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from config.schema import GIB, MIB, S3Settings
from loaders.published import MODEL_FILE, RECORD_FILE, PublishedVersion
from loaders.sources.s3_store import open_store, store_client_errors

CURRENT_OBJECT = "current.json"
_REQUEST_S = 300.0
"""Time limit of one request, which carries one part."""
_PART_BYTES = 16 * MIB
_PARTS_AT_ONCE = 4
_LARGEST_COPY_BYTES = 5 * GIB
"""CopyObject takes no larger object (Amazon S3 API reference)."""

OnCopied = Callable[[float], None]
"""Told the share of the version that is there, 0..1."""


async def upload(
    folder: Path, record: PublishedVersion, target: str, settings: S3Settings, *, is_current: bool, on_copied: OnCopied = lambda share: None
) -> None:
    """Copy the published version that lies in `folder` to `target` (s3://BUCKET/PREFIX), and make it current there if it is so here.

    Raises loaders.errors.LoadError for what S3 says, OSError for what the disk says.
    """
    told = await asyncio.to_thread((folder / RECORD_FILE).read_bytes)
    with store_client_errors(target):
        import obstore

        store, prefix = _opened(target, settings)
        model = f"{prefix}/{record.version}/{MODEL_FILE}"
        await _put(store, model, folder / MODEL_FILE, record.bytes, on_copied)
        await obstore.put_async(store, f"{prefix}/{record.version}/{RECORD_FILE}", told)
        if not is_current:
            return
        if record.bytes <= _LARGEST_COPY_BYTES:
            await obstore.copy_async(store, model, f"{prefix}/{MODEL_FILE}")
        else:
            await _put(store, f"{prefix}/{MODEL_FILE}", folder / MODEL_FILE, record.bytes, on_copied)
        current = {"version": record.version, "sha256": record.sha256, "bytes": record.bytes, "published_at": record.published_at}
        await obstore.put_async(store, f"{prefix}/{CURRENT_OBJECT}", json.dumps(current).encode())


def _opened(target: str, settings: S3Settings) -> tuple[Any, str]:
    bucket, _, prefix = target.removeprefix("s3://").partition("/")
    return open_store(bucket, settings, _REQUEST_S), prefix.rstrip("/")


async def _put(store: Any, key: str, path: Path, size: int, on_copied: OnCopied) -> None:
    import obstore

    await obstore.put_async(store, key, _parts(path, size, on_copied), chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE)


async def _parts(path: Path, size: int, on_copied: OnCopied) -> AsyncIterator[bytes]:
    done = 0
    with await asyncio.to_thread(path.open, "rb") as file:
        while part := await asyncio.to_thread(file.read, _PART_BYTES):
            yield part
            done += len(part)
            on_copied(min(1.0, done / size))
