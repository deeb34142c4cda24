"""docs/reference/cli.md and docs/reference/http.md are what the code says today."""

from __future__ import annotations

from typing import Any

import pytest

from service.openapi import openapi
from service.reference.__main__ import PAGES
from service.reference.operations import METHODS, operations_of
from service.reference.schemas import type_of
from service.routes import ROUTES
from tests.support import ROOT

DOCUMENT = openapi(ROUTES)


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_the_one_in_the_docs(name: str) -> None:
    assert (ROOT / "docs" / "reference" / f"{name}.md").read_text() == PAGES[name](), "run `make docs`"


def test_every_route_is_shown() -> None:
    assert [(each.method, each.path) for each in operations_of(DOCUMENT)] == [
        (method.upper(), path) for path, said in DOCUMENT["paths"].items() for method in said if method in METHODS
    ]
    assert {(route.method, route.path) for route in ROUTES} == {(each.method, each.path) for each in operations_of(DOCUMENT)}


def test_every_path_variable_has_an_example_so_that_its_curl_line_can_be_run() -> None:
    missing = [
        (each.path, one.name) for each in operations_of(DOCUMENT) for one in each.parameters if one.where == "path" and one.example is None
    ]
    assert missing == []


def schemas(of: Any) -> list[dict[str, Any]]:
    """Every schema in a part of the document, however deep."""
    if isinstance(of, list):
        return [each for part in of for each in schemas(part)]
    if not isinstance(of, dict):
        return []
    here = [of["schema"]] if isinstance(of.get("schema"), dict) else []
    here += of["properties"].values() if isinstance(of.get("properties"), dict) else []
    return [*here, *(each for part in of.values() for each in schemas(part))]


def test_no_form_of_a_schema_is_beyond_the_words() -> None:
    """What is shown as "anything" says nothing of a type."""
    says_nothing = {"description", "title", "default", "examples"}
    found = schemas(DOCUMENT)
    assert len(found) > 50
    assert [each for each in found if type_of(each)[0].text == "anything" and set(each) - says_nothing] == []
