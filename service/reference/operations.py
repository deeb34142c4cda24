"""What an OpenAPI document says, route by route, as what the pages for people are laid out from.

Covers: reading the document (OpenAPI 3.1), the curl line of a route. Does not cover: how the document is made
(`service.openapi`), what the pages look like (`html_page`, `markdown_page`).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from service.reference.schemas import Field, Piece, fields_of, sentences, type_of, words_of

Document = Mapping[str, Any]
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
EVENT_STREAM = "text/event-stream"
_STRING, _ANYTHING = type_of({"type": "string"}), type_of({})


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value of the address or of a header; `example` is None where none is told."""

    name: str
    where: str
    type: tuple[Piece, ...]
    is_required: bool
    words: str
    example: Any


@dataclass(frozen=True, slots=True)
class Content:
    """A body, sent or answered: its media type, its type in words (none where the media type says it all), and examples by name."""

    media_type: str
    type: tuple[Piece, ...]
    examples: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one status code means."""

    status: str
    words: str
    headers: Mapping[str, str]
    contents: tuple[Content, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """One route. `is_admin`: it answers only to the admin token."""

    id: str
    method: str
    path: str
    tag: str
    summary: str
    description: str
    is_admin: bool
    parameters: tuple[Parameter, ...]
    body: tuple[Content, ...]
    answers: tuple[Answer, ...]

    @property
    def streams(self) -> bool:
        """Whether an answer has no end."""
        return any(content.media_type == EVENT_STREAM for answer in self.answers for content in answer.contents)

    def holds(self, words: str) -> bool:
        """Whether each of these words is in its method, path, tag, summary or description, in any case."""
        said = " ".join((self.method, self.path, self.tag, self.summary, self.description)).casefold()
        return all(word in said for word in words.casefold().split())


@dataclass(frozen=True, slots=True)
class Shape:
    """One named document: what it is, its type and, of an object, its fields."""

    name: str
    words: str
    type: tuple[Piece, ...]
    fields: tuple[Field, ...]


def operations_of(document: Document) -> tuple[Operation, ...]:
    """Every route of the document, in its order."""
    return tuple(
        _operation(document, method, path, said)
        for path, methods in document["paths"].items()
        for method, said in methods.items()
        if method in METHODS
    )


def shapes_of(document: Document) -> tuple[Shape, ...]:
    """Every named document, by name."""
    schemas = document.get("components", {}).get("schemas", {})
    return tuple(Shape(name, words_of(schema), type_of(schema), fields_of(schema)) for name, schema in sorted(schemas.items()))


def tags_of(document: Document, operations: tuple[Operation, ...]) -> dict[str, str]:
    """The groups that these routes are in, and what is said of each: in the order of the document, then in that of the routes."""
    told = {tag["name"]: tag.get("description", "") for tag in document.get("tags", ())}
    used = {operation.tag for operation in operations}
    order = [*(name for name in told if name in used), *dict.fromkeys(each.tag for each in operations if each.tag not in told)]
    return {name: told.get(name, "") for name in order}


def _operation(document: Document, method: str, path: str, said: Mapping[str, Any]) -> Operation:
    body = _resolved(document, said.get("requestBody", {}))
    answers = ((status, _resolved(document, answer)) for status, answer in said["responses"].items())
    return Operation(
        id=said["operationId"],
        method=method.upper(),
        path=path,
        tag=said["tags"][0],
        summary=said.get("summary", ""),
        description=said.get("description", ""),
        is_admin=any(said.get("security", ())),
        parameters=tuple(_parameter(_resolved(document, parameter)) for parameter in said.get("parameters", ())),
        body=_contents(body),
        answers=tuple(_answer(document, status, answer) for status, answer in answers),
    )


def _parameter(said: Mapping[str, Any]) -> Parameter:
    schema = said["schema"]
    words = sentences(said.get("description", ""), words_of({**schema, "description": ""}))
    return Parameter(said["name"], said["in"], type_of(schema), said.get("required", False), words, _example(said))


def _example(said: Mapping[str, Any]) -> Any:
    named = said.get("examples", {})
    return next((example["value"] for example in named.values()), said.get("example"))


def _answer(document: Document, status: str, said: Mapping[str, Any]) -> Answer:
    headers = {name: _resolved(document, header).get("description", "") for name, header in said.get("headers", {}).items()}
    return Answer(status, said.get("description", ""), headers, _contents(said))


def _contents(said: Mapping[str, Any]) -> tuple[Content, ...]:
    found = []
    for media_type, content in said.get("content", {}).items():
        type = type_of(content.get("schema", {}))
        # Of a page or a file, "string" says nothing that its media type does not.
        is_text = "json" not in media_type and type in (_STRING, _ANYTHING)
        found.append(Content(media_type, () if is_text else type, dict(_examples(content))))
    return tuple(found)


def _examples(content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if "example" in content:
        yield "example", content["example"]
    for name, example in content.get("examples", {}).items():
        yield name, example["value"]


def _resolved(document: Document, said: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a `{"$ref": "#/components/..."}` stands for; anything else as it is."""
    if "$ref" not in said:
        return said
    found: Any = document
    for key in said["$ref"].removeprefix("#/").split("/"):
        found = found[key]
    return _resolved(document, found)


def curl(operation: Operation, base_url: str, body: Any = None) -> str:
    """A line for a shell that makes this call. `body`: what is sent as JSON, or None; the token comes from ADMIN_LOAD_TOKEN."""
    words = ["curl"]
    if operation.streams:
        words.append("-N")
    if operation.method not in ("GET", "POST") or (operation.method == "POST" and body is None):
        words += ["-X", operation.method]
    if operation.is_admin:
        words.append('-H "X-ADMIN-TOKEN: $ADMIN_LOAD_TOKEN"')  # in double quotes: the shell fills it in
    if body is not None:
        words += ["-H", shlex.quote("Content-Type: application/json"), "-d", shlex.quote(json.dumps(body))]
    return " ".join([*words, shlex.quote(base_url + _address(operation))])


def _address(operation: Operation) -> str:
    path = operation.path
    for parameter in operation.parameters:
        if parameter.where == "path" and parameter.example is not None:
            path = path.replace(f"{{{parameter.name}}}", quote(str(parameter.example), safe=""))
    asked = [(each.name, each.example) for each in operation.parameters if each.where == "query" and each.is_required]
    return path + (f"?{urlencode(asked)}" if asked else "")
