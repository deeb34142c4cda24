"""The one table of routes: what the application is built from, and what its description is made from.

Each file of this package declares the routes of one resource in its own `ROUTES`. To add one: write the handler in the file
of its resource and a line in that file's table; a new resource is a new file, and a line here.
"""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

from service.admin import guarded
from service.body import go_on_if_expected
from service.errors import InvalidField
from service.routes import (
    admin,
    dashboard,
    description,
    events,
    example,
    frontend,
    health,
    interactions,
    legacy,
    metrics,
    models,
    predict,
    similar,
    training,
    v2,
)
from service.routes.declared import Route

__all__ = ["ROUTES", "Route", "add_routes"]

ROUTES: tuple[Route, ...] = (
    *dashboard.ROUTES,
    *health.ROUTES,
    *models.ROUTES,
    *predict.ROUTES,
    *similar.ROUTES,
    *example.ROUTES,
    *frontend.ROUTES,
    *events.ROUTES,
    *metrics.ROUTES,
    *admin.ROUTES,
    *training.ROUTES,
    *interactions.ROUTES,
    *legacy.ROUTES,
    *v2.ROUTES,
    *description.ROUTES,
)


def add_routes(app: web.Application, routes: tuple[Route, ...] = ROUTES) -> None:
    """Put the table into the application; admin routes go behind the token, and what takes parameters takes no others."""
    for route in routes:
        asked = _taking(route.queried, route.handler) if route.queried else route.handler
        handler = guarded(asked, takes_ingest=route.takes_ingest) if route.admin else asked
        if route.method == "GET":
            app.router.add_get(route.pattern, handler)  # also answers HEAD
        else:
            app.router.add_route(route.method, route.pattern, handler, expect_handler=go_on_if_expected)


def _taking(names: frozenset[str], handler: Handler) -> Handler:
    """The handler, after a look at the names of the query: a misspelt `?force=true` must not be a command without force."""

    async def checked(request: web.Request) -> web.StreamResponse:
        for name in request.query:
            if name not in names:
                raise InvalidField(name, f"unknown parameter: it takes {', '.join(sorted(names))}")
        return await handler(request)

    return checked
