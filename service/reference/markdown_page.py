"""The API as a page: docs/reference/http.md, from the OpenAPI document.

Covers: the same as the page at /docs, with the examples of the body and of what is answered with 2xx. Does not cover: reading the
document (`service.reference.operations`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from service.reference.markdown_text import cell, escaped
from service.reference.operations import Content, Document, Operation, Shape, curl, operations_of, shapes_of, tags_of
from service.reference.schemas import Field, Piece, sentences

BASE_URL = "http://127.0.0.1:8000"
INTRODUCTION = """\
# HTTP

Made from the table of routes in `service/routes/__init__.py` by `make docs`; do not edit. A running server shows the same at
`/docs`, and as OpenAPI 3.1 at `/openapi.json`. What the questions to a model mean is told in [asking a model](asking.md).
"""


def page(document: Document) -> str:
    """The whole of docs/reference/http.md."""
    operations = operations_of(document)
    groups = tags_of(document, operations)
    lines = [INTRODUCTION, *_description(document["info"].get("description", "")), *_overview(operations)]
    for tag, words in groups.items():
        lines += [f"## Routes: {tag}\n", *_description(words)]
        lines += [line for operation in operations if operation.tag == tag for line in _operation(operation)]
    lines += ["## Documents\n", *(line for shape in shapes_of(document) for line in _shape(shape))]
    return "\n".join(lines)


def _overview(operations: tuple[Operation, ...]) -> Iterator[str]:
    yield "| route | what | token |"
    yield "|---|---|---|"
    for each in operations:
        yield f"| [`{each.method} {each.path}`](#{_anchor(each)}) | {cell(each.summary)} | {'admin' if each.is_admin else ''} |"
    yield ""


def _anchor(operation: Operation) -> str:
    """As GitHub makes it of the heading."""
    return "".join(sign for sign in f"{operation.method} {operation.path}".lower() if sign.isalnum() or sign in "-_ ").replace(" ", "-")


def _operation(operation: Operation) -> Iterator[str]:
    yield f"### {operation.method} {operation.path}\n"
    yield f"{escaped(operation.summary)}.{' Needs the admin token.' if operation.is_admin else ''}\n"
    yield from _description(operation.description)
    if operation.parameters:
        yield "| parameter | in | type | what |"
        yield "|---|---|---|---|"
        for each in operation.parameters:
            words = sentences(each.words, "required" if each.is_required else "")
            yield f"| `{each.name}` | {each.where} | {_type(each.type)} | {cell(words)} |"
        yield ""
    for content in operation.body:
        yield f"Body: `{content.media_type}`{', ' if content.type else ''}{_type(content.type)}\n"
    bodies = next((list(content.examples.values()) for content in operation.body if content.examples), [None])
    yield "```sh\n" + "\n".join(curl(operation, BASE_URL, body) for body in bodies) + "\n```\n"
    yield "| status | what | body |"
    yield "|---|---|---|"
    for answer in operation.answers:
        documents = ", ".join(_content(content) for content in answer.contents)
        yield f"| {answer.status} | {cell(answer.words)} | {documents} |"
    yield ""
    yield from _examples(content for answer in operation.answers if answer.status.startswith("2") for content in answer.contents)


def _content(content: Content) -> str:
    """The type of JSON; of anything else the media type too."""
    shown = [] if content.type and content.media_type.endswith("json") else [f"`{content.media_type}`"]
    return ": ".join([*shown, *([_type(content.type)] if content.type else [])])


def _examples(contents: Iterable[Content]) -> Iterator[str]:
    for content in contents:
        for example in content.examples.values():
            yield f"```json\n{_json(example)}\n```\n" if not isinstance(example, str) else f"```text\n{example.rstrip()}\n```\n"


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _shape(shape: Shape) -> Iterator[str]:
    yield f"### {shape.name}\n"
    yield from _description(shape.words)
    if shape.fields:
        yield "| field | type | required | what |"
        yield "|---|---|---|---|"
        yield from map(_row, shape.fields)
        yield ""
    else:
        yield f"{_type(shape.type)}\n"


def _row(field: Field) -> str:
    return f"| `{field.name}` | {_type(field.type)} | {'yes' if field.is_required else ''} | {cell(field.words)} |"


def _type(pieces: Iterable[Piece]) -> str:
    return "".join(f"[{piece.text}](#{piece.schema.lower()})" if piece.schema else _words(piece.text) for piece in pieces)


def _words(text: str) -> str:
    """A piece of a type for a table: the spaces at its ends separate it from its neighbours."""
    return text.replace("|", "\\|").replace("<", "\\<")


def _description(text: str) -> Iterator[str]:
    if text.strip():
        yield escaped(text.strip()) + "\n"
