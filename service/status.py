"""The one table from a model's status to an HTTP answer.

Covers: which number a request for a model gets, and when it should come back. Does not cover: errors of the request
itself (`service.errors`), how a status is computed (`service.lifecycle.policy`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from service.lifecycle import policy
from service.lifecycle.state import Status

if TYPE_CHECKING:
    from service.lifecycle.state import Entry

HTTP_OF: Mapping[Status, int] = MappingProxyType(
    {
        Status.READY: 200,
        Status.LOADING: 202,
        Status.NOT_STARTED: 202,  # asking for it has just started the load
        Status.ERROR: 503,
        Status.UNLOADED: 503,
    }
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request for a model gets in its present status. `retry_after_s` is whole seconds, at least 1, or None for "not by waiting"."""

    status: Status
    http: int
    retry_after_s: int | None


def answer_for(entry: Entry, now: float) -> Answer:
    """The answer to a request for the model of `entry` at Unix time `now`."""
    status = policy.status_of(entry)
    return Answer(status, HTTP_OF[status], policy.retry_after_s(entry, now))
