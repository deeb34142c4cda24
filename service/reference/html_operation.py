"""One route on the page at /docs: its parameters, what is sent, a curl line, what each status means.

Does not cover: the page around it (`html_page`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any
from xml.etree.ElementTree import Element

from service.reference.html_elements import Child, append, element, prose, told
from service.reference.operations import Answer, Content, Operation, Parameter, curl
from service.reference.schemas import Field, Piece


def article(operation: Operation, base_url: str) -> Element:
    """The whole of it; its id is that of the operation."""
    heading = element("h3", element("a", method_mark(operation), " ", element("code", operation.path), href=f"#{operation.id}"))
    if operation.is_admin:
        append(heading, (" ", element("span", "admin token", class_="badge")))
    return element(
        "article",
        heading,
        element("p", *prose(operation.summary), class_="summary"),
        *told(operation.description),
        *_parameters(operation.parameters),
        *_body(operation.body),
        *_calls(operation, base_url),
        element("h4", "Answers"),
        *(_answer(answer) for answer in operation.answers),
        id=operation.id,
    )


def method_mark(operation: Operation) -> Element:
    """GET, POST ... as a coloured word."""
    return element("span", operation.method, class_=f"method {operation.method.lower()}")


def type_words(pieces: Iterable[Piece]) -> list[Child]:
    """A type in words; a named document is a link to it."""
    return [element("a", piece.text, href=f"#document-{piece.schema}") if piece.schema else piece.text for piece in pieces]


def field_table(fields: Iterable[Field]) -> Element:
    """The fields of a document."""
    rows = (_row(field.name, field.is_required, field.type, prose(field.words)) for field in fields)
    return _table(("Field", "Type", "What"), rows)


def _parameters(parameters: tuple[Parameter, ...]) -> Iterator[Element]:
    if parameters:
        yield element("h4", "Parameters")
        rows = (_row(each.name, each.is_required, each.type, _parameter_words(each), each.where) for each in parameters)
        yield _table(("Parameter", "Type", "What"), rows)


def _parameter_words(parameter: Parameter) -> list[Child]:
    words = prose(parameter.words)
    if parameter.example is not None:
        example = parameter.example if isinstance(parameter.example, str) else json.dumps(parameter.example)
        words += [" Example: ", element("code", example), "."]
    return words


def _row(name: str, is_required: bool, type: Iterable[Piece], words: list[Child], where: str = "") -> Element:
    marks = [mark for mark in (where, "required" if is_required else "") if mark]
    first: list[Child] = [element("code", name), *(element("small", mark) for mark in marks)]
    return element("tr", element("th", *first, scope="row"), element("td", *type_words(type)), element("td", *words))


def _table(titles: tuple[str, ...], rows: Iterable[Element]) -> Element:
    head = element("thead", element("tr", *(element("th", title, scope="col") for title in titles)))
    # A table that is wider than a telephone scrolls by itself, also from the keyboard.
    return element("div", element("table", head, element("tbody", *rows)), class_="wide", tabindex="0", role="group", aria_label="Table")


def _body(contents: tuple[Content, ...]) -> Iterator[Element]:
    if contents:
        yield element("h4", "Body")
    for content in contents:
        yield _content(content)


def _calls(operation: Operation, base_url: str) -> Iterator[Element]:
    examples = next((content.examples for content in operation.body), {})
    yield element("h4", "Try it")
    for name, body in examples.items():
        if len(examples) > 1:
            yield element("p", name.replace("_", " "), class_="example-name")
        yield _code(curl(operation, base_url, body), "call")
    if not examples:
        yield _code(curl(operation, base_url), "call")


def _answer(answer: Answer) -> Element:
    phrase = HTTPStatus(int(answer.status)).phrase if answer.status.isdigit() else ""
    words = (element("span", f"{answer.status} {phrase}".strip(), class_=f"status s{answer.status[0]}"), " ", *prose(answer.words))
    details = list(_details(answer))
    return element("details", element("summary", *words), *details) if details else element("p", *words, class_="answer")


def _details(answer: Answer) -> Iterator[Element]:
    if answer.headers:
        yield element("ul", *(element("li", element("code", name), ": ", *prose(words)) for name, words in answer.headers.items()))
    for content in answer.contents:
        yield _content(content)
        yield from (_code(_shown(example)) for example in content.examples.values())


def _content(content: Content) -> Element:
    return element("p", element("code", content.media_type), *([": ", *type_words(content.type)] if content.type else []))


def _shown(example: Any) -> str:
    return example if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)


def _code(text: str, class_: str | None = None) -> Element:
    return element("pre", element("code", text), tabindex="0", class_=class_)
