"""What a line of the route table says: everything that the router, `/openapi.json`, `/docs` and the reference page are made from.

Covers: the words of a declaration. Does not cover: the table (`service.routes`), the JSON documents that it names
(`service.schemas`), the OpenAPI document (`service.openapi`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from aiohttp.typedefs import Handler
from msgspec import Struct, UnsetType
from msgspec.structs import fields

from service.errors import PROBLEM_JSON
from service.schemas.problems import Problem

JSON = "application/json"
_NO_RESERVED_NAME = "(?!(?:status|reload|clear)(?:/|$))[^/]+"
"""What a path may have for a model: these words are other resources there, so that a wrong method for them is a 405."""
Where = Literal["path", "query", "header"]
Dialect = Literal["native", "v2"]
"""In which shape errors are told: problem+json, or the `{"error": str}` of the Open Inference Protocol."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value of the address or of a header. `type` is any type that msgspec has a JSON schema for."""

    name: str
    where: Where
    type: Any
    summary: str
    example: Any = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a request: the type it is decoded as, and examples by name; each of them is sent to a server by the tests."""

    type: Any
    examples: Mapping[str, Any]
    required: bool = True
    media_types: tuple[str, ...] = (JSON,)


@dataclass(frozen=True, slots=True)
class Header:
    """A header of an answer. `always`: it is on each answer of that status; else where it has something to say."""

    summary: str
    type: Any = str
    always: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What one status code means on a route.

    type: that of its JSON, also a union of structs; None where it is no JSON. media_type: several where the content decides;
    None where there is no content.
    """

    summary: str
    type: Any = None
    media_type: str | tuple[str, ...] | None = JSON
    example: Any = None
    headers: Mapping[str, Header] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path. An `admin` route answers only to the admin token; one that `takes_ingest` to the ingest token, too.

    answers: status -> Answer, of this route alone; what follows from being behind the token, from having a body, parameters
    or a `{model}` in the path is added by `service.routes.implied`. parameters: a query parameter that is not among them is
    refused, where there are any in the query. tag: the group it is shown in (`service.openapi.TAGS`). patterns: path
    variable -> regular expression, where one segment of a path is more than the variable.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    admin: bool = False
    tag: str = "models"
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    answers: Mapping[int, Answer] = field(default_factory=dict)
    dialect: Dialect = "native"
    patterns: Mapping[str, str] = field(default_factory=dict)
    takes_ingest: bool = False

    @property
    def operation_id(self) -> str:
        """Unique in the table: the method and the words of the path ("post_models_model_predict")."""
        return "_".join((self.method.lower(), *re.findall(r"[A-Za-z0-9]+", self.path))) if self.path != "/" else self.method.lower()

    @property
    def pattern(self) -> str:
        """The path as aiohttp's router has it."""
        patterns = {"model": _NO_RESERVED_NAME, **self.patterns}
        return re.sub(r"{(\w+)}", lambda name: f"{{{name[1]}:{patterns.get(name[1], '[^/]+')}}}", self.path)

    @property
    def queried(self) -> frozenset[str]:
        """The names of its query parameters."""
        return frozenset(parameter.name for parameter in self.parameters if parameter.where == "query")


def query_of(question: type[Struct], said: Mapping[str, str], examples: Mapping[str, Any] = MappingProxyType({})) -> tuple[Parameter, ...]:
    """The query parameters that are the fields of a struct. `said`: field -> what it is, of fields whose type does not say."""
    return tuple(
        Parameter(each.name, "query", _given(each.type), said.get(each.name, ""), examples.get(each.name), each.required)
        for each in fields(question)
    )


def _given(type: Any) -> Any:
    """The type of a parameter that was given: an address has neither null nor absence as a value."""
    kinds = tuple(kind for kind in get_args(type) if kind not in (UnsetType, NoneType)) if get_origin(type) in (Union, UnionType) else ()
    return Union[kinds] if kinds else type  # noqa: UP007 - the members are computed


def problem(summary: str, type: Any = Problem, *, headers: Mapping[str, Header] = MappingProxyType({}), example: Any = None) -> Answer:
    """An error of a native route, as problem+json."""
    return Answer(summary, type, PROBLEM_JSON, example, headers)


def get(path: str, handler: Handler, summary: str, **rest: Any) -> Route:
    """A route that reads."""
    return Route("GET", path, handler, summary, **rest)


def command(method: str, path: str, handler: Handler, summary: str, **rest: Any) -> Route:
    """A route that changes something: behind the admin token."""
    return Route(method, path, handler, summary, admin=True, **rest)
