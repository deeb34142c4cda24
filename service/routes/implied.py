"""What follows from the form of a route: the parameters and answers that need not be said in each declaration.

Covers: what a path variable is; the answers of every route behind the token, with a body, with parameters, with a model in
its path; those of every route that asks a model something (`ASKING`, which such a route names itself). Does not cover: the
OpenAPI document (`service.openapi`), performing any of it (`service.admin`, `service.body`, `service.errors`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated

from msgspec import Meta

from service.routes.declared import Answer, Header, Parameter, Route, problem
from service.schemas.models import Loading
from service.schemas.problems import BusyProblem, FieldProblem, InferenceError, NotFoundProblem, Problem, UnavailableProblem
from service.schemas.values import ModelName, RetryAfter

RETRY_AFTER = Header("Whole seconds until it is worth asking again (RFC 9110, 10.2.3)", RetryAfter)
RETRY_AFTER_IF_ANY = replace(RETRY_AFTER, always=False)
CHALLENGE = Header("How to send the token (RFC 9110, 11.6.1)")
APPLIED = Header("`wait=N`, where the call waited for the model (RFC 7240)", always=False)

PREFER = Parameter(
    "Prefer",
    "header",
    str,
    "`wait=N`: wait up to N seconds, but no longer than the model's `max_wait_s`, for a model that is not ready (RFC 7240)",
    example="wait=10",
)

PATH_VARIABLES: Mapping[str, Parameter] = MappingProxyType(
    {
        "model": Parameter("model", "path", ModelName, "Name of a model", example="als"),
        "item_id": Parameter(
            "item_id",
            "path",
            Annotated[str, Meta(min_length=1)],
            'Id of an item, read in the kind of the model\'s ids; where both 1 and "1" are items, the number is meant',
            example="101",
        ),
        "version": Parameter(
            "version", "path", Annotated[str, Meta(min_length=1)], "A version of the model", example="20261121T101500-3fa9c1"
        ),
        "id": Parameter("id", "path", Annotated[str, Meta(min_length=1)], "Id of a run", example="20261121T101500-3fa9c1"),
    }
)

ASKING: Mapping[int, Answer] = MappingProxyType(
    {
        202: Answer(
            "The model is on its way: ask again after Retry-After seconds",
            Loading,
            headers={"Retry-After": RETRY_AFTER, "Preference-Applied": APPLIED},
        ),
        404: problem("No such model; or the user, the item, or all of `liked` are not in it", NotFoundProblem),
        422: problem("A field cannot be used, or not with this model", FieldProblem),
        429: problem("The model has as many calls in flight as it may", BusyProblem, headers={"Retry-After": RETRY_AFTER}),
        503: problem(
            "The model is not ready and not on its way, could not answer this call, or the server is stopping",
            UnavailableProblem,
            headers={"Retry-After": RETRY_AFTER_IF_ANY, "Preference-Applied": APPLIED},
        ),
        504: problem("The answer took longer than the model's `request_timeout`", NotFoundProblem),
    }
)
"""Besides 200, what a native route answers that asks a model something."""


def completed(route: Route) -> Route:
    """The route with all its parameters and answers, in the order of their numbers; what it says itself counts more."""
    answers = {**dict(_answers(route)), **route.answers}
    said = {parameter.name for parameter in route.parameters if parameter.where == "path"}
    variables = [name for name in re.findall(r"{(\w+)}", route.path) if name not in said]
    parameters = (*(PATH_VARIABLES[name] for name in variables), *route.parameters)
    return replace(route, parameters=parameters, answers=dict(sorted(answers.items())))


def _answers(route: Route) -> Iterator[tuple[int, Answer]]:
    def error(summary: str, type: object = Problem, headers: Mapping[str, Header] = MappingProxyType({})) -> Answer:
        return Answer(summary, InferenceError, headers=headers) if route.dialect == "v2" else problem(summary, type, headers=headers)

    invalid = 400 if route.dialect == "v2" else 422
    if route.admin:
        yield 401, error("The admin token is missing or wrong", headers={"WWW-Authenticate": CHALLENGE})
        yield 403, error("No admin token is configured")
        yield 429, error("Too many wrong tokens came from this address", BusyProblem, {"Retry-After": RETRY_AFTER})
    if route.queried:
        yield invalid, error("A parameter is unknown or has a value that cannot be used", FieldProblem)
        yield 431, problem("The address is longer than 8190 bytes")  # found before there is a route, so in the one shape
    if "{model}" in route.path:
        yield 404, error("No such model", NotFoundProblem)
    if route.body is not None:
        yield 400, error("The body is not JSON, or was cut short")
        yield 408, error("The body did not arrive in time")
        yield 413, error("The body is larger than `max_body`")
        yield 415, error("The body is declared as something else than JSON, or compressed in another way than gzip or deflate")
        if invalid != 400:
            yield invalid, error("A field of the body is unknown, missing or cannot be used", FieldProblem)
