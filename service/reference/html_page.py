"""The page at /docs: the whole API on one page without a script, from the OpenAPI document.

Covers: its frame, the groups, the filter. Does not cover: one route (`html_operation`), reading the document
(`service.reference.operations`), how it is sent (`service.routes.description`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from service.reference.html_elements import Child, element, told, written
from service.reference.html_operation import article, field_table, method_mark, type_words
from service.reference.operations import Document, Operation, Shape, operations_of, shapes_of, tags_of

TITLE = "Holdfast API"


@dataclass(frozen=True, slots=True)
class Places:
    """Addresses that the page leads to, as seen from the page; `base_url` is what its curl lines call."""

    base_url: str
    styles: tuple[str, ...]
    icon: str
    document: str
    dashboard: str


def page(document: Document, places: Places, wanted: str = "") -> str:
    """The page as HTML. `wanted`: words of the filter, each of which must be in a route's own words; "" shows all."""
    every = operations_of(document)
    shown = tuple(operation for operation in every if operation.holds(wanted))
    return written(
        element(
            "html",
            element(
                "head",
                element("meta", charset="utf-8"),
                element("meta", name="viewport", content="width=device-width, initial-scale=1"),
                element("meta", name="color-scheme", content="light dark"),
                element("title", f"{TITLE}: {wanted}" if wanted else TITLE),
                element("link", rel="icon", href=places.icon, type="image/svg+xml"),
                *(element("link", rel="stylesheet", href=style) for style in places.styles),
            ),
            element(
                "body",
                element("a", "Skip to the routes", class_="skip", href="#routes"),
                _header(document, places, wanted, f"{len(shown)} of {len(every)} routes"),
                element(
                    "div",
                    _contents(document, shown),
                    element("main", *_main(document, places, shown, wanted), id="routes"),
                    class_="columns",
                ),
            ),
            lang="en",
        )
    )


def _header(document: Document, places: Places, wanted: str, counted: str) -> Element:
    search = element(
        "form",
        element("label", "Filter", for_="filter"),
        element("input", type="search", name="q", id="filter", value=wanted, maxlength="100", placeholder="predict, admin, GET ..."),
        element("button", "Show", type="submit"),
        *([element("a", "All routes", href="?")] if wanted else []),
        element("span", counted, class_="count", role="status"),
        role="search",
        method="get",
    )
    return element(
        "header",
        element("h1", TITLE, " ", element("small", document["info"]["version"])),
        element(
            "nav",
            element("a", "Dashboard", href=places.dashboard),
            element("a", "openapi.json", href=places.document),
            aria_label="Elsewhere",
        ),
        *told(document["info"].get("description", "")),
        search,
        class_="top",
    )


def _contents(document: Document, shown: tuple[Operation, ...]) -> Element:
    groups = []
    for tag in tags_of(document, shown):
        links = (
            element("li", element("a", method_mark(operation), " ", element("code", operation.path), href=f"#{operation.id}"))
            for operation in shown
            if operation.tag == tag
        )
        groups += [element("h2", tag), element("ul", *links)]
    return element("nav", *groups, class_="contents", aria_label="Routes")


def _main(document: Document, places: Places, shown: tuple[Operation, ...], wanted: str) -> Iterator[Child]:
    if not shown:
        yield element("p", "No route has all of these words: ", element("strong", wanted), ".", class_="none")
    for tag, words in tags_of(document, shown).items():
        operations = (article(operation, places.base_url) for operation in shown if operation.tag == tag)
        yield element("section", element("h2", tag, id=f"tag-{tag}"), *told(words), *operations, aria_labelledby=f"tag-{tag}")
    shapes = [_shape(shape) for shape in shapes_of(document)]
    yield element("section", element("h2", "documents", id="documents"), *shapes, aria_labelledby="documents")


def _shape(shape: Shape) -> Element:
    heading = element("h3", element("code", shape.name))
    rows = field_table(shape.fields) if shape.fields else element("p", *type_words(shape.type))
    return element("article", heading, *told(shape.words), rows, id=f"document-{shape.name}")
