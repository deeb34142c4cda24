"""Errors as documents: application/problem+json (RFC 9457), and the error of the Open Inference Protocol.

Covers: the members of each kind. Does not cover: when they are told (`service.errors`).
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from service.schemas.models import ModelStatus
from service.schemas.values import RetryAfter, StatusWord, Timestamp


class Problem(Struct, kw_only=True):
    """An error. Members beyond these say more about its kind."""

    type: Annotated[str, Meta(description="Which kind of error, for programs", extra_json_schema={"format": "uri"})]
    title: Annotated[str, Meta(description="Which kind of error, for people")]
    status: Annotated[int, Meta(ge=400, le=599, description="The HTTP status code")]
    detail: Annotated[str, Meta(description="What is wrong this time")]


class FieldProblem(Problem, kw_only=True):
    """A value cannot be used."""

    field: Annotated[
        str, Meta(description="The field of the body or the parameter at fault, as it was written", examples=["users[3]", "k"])
    ]
    model: str | UnsetType = UNSET


class NotFoundProblem(Problem, kw_only=True):
    """No such path, no such model (then with `model` alone), or no such user or item in it (then with `field`)."""

    model: str | UnsetType = UNSET
    field: str | UnsetType = UNSET


class NamedProblem(Problem, kw_only=True):
    """The model, as it is, does not let this be done."""

    model: str


class BusyProblem(Problem, kw_only=True):
    """Too many calls: come back after `retry_after_s`."""

    retry_after_s: RetryAfter
    model: str | UnsetType = UNSET


class ModelFailure(Struct, kw_only=True):
    """Why a model is not ready, or could not answer one call (then without `attempts`, `at` and `next_attempt_at`)."""

    type: Annotated[str, Meta(description="See the page of failures", examples=["source_unavailable"])]
    message: str
    retryable: bool
    attempts: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    at: Timestamp | UnsetType = UNSET
    next_attempt_at: Timestamp | UnsetType | None = UNSET


class UnavailableProblem(Problem, kw_only=True):
    """The model (or, without `model`, the server) cannot answer now. Without `retry_after_s`, waiting is in vain."""

    model: str | UnsetType = UNSET
    model_status: StatusWord | UnsetType = UNSET
    failure: ModelFailure | UnsetType | None = UNSET
    retry_after_s: RetryAfter | UnsetType | None = UNSET


class NotServingProblem(Problem, kw_only=True):
    """The server is not ready: it stops, or required models are not live."""

    waiting_for: Annotated[list[str], Meta(description="Required models that are not live")]
    models: dict[str, StatusWord]


class ModelsFailedProblem(Problem, kw_only=True):
    """Some models failed to load; or (without `failed`) the server is stopping."""

    failed: list[str] | UnsetType = UNSET
    models: list[ModelStatus] | UnsetType = UNSET


class StoreProblem(Problem, kw_only=True):
    """The store cannot be used now."""

    failure_type: str | UnsetType = UNSET


class InferenceError(Struct):
    """An error, as the Open Inference Protocol tells it."""

    error: str
