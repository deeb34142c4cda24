"""A web server of files: ETag, Last-Modified, Range, If-Range, conditional GET; and the ways such servers differ or fail.

Covers: what a server decides. Does not cover: what happens to the bytes on their way (`tests.doubles.faults`).
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from pathlib import Path
from types import TracebackType
from typing import Any

from aiohttp import web

from tests.doubles.program import serve

CHUNK_BYTES = 64 << 10
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass(frozen=True)
class Served:
    """What lies at one path, and how the server treats it."""

    content: bytes
    content_type: str = "application/octet-stream"
    status: int = 200
    modified_at: float = 1_700_000_000.0
    etag: str | None = None
    """None: the digest of the content. "": none is sent."""
    sends_modified: bool = True
    takes_ranges: bool = True
    minds_if_range: bool = True
    minds_conditions: bool = True
    minds_head: bool = True
    is_chunked: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    redirects_to: str = ""

    @property
    def validators(self) -> dict[str, str]:
        found = {}
        etag = f'"{hashlib.md5(self.content).hexdigest()}"' if self.etag is None else self.etag
        if etag:
            found["ETag"] = etag
        if self.sends_modified:
            found["Last-Modified"] = formatdate(self.modified_at, usegmt=True)
        return found


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]


class FileServer:
    """Serves `files[path]`; `requests` and `body_bytes` say what clients asked for and got."""

    def __init__(self, files: Mapping[str, Served] | None = None, *, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.files: dict[str, Served] = dict(files or {})
        self.requests: list[Request] = []
        self.body_bytes = 0
        self._host, self._port, self._tls = "127.0.0.1", port, tls

    async def __aenter__(self) -> FileServer:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port, ssl_context=self._tls).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Of the root, without a slash at its end."""
        return f"{'https' if self._tls else 'http'}://{self._host}:{self._port}"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self._host, self._port

    def describe(self) -> dict[str, Any]:
        """See `tests.doubles.program.Double`."""
        return {"url": self.url, "files": {path: f"{self.url}{path}" for path in self.files}, "env": {}}

    def change(self, path: str, **differences: Any) -> None:
        """Serve `path` differently from now on."""
        self.files[path] = replace(self.files[path], **differences)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(Request(request.method, request.path, dict(request.headers)))
        served = self.files.get(request.path)
        if served is None:
            return web.Response(status=404, text="no such file")
        if request.method == "HEAD" and not served.minds_head:
            return web.Response(status=405)
        if served.redirects_to:
            return web.Response(status=302, headers={"Location": served.redirects_to})
        if served.status != 200:
            return web.Response(status=served.status, headers=served.headers, text=f"refused with {served.status}")
        return await self.send(request, served)

    async def send(self, request: web.Request, served: Served) -> web.StreamResponse:
        """Answer with the content, or the part that was asked for, or 304."""
        headers = {**served.validators, "Content-Type": served.content_type, **served.headers}
        if served.takes_ranges:
            headers["Accept-Ranges"] = "bytes"
        if served.minds_conditions and _is_unchanged(request, served.validators):
            return web.Response(status=304, headers=served.validators)
        content, status = served.content, 200
        asked = _RANGE.fullmatch(request.headers.get("Range", ""))
        condition = request.headers.get("If-Range")
        holds = condition is None or not served.minds_if_range or condition in served.validators.values()
        if asked and served.takes_ranges and holds:
            first = int(asked[1])
            last = min(int(asked[2] or len(content) - 1), len(content) - 1)
            if first >= len(content):
                return web.Response(status=416, headers={"Content-Range": f"bytes */{len(content)}"})
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            content, status = content[first : last + 1], 206
        response = web.StreamResponse(status=status, headers=headers)
        if served.is_chunked:
            response.enable_chunked_encoding()
        else:
            response.content_length = len(content)
        await response.prepare(request)
        if request.method != "HEAD":
            for start in range(0, len(content), CHUNK_BYTES):
                chunk = content[start : start + CHUNK_BYTES]
                await response.write(chunk)
                self.body_bytes += len(chunk)
        await response.write_eof()
        return response


def _is_unchanged(request: web.Request, validators: Mapping[str, str]) -> bool:
    if "If-None-Match" in request.headers:
        return request.headers["If-None-Match"] == validators.get("ETag")
    return "If-Modified-Since" in request.headers and request.headers["If-Modified-Since"] == validators.get("Last-Modified")


def main() -> None:
    """Serve the files named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="served at /NAME")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--status", type=int, default=200, help="answer everything with this status")
    parser.add_argument("--html", action="store_true", help="answer with a web page")
    options = parser.parse_args()
    files = {f"/{path.name}": Served(path.read_bytes(), status=options.status) for path in options.files}
    if options.html:
        files = {path: Served(b"<!DOCTYPE html><title>Welcome</title>", "text/html", options.status) for path in files}
    asyncio.run(serve(FileServer(files, port=options.port)))


if __name__ == "__main__":
    main()
