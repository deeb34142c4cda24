"""Rows put to estimators, in this process and hosted: kinds that do not suit a question, slices, threads, failures of a call."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from models.base import AnswerFailed, InvalidQuery, Predictions
from service import answers
from service.jobs import CELLS_AT_ONCE
from service.keys import SCORING
from service.questions import Question, decode_question
from service.routes import predict
from tests.support import wait_until
from tests.unit.service.conftest import ClientOf
from tests.unit.service.fakes import VERSION, FakeEstimator, FakeHosted, FakeRegistry, FakeScorer, failed, live
from tests.unit.service.test_predict import ask


async def test_predictions_of_rows(client_of: ClientOf) -> None:
    registry = FakeRegistry(live(), scorer=FakeEstimator())
    status, body, _ = await ask(await client_of(registry), {"instances": [[1, 2], [0.5, 0.25]]})
    assert (status, body) == (200, {"model": "als", "version": VERSION, "predictions": [3, 0.75]})
    assert not registry.leases


async def test_a_classifier_says_its_classes_and_probabilities(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(live(), scorer=FakeEstimator(classes=["no", "yes"])))
    _, body, _ = await ask(client, {"instances": [[1, 2]]})
    assert (body["probabilities"], body["classes"]) == ([[0.25, 0.75]], ["no", "yes"])


@pytest.mark.parametrize(
    ("instances", "field"),
    [
        ([[1, 2], [1]], "instances[1]"),
        ([[1, None]], "instances[0][1]"),
        ([[1, 2]] * (CELLS_AT_ONCE + 5) + [[3]], f"instances[{CELLS_AT_ONCE + 5}]"),
    ],
)
async def test_a_wrong_row_is_422_and_named(client_of: ClientOf, instances: list[Any], field: str) -> None:
    registry = FakeRegistry(live(), scorer=FakeEstimator())
    status, problem, _ = await ask(await client_of(registry), {"instances": instances})
    assert (status, problem["field"], problem["model"]) == (422, field, "als")
    await wait_until(lambda: not registry.leases)


async def test_few_rows_are_predicted_on_the_loop_many_in_a_thread_some_at_a_time(client_of: ClientOf) -> None:
    registry = FakeRegistry(live(), scorer=FakeEstimator(classes=[0, 1]))
    client = await client_of(registry)
    rows = [[number, 0] for number in range(3 * CELLS_AT_ONCE // 2 + 1)]
    for asked in (rows[:2], rows):
        status, body, _ = await ask(client, {"instances": asked})
        assert (status, body["predictions"]) == (200, [number for number, _ in asked])
        assert len(body["probabilities"]) == len(asked)
    assert registry.scorer.asked == [2, *[CELLS_AT_ONCE // 2] * 3, 1]
    assert registry.scorer.threads[0] == threading.current_thread().name
    assert all(name.startswith("scoring") for name in registry.scorer.threads[1:])
    await wait_until(lambda: not registry.leases)


@pytest.mark.parametrize(("rows", "reader"), [(10, "MainThread"), (5000, "asyncio")])
async def test_large_bodies_are_decoded_in_a_thread_small_ones_on_the_loop(
    client_of: ClientOf, monkeypatch: pytest.MonkeyPatch, rows: int, reader: str
) -> None:
    readers: list[str] = []

    def decode(raw: bytes) -> Question:
        readers.append(threading.current_thread().name)
        return decode_question(raw)

    monkeypatch.setattr(predict, "decode_question", decode)
    status, body, _ = await ask(await client_of(FakeRegistry(live(), scorer=FakeEstimator())), {"instances": [[1, 2]] * rows})
    assert (status, body["predictions"]) == (200, [3] * rows)
    assert [name.partition("_")[0] for name in readers] == [reader]


@pytest.mark.parametrize(("rows", "writer"), [(100, "MainThread"), (2000, "scoring")])
async def test_long_predictions_are_written_in_a_thread_short_ones_on_the_loop(
    client_of: ClientOf, monkeypatch: pytest.MonkeyPatch, rows: int, writer: str
) -> None:
    writers: set[str] = set()
    lengths: list[int] = []

    def encode(values: Any) -> bytes:
        writers.add(threading.current_thread().name.partition("_")[0])
        lengths.append(len(values))
        return msgspec.json.encode(values)

    monkeypatch.setattr(answers, "_encode", encode)
    client = await client_of(FakeRegistry(live(), scorer=FakeEstimator(classes=["no", "yes"])))
    status, body, _ = await ask(client, {"instances": [[number, 1] for number in range(rows)]})
    assert (status, body["predictions"]) == (200, [number + 1 for number in range(rows)])
    assert body["probabilities"] == [[0.25, 0.75]] * rows
    assert writers == {writer}
    assert max(lengths) * 3 <= answers.WRITTEN_AT_ONCE


async def test_a_slow_prediction_is_504_and_its_lease_lasts_as_long_as_the_thread(client_of: ClientOf) -> None:
    go_on = threading.Event()
    registry = FakeRegistry(live(), scorer=FakeEstimator(price=1 << 40, before=lambda: go_on.wait(30)), request_timeout_s=0.05)
    status, problem, _ = await ask(await client_of(registry), {"instances": [[1, 2]]})
    assert (status, problem["model"], registry.leases) == (504, "als", 1)
    go_on.set()
    await wait_until(lambda: not registry.leases)


@pytest.mark.parametrize(
    "scorer", [FakeEstimator(), FakeHosted(lambda rows, deadline_s: asyncio.sleep(0, Predictions([])))], ids=["estimator", "hosted"]
)
@pytest.mark.parametrize(
    ("body", "field"), [({"user_id": 1}, "user_id"), ({"users": [1]}, "users"), ({"liked": [1]}, "liked"), (None, "item_id")]
)
async def test_what_predicts_rows_recommends_nothing_and_says_what_to_ask(client_of: ClientOf, scorer: Any, body: Any, field: str) -> None:
    client = await client_of(FakeRegistry(live(), scorer=scorer))
    if body is None:
        async with client.get("/models/als/similar/1") as response:
            status, problem = response.status, await response.json(content_type=None)
    else:
        status, problem, _ = await ask(client, body)
    assert (status, problem["field"]) == (422, field)
    assert "instances" in problem["detail"]


async def test_what_recommends_predicts_no_rows_and_says_what_to_ask(client_of: ClientOf) -> None:
    registry = FakeRegistry(live(), scorer=FakeScorer())
    status, problem, _ = await ask(await client_of(registry), {"instances": [[1, 2]]})
    assert (status, problem["field"]) == (422, "instances")
    assert all(name in problem["detail"] for name in ("user_id", "users", "liked"))
    assert not registry.leases


# -- hosted -------------------------------------------------------------------------------------------------------------


async def test_a_hosted_model_is_asked_under_the_lease_and_told_the_deadline(client_of: ClientOf) -> None:
    told: list[Any] = []

    async def answer(instances: Sequence[Any], deadline_s: float) -> Predictions:
        told.append((instances, deadline_s, registry.leases))
        return Predictions(["a"], [[1.0]], ["a"])

    registry = FakeRegistry(live(), scorer=FakeHosted(answer), request_timeout_s=7.0)
    status, body, _ = await ask(await client_of(registry), {"instances": [{"age": 3, "city": "x"}]})
    assert (status, body["predictions"], body["probabilities"], body["classes"]) == (200, ["a"], [[1.0]], ["a"])
    assert told == [([{"age": 3, "city": "x"}], 7.0, 1)]
    assert not registry.leases


async def refused(instances: Sequence[Any], deadline_s: float) -> Predictions:
    raise InvalidQuery("instances", "could not convert string to float: 'x'")


async def too_slow(instances: Sequence[Any], deadline_s: float) -> Predictions:
    raise TimeoutError


async def died(instances: Sequence[Any], deadline_s: float) -> Predictions:
    raise AnswerFailed("memory_cap_exceeded", "the process needed more than 1 GiB")


@pytest.mark.parametrize(("answer", "http"), [(refused, 422), (too_slow, 504)])
async def test_a_hosted_model_that_refuses_or_is_late(client_of: ClientOf, answer: Any, http: int) -> None:
    registry = FakeRegistry(live(), scorer=FakeHosted(answer))
    status, problem, _ = await ask(await client_of(registry), {"instances": [["x"]]})
    assert (status, problem["model"]) == (http, "als")
    assert problem.get("field") == ("instances" if http == 422 else None)
    assert not registry.leases


@pytest.mark.parametrize("is_told", [False, True])
async def test_a_call_that_its_process_did_not_survive_is_503_with_the_state_of_the_model(client_of: ClientOf, is_told: bool) -> None:
    async def answer(instances: Sequence[Any], deadline_s: float) -> Predictions:
        if is_told:
            await registry.put(failed(type="memory_cap_exceeded", next_attempt_at=time.time() + 30))
        return await died(instances, deadline_s)

    registry = FakeRegistry(live(), scorer=FakeHosted(answer))
    client = await client_of(registry)
    status, problem, response = await ask(client, {"instances": [[1]]})
    assert (status, problem["model"], problem["model_status"]) == (503, "als", "error" if is_told else "ready")
    assert response.content_type == "application/problem+json"
    assert problem["failure"] == {"type": "memory_cap_exceeded", "message": "the process needed more than 1 GiB", "retryable": True}
    assert response.headers["Retry-After"] == str(problem["retry_after_s"])
    assert (25 <= problem["retry_after_s"] <= 30) if is_told else problem["retry_after_s"] == 1
    assert not registry.leases
    assert client.app[SCORING].in_flight("als") == 0
