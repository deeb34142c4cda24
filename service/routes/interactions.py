"""POST /interactions: what users did, as it happens. 501 as long as nothing takes them."""

from __future__ import annotations

from aiohttp import web

from service.errors import NotImplementedHere
from service.routes.declared import Route, command, problem


async def append(request: web.Request) -> web.Response:
    """POST /interactions"""
    raise NotImplementedHere("This version keeps no interactions: train elsewhere, and serve the artifact.")


ROUTES: tuple[Route, ...] = (
    command(
        "POST",
        "/interactions",
        append,
        "Append interactions to train from",
        tag="training",
        answers={501: problem("This version keeps no interactions")},
    ),
)
