"""The OpenAPI document is valid, and so is every example in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from service.openapi import TAGS
from service.routes import ROUTES, Route
from tests.contracts.described import document, name_of, operation_of, validate


def test_it_is_valid_openapi() -> None:
    OpenAPIV31SpecValidator(document()).validate()


def test_every_route_is_in_it_under_an_id_of_its_own() -> None:
    operations = [operation for path in document()["paths"].values() for operation in path.values()]
    assert len(operations) == len(ROUTES)
    assert len({operation["operationId"] for operation in operations}) == len(ROUTES)


def test_every_component_is_used_and_says_what_it_is() -> None:
    told = str(document())
    for name, schema in document()["components"]["schemas"].items():
        assert f"#/components/schemas/{name}'" in told
        assert schema["description"]


def test_every_array_says_what_is_in_it() -> None:
    """Generators of clients leave out a schema that does not, and every operation that has it."""
    assert [place for place, schema in _arrays(document()) if not {"items", "prefixItems"} & schema.keys()] == []


def _arrays(part: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(part, dict) and part.get("type") == "array":
        yield place, part
    for name, inner in part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ():
        yield from _arrays(inner, f"{place}/{name}")


@pytest.mark.parametrize("route", ROUTES, ids=name_of)
def test_a_route_says_what_it_is_takes_and_answers(route: Route) -> None:
    operation = operation_of(route)
    assert route.tag in TAGS
    assert operation["summary"] and not operation["summary"].endswith(".")
    # A thing that there is none of yet is 404 whatever is asked.
    assert list(operation["responses"]) == ["404"] or any(int(status) < 400 or int(status) == 501 for status in operation["responses"])
    assert all(parameter["description"] for parameter in operation.get("parameters", ()))
    assert all(answer["description"] and not answer["description"].endswith(".") for answer in operation["responses"].values())
    assert ("security" in operation) == route.admin
    variables = {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "path"}
    assert all(f"{{{name}}}" in route.path for name in variables)
    assert len(variables) == route.path.count("{")
    if "requestBody" in operation:
        assert all(content["examples"] for content in operation["requestBody"]["content"].values())


@pytest.mark.parametrize("route", ROUTES, ids=name_of)
def test_its_examples_are_what_its_schemas_say(route: Route) -> None:
    for example, schema in _examples(operation_of(route)):
        validate(example, schema)


def _examples(operation: dict[str, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
    for parameter in operation.get("parameters", ()):
        if "example" in parameter:
            yield parameter["example"], parameter["schema"]
    contents = [operation.get("requestBody", {}), *operation["responses"].values()]
    for content in (content for told in contents for content in told.get("content", {}).values()):
        yield from ((each["value"], content["schema"]) for each in content.get("examples", {}).values())
        if "example" in content:
            yield content["example"], content["schema"]
