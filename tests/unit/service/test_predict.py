"""POST predict: the question, the answer, and what a model that is not ready answers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from models.base import Id, InvalidQuery, Query, Ranking, RequestError, UnknownEntity
from service.keys import SCORING, STOPPING
from service.lifecycle.state import Entry, Phase
from tests.support import wait_until
from tests.unit.service.conftest import ClientOf
from tests.unit.service.fakes import LIVE, NOW, VERSION, FakeItems, FakeRegistry, FakeScorer, failed, live, loading

PREDICT = "/models/als/predict"


async def ask(client: Any, body: object, path: str = PREDICT, **headers: str) -> tuple[int, Any, Any]:
    async with client.post(path, json=body, headers=headers) as response:
        return response.status, await response.json(content_type=None), response


async def test_one_user(client_of: ClientOf) -> None:
    registry = FakeRegistry(live())
    status, body, _ = await ask(await client_of(registry), {"user_id": 1, "k": 2})
    items = [{"item_id": 101, "score": 1 / 101}, {"item_id": 102, "score": 1 / 102}]
    assert (status, body) == (200, {"model": "als", "version": VERSION, "user_id": 1, "items": items})
    assert not registry.leases


async def test_many_users_each_unknown_one_is_an_error_of_its_own(client_of: ClientOf) -> None:
    status, body, _ = await ask(await client_of(FakeRegistry(live())), {"users": [1, "1", "one"], "k": 1})
    assert status == 200
    assert [result["user_id"] for result in body["results"]] == [1, "1", "one"]
    assert "items" in body["results"][0]
    error = body["results"][1]["error"]
    assert (error["status"], error["field"]) == (404, "users[1]")


async def test_what_the_model_is_asked(client_of: ClientOf) -> None:
    registry = FakeRegistry(live())
    client = await client_of(registry)
    await ask(client, {"user_id": "one", "k": 3, "exclude": [5, "x"], "exclude_seen": False})
    await ask(client, {"user_id": 1})
    first, second = registry.scorer.asked
    assert (list(first.users), first.k, list(first.exclude), first.exclude_seen) == (["one"], 3, [5, "x"], False)
    assert (second.k, list(second.exclude), second.exclude_seen) == (10, [], None)


async def test_an_unknown_user_is_404_and_names_the_field(client_of: ClientOf) -> None:
    status, body, response = await ask(await client_of(FakeRegistry(live())), {"user_id": 99})
    assert status == 404
    assert response.content_type == "application/problem+json"
    assert (body["field"], body["model"], body["status"]) == ("user_id", "als", 404)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "user_id"),
        ({"user_id": 1, "users": [1]}, "users"),
        ({"user_id": True}, "user_id"),
        ({"user_id": None}, "user_id"),
        ({"user_id": 1.0}, "user_id"),
        ({"users": []}, "users"),
        ({"users": [1] * 1001}, "users"),
        ({"users": [1, 2, 3, [4]]}, "users[3]"),
        ({"user_id": 1, "k": 0}, "k"),
        ({"user_id": 1, "k": -1}, "k"),
        ({"user_id": 1, "k": "ten"}, "k"),
        ({"user_id": 1, "k": True}, "k"),
        ({"user_id": 1, "exclude": [None]}, "exclude[0]"),
        ({"user_id": 1, "exclude_seen": 1}, "exclude_seen"),
        ({"user_id": 1, "kk": 1}, "kk"),
        ({"user_id": 1, "model": "als"}, "model"),
        ([], "body"),
    ],
)
async def test_a_bad_field_is_422_and_named(client_of: ClientOf, body: object, field: str) -> None:
    status, problem, response = await ask(await client_of(FakeRegistry(live())), body)
    assert (status, problem["field"]) == (422, field)
    assert response.content_type == "application/problem+json"


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b'{"user_id": NaN}', b'{"user_id": 1} x', b'"\\ud800"', b"[" * 10_000])
async def test_what_is_not_json_is_400(client_of: ClientOf, raw: bytes) -> None:
    client = await client_of(FakeRegistry(live()))
    async with client.post(PREDICT, data=raw, headers={"Content-Type": "application/json"}) as response:
        assert response.status in (400, 422)
        assert response.content_type == "application/problem+json"
        assert (response.status == 422) == raw.startswith(b"[")


async def test_a_name_without_end_is_not_told_in_full(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(live()))
    for path, body in (
        (PREDICT, {"x" * 100_000: 1}),
        ("/v2/models/als/infer", {"inputs": [{"name": "x", "datatype": "F" * 100_000, "shape": []}]}),
    ):
        async with client.post(path, json=body) as response:
            told = await response.read()
        assert response.status in (400, 422) and 500 < len(told) < 3000


async def test_other_media_types_are_415(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(live()))
    async with client.post(PREDICT, data=b"<user>1</user>", headers={"Content-Type": "application/xml"}) as response:
        assert response.status == 415
        assert response.content_type == "application/problem+json"


@pytest.mark.parametrize("declared", ["application/x-www-form-urlencoded", "text/plain; charset=utf-8"])
async def test_json_that_curl_declares_as_a_form_is_json(client_of: ClientOf, declared: str) -> None:
    client = await client_of(FakeRegistry(live()))
    for raw, expected in ((b'{"user_id": 1}', 200), (b"user_id=1", 400)):
        async with client.post(PREDICT, data=raw, headers={"Content-Type": declared}) as response:
            assert response.status == expected


async def test_a_body_that_is_too_large_is_413(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(live()), max_body_bytes=1024)
    status, problem, _ = await ask(client, {"users": list(range(1000))})
    assert (status, problem["status"]) == (413, 413)


async def test_loading_is_202_with_progress(client_of: ClientOf) -> None:
    status, body, response = await ask(await client_of(FakeRegistry(loading())), {"user_id": 1})
    assert status == 202
    expected = {"status": "loading", "model": "als", "phase": "downloading", "progress": 0.25, "bytes_done": 25, "bytes_total": 100}
    assert {key: body[key] for key in expected} == expected
    assert set(body) == {*expected, "eta_s", "reason", "retry_after_s"}
    assert response.headers["Retry-After"] == str(body["retry_after_s"])
    assert int(response.headers["Retry-After"]) >= 1


async def test_not_started_is_202(client_of: ClientOf) -> None:
    status, body, response = await ask(await client_of(FakeRegistry(Entry("als", on_demand=True))), {"user_id": 1})
    assert (status, body["status"]) == (202, "loading")
    assert int(response.headers["Retry-After"]) >= 1


async def test_a_failure_that_is_tried_again_is_503_with_retry_after(client_of: ClientOf) -> None:
    entry = failed(next_attempt_at=time.time() + 100)
    status, body, response = await ask(await client_of(FakeRegistry(entry)), {"user_id": 1})
    assert status == 503
    assert response.content_type == "application/problem+json"
    assert (body["model"], body["status"], body["model_status"]) == ("als", 503, "error")
    assert body["failure"]["type"] == "source_unavailable"
    assert 95 <= int(response.headers["Retry-After"]) <= 101


@pytest.mark.parametrize("entry", [failed(type="corrupt_artifact"), Entry("als", unloaded=True)], ids=["permanent", "unloaded"])
async def test_what_waiting_does_not_mend_is_503_without_retry_after(client_of: ClientOf, entry: Entry) -> None:
    status, body, response = await ask(await client_of(FakeRegistry(entry)), {"user_id": 1})
    assert status == 503
    assert "Retry-After" not in response.headers
    assert (body["failure"] is None) == entry.unloaded


@pytest.mark.parametrize("path", ["/models/nobody/predict", "/models/nobody"])
async def test_a_model_that_nobody_configured_is_404(client_of: ClientOf, path: str) -> None:
    client = await client_of(FakeRegistry(live()))
    async with client.request("POST" if path.endswith("predict") else "GET", path) as response:
        body = await response.json(content_type=None)
    assert (response.status, body["model"]) == (404, "nobody")


async def test_prefer_wait_waits_for_the_model(client_of: ClientOf) -> None:
    registry = FakeRegistry(loading())
    client = await client_of(registry)
    asked = asyncio.create_task(ask(client, {"user_id": 1, "k": 1}, Prefer="wait=30"))
    await wait_until(lambda: client.app[SCORING].in_flight("als") == 1)
    await registry.put(live())
    status, body, response = await asked
    assert (status, body["version"]) == (200, VERSION)
    assert response.headers["Preference-Applied"] == "wait=30"


async def test_prefer_wait_is_bounded_and_then_honest(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(loading(), max_wait_s=0.01))
    status, body, response = await ask(client, {"user_id": 1}, Prefer="wait=30")
    assert (status, body["status"]) == (202, "loading")
    assert response.headers["Preference-Applied"] == "wait=0.01"


async def test_a_stopping_server_keeps_nobody_waiting(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(loading()))
    asked = asyncio.create_task(ask(client, {"user_id": 1}, Prefer="wait=60"))
    await wait_until(lambda: client.app[SCORING].in_flight("als") == 1)
    client.app[STOPPING].set()
    status, _, _ = await asyncio.wait_for(asked, 10)
    assert status == 202


async def test_large_questions_are_answered_in_a_thread_small_ones_on_the_loop(client_of: ClientOf) -> None:
    registry = FakeRegistry(live())
    client = await client_of(registry)
    await ask(client, {"user_id": 1})
    registry.scorer.price = 1 << 40
    await ask(client, {"user_id": 1})
    here = threading.current_thread().name
    assert registry.scorer.threads[0] == here
    assert registry.scorer.threads[1].startswith("scoring")
    await wait_until(lambda: not registry.leases)


class Watched(list[Any]):
    """A list that notes which threads read its elements."""

    def __init__(self, elements: list[Any], readers: set[str]) -> None:
        super().__init__(elements)
        self.readers = readers

    def __iter__(self) -> Iterator[Any]:
        self.readers.add(threading.current_thread().name)
        return super().__iter__()

    def __getitem__(self, at: Any) -> Any:
        self.readers.add(threading.current_thread().name)
        return super().__getitem__(at)


@pytest.mark.parametrize("users", [1, 3])
@pytest.mark.parametrize(("items", "reader"), [(2, "MainThread"), (2500, "scoring")])
async def test_large_answers_are_written_in_a_thread_small_ones_on_the_loop(
    client_of: ClientOf, users: int, items: int, reader: str
) -> None:
    readers: set[str] = set()

    class Large(FakeScorer):
        def _one(self, at: int, user: Id | None, query: Query) -> Ranking | UnknownEntity:
            return Ranking(user, Watched(list(range(query.k)), readers), Watched([0.5] * query.k, readers))

    client = await client_of(FakeRegistry(live(), scorer=Large(items=FakeItems(items))))
    status, body, _ = await ask(client, {"users": list(range(users)), "k": items})
    assert status == 200
    wanted = [{"item_id": item, "score": 0.5} for item in range(items)]
    assert body["results"] == [{"user_id": user, "items": wanted} for user in range(users)]
    assert {name.split("_")[0] for name in readers} == {reader}


async def test_a_slow_answer_is_504_and_its_lease_lasts_as_long_as_the_thread(client_of: ClientOf) -> None:
    go_on = threading.Event()
    scorer = FakeScorer(price=1 << 40, before=lambda: go_on.wait(30))
    registry = FakeRegistry(live(), scorer=scorer, request_timeout_s=0.05, max_in_flight=1)
    client = await client_of(registry)
    status, problem, _ = await ask(client, {"user_id": 1})
    assert (status, problem["model"]) == (504, "als")
    assert registry.leases == 1
    status, _, response = await ask(client, {"user_id": 1})
    assert (status, response.headers["Retry-After"]) == (429, "1")
    go_on.set()
    await wait_until(lambda: not registry.leases)
    assert client.app[SCORING].in_flight("als") == 0


@pytest.mark.parametrize(
    ("question", "status"),
    [
        ({"user_id": 1, "k": 10**6}, 200),
        ({"user_id": 1, "k": 10**6 + 1}, 422),
        ({"user_id": 1, "k": 10**30}, 422),
        ({"users": [1, 2], "k": 10**6}, 200),
        ({"users": [1, 2, 3], "k": 10**6}, 422),
        ({"users": [1, 2, 3], "k": 500_000}, 200),
        ({"user_id": 1, "k": 10**6, "fields": ["a"]}, 200),
        ({"user_id": 1, "k": 10**6, "fields": ["a", "b"]}, 422),
        ({"user_id": 1, "k": 10_000, "explain": True}, 200),
        ({"user_id": 1, "k": 10_001, "explain": True}, 422),
    ],
)
async def test_more_than_the_model_has_or_the_memory_should_hold_is_422_and_names_k(
    client_of: ClientOf, question: dict[str, Any], status: int
) -> None:
    registry = FakeRegistry(live(), scorer=FakeScorer(items=FakeItems(10**6)))
    client = await client_of(registry)
    answered, body, _ = await ask(client, question)
    assert (answered, body.get("field")) == (status, "k" if status == 422 else None)
    assert not registry.leases
    assert client.app[SCORING].in_flight("als") == 0


async def test_a_catalogue_smaller_than_the_default_k_is_answered_whole(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(live(), scorer=FakeScorer(items=FakeItems(5))))
    assert (await ask(client, {"user_id": 1}))[0] == 200
    status, problem, _ = await ask(client, {"user_id": 1, "k": 6})
    assert (status, problem["field"]) == (422, "k")
    assert "5 items" in problem["detail"]


async def test_too_many_calls_are_429(client_of: ClientOf) -> None:
    registry = FakeRegistry(loading(), max_in_flight=2)
    client = await client_of(registry)
    waiting = [asyncio.create_task(ask(client, {"user_id": 1}, Prefer="wait=30")) for _ in range(2)]
    await wait_until(lambda: client.app[SCORING].in_flight("als") == 2)
    status, problem, response = await ask(client, {"user_id": 1})
    assert (status, problem["model"]) == (429, "als")
    assert int(response.headers["Retry-After"]) >= 1
    await registry.put(live())
    assert [status for status, _, _ in await asyncio.gather(*waiting)] == [200, 200]
    assert client.app[SCORING].in_flight("als") == 0


async def test_a_defect_of_a_scorer_is_told_as_an_opaque_id(client_of: ClientOf, caplog: pytest.LogCaptureFixture) -> None:
    def explode() -> None:
        raise ValueError("secret detail")

    registry = FakeRegistry(live(), scorer=FakeScorer(before=explode))
    status, problem, response = await ask(await client_of(registry), {"user_id": 1})
    assert status == 500
    assert response.content_type == "application/problem+json"
    assert "secret" not in str(problem)
    (record,) = [record for record in caplog.records if record.name == "holdfast.http"]
    assert vars(record)["incident"] == problem["incident"]
    assert record.exc_info
    assert not registry.leases


async def test_the_default_model(client_of: ClientOf) -> None:
    alone = await client_of(FakeRegistry(live()))
    status, body, _ = await ask(alone, {"user_id": 1}, "/predict")
    assert (status, body["model"]) == (200, "als")


async def test_the_default_model_among_several(client_of: ClientOf) -> None:
    two = FakeRegistry(live(), live("bpr"))
    client = await client_of(two)
    status, problem, _ = await ask(client, {"user_id": 1}, "/predict")
    assert (status, problem["field"]) == (422, "model")
    status, body, _ = await ask(client, {"user_id": 1, "model": "bpr"}, "/predict")
    assert (status, body["model"]) == (200, "bpr")
    client = await client_of(two, default_model="bpr")
    status, body, _ = await ask(client, {"user_id": 1}, "/predict")
    assert (status, body["model"]) == (200, "bpr")


async def test_with_nothing_configured_predict_is_503(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry())
    status, _, _ = await ask(client, {"user_id": 1}, "/predict")
    assert status == 503
    async with client.get("/predict/status") as response:
        assert (response.status, (await response.json())["status"]) == (200, "not_started")


@pytest.mark.parametrize(
    ("entry", "word"),
    [(live(), "ready"), (loading(phase=Phase.WARMING), "loading"), (failed(), "error"), (Entry("als", unloaded=True), "unloaded")],
)
async def test_predict_status(client_of: ClientOf, entry: Entry, word: str) -> None:
    client = await client_of(FakeRegistry(entry))
    async with client.get("/predict/status") as response:
        body = await response.json()
    assert (response.status, body["status"], body["model"]) == (200, word, "als")


@pytest.mark.parametrize(("error", "http"), [(InvalidQuery, 422), (UnknownEntity, 404)])
@pytest.mark.parametrize(
    ("said", "body", "told"),
    [("users[0]", {"user_id": 1}, "user_id"), ("users[0]", {"users": [1]}, "users[0]"), ("exclude", {"user_id": 1}, "exclude")],
)
async def test_a_model_that_refuses_names_the_field_as_the_caller_wrote_it(
    client_of: ClientOf, error: type[RequestError], http: int, said: str, body: object, told: str
) -> None:
    def refuse() -> None:
        raise error(said, "not like this")

    registry = FakeRegistry(live(), scorer=FakeScorer(before=refuse))
    status, problem, _ = await ask(await client_of(registry), body)
    assert (status, problem["field"], problem["detail"]) == (http, told, "not like this")
    assert not registry.leases


async def test_a_stale_version_answers_as_any_other(client_of: ClientOf) -> None:
    entry = Entry("als", live=LIVE, failure=failed(next_attempt_at=NOW).failure)
    status, body, _ = await ask(await client_of(FakeRegistry(entry)), {"user_id": 1})
    assert (status, body["version"]) == (200, VERSION)
