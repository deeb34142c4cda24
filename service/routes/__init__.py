"""The one table of routes: what the application is built from, and what its description is made from.

To add one: write the handler in the file of its resource, and a line here.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler

from service.admin import guarded
from service.routes import admin, health, index, models, predict, similar


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path. An `admin` route answers only to the admin token."""

    method: str
    path: str
    handler: Handler
    summary: str
    admin: bool = False


def _get(path: str, handler: Handler, summary: str) -> Route:
    return Route("GET", path, handler, summary)


def _command(method: str, path: str, handler: Handler, summary: str) -> Route:
    return Route(method, path, handler, summary, admin=True)


ROUTES: tuple[Route, ...] = (
    _get("/", index.index, "What this server is, and its routes"),
    _get("/health", health.health, "200 while the process lives, with every model's status"),
    _get("/health/live", health.live, "200 while the process lives"),
    _get("/health/ready", health.ready, "200 when every required model is live, else 503"),
    _get("/status", health.status, "Version, uptime, memory, workers and models"),
    _get("/models", models.list_models, "Every model's status"),
    _get("/models/status", models.list_models, "Every model's status"),
    _get("/models/{model}", models.show_model, "One model's status"),
    _get("/models/{model}/status", models.show_model, "One model's status"),
    Route("POST", "/models/{model}/predict", predict.predict, "Recommendations or predictions of one model"),
    _get("/models/{model}/similar/{item_id}", similar.similar, "Items like this one"),
    Route("POST", "/predict", predict.predict_default, "The same of the default model, or of the one the body names"),
    _get("/predict/status", predict.predict_status, "Whether POST /predict would be answered now"),
    _command("POST", "/models/{model}/load", admin.load, "Load a model"),
    _command("POST", "/models/{model}/unload", admin.unload, "Unload a model"),
    _command("POST", "/models/{model}/reload", admin.reload, "Ask the source again and load a new revision"),
    _command("POST", "/models/reload", admin.reload_all, "Load every model again"),
    _command("DELETE", "/models/clear", admin.clear_all, "Delete fetched artifacts and unused segments of all models"),
    _command("DELETE", "/models/{model}/cache", admin.clear, "Delete fetched artifacts and unused segments of one model"),
)


def add_routes(app: web.Application, routes: tuple[Route, ...] = ROUTES) -> None:
    """Put the table into the application; admin routes go behind the token."""
    for route in routes:
        handler = guarded(route.handler) if route.admin else route.handler
        path = route.path.replace("{item_id}", "{item_id:[^/]+}")  # by itself aiohttp's router takes no brace in a value
        if route.method == "GET":
            app.router.add_get(path, handler)  # also answers HEAD
        else:
            app.router.add_route(route.method, path, handler)
    app[index.ROUTE_LIST] = [{"method": r.method, "path": r.path, "summary": r.summary, "admin": r.admin} for r in routes]
