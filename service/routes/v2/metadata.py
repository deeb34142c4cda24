"""GET /v2/models/{model}, its /ready and its /config, with or without a version: what a model takes and gives.

Covers: a model that serves; one that does not is a 503 that says why, and asking for these never loads one. Does not cover:
which tensors those are (`tensors`).

Source: kserve/open-inference-protocol, inference_rest; triton-inference-server/server, extension_model_configuration.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from service.replies import reply
from service.routes.declared import Answer, Route, get
from service.routes.implied import RETRY_AFTER_IF_ANY
from service.routes.v2.datatypes import BYTES
from service.routes.v2.tensors import Serving, metadata_of, serving
from service.routes.v2.versions import require_version
from service.schemas.problems import InferenceError
from service.schemas.v2 import ModelConfiguration, ModelMetadata, ModelReady, TensorMetadata


async def metadata(request: web.Request) -> web.Response:
    """GET /v2/models/{model}"""
    name, found = _asked(request)
    inputs, outputs = metadata_of(found.form)
    return reply({"name": name, "versions": [found.version], "platform": _platform(found), "inputs": inputs, "outputs": outputs})


async def model_ready(request: web.Request) -> web.Response:
    """GET /v2/models/{model}/ready"""
    name, _ = _asked(request)
    return reply({"name": name, "ready": True})


async def configuration(request: web.Request) -> web.Response:
    """GET /v2/models/{model}/config"""
    name, found = _asked(request)
    inputs, outputs = metadata_of(found.form)
    body = {
        "name": name,
        "platform": _platform(found),
        "backend": "",
        "max_batch_size": 0,
        "input": [{**_configured(each), "optional": _is_optional(each)} for each in inputs],
        "output": [_configured(each) for each in outputs],
    }
    return reply(body)


def _asked(request: web.Request) -> tuple[str, Serving]:
    """The model of the address and what serves. Raises UnknownModel, NotReady, UnknownVersion."""
    name = request.match_info["model"]
    found = serving(request.app, name)
    require_version(request, found.version)
    return name, found


def _platform(found: Serving) -> str:
    return f"holdfast_{found.family}"


def _configured(tensor: TensorMetadata) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "data_type": "TYPE_STRING" if tensor.datatype == BYTES else f"TYPE_{tensor.datatype}",
        "dims": tensor.shape,
    }


def _is_optional(tensor: TensorMetadata) -> bool:
    return isinstance(tensor.parameters, dict) and tensor.parameters.get("optional") is True


_SHOWN = {
    "name": "als",
    "versions": ["20261121T101500-3fa9c1"],
    "platform": "holdfast_factors",
    "inputs": [
        {"name": "user_id", "datatype": "INT64", "shape": [-1]},
        {"name": "k", "datatype": "INT64", "shape": [1], "parameters": {"optional": True}},
    ],
    "outputs": [{"name": "item_id", "datatype": "INT64", "shape": [-1, -1]}, {"name": "score", "datatype": "FP64", "shape": [-1, -1]}],
}
_CONFIGURED = {
    "name": "iris",
    "platform": "holdfast_trees",
    "backend": "",
    "max_batch_size": 0,
    "input": [{"name": "input", "data_type": "TYPE_FP64", "dims": [-1, 4], "optional": False}],
    "output": [{"name": "predictions", "data_type": "TYPE_INT64", "dims": [-1]}],
}
_RESOURCES: tuple[tuple[str, Handler, str, Answer], ...] = (
    ("", metadata, "Inputs and outputs of a model", Answer("What it takes and gives", ModelMetadata, example=_SHOWN)),
    (
        "/ready",
        model_ready,
        "200 when a model can be asked, else 503",
        Answer("It serves", ModelReady, example={"name": "als", "ready": True}),
    ),
    (
        "/config",
        configuration,
        "The same as Triton's model configuration",
        Answer("Its configuration", ModelConfiguration, example=_CONFIGURED),
    ),
)
_FAILURES = {
    404: Answer("No such model, or it does not serve this version", InferenceError),
    503: Answer("The model is not ready", InferenceError, headers={"Retry-After": RETRY_AFTER_IF_ANY}),
}

ROUTES: tuple[Route, ...] = tuple(
    get(f"/v2/models/{{model}}{version}{path}", handler, summary + told, tag="v2", dialect="v2", answers={200: answer, **_FAILURES})
    for path, handler, summary, answer in _RESOURCES
    for version, told in (("", ""), ("/versions/{version}", ", of a version that must be the one that serves"))
)
