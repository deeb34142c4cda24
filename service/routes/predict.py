"""Recommendations and predictions: POST /models/{model}/predict, POST /predict, GET /predict/status.

Covers: which model a body is for. Does not cover: the fields of a body (`service.questions`), how it is answered (`service.asking`).
"""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web
from msgspec import UNSET

from service.asking import ask, default_model
from service.body import decode, read_body
from service.errors import NothingConfigured
from service.keys import REGISTRY
from service.questions import Asked, asked, decode_named_question, decode_question
from service.replies import reply
from service.routes.declared import Answer, Body, Parameter, Route, get, problem
from service.routes.implied import ASKING, PREFER
from service.schemas.answers import Batch, NothingToAsk, Predictions, Readiness, Recommendations
from service.schemas.problems import NotFoundProblem
from service.schemas.questions import NAMED_PREDICT_EXAMPLES, PREDICT_EXAMPLES, NamedPredictBody, PredictBody
from service.schemas.values import ModelName
from service.status import answer_for


async def predict(request: web.Request) -> web.Response:
    """POST /models/{model}/predict"""
    name = request.match_info["model"]
    request.app[REGISTRY].view(name)  # a model nobody configured is 404, whatever the body says
    return await ask(request, name, await read_body(request, _understood))


async def predict_default(request: web.Request) -> web.Response:
    """POST /predict"""
    name, question = await read_body(request, _understood_with_name)
    return await ask(request, default_model(request.app) if name is None else name, question)


async def predict_status(request: web.Request) -> web.Response:
    """GET /predict/status: whether POST /predict would be answered now."""
    now = time.time()
    try:
        name = request.query["model"] if "model" in request.query else default_model(request.app)
    except NothingConfigured as error:
        body: dict[str, Any] = {"status": "not_started", "model": None, "reason": error.detail}
    else:
        view = request.app[REGISTRY].view(name)
        body = {"model": name, "retry_after_s": answer_for(view.entry, now).retry_after_s, **view.to_json(now)}
    return reply(body)


def _understood(raw: bytes) -> Asked:
    return asked(decode(raw, decode_question))


def _understood_with_name(raw: bytes) -> tuple[str | None, Asked]:
    question = decode(raw, decode_named_question)
    return None if question.model is UNSET else question.model, asked(question)


_RECOMMENDED = {
    "model": "als",
    "version": "20261121T101500-3fa9c1",
    "user_id": 1,
    "items": [{"item_id": 512, "score": 0.81}, {"item_id": 498, "score": 0.64}],
}
_ANSWERS = {
    200: Answer(
        "The answer: items for `user_id` or `liked`, a result for each of `users`, predictions for `instances`",
        Recommendations | Batch | Predictions,
        example=_RECOMMENDED,
    ),
    **ASKING,
}

ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/models/{model}/predict",
        predict,
        "Recommendations or predictions of one model",
        tag="predict",
        parameters=(PREFER,),
        body=Body(PredictBody, PREDICT_EXAMPLES),
        answers=_ANSWERS,
    ),
    Route(
        "POST",
        "/predict",
        predict_default,
        "The same of the default model, or of the one the body names",
        tag="predict",
        parameters=(PREFER,),
        body=Body(NamedPredictBody, NAMED_PREDICT_EXAMPLES),
        answers=_ANSWERS,
    ),
    get(
        "/predict/status",
        predict_status,
        "Whether POST /predict would be answered now",
        tag="predict",
        parameters=(Parameter("model", "query", ModelName, "The model that is meant; without it, the default one", "als"),),
        answers={200: Answer("The state of that model", Readiness | NothingToAsk), 404: problem("No such model", NotFoundProblem)},
    ),
)
