"""JSON answers, encoded once, never cached by anyone in between."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from service.encoding import encoded


def reply(
    body: object, status: int = 200, headers: Mapping[str, str] | None = None, *, content_type: str = "application/json"
) -> web.Response:
    """A JSON response."""
    sent = {"Cache-Control": "no-store", "Server": "holdfast", **(headers or {})}
    return web.Response(status=status, body=encoded(body), content_type=content_type, headers=sent)
