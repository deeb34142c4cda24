"""JSON schemas in words."""

from __future__ import annotations

from typing import Any

import pytest

from service.reference.schemas import Piece, fields_of, type_of, words_of

ITEM = {"$ref": "#/components/schemas/Item"}


def words(schema: dict[str, Any]) -> str:
    return "".join(piece.text for piece in type_of(schema))


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({}, "anything"),
        ({"type": "integer"}, "integer"),
        ({"type": ["string", "null"]}, "string or null"),
        ({"enum": ["a", 1]}, '"a" or 1'),
        ({"const": "ready"}, '"ready"'),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, "string or null"),
        ({"oneOf": [ITEM, {"type": "integer"}]}, "Item or integer"),
        ({"type": "array"}, "array"),
        ({"type": "array", "items": {"type": "array", "items": {"type": "number"}}}, "array of array of number"),
        ({"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]}}, "array of (integer or string)"),
        ({"type": "array", "prefixItems": [{"type": "string"}, ITEM], "items": False}, "array of string, Item"),
        ({"type": "object", "additionalProperties": ITEM}, "object of Item"),
        ({"type": "object", "additionalProperties": False}, "object"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_type_in_words(schema: dict[str, Any], told: str) -> None:
    assert words(schema) == told


def test_a_named_document_is_a_piece_of_its_own() -> None:
    assert type_of({"type": "array", "items": ITEM}) == (Piece("array of "), Piece("Item", "Item"))


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({}, ""),
        ({"description": "how many."}, "How many."),
        (
            {"description": "How many", "minimum": 1, "maximum": 100000, "default": 10},
            "How many. 1 to 100,000. Default `10`.",
        ),
        ({"anyOf": [{"type": "array", "maxItems": 5}, {"type": "null"}], "default": None}, "At most 5 entries."),
        ({"type": "number", "minimum": 0.0, "maximum": 1.0}, "0 to 1."),
        ({"type": "number", "exclusiveMinimum": 0}, "More than 0."),
        ({"anyOf": [{"type": "boolean", "description": "whether"}, {"type": "null"}]}, "Whether."),
        ({"type": "string", "minLength": 1}, "Length at least 1."),
        ({"type": "string", "pattern": "^a$", "format": "date-time"}, "Matches `^a$`. Format `date-time`."),
        ({"default": False}, "Default `false`."),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_said_of_a_value(schema: dict[str, Any], told: str) -> None:
    assert words_of(schema) == told


def test_fields_keep_their_order_and_say_which_are_required() -> None:
    schema = {"type": "object", "required": ["b"], "properties": {"b": {"type": "string"}, "a": ITEM}}
    assert [(field.name, field.is_required) for field in fields_of(schema)] == [("b", True), ("a", False)]
    assert fields_of({"type": "string"}) == ()
