"""GET / and GET /dashboard/{file}: the dashboard, and the files that it is made of.

Covers: what a browser may do with the page (its headers), and caching. Does not cover: the files (`service.dashboard`), what
the page asks the server for (the other routes).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from aiohttp import web

from service.dashboard import FILES, INDEX, PageFile
from service.routes.declared import Answer, Parameter, Route, get, problem

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
"""Everything comes from this server, nothing is inline, and no text of a model can become markup (CSP level 3, Trusted Types)."""

HEADERS: Mapping[str, str] = MappingProxyType(
    {
        # Asked for again each time, and answered 304: a page must not be of two releases after an upgrade.
        "Cache-Control": "no-cache",
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "Server": "holdfast",
        "X-Content-Type-Options": "nosniff",
    }
)


async def index(request: web.Request) -> web.Response:
    """GET /"""
    return _answer(request, FILES[INDEX])


async def file(request: web.Request) -> web.Response:
    """GET /dashboard/{file}: one of a fixed table; another name is 404."""
    found = FILES.get(request.match_info["file"])
    if found is None:
        raise web.HTTPNotFound
    return _answer(request, found)


def _answer(request: web.Request, page: PageFile) -> web.Response:
    """The file, or 304 for a browser that has it (RFC 9110, 13.1.2)."""
    known = any(tag.value in (page.etag, "*") for tag in request.if_none_match or ())
    if known:
        response = web.Response(status=304, headers=HEADERS)
    else:
        response = web.Response(body=page.content, content_type=page.media_type, charset="utf-8", headers=HEADERS)
    response.etag = page.etag
    return response


_UNCHANGED = Answer("The browser has it already: its `If-None-Match` names this content", media_type=None)

ROUTES: tuple[Route, ...] = (
    get(
        "/",
        index,
        "The dashboard",
        tag="dashboard",
        answers={200: Answer("The page", media_type="text/html"), 304: _UNCHANGED},
    ),
    get(
        "/dashboard/{file}",
        file,
        "A file of the dashboard",
        tag="dashboard",
        parameters=(Parameter("file", "path", str, "Name of the file", "main.js", required=True),),
        answers={
            200: Answer(
                "The file; its media type is that of its name", media_type=tuple(sorted({page.media_type for page in FILES.values()}))
            ),
            304: _UNCHANGED,
            404: problem("There is no such file"),
        },
    ),
)
