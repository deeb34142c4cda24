"""How a failed model looks over HTTP: the numbers, the headers and the fields, by the class of its failure.

Does not cover: which failure it should be (the tests say so).
"""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import datetime
from typing import Any

from loaders.errors import FAILURES, Retry
from service.lifecycle.policy import DEFAULT_RETRY
from tests.acceptance.running import LOADS_WITHIN_S, Reply, Server
from tests.support import wait_until_sync

ASK = {"user_id": 1}
_LOADING_FIELDS = {"status", "model", "phase", "progress", "bytes_done", "bytes_total", "eta_s", "reason", "retry_after_s"}
_FAILURE_FIELDS = {"type", "message", "retryable", "attempts", "at", "next_attempt_at"}
_PHASES = {"queued", "downloading", "verifying", "training", "loading", "warming"}


def wait_failed(server: Server, name: str, deadline_s: float = LOADS_WITHIN_S) -> Reply:
    """The first answer of the model that is not 202; every 202 before it is checked too."""

    def answer() -> Reply | None:
        reply = server.predict(name, ASK)
        if reply.status != 202:
            return reply
        check_loading(reply, name)
        return None

    found: Reply = wait_until_sync(answer, deadline_s, what=f"{name} does not load any more")
    return found


def check_loading(reply: Reply, name: str) -> None:
    """Raises AssertionError unless this is the 202 of a model that is on its way."""
    assert reply.status == 202, reply
    assert reply.body.keys() == _LOADING_FIELDS
    assert (reply.body["status"], reply.body["model"]) == ("loading", name)
    assert reply.body["phase"] in _PHASES
    assert reply.retry_after_s == reply.body["retry_after_s"] >= 1


def check_failed(server: Server, name: str, types: str | Collection[str], deadline_s: float = LOADS_WITHIN_S) -> dict[str, Any]:
    """The `failure` of a model that must fail in one of `types`. Raises AssertionError for any field that is not as its class says."""
    expected = {types} if isinstance(types, str) else set(types)
    reply = wait_failed(server, name, deadline_s)
    assert reply.status == 503, f"{name} answered {reply.status}: {reply.body}"
    assert reply.headers["Content-Type"] == "application/problem+json"
    problem = reply.body
    assert (problem["status"], problem["model"], problem["model_status"]) == (503, name, "error")
    failure: dict[str, Any] = problem["failure"]
    assert failure.keys() == _FAILURE_FIELDS
    assert failure["type"] in expected, failure
    assert failure["message"], failure
    assert failure["attempts"] >= 1
    check_promise(reply, failure)
    return failure


def check_promise(reply: Reply, failure: dict[str, Any]) -> None:
    """Raises AssertionError unless the answer promises another attempt exactly where the failure has one."""
    retry = FAILURES[failure["type"]].retry
    if retry is Retry.NEVER:
        assert failure["retryable"] is False, failure
    if retry in (Retry.BACKOFF, Retry.SLOWLY):
        assert failure["retryable"] is True, failure
    if not failure["retryable"]:
        assert failure["next_attempt_at"] is None, failure
        assert reply.headers["Retry-After"] is None
        assert reply.body["retry_after_s"] is None
        return
    wait_s = seconds(failure["next_attempt_at"]) - seconds(failure["at"])
    longest_s = DEFAULT_RETRY.slow_s if retry is Retry.SLOWLY else DEFAULT_RETRY.backoff_s(failure["attempts"], 0.0)
    assert longest_s * (1 - DEFAULT_RETRY.jitter) - 0.01 <= wait_s <= longest_s + 0.01, failure
    assert reply.retry_after_s is not None
    assert reply.retry_after_s == reply.body["retry_after_s"] >= 1
    left_s = seconds(failure["next_attempt_at"]) - time.time()
    assert left_s - 1 <= reply.retry_after_s <= wait_s + 1


def seconds(rfc3339: str) -> float:
    """Unix seconds of a time in a status object."""
    return datetime.fromisoformat(rfc3339).timestamp()
