"""Google Drive, as far as its downloads go: TLS servers with its names behind a CONNECT proxy, so that clients need no change.

Covers: small files, the confirmation form of large ones, quota, permission, sign-in and missing pages, a form that leads to
itself, ranges. Does not cover: folders, Google's own document types, cookies.

A client is led here by `environment`: HTTPS_PROXY and the CA of this double.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import ssl
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import trustme
from aiohttp import web

from tests.doubles.files import FileServer, Request, Served
from tests.doubles.program import serve
from tests.doubles.streams import close, connected, copy, join

HOSTS = ("drive.google.com", "docs.google.com", "drive.usercontent.google.com", "accounts.google.com")
KINDS = ("small", "confirm", "quota", "permission", "sign_in", "missing", "endless", "html", "broken")
QUOTA_WORDS = "Too many users have viewed or downloaded this file recently. Please try accessing the file again later."


@dataclass(frozen=True)
class DriveFile:
    """One file id: what it holds, how Drive treats it (one of KINDS), and the details of the server."""

    content: bytes
    kind: str = "confirm"
    served: Served = Served(b"")


class DriveDouble:
    """Serves `files[id]`; `requests` and `body_bytes` say what clients asked for and got."""

    def __init__(self, files: Mapping[str, DriveFile] | None = None, *, port: int = 0) -> None:
        self.files: dict[str, DriveFile] = dict(files or {})
        self.server = FileServer()  # only its way of sending: it listens nowhere
        self._port = port

    async def __aenter__(self) -> DriveDouble:
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="drive-double-")))
            self._site = await self._start_site(folder, stack)
            proxy = await asyncio.start_server(self._connect, "127.0.0.1", self._port)
            self._port = proxy.sockets[0].getsockname()[1]
            self._running: set[asyncio.Task[None]] = set()
            stack.push_async_callback(self._stop, proxy)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._stack.aclose()

    @property
    def requests(self) -> list[Request]:
        """Everything that was asked, in order."""
        return self.server.requests

    @property
    def body_bytes(self) -> int:
        """Bytes of files that were sent."""
        return self.server.body_bytes

    @property
    def address(self) -> tuple[str, int]:
        """Of the CONNECT proxy."""
        return "127.0.0.1", self._port

    @property
    def environment(self) -> dict[str, str]:
        """What leads a client here."""
        return environment_of(self._port, self.ca_bundle)

    def describe(self) -> dict[str, Any]:
        """See `tests.doubles.program.Double`."""
        return {"proxy": f"http://127.0.0.1:{self._port}", "ca_bundle": str(self.ca_bundle), "env": self.environment}

    def change(self, id: str, **differences: Any) -> None:
        """Treat a file differently from now on."""
        self.files[id] = replace(self.files[id], **differences)

    async def _start_site(self, folder: Path, stack: AsyncExitStack) -> tuple[str, int]:
        authority = trustme.CA()
        self.ca_bundle = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca_bundle))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(*HOSTS).configure_cert(context)
        app = web.Application()
        app.router.add_get("/uc", self._uc)
        app.router.add_get("/download", self._download)
        app.router.add_get("/{path:.*}", self._elsewhere)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        host, port = runner.addresses[0][:2]
        return str(host), int(port)

    async def _uc(self, request: web.Request) -> web.StreamResponse:
        file = self._asked(request)
        if file is None or file.kind == "missing":
            return _page("Error 404 (Not Found)!!1", "The requested URL was not found on this server.", status=404)
        if file.kind == "sign_in":
            return web.Response(status=302, headers={"Location": "https://accounts.google.com/v3/signin/identifier?continue=drive"})
        if file.kind == "permission":
            return _page("Google Drive: Access Denied", "You need access. Ask for it, or switch to an account with permission.", status=403)
        if file.kind == "broken":
            return web.Response(status=503, text="backend error")
        if file.kind == "quota":
            return _page("Google Drive - Quota exceeded", QUOTA_WORDS)
        if file.kind == "small":
            return await self._send(request, file)
        if file.kind == "html":
            return await self._send(request, replace(file, content=b"<!DOCTYPE html><html><title>not a model</title></html>"))
        action = "https://drive.google.com/uc" if file.kind == "endless" else "https://drive.usercontent.google.com/download"
        return _form(action, request.query["id"])

    async def _download(self, request: web.Request) -> web.StreamResponse:
        file = self._asked(request)
        if file is None or request.query.get("confirm") != "t" or "uuid" not in request.query:
            return _page("Error 404 (Not Found)!!1", "The requested URL was not found on this server.", status=404)
        return await self._send(request, file)

    async def _elsewhere(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(Request(request.method, request.path, dict(request.headers)))
        return web.Response(text="<html><title>Sign in - Google Accounts</title><input type=password></html>", content_type="text/html")

    async def _send(self, request: web.Request, file: DriveFile) -> web.StreamResponse:
        headers = {"Content-Disposition": 'attachment; filename="model.pkl"', **file.served.headers}
        return await self.server.send(request, replace(file.served, content=file.content, headers=headers))

    def _asked(self, request: web.Request) -> DriveFile | None:
        self.requests.append(Request(request.method, request.path_qs, dict(request.headers)))
        return self.files.get(request.query.get("id", ""))

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            method, target, _ = request.split(b"\r\n", 1)[0].decode().split(" ", 2)
            if method != "CONNECT" or target.rpartition(":")[0] not in HOSTS:
                writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
                return
            async with connected(self._site) as site:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await join((reader, writer), site, up=copy, down=copy)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            await close(writer)

    async def _stop(self, proxy: asyncio.Server) -> None:
        proxy.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await proxy.wait_closed()


def environment_of(port: int, ca_bundle: Path) -> dict[str, str]:
    """Variables that lead a client through a proxy at `port` of this machine, trusting `ca_bundle`."""
    proxy = f"http://127.0.0.1:{port}"
    return {"HTTPS_PROXY": proxy, "https_proxy": proxy, "REQUESTS_CA_BUNDLE": str(ca_bundle), "NO_PROXY": "127.0.0.1,localhost"}


def _form(action: str, id: str) -> web.Response:
    fields = {"id": id, "export": "download", "confirm": "t", "uuid": "0f1e2d3c"}
    inputs = "".join(f'<input type="hidden" name="{name}" value="{value}">' for name, value in fields.items())
    # On one line, as Drive sends it.
    form = f'<form id="download-form" action="{action}" method="get"><input type="submit" value="Download anyway"/>{inputs}</form>'
    caption = '<p class="uc-warning-caption">Google Drive can\'t scan this file for viruses.</p>'
    page = f"<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>{caption}{form}</body></html>"
    return web.Response(text=page, content_type="text/html")


def _page(title: str, words: str, status: int = 200) -> web.Response:
    page = f'<!DOCTYPE html><html><head><title>{title}</title></head><body>\n<p class="uc-error-subcaption">{words}</p>\n</body></html>'
    return web.Response(text=page, content_type="text/html", status=status)


def main() -> None:
    """Serve the files named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", action="append", default=[], metavar="ID=PATH[:KIND]", help=f"KIND is one of {', '.join(KINDS)}")
    parser.add_argument("--port", type=int, default=0, help="of the CONNECT proxy")
    options = parser.parse_args()
    files = {}
    for text in options.file:
        id, _, rest = text.partition("=")
        path, _, kind = rest.partition(":")
        files[id] = DriveFile(Path(path).read_bytes() if path else os.urandom(0), kind or "confirm")
    asyncio.run(serve(DriveDouble(files, port=options.port)))


if __name__ == "__main__":
    main()
