"""GET /: what this server is, and its routes."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from service.replies import reply
from service.version import program_version

ROUTE_LIST = web.AppKey("route_list", list[dict[str, Any]])


async def index(request: web.Request) -> web.Response:
    """GET /"""
    routes: list[dict[str, Any]] = request.app[ROUTE_LIST]
    return reply({"name": "holdfast", "version": program_version(), "routes": routes})
