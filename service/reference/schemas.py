"""JSON schemas in words: the type of a value, its bounds, the fields of an object.

Covers: what msgspec and OpenAPI 3.1 (JSON Schema 2020-12) say about the documents of this API. Does not cover: where they are used
(`service.reference.operations`), how the words are laid out (`html_page`, `markdown_page`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a type in words; `schema` is the name of the document that it is, or ""."""

    text: str
    schema: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an object."""

    name: str
    type: tuple[Piece, ...]
    is_required: bool
    words: str
    """What it means, its bounds and its default."""


def type_of(schema: Schema) -> tuple[Piece, ...]:
    """A type in words: "array of Item or null"."""
    return tuple(_pieces(schema))


def _pieces(schema: Schema) -> Iterator[Piece]:
    if "$ref" in schema:
        yield Piece(name_of(schema["$ref"]), name_of(schema["$ref"]))
    elif "const" in schema:
        yield Piece(json.dumps(schema["const"]))
    elif "enum" in schema:
        yield Piece(" or ".join(json.dumps(value) for value in schema["enum"]))
    elif choices := schema.get("anyOf") or schema.get("oneOf"):
        yield from _joined(choices)
    elif isinstance(schema.get("type"), list):
        yield Piece(" or ".join(schema["type"]))
    elif schema.get("type") == "array":
        yield from _array(schema)
    elif isinstance(schema.get("additionalProperties"), dict):
        yield Piece("object of ")
        yield from _pieces(schema["additionalProperties"])
    else:
        yield Piece(schema.get("type", "anything"))


def _joined(choices: list[Schema]) -> Iterator[Piece]:
    for index, choice in enumerate(sorted(choices, key=lambda choice: choice.get("type") == "null")):
        if index:
            yield Piece(" or ")
        yield from _pieces(choice)


def _array(schema: Schema) -> Iterator[Piece]:
    places = schema.get("prefixItems", [])
    if places:
        yield Piece("array of ")
        for index, place in enumerate(places):
            if index:
                yield Piece(", ")
            yield from _pieces(place)
    elif schema.get("items"):
        is_union = "$ref" not in schema["items"] and any(key in schema["items"] for key in ("anyOf", "oneOf"))
        yield Piece("array of (" if is_union else "array of ")
        yield from _pieces(schema["items"])
        if is_union:
            yield Piece(")")
    else:
        yield Piece("array")


def fields_of(schema: Schema) -> tuple[Field, ...]:
    """The fields of an object's schema, in their order; none for any other schema."""
    required = schema.get("required", ())
    return tuple(Field(name, type_of(field), name in required, words_of(field)) for name, field in schema.get("properties", {}).items())


def words_of(schema: Schema) -> str:
    """What a value means, then its bounds and its default, as sentences."""
    # Of "a number or null" it may be the number that is described.
    told = [choice["description"] for choice in _choices(schema) if choice.get("description")][:1]
    # A default of null says no more than that the field may be left out.
    default = [] if schema.get("default") is None else [f"default `{json.dumps(schema['default'])}`"]
    return sentences(*told, *_bounds(schema), *default)


def sentences(*told: str) -> str:
    """Each of them that says something, as a sentence of its own."""
    return " ".join(f"{words[0].upper()}{words[1:].removesuffix('.')}." for words in map(str.strip, told) if words)


# The two keys, and how both together, the first alone and the second alone are said.
_RANGES = (
    ("minimum", "maximum", ("{0} to {1}", "at least {0}", "at most {1}")),
    ("exclusiveMinimum", "exclusiveMaximum", ("more than {0} and less than {1}", "more than {0}", "less than {1}")),
    ("minLength", "maxLength", ("{0} to {1} characters", "length at least {0}", "at most {1} characters")),
    ("minItems", "maxItems", ("{0} to {1} entries", "length at least {0}", "at most {1} entries")),
)


def _bounds(schema: Schema) -> Iterator[str]:
    for choice in _choices(schema):
        for least, most, (both, first, second) in _RANGES:
            words = {(True, True): both, (True, False): first, (False, True): second}.get((least in choice, most in choice))
            if words is not None:
                yield words.format(_number(choice.get(least)), _number(choice.get(most)))
        yield from (f"{words} `{choice[key]}`" for key, words in (("pattern", "matches"), ("format", "format")) if key in choice)


def _choices(schema: Schema) -> tuple[Schema, ...]:
    return (schema, *schema.get("anyOf", ()), *schema.get("oneOf", ()))


def _number(value: float | None) -> str:
    return f"{value:g}" if isinstance(value, float) else f"{value:,}" if value is not None else ""


def name_of(reference: str) -> str:
    """`#/components/schemas/Item` -> `Item`."""
    return reference.rpartition("/")[2]
