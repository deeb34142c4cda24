"""What a line of the route table says: everything that the router, `/openapi.json`, `/docs` and the reference page are made from.

Covers: the words of a declaration. Does not cover: the table (`service.routes`), the JSON documents that it names
(`service.schemas`), the OpenAPI document (`service.openapi`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp.typedefs import Handler

JSON = "application/json"
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
class Answer:
    """What one status code means on a route. `type` is that of its JSON; None where it is no JSON, or empty."""

    summary: str
    type: Any = None
    media_type: str | None = JSON
    example: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """Header -> what it says."""


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path. An `admin` route answers only to the admin token.

    answers: status -> Answer, of this route alone; what follows from being behind the token, from having a body, parameters
    or a `{model}` in the path is added by `service.openapi`. tag: the group it is shown in. patterns: path variable ->
    regular expression, where one segment of a path is more than the variable.
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

    @property
    def operation_id(self) -> str:
        """Unique in the table: the method and the words of the path ("post_models_model_predict")."""
        return "_".join((self.method.lower(), *re.findall(r"[A-Za-z0-9]+", self.path))) if self.path != "/" else self.method.lower()

    @property
    def pattern(self) -> str:
        """The path as aiohttp's router has it."""
        return re.sub(r"{(\w+)}", lambda name: f"{{{name[1]}:{self.patterns.get(name[1], '[^/]+')}}}", self.path)


def get(path: str, handler: Handler, summary: str, **rest: Any) -> Route:
    """A route that reads."""
    return Route("GET", path, handler, summary, **rest)


def command(method: str, path: str, handler: Handler, summary: str, **rest: Any) -> Route:
    """A route that changes something: behind the admin token."""
    return Route(method, path, handler, summary, admin=True, **rest)
