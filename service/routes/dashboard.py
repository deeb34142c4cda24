"""GET /: the dashboard, and the files that it is made of."""

from __future__ import annotations

from aiohttp import web

from service.replies import reply
from service.routes.declared import Route, get
from service.version import program_version


async def index(request: web.Request) -> web.Response:
    """GET /"""
    return reply({"name": "holdfast", "version": program_version()})


ROUTES: tuple[Route, ...] = (get("/", index, "The dashboard", tag="server"),)
