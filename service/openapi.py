"""The OpenAPI document of a table of routes. Source: OpenAPI Specification 3.1.1; schemas are JSON Schema 2020-12.

Covers: turning declarations into the document. Does not cover: what a route says of itself (its file), what follows from its
form (`service.routes.implied`), serving the document (`service.routes.description`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from inspect import cleandoc
from typing import Any, get_args

import msgspec

from service.admin import TOKEN_HEADER
from service.routes.declared import Answer, Body, Header, Parameter, Route
from service.routes.implied import completed
from service.version import program_version

OPENAPI_VERSION = "3.1.1"
TAGS: Mapping[str, str] = {
    "dashboard": "The page for people",
    "server": "Whether the server lives and is ready, and what it uses",
    "models": "What each model is and does",
    "predict": "Recommendations and predictions",
    "events": "What happens, as it happens",
    "admin": "Commands, behind the admin token",
    "training": "New versions from new data",
    "drop-in": "The addresses under which other services answer the same questions",
    "v2": "The Open Inference Protocol, version 2",
}
"""Tag -> what its routes are about, in the order in which they are shown."""

_DESCRIPTION = """\
A model that is not ready answers 202 while it is on its way and 503 when it is not, both with what is the matter and, where
waiting helps, a Retry-After. Errors are problem documents (RFC 9457); those of the Open Inference Protocol have its own form.
A 500 would be a defect of the server: it names an incident in the server's log and nothing else."""
_SCHEMA_REF = "#/components/schemas/{name}"
_SECURITY: Mapping[str, Any] = {
    "adminToken": {"type": "apiKey", "in": "header", "name": TOKEN_HEADER},
    "bearer": {"type": "http", "scheme": "bearer"},
}


def openapi(routes: Iterable[Route]) -> dict[str, Any]:
    """The document, JSON-ready. Raises KeyError for a path variable that nothing is said of."""
    all_said = [completed(route) for route in routes]
    schemas = _Schemas(all_said)
    paths: dict[str, dict[str, Any]] = {}
    for route in all_said:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    used = {route.tag for route in all_said}
    return {
        "openapi": OPENAPI_VERSION,
        "info": {
            "title": "Holdfast",
            "version": program_version(),
            "description": _DESCRIPTION,
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": about} for name, about in TAGS.items() if name in used],
        "paths": paths,
        "components": {"schemas": schemas.components, "securitySchemes": dict(_SECURITY)},
    }


class _Schemas:
    """The schema of each type that the routes name, and the components that those refer to."""

    def __init__(self, routes: Iterable[Route]) -> None:
        types = [member for route in routes for type in _types(route) for member in _members(type)]
        schemas, self.components = msgspec.json.schema_components(types, ref_template=_SCHEMA_REF)
        for component in self.components.values():
            component["description"] = cleandoc(component["description"])
        for schema in (*schemas, self.components):
            _say_items(schema)
        self._of = dict(zip(map(repr, types), schemas, strict=True))

    def of(self, type: Any) -> dict[str, Any]:
        found = [self._of[repr(member)] for member in _members(type)]
        return found[0] if len(found) == 1 else {"anyOf": found}


def _say_items(schema: Any) -> None:
    """An array of anything says so: generators of clients leave out one that has no `items`, and all that refers to it."""
    if isinstance(schema, dict):
        if schema.get("type") == "array" and "prefixItems" not in schema:
            schema.setdefault("items", {})
        for part in schema.values():
            _say_items(part)
    elif isinstance(schema, list):
        for part in schema:
            _say_items(part)


def _types(route: Route) -> Iterator[Any]:
    yield from (parameter.type for parameter in route.parameters)
    if route.body is not None:
        yield route.body.type
    for answer in route.answers.values():
        yield from (header.type for header in answer.headers.values())
        if answer.type is not None:
            yield answer.type


def _members(type: Any) -> tuple[Any, ...]:
    """The members of a union of several structs, which msgspec has no schema for; any other type alone."""
    members = get_args(type)
    structs = [member for member in members if isinstance(member, msgspec.StructMeta)]
    return members if len(structs) > 1 else (type,)


def _operation(route: Route, schemas: _Schemas) -> dict[str, Any]:
    told: dict[str, Any] = {"operationId": route.operation_id, "tags": [route.tag], "summary": route.summary}
    if route.description:
        told["description"] = route.description
    if route.parameters:
        told["parameters"] = [_parameter(parameter, schemas) for parameter in route.parameters]
    if route.body is not None:
        told["requestBody"] = _body(route.body, schemas)
    told["responses"] = {str(status): _answer(status, answer, schemas) for status, answer in route.answers.items()}
    if route.admin:
        told["security"] = [{name: []} for name in _SECURITY]
    return told


def _parameter(parameter: Parameter, schemas: _Schemas) -> dict[str, Any]:
    told = {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.summary,
        "required": parameter.required or parameter.where == "path",
        "schema": schemas.of(parameter.type),
    }
    return told if parameter.example is None else {**told, "example": parameter.example}


def _body(body: Body, schemas: _Schemas) -> dict[str, Any]:
    content = {"schema": schemas.of(body.type), "examples": {name: {"value": value} for name, value in body.examples.items()}}
    return {"required": body.required, "content": dict.fromkeys(body.media_types, content)}


def _answer(status: int, answer: Answer, schemas: _Schemas) -> dict[str, Any]:
    told: dict[str, Any] = {"description": answer.summary or HTTPStatus(status).phrase}
    if answer.headers:
        told["headers"] = {name: _header(header, schemas) for name, header in answer.headers.items()}
    if answer.media_type is not None:
        content: dict[str, Any] = {"schema": {"type": "string"} if answer.type is None else schemas.of(answer.type)}
        if answer.example is not None:
            content["example"] = answer.example
        media_types = (answer.media_type,) if isinstance(answer.media_type, str) else answer.media_type
        told["content"] = dict.fromkeys(media_types, content)
    return told


def _header(header: Header, schemas: _Schemas) -> dict[str, Any]:
    return {"description": header.summary, "required": header.always, "schema": schemas.of(header.type)}
