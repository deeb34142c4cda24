"""Every error a client can see, in one shape: application/problem+json (RFC 9457), but for /v2 (`service.inference_errors`).

Covers: the errors of a request and their HTTP numbers, the middleware that renders them, and those of the lifecycle and
of aiohttp. Does not cover: the number of a model that is not ready (`service.status`).
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

from aiohttp import web
from aiohttp.typedefs import Handler

from loaders.errors import LoadError
from models.base import AnswerFailed, RequestError, UnknownEntity
from service.inference_errors import inference_error, inference_not_ready, is_inference_path
from service.lifecycle.errors import ArchiveUnavailable, NoEarlierVersion, SupervisorClosed, UnknownModel
from service.lifecycle.view import ModelView, NotReady
from service.replies import reply
from service.status import answer_for
from training.running.refused import AlreadyRunning, RunElsewhere, RunRefused, TrainingUnavailable, UnknownRun

PROBLEM_JSON = "application/problem+json"
DOCUMENT = web.ResponseKey("document", Mapping[str, Any])
"""The problem that a response tells."""
_TYPE_PREFIX = "urn:holdfast:problem:"
_LONGEST_TOLD = 1000
"""Characters of a field's name, and of what is wrong with it."""
_log = logging.getLogger("holdfast.http")


class Problem(Exception):
    """An error that is told to the client. `members` are the extra fields of the document (model, field ...)."""

    status: ClassVar[int]
    slug: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, detail: str, *, headers: Mapping[str, str] | None = None, **members: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members

    def response(self) -> web.Response:
        return problem(self.status, self.slug, self.title, self.detail, headers=self.headers, **self.members)


class MalformedBody(Problem):
    """The body is not JSON, or was cut short."""

    status, slug, title = 400, "malformed-body", "The body is not valid JSON"


class Unauthorized(Problem):
    """The admin token is missing or wrong."""

    status, slug, title = 401, "unauthorized", "The admin token is missing or wrong"


class AdminDisabled(Problem):
    """No admin token is configured."""

    status, slug, title = 403, "admin-disabled", "No admin token is configured"


class BodyTimeout(Problem):
    """The body did not arrive in time."""

    status, slug, title = 408, "body-timeout", "The body did not arrive in time"


class UnsupportedMediaType(Problem):
    """The body is not declared as JSON."""

    status, slug, title = 415, "unsupported-media-type", "The body must be JSON"


class UnsupportedCoding(Problem):
    """The body is compressed in a way that is not read here."""

    status, slug, title = 415, "unsupported-content-coding", "The body is compressed in another way than gzip or deflate"

    def __init__(self) -> None:
        super().__init__("Send it as it is, or with gzip or deflate.", headers={"Accept-Encoding": "gzip, deflate"})


class TooManyAttempts(Problem):
    """Wrong admin tokens keep coming from this address."""

    status, slug, title = 429, "too-many-attempts", "Too many wrong admin tokens"


class UnknownAlgorithm(Problem):
    """Neither a model nor a kind of models has this name."""

    status, slug, title = 404, "unknown-algorithm", "No such algorithm"


class NoSuchVersion(Problem):
    """No version of this name is kept of the model; the `field` member names the parameter."""

    status, slug, title = 404, "unknown-version", "No such version"


class NotTrainedHere(Problem):
    """No training stands behind the model, or none is configured at all."""

    status, slug, title = 409, "not-trained-here", "Not trained here"


class RunsAlready(Problem):
    """A run of this training waits or runs; `run` is that one, where it is known."""

    status, slug, title = 409, "training-runs", "It is being trained already"


class InvalidField(Problem):
    """A field of the body or of the query string has a value that cannot be used; the `field` member names it."""

    status, slug, title = 422, "invalid-field", "A field has a value that cannot be used"

    def __init__(self, field: str, detail: str) -> None:
        self.field = _shortened(field)  # names that a client made up are told back to it
        super().__init__(_shortened(detail), field=self.field)


