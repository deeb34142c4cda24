"""The HTTP client of the sources: one session a fetch, honouring the usual proxy and CA environment.

Covers: HTTP_PROXY, HTTPS_PROXY, NO_PROXY (and ~/.netrc), SSL_CERT_FILE, SSL_CERT_DIR, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE; the
meaning of HTTP status codes and of the client's own errors. Does not cover: bodies.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp

from loaders.errors import AccessDenied, LoadError, SourceNotFound, SourceUnavailable

MAX_REDIRECTS = 10
CONNECT_TIMEOUT_S = 10.0
_READ_BUFFER_BYTES = 256 << 10


def ca_bundle() -> Path | None:
    """The CA file that the environment names for HTTP clients, as requests and curl read it; None for the system's own."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        value = os.environ.get(name)
        if value:
            return Path(value)
    return None


def trusted_roots() -> ssl.SSLContext:
    """The system's roots, with those of the environment. Blocks for tens of milliseconds. Raises SourceUnavailable for a bad bundle."""
    context = ssl.create_default_context()  # reads SSL_CERT_FILE and SSL_CERT_DIR itself
    bundle = ca_bundle()
    if bundle is not None:
        try:
            context.load_verify_locations(cafile=bundle if bundle.is_file() else None, capath=bundle if bundle.is_dir() else None)
        except (OSError, TypeError) as error:
            raise SourceUnavailable(f"the CA bundle {bundle} of the environment cannot be read: {error}") from error
    return context


@asynccontextmanager
async def open_session(headers: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientSession]:
    """A session without time limits of its own but for connecting: the deadlines of the fetch bound it."""
    connector = aiohttp.TCPConnector(ssl=await asyncio.to_thread(trusted_roots), force_close=True)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
    # Bytes as they are sent: a decoded body would not have the length that was announced, nor could it be resumed.
    sent = {"Accept-Encoding": "identity", "User-Agent": "Mozilla/5.0 (compatible; Holdfast)", **headers}
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        trust_env=True,
        auto_decompress=False,
        headers=sent,
        read_bufsize=_READ_BUFFER_BYTES,
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        yield session


@contextmanager
def client_errors(shown: str) -> Iterator[None]:
    """Turn the client's errors into SourceUnavailable, in words that hold no address but `shown` (others may carry signatures)."""
    try:
        yield
    except aiohttp.TooManyRedirects as error:
        raise SourceUnavailable(f"{shown}: more than {MAX_REDIRECTS} redirects") from error
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
        raise SourceUnavailable(f"{shown}: leads to an address that is no URL") from error
    except aiohttp.ClientPayloadError as error:
        raise SourceUnavailable(f"{shown}: the connection was cut before the end of the body") from error
    except aiohttp.ClientResponseError as error:  # a proxy that refuses, a header that is none
        raise SourceUnavailable(f"{shown}: HTTP {error.status} {error.message}".rstrip()) from error
    except aiohttp.ClientConnectorCertificateError as error:
        raise SourceUnavailable(f"{shown}: the server's certificate is not trusted: {error.certificate_error}") from error
    except aiohttp.ServerTimeoutError as error:
        raise SourceUnavailable(f"{shown}: no connection within {CONNECT_TIMEOUT_S:g} s") from error
    except (aiohttp.ClientError, ConnectionError) as error:
        raise SourceUnavailable(f"{shown}: {error or type(error).__name__}") from error


def status_failure(status: int, reason: str | None, shown: str, retry_after: str | None = None) -> LoadError:
    """The failure that an HTTP status of the source means."""
    message = f"{shown}: HTTP {status} {reason or ''}".rstrip()
    if status in (401, 403, 407):
        return AccessDenied(message, status=status)
    if status in (404, 410):
        return SourceNotFound(message, status=status)
    if retry_after is not None and retry_after.isdigit():
        return SourceUnavailable(message, status=status, retry_after_s=int(retry_after))
    return SourceUnavailable(message, status=status)
