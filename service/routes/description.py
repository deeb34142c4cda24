"""What describes this API: GET /openapi.json, and GET /docs for people, made from the same table.

Covers: how both are sent. Does not cover: the document (`service.openapi`), the page (`service.reference.html_page`), its style
sheets, which lie with those of the dashboard.
"""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from service.errors import InvalidField
from service.keys import DESCRIPTION
from service.reference.html_page import Places, page
from service.replies import reply
from service.routes.dashboard import HEADERS
from service.routes.declared import Answer, Parameter, Route, get

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""The page has no script; its one form asks for the page again."""
LONGEST_FILTER = 100
_HOST = re.compile(r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?", re.ASCII)


async def description(request: web.Request) -> web.Response:
    """GET /openapi.json"""
    return reply(request.app[DESCRIPTION])


async def docs(request: web.Request) -> web.Response:
    """GET /docs; a filter that is too long is 422."""
    wanted = request.query.get("q", "").strip()
    if len(wanted) > LONGEST_FILTER:
        raise InvalidField("q", f"at most {LONGEST_FILTER} characters")
    # Tens of milliseconds: too long for the event loop.
    text = await asyncio.to_thread(_page, request.app[DESCRIPTION], _places(request), wanted)
    headers = {**HEADERS, "Cache-Control": "no-store", "Content-Security-Policy": CONTENT_SECURITY_POLICY}
    return web.Response(text=text, content_type="text/html", headers=headers)


def _page(document: msgspec.Raw, places: Places, wanted: str) -> str:
    return page(msgspec.json.decode(document), places, wanted)


def _places(request: web.Request) -> Places:
    """Addresses relative to /docs, so that they hold behind a proxy that adds a prefix; curl lines call who was called for the page."""
    host = request.host if _HOST.fullmatch(request.host) else "127.0.0.1"
    return Places(
        base_url=f"{request.scheme}://{host}",
        styles=("dashboard/base.css", "dashboard/docs.css"),
        icon="dashboard/mark.svg",
        document="openapi.json",
        dashboard="./",
    )


ROUTES: tuple[Route, ...] = (
    get(
        "/openapi.json",
        description,
        "This description of the API, as OpenAPI 3.1",
        tag="server",
        answers={200: Answer("The document", dict[str, Any])},
    ),
    get(
        "/docs",
        docs,
        "This description of the API, for people",
        tag="server",
        description="One page without a script: every route with its parameters, body, answers and a curl line.",
        parameters=(Parameter("q", "query", Annotated[str, Meta(max_length=LONGEST_FILTER)], "Words that a route must have", "predict"),),
        answers={200: Answer("The page", media_type="text/html")},
    ),
)
