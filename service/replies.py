"""JSON answers, encoded once, never cached by anyone in between."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from aiohttp import web

from loaders.told import whole

_encoder = msgspec.json.Encoder()


def reply(
    body: object, status: int = 200, headers: Mapping[str, str] | None = None, *, content_type: str = "application/json"
) -> web.Response:
    """A JSON response."""
    sent = {"Cache-Control": "no-store", "Server": "holdfast", **(headers or {})}
    return web.Response(status=status, body=_encoded(body), content_type=content_type, headers=sent)


def _encoded(body: object) -> bytes:
    try:
        return _encoder.encode(body)
    except UnicodeEncodeError:  # the name of a file, say, that is no UTF-8
        return _encoder.encode(whole(body))
