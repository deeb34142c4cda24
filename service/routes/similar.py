"""Similar items: GET /models/{model}/similar/{item_id}.

Covers: the address. Does not cover: the parameters (`service.questions`), how it is answered (`service.asking`).
"""

from __future__ import annotations

from aiohttp import web

from service.asking import ask
from service.keys import REGISTRY
from service.questions import asked_similar
from service.routes.declared import Route, get


async def similar(request: web.Request) -> web.Response:
    """GET /models/{model}/similar/{item_id}"""
    name = request.match_info["model"]
    request.app[REGISTRY].view(name)  # a model nobody configured is 404, whatever the rest says
    parameters = {key: request.query.getall(key) for key in request.query}
    return await ask(request, name, asked_similar(request.match_info["item_id"], parameters))


ROUTES: tuple[Route, ...] = (get("/models/{model}/similar/{item_id}", similar, "Items like this one", tag="predict"),)
