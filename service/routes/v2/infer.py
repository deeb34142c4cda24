"""POST /v2/models/{model}/infer, with or without a version.

Covers: one question in tensors, as JSON or with the bytes of tensors after it. Does not cover: messages (`message`), which
tensors a model has (`tensors`), how an answer is come by (`service.asking`).

Source: kserve/open-inference-protocol, inference_rest; triton-inference-server/server, extension_binary_data.
"""

from __future__ import annotations

import time
from functools import partial

from aiohttp import web

from models.base import AnswerFailed, RequestError
from models.forms import Form
from service.answers import Answering
from service.asking import put
from service.body import read_body
from service.errors import InvalidField, answer_failed
from service.jobs import Answer
from service.keys import CALLS, REGISTRY
from service.lifecycle.view import NotReady
from service.questions import Asked
from service.routes.declared import Answer as Declared
from service.routes.declared import Body, Route
from service.routes.implied import RETRY_AFTER, RETRY_AFTER_IF_ANY
from service.routes.v2.message import HEADER_LENGTH, Inference, compressed, response_of
from service.routes.v2.tensors import as_written, read_inference, serving, tensors_of
from service.routes.v2.versions import require_version
from service.schemas.problems import InferenceError
from service.schemas.v2 import InferenceRequest, InferenceResponse
from service.status import HTTP_OF
from service.telemetry.calls import Outcome


async def infer(request: web.Request) -> web.Response:
    """POST /v2/models/{model}/infer"""
    app, name = request.app, request.match_info["model"]
    form = _form(request, name)
    read = partial(_read, form, request.headers.get(HEADER_LENGTH))
    inference, asked, took_ns = await read_body(request, read)
    if inference.model not in (None, name):
        raise InvalidField("model_name", f"is {inference.model!r}, the address names {name}")

    def write(who: Answering, answer: Answer) -> web.Response:
        require_version(request, who.version)
        parts = {f"version_of_{part}": version for part, version in who.parts.items()}
        return response_of(who.model, who.version, inference, tensors_of(form, answer), parts)

    try:
        return compressed(await put(app, name, asked, write, input_ns=took_ns))
    except RequestError as error:
        raise as_written(form, inference, error) from error
    except AnswerFailed as error:
        return answer_failed(error, app[REGISTRY].view(name), time.time())


def _form(request: web.Request, name: str) -> Form:
    """What the model takes; a call that finds it not ready is counted as one. Raises UnknownModel, NotReady, UnknownVersion."""
    app = request.app
    try:
        found = serving(app, name, demand=True)
    except NotReady as error:
        outcome = Outcome.LOADING if HTTP_OF[error.view.status] == 202 else Outcome.UNAVAILABLE
        app[CALLS].end(app[CALLS].begin(name), outcome)
        raise
    require_version(request, found.version)
    return found.form


def _read(form: Form, header_length: str | None, raw: bytes) -> tuple[Inference, Asked, int]:
    """The request, what it asks, and the nanoseconds that reading it took."""
    began_ns = time.monotonic_ns()
    inference, asked = read_inference(form, header_length, raw)
    return inference, asked, time.monotonic_ns() - began_ns


_DESCRIPTION = f"""\
A model's metadata names its inputs and outputs. Elements travel as JSON, or, after the JSON, as bytes (the extension
`binary_tensor_data`): the header `{HEADER_LENGTH}` then says where the JSON ends.

Estimators take `input`, or an input a feature, and give `predictions` and, where they have any, `probabilities`.
Recommenders take `user_id` or `liked`, and may take `k`, `exclude`, `only` and `categories`; `k`, `exclude_seen` and `diversity`
may also be parameters of the request. They give `item_id` and `score`, as wide as the longest ranking, with the length of
each in `count`: what is beyond it is filled with -1 (or empty text) and NaN. A user who is not in the model has a count of 0
and is not `known`; where no user is known, that is a 404."""
_TO_RECOMMENDER = {
    "id": "42",
    "inputs": [{"name": "user_id", "datatype": "INT64", "shape": [2], "data": [1, 2]}],
    "parameters": {"k": 2},
    "outputs": [{"name": "item_id"}, {"name": "count"}],
}
_TO_ESTIMATOR = {"inputs": [{"name": "input", "datatype": "FP64", "shape": [2, 2], "data": [[5.1, 3.5], [6.2, 2.9]]}]}
_RECOMMENDED = {
    "model_name": "als",
    "model_version": "20261121T101500-3fa9c1",
    "id": "42",
    "outputs": [
        {"name": "item_id", "datatype": "INT64", "shape": [2, 2], "data": [512, 498, 77, -1]},
        {"name": "count", "datatype": "INT64", "shape": [2], "data": [2, 1]},
    ],
}
_BODY = Body(InferenceRequest, {"recommender": _TO_RECOMMENDER, "estimator": _TO_ESTIMATOR})
_ANSWERS = {
    200: Declared("The tensors that were asked for", InferenceResponse, example=_RECOMMENDED),
    400: Declared("The body is no request, or the model does not take these tensors", InferenceError),
    404: Declared("No such model, it does not serve this version, or whom it is asked for is not in it", InferenceError),
    429: Declared("The model has as many calls as it can answer soon", InferenceError, headers={"Retry-After": RETRY_AFTER}),
    503: Declared("The model is not ready, or could not answer this call", InferenceError, headers={"Retry-After": RETRY_AFTER_IF_ANY}),
    504: Declared("The answer took longer than the model's `request_timeout`", InferenceError),
}

ROUTES: tuple[Route, ...] = tuple(
    Route("POST", path, infer, summary, tag="v2", dialect="v2", description=_DESCRIPTION, body=_BODY, answers=_ANSWERS)
    for path, summary in (
        ("/v2/models/{model}/infer", "Predictions or recommendations in tensors"),
        ("/v2/models/{model}/versions/{version}/infer", "The same of a version that must be the one that serves"),
    )
)