class Overloaded(Problem):
    """The model has as many calls in flight as it may."""

    status, slug, title = 429, "overloaded", "Too many calls at the same time"


class NotTakenHere(Problem):
    """No table takes interactions, as it is configured."""

    status, slug, title = 409, "interactions-not-taken", "Interactions are not taken here"


class DatabaseUnavailable(Problem):
    """The database of interactions cannot be reached, or did not answer in time."""

    status, slug, title = 503, "database-unavailable", "The database cannot be reached"


class NothingConfigured(Problem):
    """The question names no model and there is none to fall back on."""

    status, slug, title = 503, "nothing-configured", "No model is configured"


class NotServing(Problem):
    """The server as a whole is not ready to serve."""

    status, slug, title = 503, "not-ready", "Not ready"


class ModelsFailed(Problem):
    """Some models failed to load."""

    status, slug, title = 503, "models-failed", "Some models failed to load"


class DeadlineExceeded(Problem):
    """Scoring took longer than the model's request_timeout."""

    status, slug, title = 504, "deadline-exceeded", "The answer took too long"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_TOLD else f"{text[:_LONGEST_TOLD]}..."


def problem_document(status: int, slug: str, title: str, detail: str, **members: object) -> dict[str, object]:
    """The members of a problem: the standard ones first, then the extra ones."""
    return {"type": _TYPE_PREFIX + slug, "title": title, "status": status, "detail": detail, **members}


def problem(
    status: int, slug: str, title: str, detail: str, *, headers: Mapping[str, str] | None = None, **members: object
) -> web.Response:
    """A response in the one error shape."""
    return problem_response(problem_document(status, slug, title, detail, **members), headers)


