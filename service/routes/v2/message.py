"""An inference request and its response as they travel: JSON, then the bytes of the tensors that are not in it.

Covers: which tensors are where, the response's compression, request parameters that every model takes. Does not cover: elements
(`json_data`, `binary_data`), what a model makes of tensors (`rows`, `rankings`).

NaN stands for null, as tritonclient and others write it. Unknown members of the JSON are refused by name, and so are parameters
that would change an answer if they were known here. Those of other servers that mean nothing to a model without state are
passed over (`_PASSED_OVER`).

Source: kserve/open-inference-protocol, inference_rest; triton-inference-server/server, extension_binary_data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from service.body import decode
from service.errors import InvalidField, MalformedBody
from service.replies import reply
from service.routes.v2.binary_data import read_binary, write_binary
from service.routes.v2.datatypes import Tensor
from service.routes.v2.json_data import read_json, write_json
from service.schemas.v2 import InferenceRequest, InputTensor

HEADER_LENGTH = "Inference-Header-Content-Length"
_SIZE, _BINARY, _ALL_BINARY = "binary_data_size", "binary_data", "binary_data_output"
_PASSED_OVER = frozenset(
    (
        "content_type",
        "headers",
        "priority",
        "timeout",
        "sequence_id",
        "sequence_start",
        "sequence_end",
        "triton_enable_empty_final_response",
    )
)
_NAN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|NaN', re.DOTALL)
"""A string, or what clients write for null though it is no JSON; it never looks at a byte twice."""
_COMPRESSED_FROM = 1 << 10
"""Shorter answers fit into one packet as they are."""

_decode_request = msgspec.json.Decoder(InferenceRequest).decode


@dataclass(frozen=True, slots=True)
class Inference:
    """A request, read. parameters: those that are for the model. outputs: name -> whether as bytes; None for all of them."""

    inputs: Mapping[str, Tensor]
    parameters: Mapping[str, Any]
    id: str | None = None
    model: str | None = None
    """As the request itself names it."""
    outputs: Mapping[str, bool] | None = None
    is_binary: bool = False
    """How outputs that are not named are sent."""

    def chosen(self, tensors: Sequence[Tensor]) -> list[tuple[Tensor, bool]]:
        """Those that were asked for, in that order, each with whether as bytes. Raises InvalidField for one that is not there."""
        if self.outputs is None:
            return [(each, self.is_binary) for each in tensors]
        there = {each.name: each for each in tensors}
        require_known("outputs", self.outputs, there)
        return [(there[name], is_binary) for name, is_binary in self.outputs.items()]


def read_request(raw: bytes, header_length: str | None) -> Inference:
    """The request of a body; `header_length` is the header of that name, None without one. Raises MalformedBody, InvalidField."""
    length = len(raw) if header_length is None else _length(header_length, len(raw))
    request = _decoded(raw if length == len(raw) else raw[:length])
    parameters = dict(request.parameters or {})
    is_binary = _flag("parameters", _ALL_BINARY, parameters)
    return Inference(
        _inputs(request.inputs, memoryview(raw)[length:]),
        {name: value for name, value in parameters.items() if name not in _PASSED_OVER},
        request.id,
        request.model_name,
        _outputs(request, is_binary=is_binary),
        is_binary,
    )


def response_of(model: str, version: str, asked: Inference, tensors: Sequence[Tensor], parameters: Mapping[str, str]) -> web.Response:
    """The 200 with the tensors that were asked for. Raises InvalidField for one that is not among them."""
    outputs: list[dict[str, Any]] = []
    binary: list[bytes] = []
    for tensor, is_binary in asked.chosen(tensors):
        told: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        if is_binary:
            binary.append(write_binary(tensor))
            told["parameters"] = {_SIZE: len(binary[-1])}
        else:
            told["data"] = write_json(tensor)
        outputs.append(told)
    body: dict[str, Any] = {"model_name": model, "model_version": version}
    if asked.id is not None:
        body["id"] = asked.id
    if parameters:
        body["parameters"] = parameters
    response = reply({**body, "outputs": outputs})
    if binary:
        header = bytes(response.body)  # type: ignore[arg-type]
        sent = {HEADER_LENGTH: str(len(header)), "Cache-Control": "no-store", "Server": "holdfast"}
        response = web.Response(body=b"".join((header, *binary)), content_type="application/octet-stream", headers=sent)
    return response


def compressed(response: web.Response) -> web.Response:
    """The response, to be compressed as the client's Accept-Encoding has it, where that is worth it.

    Inference-Header-Content-Length counts what was not compressed. What is long is compressed in a thread.
    """
    if response.content_length is not None and response.content_length >= _COMPRESSED_FROM:
        response.enable_compression()
    return response


def require_known(what: str, names: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Raises InvalidField naming the first of `names` that is not known, and those that are."""
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        there = f"there are {', '.join(known)}" if known else "there are none"
        raise InvalidField(what, f"{unknown!r} is unknown: {there}")


def _decoded(header: bytes) -> InferenceRequest:
    try:
        return decode(header, _decode_request)
    except MalformedBody:
        if b"NaN" not in header:
            raise
        return decode(_NAN.sub(lambda found: b"null" if found[0] == b"NaN" else found[0], header), _decode_request)


def _length(text: str, available: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= available):
        raise InvalidField(HEADER_LENGTH, f"expected the bytes of the JSON, 0 to {available}, got {text[:40]!r}")
    return int(text)


def _inputs(told: Sequence[InputTensor], binary: memoryview) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    position = 0
    for at, each in enumerate(told):
        if each.name in found:
            raise InvalidField(f"inputs[{at}].name", f"{each.name!r} is there twice")
        parameters = dict(each.parameters or {})
        require_known(f"inputs[{at}].parameters", parameters, {_SIZE: None, **dict.fromkeys(_PASSED_OVER)})
        data = bytes(each.data)
        if _SIZE not in parameters:
            if not data:
                raise InvalidField(each.name, f"has neither data nor the parameter {_SIZE}")
            found[each.name] = read_json(each.name, each.datatype, each.shape, data)
            continue
        size = parameters[_SIZE]
        if data:
            raise InvalidField(each.name, f"has data and the parameter {_SIZE}: give one of them")
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= binary.nbytes - position:
            raise InvalidField(each.name, f"{_SIZE} is {size!r}: {binary.nbytes - position} bytes are left after the JSON")
        found[each.name] = read_binary(each.name, each.datatype, each.shape, binary[position : position + size])
        position += size
    if position != binary.nbytes:
        raise InvalidField(HEADER_LENGTH, f"{binary.nbytes - position} bytes after the JSON belong to no input")
    return found


def _outputs(request: InferenceRequest, *, is_binary: bool) -> dict[str, bool] | None:
    if request.outputs is None:
        return None
    found: dict[str, bool] = {}
    for at, each in enumerate(request.outputs):
        if each.name in found:
            raise InvalidField(f"outputs[{at}].name", f"{each.name!r} is there twice")
        parameters = dict(each.parameters or {})
        require_known(f"outputs[{at}].parameters", parameters, {_BINARY: None, **dict.fromkeys(_PASSED_OVER)})
        found[each.name] = _flag(f"outputs[{at}].parameters", _BINARY, parameters, default=is_binary)
    return found


def _flag(where: str, name: str, parameters: dict[str, Any], *, default: bool = False) -> bool:
    """Take a boolean parameter out."""
    value = parameters.pop(name, default)
    if not isinstance(value, bool):
        raise InvalidField(f"{where}.{name}", f"expected true or false, got {value!r}")
    return value
