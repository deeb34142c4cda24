"""GET /api/frontend/recommendations: recommendations by query string alone.

Covers: which model an algorithm's name means here. Does not cover: the parameters (`service.query_string`), how it is answered
(`service.asking`).
"""

from __future__ import annotations

from aiohttp import web

from service.algorithms import KINDS, model_of, possible_model
from service.asking import ask, default_model
from service.errors import InvalidField, UnknownAlgorithm
from service.keys import REGISTRY, SETTINGS
from service.query_string import RecommendationsQuestion, asked_recommendations, parameters_of
from service.questions import SAID
from service.routes.declared import Answer, Route, get, query_of
from service.routes.implied import ASKING, PREFER
from service.schemas.answers import Recommendations


async def recommendations(request: web.Request) -> web.Response:
    """GET /api/frontend/recommendations"""
    algorithm, question = asked_recommendations(parameters_of(request.query))
    return await ask(request, _model(request, algorithm), question)


def _model(request: web.Request, algorithm: str) -> str:
    """Raises UnknownAlgorithm; NotReady while nobody can say yet which model is of that kind."""
    registry, default = request.app[REGISTRY], request.app[SETTINGS].server.default_model
    if not algorithm:
        try:
            return default_model(request.app)
        except InvalidField as error:
            raise InvalidField("algorithm", error.detail) from error
    views = registry.snapshot()
    chosen = model_of(algorithm, views, default)
    if chosen is not None:
        return chosen.name
    possible = possible_model(algorithm, views)
    if possible is None:
        names = [view.name for view in views]
        kinds = [f"{kind} ({found.name})" for kind in KINDS if kind not in names and (found := model_of(kind, views, default))]
        there = ", ".join([*names, *kinds]) or "none: no model is configured"
        raise UnknownAlgorithm(f"No model is {algorithm!r}, or of that kind. There are {there}.", field="algorithm", models=names)
    # Not put to it with a wait: once loaded it may be of another kind, and would answer what it was not asked.
    registry.acquire(possible.name).close()
    return possible.name


_SAID = {
    **SAID,
    "user_id": 'Whom it is for, read in the kind of the model\'s ids; where both 1 and "1" are users, the number is meant',
    "algorithm": f"Name of a model, or a kind of models: {', '.join(KINDS)}; without it, the default model",
}
_RECOMMENDED = {
    "model": "als",
    "version": "20261121T101500-3fa9c1",
    "user_id": 1,
    "items": [{"item_id": 512, "score": 0.81}, {"item_id": 498, "score": 0.64}],
}

ROUTES: tuple[Route, ...] = (
    get(
        "/api/frontend/recommendations",
        recommendations,
        "Recommendations by query string alone",
        tag="drop-in",
        description="`liked`, `exclude`, `only` and `fields` may be repeated or separated by commas, `categories` only repeated."
        " A model that knows no users answers to `liked` instead of `user_id`; a hybrid takes both.",
        parameters=(*query_of(RecommendationsQuestion, _SAID, {"user_id": "1", "k": 5}), PREFER),
        answers={200: Answer("Items, best first", Recommendations, example=_RECOMMENDED), **ASKING},
    ),
)
