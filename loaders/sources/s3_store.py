"""A bucket of S3, or of whatever speaks its protocol, by obstore.

Covers: credentials and endpoint from the configuration or the usual AWS_* environment, certificates, what failures mean. Does not
cover: reading objects (`loaders.sources.s3`), writing them (`training.versions.upload`), ~/.aws profiles.
"""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any

from config.schema import S3Settings
from loaders.errors import AccessDenied, LoadError, SourceNotFound, SourceUnavailable

from .client import ca_bundle

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


def open_store(bucket: str, settings: S3Settings, timeout_s: float) -> Any:
    """The bucket, as obstore has it. timeout_s: of one request."""
    from obstore.store import S3Store

    _settle_at_exit()
    region = settings.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    config: dict[str, Any] = {"region": region}
    options: dict[str, Any] = {"connect_timeout": timedelta(seconds=_CONNECT_TIMEOUT_S), "timeout": timedelta(seconds=timeout_s)}
    endpoint = endpoint_of(settings)
    if endpoint:
        config["endpoint"] = endpoint
        config["virtual_hosted_style_request"] = False
        options["allow_http"] = endpoint.startswith("http://")
    bundle = ca_bundle()
    if bundle is not None and bundle.is_file():
        options["root_certificate"] = bundle.read_bytes()
    # Few retries of its own: the policy of the lifecycle decides about the next try, and progress must not freeze meanwhile.
    retries = {"max_retries": 1, "retry_timeout": timedelta(seconds=_CONNECT_TIMEOUT_S)}
    return S3Store(bucket, config=config, client_options=options, retry_config=retries, **_credentials(settings))  # type: ignore[arg-type]


def endpoint_of(settings: S3Settings) -> str:
    """The URL of the service; "" for AWS."""
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


@contextmanager
def store_client_errors(uri: str) -> Iterator[None]:
    """Failures of obstore in the words of this program: SourceNotFound, AccessDenied, SourceUnavailable."""
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
