"""Posting interactions through the client: what is sent, that it is sent again under the same key, and what is raised.

Does not cover: sockets (`test_transports`), the server's side (`tests/unit/service/test_interactions.py`).
"""

from __future__ import annotations

import json
import math
from collections import UserDict, deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pytest

from service.client import HoldfastError, InvalidQuestion, Overloaded, Posted, RequestRefused, ServerFailed, ServerUnavailable, Unauthorized
from service.client.calls import Calls
from service.client.wire import Response, Server
from tests.unit.service.client.steps import REFUSED_CONNECTION, RESET, Scripted, World, paths, prefers, problem, told
from training.ingest.base import KEY_KEPT_S

ONE = {"user_id": 1, "item_id": 101}
TAKEN = told(202, {"accepted": 1, "duplicate": False})
AGAIN = told(202, {"accepted": 1, "duplicate": True})
AWAY = problem(503, "database-unavailable", retry_after=5)


def posted(
    world: World, interactions: Sequence[Any] = (ONE,), key: str | None = None, deadline_s: float | None = None, **rules: float
) -> Posted:
    calls = Calls(Server("http://h", "ingest-token"), world.rules(**rules))
    return world.carry_out(calls.post_interactions(interactions, key, deadline_s))


def keys_of(world: World) -> list[str]:
    return [send.request.headers["Idempotency-Key"] for send in world.sent]


def test_what_is_posted_is_sent_with_the_token_and_a_key_and_202_is_its_result() -> None:
    world = World([TAKEN])
    assert posted(world, key="visit-4711") == Posted(1, duplicate=False)
    (request,) = [send.request for send in world.sent]
    assert paths(world.sent) == ["POST /interactions"]
    assert json.loads(request.body or b"") == {"interactions": [ONE]}
    assert (request.headers["X-ADMIN-TOKEN"], request.headers["Idempotency-Key"]) == ("ingest-token", "visit-4711")
    assert prefers([request]) == [None] and world.pauses == []


def test_each_call_without_a_key_has_one_of_its_own() -> None:
    world = World([TAKEN])
    posted(world)
    posted(world)
    first, second = keys_of(world)
    assert first != second and len(first) == len(second) == 32


@pytest.mark.parametrize(
    "refusal",
    [RESET, REFUSED_CONNECTION, AWAY, problem(429, "overloaded", retry_after=1), problem(503, "not-ready"), Response(502)],
    ids=["lost answer", "nobody there", "database away", "too many", "stopping", "gateway"],
)
@pytest.mark.parametrize("key", [None, "visit-4711"])
def test_it_is_sent_again_under_the_same_key(refusal: Scripted, key: str | None) -> None:
    world = World([refusal, refusal, AGAIN])
    assert posted(world, key=key) == Posted(1, duplicate=True)
    assert len(world.sent) == 3 and len(set(keys_of(world))) == 1
    assert len({send.request.body for send in world.sent}) == 1
    if key is not None:
        assert keys_of(world)[0] == key


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (AWAY, ServerFailed),
        (problem(429, "overloaded", retry_after=1), Overloaded),
        (problem(401, "unauthorized"), Unauthorized),
        (problem(403, "admin-disabled"), Unauthorized),
        (problem(409, "interactions-not-taken"), RequestRefused),
        (problem(422, "invalid-field", field="interactions[0].user_id"), InvalidQuestion),
        (RESET, ServerUnavailable),
    ],
    ids=["database away", "too many", "wrong token", "no token there", "no table", "wrong field", "nobody answers"],
)
def test_what_is_not_taken_in_the_end_is_raised(answer: Scripted, error: type[HoldfastError]) -> None:
    with pytest.raises(error) as raised:
        posted(World([answer]), deadline_s=0)
    assert type(raised.value) is error


def test_it_is_not_sent_again_once_the_server_may_have_forgotten_the_key() -> None:
    world = World([RESET, problem(503, "database-unavailable", retry_after=600)])
    began_at = world.now
    with pytest.raises(ServerFailed):
        posted(world, deadline_s=math.inf)
    assert 0.9 * KEY_KEPT_S < world.now - began_at < KEY_KEPT_S - 600
    world = World([AWAY])
    with pytest.raises(ServerFailed):
        posted(world, deadline_s=60)
    assert world.now - began_at <= 60


@pytest.mark.parametrize("key", ["", "two words", "a\r\nX-Other: b", "é", "k" * 256])
def test_a_key_that_is_none_is_not_sent(key: str) -> None:
    world = World([TAKEN])
    with pytest.raises(InvalidQuestion, match="1 to 255 visible ASCII characters"):
        posted(world, key=key)
    assert world.sent == []


def test_times_and_mappings_are_sent_as_the_server_reads_them() -> None:
    at = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    interactions = deque(
        [
            UserDict(ONE, ts=at),
            {**ONE, "ts": at.astimezone(timezone(timedelta(hours=1)))},
            {"user_id": np.int64(1), "item_id": np.str_("x"), "weight": np.float32(0.5), "ts": pd.Timestamp(at)},
            {**ONE, "ts": 1772600767},
            {**ONE, "ts": "2026-03-04T05:06:07Z"},
        ]
    )
    world = World([TAKEN])
    posted(world, interactions)
    sent = json.loads(world.sent[0].request.body or b"")["interactions"]
    assert [each["ts"] for each in sent] == [
        "2026-03-04T05:06:07Z",
        "2026-03-04T06:06:07+01:00",
        "2026-03-04T05:06:07+00:00",
        1772600767,
        "2026-03-04T05:06:07Z",
    ]
    assert {**sent[2], "ts": None} == {"user_id": 1, "item_id": "x", "weight": 0.5, "ts": None}
    with pytest.raises(InvalidQuestion, match="cannot be sent as JSON"):
        posted(world, [{**ONE, "item_id": object()}])


def test_more_than_may_be_is_left_to_the_server() -> None:
    world = World([problem(422, "invalid-field", field="interactions")])
    with pytest.raises(InvalidQuestion) as raised:
        posted(world, [ONE] * 10_001)
    assert raised.value.field == "interactions" and len(world.sent) == 1
