"""Similar items: GET /models/{model}/similar/{item_id}.

Covers: the address. Does not cover: the parameters (`service.query_string`), how it is answered (`service.asking`).
"""

from __future__ import annotations

from aiohttp import web

from service.asking import ask
from service.keys import REGISTRY
from service.query_string import asked_similar, parameters_of
from service.routes.declared import Route, get


async def similar(request: web.Request) -> web.Response:
    """GET /models/{model}/similar/{item_id}"""
    name = request.match_info["model"]
    request.app[REGISTRY].view(name)  # a model nobody configured is 404, whatever the rest says
    return await ask(request, name, asked_similar(request.match_info["item_id"], parameters_of(request.query)))


ROUTES: tuple[Route, ...] = (get("/models/{model}/similar/{item_id}", similar, "Items like this one", tag="predict"),)
