"""Artifacts in S3 and in whatever speaks its protocol.

Covers: credentials and endpoint from the configuration or the usual AWS_* environment, conditional GET by ETag, resuming
by range with If-Match. Does not cover: writing the file (`loaders.sources.download`), ~/.aws profiles.
"""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from config.schema import S3Settings, Settings
from loaders.errors import AccessDenied, LoadError, SourceNotFound, SourceUnavailable

from .address import bucket_and_key
from .base import Fetched, Limits, Progress, Revision
from .client import ca_bundle
from .deadlines import total_deadline
from .download import Body, download
from .partial import Partial

_PROBE_TIMEOUT_S = 30.0
_CONNECT_TIMEOUT_S = 10.0
_CREDENTIAL_CODES = (
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "AuthorizationHeaderMalformed",
    "InvalidClientTokenId",
)
_METADATA_SERVICES = ("169.254.169.254", "169.254.170.2")
_SETTLE_S = 0.02


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
            with _store_client_errors(self.uri):
                options: dict[str, Any] = {"head": True, **self._asked_version()}
                found = await obstore.get_async(self._store(_PROBE_TIMEOUT_S), self._key, options=options)  # type: ignore[arg-type]
                return Revision(_token(found.meta), found.meta["size"])

    async def fetch(self, into: Path, *, limits: Limits, on_progress: Progress, known: Revision | None = None) -> Fetched | None:
        """See `loaders.sources.base.Source.fetch`."""

        @asynccontextmanager
        async def open_body(partial: Partial | None, known: Revision | None) -> AsyncIterator[Body | None]:
            with _store_client_errors(self.uri):
                body = await self._open(self._store(limits.total_timeout_s), partial, known)
                yield body

        # The endpoint is part of what a partial belongs to: the same key elsewhere is another object.
        uri = f"{_endpoint(self._settings) or 'aws'} {self.uri}"
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

    def _store(self, timeout_s: float) -> Any:
        from obstore.store import S3Store

        _settle_at_exit()
        region = self._settings.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        config: dict[str, Any] = {"region": region}
        options: dict[str, Any] = {"connect_timeout": timedelta(seconds=_CONNECT_TIMEOUT_S), "timeout": timedelta(seconds=timeout_s)}
        endpoint = _endpoint(self._settings)
        if endpoint:
            config["endpoint"] = endpoint
            config["virtual_hosted_style_request"] = False
            options["allow_http"] = endpoint.startswith("http://")
        bundle = ca_bundle()
        if bundle is not None and bundle.is_file():
            options["root_certificate"] = bundle.read_bytes()
        # Few retries of its own: the policy of the lifecycle decides about the next try, and progress must not freeze meanwhile.
        retries = {"max_retries": 1, "retry_timeout": timedelta(seconds=_CONNECT_TIMEOUT_S)}
        return S3Store(self._bucket, config=config, client_options=options, retry_config=retries, **_credentials(self._settings))  # type: ignore[arg-type]


def _endpoint(settings: S3Settings) -> str:
    return settings.endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""


def _credentials(settings: S3Settings) -> dict[str, Any]:
    """Arguments that carry the configured keys; none where the environment has what is needed.

    A session token of the environment belongs to the environment's key: with another one the store must not see it.
    """
    if not settings.access_key_id or settings.access_key_id == os.environ.get("AWS_ACCESS_KEY_ID"):
        return {}
    keys = {"access_key_id": settings.access_key_id, "secret_access_key": settings.secret_access_key}
    if not os.environ.get("AWS_SESSION_TOKEN"):
        return keys
    credential = {**keys, "token": None, "expires_at": None}
    return {"credential_provider": lambda: credential}


def _token(meta: Any) -> str:
    etag = meta.get("e_tag")
    return f"etag:{etag}" if etag else ""


@contextmanager
def _store_client_errors(uri: str) -> Iterator[None]:
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, FileNotFoundError) as error:
        raise _failure(error, uri) from error


def _failure(error: Exception, uri: str) -> LoadError:
    from obstore.exceptions import InvalidPathError, PermissionDeniedError, UnauthenticatedError

    text = str(error).partition("\n\nDebug source")[0].strip()
    message = f"{uri}: {text}"
    if isinstance(error, FileNotFoundError):
        missing = "no such bucket" if "NoSuchBucket" in text else "no such object"
        return SourceNotFound(f"{uri}: {missing}")
    if isinstance(error, InvalidPathError):
        return SourceNotFound(message)
    if isinstance(error, (PermissionDeniedError, UnauthenticatedError)) or any(code in text for code in _CREDENTIAL_CODES):
        return AccessDenied(message)
    if any(host in text for host in _METADATA_SERVICES):
        return AccessDenied(f"{uri}: no credentials: set them in [s3], or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    return SourceUnavailable(message)


@cache
def _settle_at_exit() -> None:
    # The store's threads call back into the interpreter for a moment after an answer; a process that finalises in that
    # moment aborts (pyo3-async-runtimes issue 40). Servers never notice, commands that fetch and exit do.
    atexit.register(time.sleep, _SETTLE_S)
