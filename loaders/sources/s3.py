"""Artifacts in S3 and in whatever speaks its protocol.

Covers: conditional GET by ETag, resuming by range with If-Match. Does not cover: writing the file (`loaders.sources.download`), keys
and endpoint (`loaders.sources.s3_store`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from config.schema import Settings

from .address import bucket_and_key
from .base import Fetched, Limits, Progress, Revision
from .deadlines import total_deadline
from .download import Body, download
from .partial import Partial
from .s3_store import endpoint_of, open_store, store_client_errors

_PROBE_TIMEOUT_S = 30.0


class S3Source:
    """One object, or one version of it (s3://bucket/key?versionId=...)."""

    def __init__(self, uri: str, settings: Settings) -> None:
        self._bucket, self._key, self._version = bucket_and_key(uri)
        self._settings = settings.s3
        self.uri = uri

    def __repr__(self) -> str:
        return f"<S3Source {self.uri}>"

    async def probe(self) -> Revision:
        """What is current, by HEAD."""
        import obstore

        async with total_deadline(Limits(0, _PROBE_TIMEOUT_S, _PROBE_TIMEOUT_S), self.uri):
            with store_client_errors(self.uri):
                options: dict[str, Any] = {"head": True, **self._asked_version()}
                found = await obstore.get_async(open_store(self._bucket, self._settings, _PROBE_TIMEOUT_S), self._key, options=options)  # type: ignore[arg-type]
                return Revision(_token(found.meta), found.meta["size"])

    async def fetch(self, into: Path, *, limits: Limits, on_progress: Progress, known: Revision | None = None) -> Fetched | None:
        """See `loaders.sources.base.Source.fetch`."""

        @asynccontextmanager
        async def open_body(partial: Partial | None, known: Revision | None) -> AsyncIterator[Body | None]:
            with store_client_errors(self.uri):
                body = await self._open(open_store(self._bucket, self._settings, limits.total_timeout_s), partial, known)
                yield body

        # The endpoint is part of what a partial belongs to: the same key elsewhere is another object.
        uri = f"{endpoint_of(self._settings) or 'aws'} {self.uri}"
        return await download(into, uri=uri, shown=self.uri, limits=limits, on_progress=on_progress, known=known, open_body=open_body)

    def watch(self) -> None:
        """An object cannot be watched."""

    async def _open(self, store: Any, partial: Partial | None, known: Revision | None) -> Body | None:
        import obstore
        from obstore.exceptions import BaseError, NotModifiedError, PreconditionError

        options = self._asked_version()
        if known is not None and known.token.startswith("etag:"):
            options["if_none_match"] = known.token.removeprefix("etag:")
        found = None
        if partial is not None:
            try:
                ranged = {**options, "range": {"offset": partial.size}, "if_match": partial.token}
                found = await obstore.get_async(store, self._key, options=ranged)  # type: ignore[arg-type]
            except NotModifiedError:
                return None
            except PreconditionError:
                found = None  # changed: all of it
            except BaseError as error:
                # An object shorter than the partial, or a server that answers ranges with everything.
                if "416" not in str(error) and "non-partial" not in str(error):
                    raise
            if found is not None and (found.range[0] != partial.size or found.meta.get("e_tag") != partial.token):
                found = None
        try:
            found = found or await obstore.get_async(store, self._key, options=options)  # type: ignore[arg-type]
        except NotModifiedError:
            return None
        revision = Revision(_token(found.meta), found.meta["size"])
        if known is not None and known.token and known.token == revision.token:
            return None  # a server that ignores If-None-Match
        etag = found.meta.get("e_tag") or ""
        return Body(
            revision=revision,
            offset=found.range[0],
            total=found.meta["size"],
            resume_token="" if etag.startswith("W/") else etag,
            chunks=found.stream(min_chunk_size=1),  # what has arrived: a larger chunk on a slow line would look like a stall
        )

    def _asked_version(self) -> dict[str, Any]:
        return {} if self._version is None else {"version": self._version}


def _token(meta: Any) -> str:
    etag = meta.get("e_tag")
    return f"etag:{etag}" if etag else ""
