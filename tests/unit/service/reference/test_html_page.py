"""The page at /docs: everything of the document is on it, as text."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from service.reference.html_elements import element, prose, written
from service.reference.html_page import Places, page
from tests.unit.service.reference.document import DANGEROUS, DOCUMENT

PLACES = Places(
    base_url="http://127.0.0.1:8000",
    styles=("dashboard/base.css", "dashboard/docs.css"),
    icon="mark.svg",
    document="openapi.json",
    dashboard="./",
)
VOID = {"meta", "link", "input"}


class Parsed(HTMLParser):
    """What a browser would see: elements with their attributes, text, and whether every element is closed in its place."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data

    def attributes(self, name: str) -> list[str | None]:
        return [attributes[name] for _, attributes in self.elements if name in attributes]


@pytest.fixture
def parsed() -> Parsed:
    return Parsed(page(DOCUMENT, PLACES))


def test_what_looks_like_markup_is_text(parsed: Parsed) -> None:
    assert parsed.words.count(DANGEROUS) == 2
    assert "it's <b>" in parsed.words.replace("'\"'\"'", "'")
    assert {tag for tag, _ in parsed.elements} & {"img", "b", "i", "script", "style"} == set()


def test_a_filter_is_text_too() -> None:
    parsed = Parsed(page(DOCUMENT, PLACES, '"><script>'))
    assert ("input", '"><script>') in [(tag, attributes.get("value")) for tag, attributes in parsed.elements]
    assert "No route has all of these words" in parsed.words
    assert "script" not in {tag for tag, _ in parsed.elements}


def test_the_policy_that_it_is_sent_with_would_let_all_of_it_be(parsed: Parsed) -> None:
    names = {name for _, attributes in parsed.elements for name in attributes}
    assert not any(name == "style" or name.startswith("on") for name in names)
    assert not any(value and value.startswith(("http:", "https:", "//", "javascript:")) for value in parsed.attributes("href"))


def test_ids_are_unique_and_links_within_the_page_lead_somewhere(parsed: Parsed) -> None:
    ids = parsed.attributes("id")
    assert len(ids) == len(set(ids))
    inside = {href[1:] for href in parsed.attributes("href") if href and href.startswith("#")}
    assert inside <= set(ids)
    assert {"predict", "events", "clear", "document-Items"} <= inside


def test_everything_of_the_document_is_on_it(parsed: Parsed) -> None:
    for words in ("1.2.3", "What is served.", "/models/{model}/predict", "Ask one model", "application/problem+json", "404 Not Found"):
        assert words in parsed.words
    assert "one user" in parsed.words
    assert parsed.words.count("admin token") == 2
    assert "4 of 4 routes" in parsed.words


def test_the_filter_keeps_the_routes_that_have_the_words() -> None:
    parsed = Parsed(page(DOCUMENT, PLACES, "delete"))
    assert "1 of 4 routes" in parsed.words
    assert "/models/clear" in parsed.words
    assert "/events" not in parsed.words


def test_text_goes_where_it_stands_among_the_elements() -> None:
    assert written(element("p", *prose("a `b` c `d`"), " e")).endswith("<p>a <code>b</code> c <code>d</code> e</p>")
    assert written(element("p", "a", "b", element("i"), "c", "d")).endswith("<p>ab<i></i>cd</p>")
