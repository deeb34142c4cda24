"""Similar items: GET /models/{model}/similar/{item_id}.

Covers: the address. Does not cover: the parameters (`service.query_string`), how it is answered (`service.asking`).
"""

from __future__ import annotations

from aiohttp import web

from service.asking import ask
from service.keys import REGISTRY
from service.query_string import SimilarQuestion, asked_similar, parameters_of
from service.questions import SAID
from service.routes.declared import Answer, Route, get, query_of
from service.routes.implied import ASKING, PREFER
from service.schemas.answers import Recommendations


async def similar(request: web.Request) -> web.Response:
    """GET /models/{model}/similar/{item_id}"""
    name = request.match_info["model"]
    request.app[REGISTRY].view(name)  # a model nobody configured is 404, whatever the rest says
    return await ask(request, name, asked_similar(request.match_info["item_id"], parameters_of(request.query)))


_SIMILAR = {
    "model": "als",
    "version": "20261121T101500-3fa9c1",
    "item_id": 101,
    "items": [{"item_id": 512, "score": 0.93}, {"item_id": 498, "score": 0.88}],
}

ROUTES: tuple[Route, ...] = (
    get(
        "/models/{model}/similar/{item_id}",
        similar,
        "Items like this one",
        tag="predict",
        description="`exclude`, `only` and `fields` may be repeated or separated by commas, `categories` only repeated.",
        parameters=(*query_of(SimilarQuestion, SAID, {"k": 5}), PREFER),
        answers={200: Answer("Items, the most similar first", Recommendations, example=_SIMILAR), **ASKING},
    ),
)
