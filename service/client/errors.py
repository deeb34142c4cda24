"""What can go wrong with a call, one class for each thing a caller may want to do about it.

Covers: the errors, and which of them an answer is. Does not cover: whether a call is tried again first (`service.client.waiting`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from service.client.results import Failure, Progress, TrainingRun
    from service.client.wire import Response

_PREFIX = "urn:holdfast:problem:"


class HoldfastError(Exception):
    """Every error of the client. `status` is the HTTP number and `problem` the document of RFC 9457, None and {} where there is none."""

    def __init__(self, message: str, *, status: int | None = None, problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.problem: Mapping[str, Any] = problem or {}


class ServerUnavailable(HoldfastError):
    """Nobody answers: refused, reset, timed out, stopping, or a gateway that says so."""


class InvalidAnswer(HoldfastError):
    """What answered is no Holdfast server, or one that this client does not understand."""


class ServerFailed(HoldfastError):
    """The server could not do it (5xx): a defect, a full disk, a database that is away, something it cannot do yet."""


class AnswerTooSlow(HoldfastError):
    """The model did not answer within its request_timeout (504)."""


class Overloaded(HoldfastError):
    """The model has as many calls in flight as it may (429), or the table as many requests, and had until the deadline."""


class ModelLoading(HoldfastError):
    """The model was not ready when the deadline passed; `progress` says how far it was."""

    def __init__(self, message: str, progress: Progress, *, status: int | None = None) -> None:
        super().__init__(message, status=status)
        self.progress = progress


class ModelFailed(HoldfastError):
    """The model cannot serve (503). `failure` is why, or None; `model_status` is error or unloaded."""

    def __init__(
        self,
        message: str,
        *,
        model_status: str = "error",
        failure: Failure | None = None,
        status: int | None = None,
        problem: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, status=status, problem=problem)
        self.model_status = model_status
        self.failure = failure


class TrainingFailed(HoldfastError):
    """A training run that was waited for failed, crashed or was cancelled; `run` is all that is known of it."""

    def __init__(self, message: str, run: TrainingRun) -> None:
        super().__init__(message)
        self.run = run


class RequestRefused(HoldfastError):
    """The server does not take the request (4xx). `field` names what is wrong with it, where it is a field."""

    def __init__(self, message: str, *, status: int | None = None, problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, status=status, problem=problem)
        field = self.problem.get("field")
        self.field = field if isinstance(field, str) else None


class InvalidQuestion(RequestRefused):
    """A field has a value that cannot be used (422), or that cannot even be sent (`status` is None then)."""


class UnknownEntity(RequestRefused):
    """The model does not know this user or item (404)."""


class ModelUnknown(RequestRefused):
    """No model of this name is configured (404), or none at all."""


class NoEarlierVersion(RequestRefused):
    """There is nothing to roll back to (409)."""


class NotTrainedHere(RequestRefused):
    """No training stands behind the model (409)."""


class AlreadyTraining(RequestRefused):
    """A run of this training waits or runs already (409): `problem["run"]`."""


class Unauthorized(RequestRefused):
    """The token is missing or wrong (401), or the server has none (403)."""


_BY_SLUG: Mapping[str, type[HoldfastError]] = {
    "unknown-model": ModelUnknown,
    "nothing-configured": ModelUnknown,
    "unknown-entity": UnknownEntity,
    "invalid-field": InvalidQuestion,
    "no-earlier-version": NoEarlierVersion,
    "not-trained-here": NotTrainedHere,
    "training-runs": AlreadyTraining,
    "overloaded": Overloaded,
    "deadline-exceeded": AnswerTooSlow,
    "not-ready": ServerUnavailable,
    "store-unavailable": ServerFailed,
    "database-unavailable": ServerFailed,
}
_BY_STATUS: Mapping[int, type[HoldfastError]] = {
    401: Unauthorized,
    403: Unauthorized,
    429: Overloaded,
    502: ServerUnavailable,
    503: ServerUnavailable,
    504: AnswerTooSlow,
}
_OF_A_MODEL = ("model-not-ready", "answer-failed", "models-failed")


def problem_of(response: Response) -> Mapping[str, Any]:
    """The problem document of a response; {} where its body is none."""
    try:
        told = msgspec.json.decode(response.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return told if isinstance(told, dict) else {}


def slug_of(problem: Mapping[str, Any]) -> str:
    """The last word of a problem's type ("unknown-model"), "" where it is none of Holdfast's."""
    type = problem.get("type")
    return type.removeprefix(_PREFIX) if isinstance(type, str) and type.startswith(_PREFIX) else ""


def error_of(response: Response) -> HoldfastError:
    """The error that a response without a result is."""
    status, problem = response.status, problem_of(response)
    slug = slug_of(problem)
    detail = problem.get("detail") or problem.get("error")
    message = detail if isinstance(detail, str) else f"the server answered {status}"
    if slug in _OF_A_MODEL:
        return _model_failed(message, status, problem)
    cls = _BY_SLUG.get(slug) or _BY_STATUS.get(status)
    if cls is None:
        cls = ServerFailed if status >= 500 else RequestRefused if status >= 400 else InvalidAnswer
    return cls(message, status=status, problem=problem)


def _model_failed(message: str, status: int, problem: Mapping[str, Any]) -> ModelFailed:
    from service.client.results import Failure

    try:
        failure = msgspec.convert(problem.get("failure"), Failure | None)
    except msgspec.ValidationError:
        failure = None  # a newer server's: the message says it, and the problem has it
    model_status = str(problem.get("model_status") or "error")
    return ModelFailed(message, model_status=model_status, failure=failure, status=status, problem=problem)
