"""docs/reference/http.md: everything of the document is on it, and its tables and links hold."""

from __future__ import annotations

import re

from service.reference.markdown_page import page
from service.reference.markdown_text import cell, escaped
from tests.unit.service.reference.document import DOCUMENT

PAGE = page(DOCUMENT)


def headings() -> list[str]:
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)]


def test_links_within_the_page_lead_to_one_heading_each() -> None:
    inside = re.findall(r"\]\(#([^)]*)\)", PAGE)
    assert len(inside) >= 8
    assert [anchor for anchor in inside if headings().count(anchor) != 1] == []


def test_every_row_has_as_many_cells_as_its_table() -> None:
    tables = re.findall(r"(?:^\|.*\|\n)+", PAGE, re.MULTILINE)
    assert len(tables) >= 8
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1, table


def test_what_looks_like_markup_is_text() -> None:
    prose = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
    assert re.findall(r"(?<!\\)<(?!/?code)", prose) == []
    assert escaped("a `<b>` <c> *d*") == "a `<b>` \\<c> \\*d\\*"
    assert cell("a\n `b|c` |") == "a `b\\|c` \\|"


def test_everything_of_the_document_is_on_it() -> None:
    for words in ("What is served.", "### POST /models/{model}/predict", "Needs the admin token.", "No such model", "event: x"):
        assert words in PAGE
    assert PAGE.count("curl ") == 5
