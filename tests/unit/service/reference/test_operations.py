"""What is read out of an OpenAPI document, and the curl line of a route."""

from __future__ import annotations

import json
import shlex

import pytest

from service.reference.operations import curl, operations_of, shapes_of, tags_of
from tests.unit.service.reference.document import DOCUMENT

OPERATIONS = {operation.id: operation for operation in operations_of(DOCUMENT)}
BASE = "http://127.0.0.1:8000"


def test_every_method_of_every_path_in_the_order_of_the_document() -> None:
    assert [(each.method, each.path) for each in OPERATIONS.values()] == [
        ("POST", "/models/{model}/predict"),
        ("GET", "/events"),
        ("DELETE", "/models/clear"),
        ("POST", "/models/reload"),
    ]


def test_references_are_followed() -> None:
    predict = OPERATIONS["predict"]
    assert [(each.name, each.where, each.is_required, each.example) for each in predict.parameters] == [
        ("model", "path", True, "als/1"),
        ("wait", "query", False, None),
    ]
    assert [answer.words for answer in predict.answers] == ["Ranked", "No such model", "Anything else"]
    assert predict.answers[0].headers == {"X-Seen": "What `it` saw"}


def test_who_needs_the_token() -> None:
    assert {each.id for each in OPERATIONS.values() if each.is_admin} == {"clear", "reload"}


def test_groups_come_in_the_order_of_the_document_and_only_where_they_have_a_route() -> None:
    every = tuple(OPERATIONS.values())
    assert tags_of(DOCUMENT, every) == {"models": "What is served.", "streams": ""}
    assert tags_of(DOCUMENT, (OPERATIONS["events"],)) == {"streams": ""}


def test_named_documents_are_sorted() -> None:
    assert [shape.name for shape in shapes_of(DOCUMENT)] == ["Items", "Name", "Problem", "Question"]


@pytest.mark.parametrize(("wanted", "found"), [("", 4), ("ask model", 1), ("MODELS post", 2), ("delete", 1), ("nowhere", 0)])
def test_a_route_is_found_by_all_of_the_words(wanted: str, found: int) -> None:
    assert sum(each.holds(wanted) for each in OPERATIONS.values()) == found


@pytest.mark.parametrize(
    ("id", "body", "words"),
    [
        ("events", None, ["curl", "-N", f"{BASE}/events?since=a+b"]),
        ("clear", None, ["curl", "-X", "DELETE", "-H", "X-ADMIN-TOKEN: $ADMIN_LOAD_TOKEN", f"{BASE}/models/clear"]),
        ("reload", None, ["curl", "-X", "POST", "-H", "X-ADMIN-TOKEN: $ADMIN_LOAD_TOKEN", f"{BASE}/models/reload"]),
    ],
)
def test_the_curl_line(id: str, body: object, words: list[str]) -> None:
    assert shlex.split(curl(OPERATIONS[id], BASE, body)) == words


def test_a_body_reaches_the_server_as_it_is_whatever_quotes_it_has() -> None:
    body = {"user_id": """it's "$HOME" `id`"""}
    words = shlex.split(curl(OPERATIONS["predict"], BASE, body))
    assert json.loads(words[words.index("-d") + 1]) == body
    assert words[-1] == f"{BASE}/models/als%2F1/predict"
    assert "-X" not in words
