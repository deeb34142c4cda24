"""Artifacts on Google Drive, shared with anyone who has the link. gdown downloads; what it does not watch over is done here.

Covers: a confirmation page that leads to itself, quota and permission pages, the two clocks, asking whether anything
changed. Does not cover: files that need a sign-in, folders, Google's own document types.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp

from config.schema import Settings
from loaders.errors import DiskFull, NotAModel, SourceUnavailable, TooLarge

from .address import drive_id
from .base import Fetched, Limits, Progress, Revision
from .checks import check_size, check_whole, store_errors
from .client import MAX_REDIRECTS, client_errors, open_session, status_failure
from .deadlines import stall_deadline, total_deadline
from .download import settle
from .drive_download import DriveDownload
from .drive_pages import confirmation_url, refusal
from .https import resume_token, revision_token, total_size
from .partial import discard
from .threads import on_own_thread, to_the_end

_MAX_PAGES = 5
_PAGE_BYTES = 1 << 20
_PROBE_TIMEOUT_S = 30.0
# gdown tells of progress once in 512 KiB: on a slow line its socket timeout is the finer clock, this one ends circles.
_CHUNK_ALLOWANCE_S = 30.0


@dataclass(frozen=True, slots=True)
class _Current:
    """What Drive would send now, and the validator to resume it by ("" if none)."""

    revision: Revision
    token: str


class DriveSource:
    """One shared file."""

    def __init__(self, uri: str, settings: Settings) -> None:
        self._id = drive_id(uri)
        self.uri = f"gdrive://{self._id}"

    def __repr__(self) -> str:
        return f"<DriveSource {self.uri}>"

    async def probe(self) -> Revision:
        """What is current, by asking for one byte."""
        async with total_deadline(Limits(0, _PROBE_TIMEOUT_S, _PROBE_TIMEOUT_S), self.uri):
            return (await self._ask()).revision

    async def fetch(self, into: Path, *, limits: Limits, on_progress: Progress, known: Revision | None = None) -> Fetched | None:
        """See `loaders.sources.base.Source.fetch`."""
        async with total_deadline(limits, self.uri):
            async with stall_deadline(limits, self.uri):
                current = await self._ask()
            if known is not None and known.token and known.token == current.revision.token:
                return None
            try:
                fetched = await self._download(into, current, limits, on_progress)
            except (NotAModel, TooLarge, DiskFull):
                await self._discard(into)
                raise
            if known is not None and known.token == fetched.revision.token:
                await self._discard(into)
                return None
            with store_errors(into):
                await to_the_end(asyncio.to_thread(settle, into))
            return fetched

    def watch(self) -> None:
        """Drive cannot be watched."""

    async def _download(self, into: Path, current: _Current, limits: Limits, on_progress: Progress) -> Fetched:
        total = current.revision.size
        if total is not None:
            check_size(total, limits, self.uri)
        loop = asyncio.get_running_loop()
        async with stall_deadline(replace(limits, stall_timeout_s=limits.stall_timeout_s + _CHUNK_ALLOWANCE_S), self.uri) as beat:

            def arrived(done: int, total: int | None) -> None:
                beat()
                on_progress(done, total)

            def on_bytes(done: int, total: int | None) -> None:
                loop.call_soon_threadsafe(arrived, done, total)

            job = DriveDownload(self._id, self.uri, into, current.token, total, limits, on_bytes)
            sha256, size, is_resumed = await on_own_thread(job.run, name="fetch-gdrive")
        if is_resumed:
            # gdown resumes by the validator it finds when it asks, not by the one that the first part had.
            async with stall_deadline(limits, self.uri):
                after = await self._ask()
            if after.token != current.token:
                await self._discard(into)
                raise SourceUnavailable(f"{self.uri}: changed while it was downloaded")
        on_progress(size, size)
        token = current.revision.token or f"sha256:{sha256}"
        return Fetched(path=into, size=size, sha256=sha256, revision=Revision(token, size))

    async def _ask(self) -> _Current:
        """Ask as gdown does, for one byte, through a bounded number of confirmation pages. Raises LoadError."""
        url = f"https://drive.google.com/uc?id={self._id}"
        with client_errors(self.uri):
            async with open_session({"Range": "bytes=0-0"}) as session:
                for _ in range(_MAX_PAGES):
                    async with session.get(url, max_redirects=MAX_REDIRECTS) as response:
                        if response.status in (200, 206) and "Content-Disposition" in response.headers:
                            headers = response.headers
                            return _Current(Revision(revision_token(headers), total_size(headers)), resume_token(headers))
                        found = await self._next_page(response)
                    if found is None:
                        return _Current(Revision(""), "")  # a page nobody knows: gdown may
                    url = found
        raise SourceUnavailable(f"{self.uri}: Google Drive's confirmation pages lead in a circle")

    async def _next_page(self, response: aiohttp.ClientResponse) -> str | None:
        """Where a page that came instead of the file leads; None if nowhere known. Raises the LoadError that the page means."""
        if response.status == 416:
            check_whole(0, None, self.uri)  # not even one byte
        if response.status < 400 and response.content_type != "text/html":
            raise SourceUnavailable(f"{self.uri}: Google Drive sent something that is neither the file nor a page")
        html = (await _read_at_most(response, _PAGE_BYTES)).decode("utf-8", "replace")
        page_url = str(response.url)
        leads_to = confirmation_url(html, page_url) if response.status < 400 else None
        if leads_to is not None:
            return leads_to
        failure = refusal(html, page_url, self.uri, response.status)
        if failure is None and response.status >= 400:
            failure = status_failure(response.status, response.reason, self.uri, response.headers.get("Retry-After"))
        if failure is not None:
            raise failure
        return None

    async def _discard(self, into: Path) -> None:
        with store_errors(into):
            await to_the_end(asyncio.to_thread(discard, into))


async def _read_at_most(response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    received = bytearray()
    async for chunk in response.content.iter_any():
        received += chunk
        if len(received) >= limit_bytes:
            break
    return bytes(received[:limit_bytes])
