"""How calls through the real routes are counted, by what came of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from service.keys import CALLS
from service.telemetry.calls import Calls
from tests.unit.service.conftest import ClientOf
from tests.unit.service.fakes import NOW, VERSION, FakeRegistry, FakeScorer, failed, live, loading


def counted(calls: Calls) -> dict[str, int]:
    return {outcome.value: count for outcome, count in calls.totals("als").items() if count}


def broken() -> None:
    raise RuntimeError("a defect")


@pytest.mark.parametrize(
    ("registry", "body", "outcome"),
    [
        (lambda: FakeRegistry(live()), {"user_id": 1}, "ok"),
        (lambda: FakeRegistry(live()), {"users": [1, "nobody"]}, "ok"),
        (lambda: FakeRegistry(live()), {"user_id": "nobody"}, "refused"),
        (lambda: FakeRegistry(loading()), {"user_id": 1}, "loading"),
        (lambda: FakeRegistry(failed(next_attempt_at=NOW)), {"user_id": 1}, "unavailable"),
        (lambda: FakeRegistry(live(), max_in_flight=0), {"user_id": 1}, "overloaded"),
        (lambda: FakeRegistry(live(), scorer=FakeScorer(before=broken)), {"user_id": 1}, "failed"),
    ],
    ids=["answered", "unknown user of several", "unknown user", "loading", "failed to load", "overloaded", "defect"],
)
async def test_an_outcome(client_of: ClientOf, registry: Callable[[], FakeRegistry], body: dict[str, Any], outcome: str) -> None:
    client = await client_of(registry())
    async with client.post("/models/als/predict", json=body) as response:
        await response.read()
    calls = client.server.app[CALLS]  # type: ignore[attr-defined]
    assert counted(calls) == {outcome: 1}
    assert calls.in_flight("als") == 0


async def test_the_version_that_answered_has_the_statistics(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(live()))
    async with client.post("/models/als/predict", json={"users": [1, 2, 3]}) as response:
        assert response.status == 200
    kept = client.server.app[CALLS].statistics("als")[VERSION]  # type: ignore[attr-defined]
    assert (kept.success.count, kept.inferences, kept.executions) == (1, 3, 1)
    assert 0 < kept.compute_infer.ns < kept.success.ns