def problem_response(document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> web.Response:
    """A problem document as a response with its own number."""
    response = reply(document, document["status"], headers, content_type=PROBLEM_JSON)
    response[DOCUMENT] = document
    return response


def not_ready(view: ModelView, now: float, *, headers: Mapping[str, str] | None = None) -> web.Response:
    """202 with the progress of a model that is on its way, or a 503 problem with the cause of one that is not; `now` is Unix time."""
    answer = answer_for(view.entry, now)
    if answer.http != 202:
        return model_failed(view, now, headers=headers)
    facts = view.to_json(now)
    shown = ("phase", "progress", "bytes_done", "bytes_total", "eta_s", "reason")
    body = {"status": "loading", "model": facts["name"], **{key: facts[key] for key in shown}, "retry_after_s": answer.retry_after_s}
    return reply(body, answer.http, {**(headers or {}), "Retry-After": str(answer.retry_after_s)})


def model_failed(view: ModelView, now: float, *, headers: Mapping[str, str] | None = None) -> web.Response:
    """The 503 problem of a model whose last attempt failed, or that an operator unloaded; `now` is Unix time."""
    retry_after_s = answer_for(view.entry, now).retry_after_s
    sent = {**(headers or {}), **({} if retry_after_s is None else {"Retry-After": str(retry_after_s)})}
    facts = view.to_json(now)
    failure = facts["failure"]
    if failure is not None:
        detail = f"{failure['type']}: {failure['message']}"
    else:
        detail = f"{facts['name']} is {facts['status']}" + (f": {facts['reason']}" if facts["reason"] else "")
    # RFC 9457 gives `status` to the HTTP number; the model's own status therefore has a name of its own.
    members = {"model": facts["name"], "model_status": facts["status"], "failure": failure, "retry_after_s": retry_after_s}
    return problem(503, "model-not-ready", "The model is not ready", detail, headers=sent, **members)


def answer_failed(error: AnswerFailed, view: ModelView, now: float, *, headers: Mapping[str, str] | None = None) -> web.Response:
    """The 503 problem of a call that a model could not answer; `view` is the model as it is now, `now` Unix time.

    It comes back by itself: where nothing else is known about when, it is asked for again after a second.
    """
    retry_after_s = answer_for(view.entry, now).retry_after_s or 1
    members = {
        "model": view.name,
        "model_status": view.status.value,
        "failure": {"type": error.type, "message": error.message, "retryable": True},
        "retry_after_s": retry_after_s,
    }
    sent = {**(headers or {}), "Retry-After": str(retry_after_s)}
    detail = f"{error.type}: {error.message}"
    return problem(503, "answer-failed", "The model could not answer this call", detail, headers=sent, **members)


def _of_aiohttp(error: web.HTTPException) -> web.Response:
    phrase = HTTPStatus(error.status)
    slug = phrase.phrase.lower().replace(" ", "-")
    kept = {name: error.headers[name] for name in ("Allow", "Location", "WWW-Authenticate", "Retry-After") if name in error.headers}
    return problem(error.status, slug, phrase.phrase, phrase.description or error.reason, headers=kept)


def _unexpected(request: web.Request, error: Exception) -> web.Response:
    incident = secrets.token_hex(8)
    where = {"action": "request", "incident": incident, "method": request.method, "path": request.path}
    _log.error("unexpected error", exc_info=error, extra=where)
    detail = f"The cause is in the server's log under incident {incident}."
    return problem(500, "internal-error", "Internal error", detail, incident=incident)


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns whatever a handler raises into a problem document, on /v2 into the protocol's error; the unforeseen is told as an opaque id."""
    response = await _answered(request, handler)
    if is_inference_path(request.path) and DOCUMENT in response:
        return inference_error(response[DOCUMENT], response.headers)
    return response


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Problem as error:
        return error.response()
    except NotReady as error:
        tell = inference_not_ready if is_inference_path(request.path) else not_ready
        return tell(error.view, time.time())
    except UnknownModel as error:
        return problem(404, "unknown-model", "No such model", f"No model is named {error.name!r}.", model=error.name)
    except NoEarlierVersion as error:
        return problem(409, "no-earlier-version", "No earlier version is kept", str(error), model=error.model)
    except ArchiveUnavailable as error:
        return problem(503, "store-unavailable", "The store cannot be used now", str(error))
    except SupervisorClosed:
        return NotServing("The server is stopping.").response()
    except (TrainingUnavailable, UnknownRun, RunRefused) as error:
        return training_problem(error)
    except LoadError as error:
        return problem(503, "store-unavailable", "The store cannot be used now", f"{error.type}: {error.message}", failure_type=error.type)
    except RequestError as error:
        return request_problem(error)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _of_aiohttp(error)
    except Exception as error:
        return _unexpected(request, error)


def training_problem(error: TrainingUnavailable | UnknownRun | RunRefused) -> web.Response:
    """404 for a run that nobody knows, 409 for what a run, as it is, does not let be done, 503 while nothing can be trained."""
    if isinstance(error, TrainingUnavailable):
        return problem(503, "store-unavailable", "Nothing can be trained now", str(error))
    if isinstance(error, UnknownRun):
        return problem(404, "unknown-run", "No such training run", f"No training run has the id {_shortened(error.id)!r}.")
    run = None if error.run is None else error.run.to_json()
    if isinstance(error, AlreadyRunning):
        return RunsAlready(str(error), run=run).response()
    slug, title = ("run-elsewhere", "Another process's run") if isinstance(error, RunElsewhere) else ("run-over", "The run is over")
    return problem(409, slug, title, str(error), run=run)


def request_problem_document(error: RequestError, **members: object) -> dict[str, object]:
    """404 for a user or item the model does not know, 422 for any other fault of the question."""
    if isinstance(error, UnknownEntity):
        return problem_document(404, "unknown-entity", "Not in the model", error.message, field=error.field, **members)
    return problem_document(422, InvalidField.slug, InvalidField.title, error.message, field=error.field, **members)


def request_problem(error: RequestError, **members: object) -> web.Response:
    """The response of a wrong question."""
    return problem_response(request_problem_document(error, **members))
