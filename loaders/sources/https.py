"""Artifacts on web servers: conditional, resumable GET.

Covers: http and https; If-None-Match and If-Modified-Since to ask whether anything changed; Range with If-Range to go on.
Does not cover: writing the file (`loaders.sources.download`). A Content-Encoding that was not asked for is stored as sent.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import aiohttp

from config.schema import Settings
from loaders.errors import SourceUnavailable

from .address import redact
from .base import Fetched, Limits, Progress, Revision
from .checks import web_page
from .client import CONNECT_TIMEOUT_S, MAX_REDIRECTS, client_errors, open_session, status_failure
from .deadlines import total_deadline
from .download import Body, download
from .partial import Partial

_CONTENT_RANGE = re.compile(r"bytes (?P<first>\d+)-\d+/(?P<total>\d+|\*)")
_PROBE_TIMEOUT_S = 3 * CONNECT_TIMEOUT_S


class HttpsSource:
    """One URL."""

    def __init__(self, uri: str, settings: Settings) -> None:
        self._url = uri
        self.uri = redact(uri)

    def __repr__(self) -> str:
        return f"<HttpsSource {self.uri}>"

    async def probe(self) -> Revision:
        """What is current, by HEAD, or by a GET whose body is not read where HEAD is not allowed."""
        async with total_deadline(Limits(0, _PROBE_TIMEOUT_S, _PROBE_TIMEOUT_S), self.uri):
            with client_errors(self.uri):
                async with open_session({}) as session:
                    for method in ("HEAD", "GET"):
                        async with session.request(method, self._url, max_redirects=MAX_REDIRECTS) as response:
                            if method == "HEAD" and response.status in (403, 405, 501):
                                continue  # signed URLs are often good for GET only
                            self._refuse(response)
                            return Revision(revision_token(response.headers), _length(response.headers))
        raise SourceUnavailable(f"{self.uri}: gave no answer")

    async def fetch(self, into: Path, *, limits: Limits, on_progress: Progress, known: Revision | None = None) -> Fetched | None:
        """See `loaders.sources.base.Source.fetch`."""
        return await download(
            into, uri=self._url, shown=self.uri, limits=limits, on_progress=on_progress, known=known, open_body=self._open
        )

    def watch(self) -> None:
        """A web server cannot be watched."""

    @asynccontextmanager
    async def _open(self, partial: Partial | None, known: Revision | None) -> AsyncIterator[Body | None]:
        with client_errors(self.uri):
            async with open_session(_unless(known)) as session:
                for resumed in (partial, None) if partial else (None,):
                    async with session.get(self._url, headers=_range(resumed), max_redirects=MAX_REDIRECTS) as response:
                        if response.status == 304:
                            yield None
                            return
                        if resumed and not _goes_on(response, resumed):
                            continue  # changed, or shorter than it said: all of it, please
                        self._refuse(response)
                        body = _body(response, resumed)
                        # Servers that ignore If-None-Match exist.
                        yield None if known and known.token and known.token == body.revision.token else body
                        return

    def _refuse(self, response: aiohttp.ClientResponse) -> None:
        if response.status not in (200, 206):
            raise status_failure(response.status, response.reason, self.uri, response.headers.get("Retry-After"))
        if response.content_type in ("text/html", "application/xhtml+xml"):
            raise web_page(self.uri)


def revision_token(headers: Mapping[str, str]) -> str:
    """The revision that HTTP headers name: their ETag, else Last-Modified, else ""."""
    if headers.get("ETag"):
        return f"etag:{headers['ETag']}"
    if headers.get("Last-Modified"):
        return f"mtime:{headers['Last-Modified']}"
    return ""


def resume_token(headers: Mapping[str, str]) -> str:
    """The validator that If-Range takes: a strong ETag, or a Last-Modified that was over when the answer was made; else ""."""
    etag = headers.get("ETag", "")
    if etag:
        return "" if etag.startswith("W/") else etag
    modified, answered = headers.get("Last-Modified", ""), headers.get("Date", "")
    try:
        # Two revisions can share the second they were made in (RFC 9110, 8.8.2.2).
        is_strong = parsedate_to_datetime(answered) - parsedate_to_datetime(modified) >= timedelta(seconds=1)
    except (TypeError, ValueError):
        return ""
    return modified if is_strong else ""


def _unless(known: Revision | None) -> dict[str, str]:
    kind, _, value = known.token.partition(":") if known else ("", "", "")
    if kind == "etag":
        return {"If-None-Match": value}
    if kind == "mtime":
        return {"If-Modified-Since": value}
    return {}


def _range(partial: Partial | None) -> dict[str, str]:
    return {"Range": f"bytes={partial.size}-", "If-Range": partial.token} if partial else {}


def _goes_on(response: aiohttp.ClientResponse, partial: Partial) -> bool:
    """Whether a ranged answer can be used: the rest of the same revision, or (200) all of another. False: ask without a range."""
    if response.status == 200:
        return True
    if response.status != 206:
        return response.status not in (412, 416)
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if match is None or int(match["first"]) != partial.size:
        return False
    if partial.total is not None and match["total"] not in ("*", str(partial.total)):
        return False
    # Servers that ignore If-Range exist.
    return resume_token(response.headers) in ("", partial.token)


def _body(response: aiohttp.ClientResponse, resumed: Partial | None) -> Body:
    headers = response.headers
    offset = resumed.size if resumed and response.status == 206 else 0
    length = _length(headers)
    total = None if length is None else offset + length
    return Body(Revision(revision_token(headers), total), offset, total, resume_token(headers), response.content.iter_any())


def total_size(headers: Mapping[str, str]) -> int | None:
    """Size of the whole artifact that a whole or ranged answer announces."""
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if match is not None:
        return int(match["total"]) if match["total"] != "*" else None
    return _length(headers)


def _length(headers: Mapping[str, str]) -> int | None:
    value = headers.get("Content-Length", "")
    return int(value) if value.isdigit() else None
