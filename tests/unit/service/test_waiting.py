"""Calls that wait for a thread, through the application: refused when that would take too long, dropped when nobody waits."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from models.base import Query
from service.jobs import CELLS_AT_ONCE, COST_AT_ONCE
from service.keys import SCORING
from tests.support import wait_until
from tests.unit.service.conftest import ClientOf, Running
from tests.unit.service.fakes import FakeEstimator, FakeRegistry, FakeScorer, live
from tests.unit.service.test_predict import ask

LARGE = 1 << 40


class Gate:
    """Calls of a scorer wait at it until it opens."""

    def __init__(self) -> None:
        self.came = 0
        self._open = threading.Event()

    def __call__(self) -> None:
        self.came += 1
        self._open.wait(30)

    def open(self) -> None:
        self._open.set()


async def known(registry: FakeRegistry, client: Any, seconds: float) -> Callable[[Callable[[], object]], None]:
    """Have it learn that a call takes so many seconds."""
    registry.scorer.before = lambda: time.sleep(seconds)
    assert (await ask(client, {"user_id": 1}))[0] == 200

    def then(before: Callable[[], object]) -> None:
        registry.scorer.before = before

    return then


async def test_of_slow_calls_the_next_is_429_where_it_would_wait_for_several(client_of: ClientOf) -> None:
    registry, gate = FakeRegistry(live(), scorer=FakeScorer(price=LARGE)), Gate()
    client = await client_of(registry)
    (await known(registry, client, 0.1))(gate)
    asked = [asyncio.create_task(ask(client, {"user_id": 1})) for _ in range(40)]
    refused, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    status, problem, response = refused.pop().result()
    assert (status, problem["model"], problem["type"].rpartition(":")[2]) == (429, "als", "overloaded")
    assert response.headers["Retry-After"] == str(problem["retry_after_s"]) == "1"
    gate.open()
    statuses = [status for status, _, _ in await asyncio.gather(*asked)]
    assert 4 <= statuses.count(200) <= 16 and set(statuses) == {200, 429}
    await wait_until(lambda: client.app[SCORING].in_flight("als") == 0)
    assert (await ask(client, {"user_id": 1}))[0] == 200


async def test_max_queue_lets_them_wait(client_of: ClientOf) -> None:
    registry, gate = FakeRegistry(live(), scorer=FakeScorer(price=LARGE), max_queue_s=60.0), Gate()
    client = await client_of(registry)
    (await known(registry, client, 0.1))(gate)
    asked = [asyncio.create_task(ask(client, {"user_id": 1})) for _ in range(40)]
    await wait_until(lambda: client.app[SCORING].in_flight("als") == 40)
    gate.open()
    assert {status for status, _, _ in await asyncio.gather(*asked)} == {200}


async def test_what_nobody_waits_for_any_more_is_dropped_before_a_thread_takes_it(client_of: ClientOf) -> None:
    gate = Gate()
    registry = FakeRegistry(live(), scorer=FakeScorer(price=LARGE, before=gate), request_timeout_s=0.2)
    client = await client_of(registry)
    statuses = [status for status, _, _ in await asyncio.gather(*(ask(client, {"user_id": 1}) for _ in range(30)))]
    assert set(statuses) == {504}
    running = gate.came
    assert registry.leases == running == client.app[SCORING].in_flight("als")
    gate.open()
    await wait_until(lambda: not registry.leases)
    assert gate.came == running


async def test_who_hangs_up_is_not_worked_for(running: Running) -> None:
    gate = Gate()
    registry = FakeRegistry(live(), scorer=FakeScorer(price=LARGE, before=gate), request_timeout_s=30.0)
    async with running(registry) as (url, app, _), aiohttp.ClientSession() as session:

        async def ask_for(user: int) -> int:
            async with session.post(f"{url}/models/als/predict", json={"user_id": user}) as response:
                return response.status

        first = [asyncio.create_task(ask_for(1)) for _ in range(8)]
        await wait_until(lambda: app[SCORING].in_flight("als") == 8)
        later = [asyncio.create_task(ask_for(2)) for _ in range(8)]
        await wait_until(lambda: app[SCORING].in_flight("als") == 16)
        for task in later:
            task.cancel()
        await wait_until(lambda: app[SCORING].in_flight("als") == 8)
        gate.open()
        assert await asyncio.gather(*first) == [200] * 8
    assert {user for query in registry.scorer.asked for user in query.users} == {1}


async def test_a_thread_leaves_the_users_nobody_waits_for(client_of: ClientOf) -> None:
    class Slow(FakeScorer):
        def cost(self, query: Query) -> int:
            return COST_AT_ONCE * query.subjects

    scorer = Slow(before=lambda: time.sleep(0.02))
    registry = FakeRegistry(live(), scorer=scorer, request_timeout_s=0.1)
    client = await client_of(registry)
    status, _, _ = await ask(client, {"users": [1] * 1000})
    assert status == 504
    await wait_until(lambda: not registry.leases, 5)
    assert len(scorer.asked) < 100


async def test_a_thread_leaves_the_rows_nobody_waits_for(client_of: ClientOf) -> None:
    scorer = FakeEstimator(before=lambda: time.sleep(0.15))
    registry = FakeRegistry(live(), scorer=scorer, request_timeout_s=0.2)
    client = await client_of(registry)
    status, _, _ = await ask(client, {"instances": [[1, 2]] * (CELLS_AT_ONCE // 2 * 9)})
    assert status == 504
    await wait_until(lambda: not registry.leases, 5)
    assert len(scorer.asked) < 9


@pytest.mark.parametrize("price", [1, COST_AT_ONCE // 3, COST_AT_ONCE])
async def test_many_users_are_answered_the_same_however_many_at_a_time(client_of: ClientOf, price: int) -> None:
    class Priced(FakeScorer):
        def cost(self, query: Query) -> int:
            return price * query.subjects

    users = [1, 99, 2, "one", "1", 3]
    registry = FakeRegistry(live(), scorer=Priced())
    status, body, _ = await ask(await client_of(registry), {"users": users, "k": 1})
    assert status == 200 and [result["user_id"] for result in body["results"]] == users
    assert [result["error"]["field"] for result in body["results"] if "error" in result] == ["users[1]", "users[4]"]
    assert len(registry.scorer.asked) == (1 if price == 1 else 2 if price < COST_AT_ONCE else 6)
