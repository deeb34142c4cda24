"""What describes this API: GET /openapi.json, and GET /docs for people, made from the same table."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from service.keys import DESCRIPTION
from service.replies import reply
from service.routes.declared import Answer, Route, get


async def description(request: web.Request) -> web.Response:
    """GET /openapi.json"""
    return reply(request.app[DESCRIPTION])


ROUTES: tuple[Route, ...] = (
    get(
        "/openapi.json",
        description,
        "This description of the API, as OpenAPI 3.1",
        tag="server",
        answers={200: Answer("The document", dict[str, Any])},
    ),
)
