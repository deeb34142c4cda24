"""The OpenAPI document as a judge: whether an answer is one that a route declares.

Covers: status, media type, headers and schema of an answer. Does not cover: which answer was to be expected (the tests).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from service.openapi import openapi
from service.routes import ROUTES, Route


def name_of(route: Route) -> str:
    return f"{route.method} {route.path}"


@cache
def document() -> dict[str, Any]:
    """The document, as a client gets it."""
    told: dict[str, Any] = json.loads(json.dumps(openapi(ROUTES)))
    return told


def operation_of(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = document()["paths"][route.path][route.method.lower()]
    return found


def url_of(route: Route, **variables: str) -> str:
    """The path and its query, with what its declaration has as examples; `variables` of the path count more."""
    parameters = [each for each in operation_of(route).get("parameters", ()) if "example" in each]
    path = route.path.format(**{**{each["name"]: each["example"] for each in parameters if each["in"] == "path"}, **variables})
    query = "&".join(f"{each['name']}={_text(each['example'])}" for each in parameters if each["in"] == "query")
    return f"{path}?{query}" if query else path


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def validate(instance: Any, schema: Mapping[str, Any]) -> None:
    """Raises jsonschema.ValidationError for what `schema`, a part of the document, does not allow."""
    whole = {**schema, "components": document()["components"]}
    Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(instance)


def check(route: Route, status: int, headers: Mapping[str, str], content: bytes | None) -> None:
    """Whether `route` declares this answer; `content` is None where it was not read. Raises AssertionError, jsonschema.ValidationError."""
    answers = operation_of(route)["responses"]
    assert str(status) in answers, f"{name_of(route)} answers {status}, which it does not declare: {content!r}"
    answer = answers[str(status)]
    for name, header in answer.get("headers", {}).items():
        assert name in headers or not header["required"], f"{name_of(route)} {status} has no {name}"
        if name in headers:
            whole = header["schema"].get("type") in ("integer", "number")
            validate(json.loads(headers[name]) if whole else headers[name], header["schema"])
    if "content" not in answer:
        assert not content, f"{name_of(route)} {status} declares no content"
        return
    media_type = headers["Content-Type"].partition(";")[0].strip()
    assert media_type in answer["content"], f"{name_of(route)} {status} is {media_type}, not {', '.join(answer['content'])}"
    if content is not None:
        is_json = media_type.endswith("json")
        validate(json.loads(content) if is_json else content.decode(), answer["content"][media_type]["schema"])
