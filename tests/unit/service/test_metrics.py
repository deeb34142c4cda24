"""GET /metrics and GET /models/{model}/calls, over a fake registry."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as families

from service.keys import LOOP_LAG
from service.lifecycle.lease import Held
from service.lifecycle.state import Entry, Phase
from service.lifecycle.tally import Tally
from service.schemas.telemetry import ModelCalls
from service.telemetry.exposition import is_openmetrics
from service.telemetry.metrics import METRICS
from tests.support import wait_until
from tests.unit.service.conftest import ClientOf
from tests.unit.service.fakes import LIVE, NOW, FakeLoaded, FakeRegistry, FakeScorer, failed, live, loading

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
OPEN = {"Accept": "application/openmetrics-text; version=1.0.0, text/plain;q=0.5"}


async def scrape(client: TestClient[Any, Any], headers: dict[str, str] | None = None) -> Samples:
    async with client.get("/metrics", headers=headers or {}) as response:
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store"
        text = await response.text()
    read = open_families if headers else families
    return {(each.name, tuple(sorted(each.labels.items()))): each.value for family in read(text) for each in family.samples}


def of(samples: Samples, name: str, **labels: str) -> float:
    return samples[f"holdfast_{name}", tuple(sorted(labels.items()))]


async def test_every_metric_of_the_table_is_there_in_both_formats(client_of: ClientOf) -> None:
    registry = FakeRegistry(loading("als"), live("trees", tally=Tally(failures={"disk_full": 2})))
    load = {"seconds": 2.5, "peak_bytes": 300, "cap_bytes": 400}
    registry.held = Held("trees", FakeLoaded(FakeScorer(), load=load, details={"trained_at": "2026-01-01T00:00:00Z"}))
    client = await client_of(registry)
    async with client.post("/models/trees/predict", json={"user_id": 1}) as response:
        assert response.status == 200
    plain, opened = await scrape(client), await scrape(client, OPEN)
    for metric in METRICS:
        if "training" in metric.labels:
            continue  # nothing is trained here: tests/unit/service/test_training_metrics
        name = f"{metric.name}_count" if metric.kind == "histogram" else metric.name
        for samples in (plain, opened):
            found = [labels for told, labels in samples if told == name]
            assert found, metric.name
            assert all({label for label, _ in labels} == set(metric.labels) for labels in found), metric.name
    assert "process_open_fds" in {name for name, _ in plain}


async def test_a_model_that_serves(client_of: ClientOf) -> None:
    registry = FakeRegistry(live(tally=Tally(received_bytes=900, retries=2, loads=3), attempts_begun=5, transitions=40, draining=("v0",)))
    client = await client_of(registry)
    samples = await scrape(client)
    assert of(samples, "model_status", model="als", status="ready") == 1
    assert sum(value for (name, _), value in samples.items() if name == "holdfast_model_status") == 1
    assert of(samples, "model_phase", model="als", phase="live") == 1
    assert of(samples, "model_ready", model="als") == 1
    assert of(samples, "model_stale", model="als") == 0
    assert of(samples, "model_segment_bytes", model="als") == of(samples, "segment_bytes") == 500
    assert of(samples, "model_loaded_timestamp_seconds", model="als") == NOW
    assert of(samples, "model_download_bytes_total", model="als") == 900
    assert (of(samples, "model_retries_total", model="als"), of(samples, "model_attempts_total", model="als")) == (2, 5)
    assert (of(samples, "model_loads_total", model="als"), of(samples, "model_transitions_total", model="als")) == (3, 40)
    assert of(samples, "model_draining_versions", model="als") == 1
    assert of(samples, "requests_total", model="als", outcome="failed") == 0
    assert ("holdfast_model_download_progress_ratio", (("model", "als"),)) not in samples


async def test_a_model_on_its_way_and_one_that_is_stale(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(loading("als"), Entry("trees", live=LIVE, failure=failed().failure)))
    samples = await scrape(client)
    assert of(samples, "model_status", model="als", status="loading") == 1
    assert of(samples, "model_phase", model="als", phase=Phase.DOWNLOADING.value) == 1
    assert of(samples, "model_download_progress_ratio", model="als") == 0.25
    assert of(samples, "model_download_size_bytes", model="als") == 100
    assert (of(samples, "model_ready", model="als"), of(samples, "model_stale", model="trees")) == (0, 1)


async def test_calls_are_counted_by_how_they_ended(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(live(), loading("trees")))
    for model, user in (("als", 1), ("als", 2), ("als", "nobody"), ("trees", 1)):
        async with client.post(f"/models/{model}/predict", json={"user_id": user}):
            pass
    samples = await scrape(client)
    assert of(samples, "requests_total", model="als", outcome="ok") == 2
    assert of(samples, "requests_total", model="als", outcome="refused") == 1
    assert of(samples, "requests_total", model="trees", outcome="loading") == 1
    assert of(samples, "request_duration_seconds_count", model="als", outcome="ok") == 2
    assert of(samples, "request_duration_seconds_bucket", model="als", outcome="ok", le="10.0") == 2
    assert 0 < of(samples, "request_duration_seconds_sum", model="als", outcome="ok") < 20
    assert of(samples, "requests_in_flight", model="als") == 0


async def test_lag_rises_when_the_loop_is_held_up(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(live()))
    lag = client.server.app[LOOP_LAG]  # type: ignore[attr-defined]
    await wait_until(lambda: sum(lag.taken().counts) >= 1)
    time.sleep(0.3)  # noqa: ASYNC251  holding the event loop up is the point
    await wait_until(lambda: lag.worst_ns > 150_000_000)
    samples = await scrape(client)
    assert of(samples, "event_loop_lag_max_seconds") > 0.15
    late = of(samples, "event_loop_lag_seconds_count") - of(samples, "event_loop_lag_seconds_bucket", le="0.1")
    assert late >= 1


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain;version=0.0.4", False),
        ("application/openmetrics-text", True),
        ("text/plain;q=0.3, Application/OpenMetrics-Text; version=nonsense", True),
        ("application/openmetrics-text; q=0", False),
        ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=1.0.0;q=0.5,*/*;q=0.2", True),
    ],
)
async def test_the_format_is_the_one_that_was_asked_for(client_of: ClientOf, accept: str, expected: bool) -> None:
    assert is_openmetrics(accept) is expected
    client = await client_of(FakeRegistry(live()))
    async with client.get("/metrics", headers={"Accept": accept}) as response:
        assert response.content_type == ("application/openmetrics-text" if expected else "text/plain")
        assert (await response.text()).endswith("# EOF\n") is expected


async def test_the_calls_of_a_model(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(live(), loading("trees")))
    for user in (1, 2, "nobody"):
        async with client.post("/models/als/predict", json={"user_id": user}):
            pass
    async with client.get("/models/als/calls") as response:
        told = msgspec.json.decode(await response.read(), type=ModelCalls)
    assert (told.model, told.window_s, told.in_flight) == ("als", 120, 0)
    assert told.totals["ok"] == 2
    assert sum(second.calls for second in told.seconds) == 3
    assert all(second.p50_ms is not None and second.p99_ms is not None for second in told.seconds if second.calls > 1)
    async with client.get("/models/trees/calls") as response:
        assert (await response.json())["seconds"] == []


async def test_calls_that_wait_for_a_thread_are_told_from_those_that_have_one(client_of: ClientOf) -> None:
    threads = max(2, min(8, os.cpu_count() or 1))
    goes_on = threading.Event()
    registry = FakeRegistry(live(), scorer=FakeScorer(price=10**9, before=lambda: goes_on.wait(60)))
    client = await client_of(registry)
    asked = [asyncio.create_task(client.post("/models/als/predict", json={"user_id": 1})) for _ in range(threads + 1)]
    try:
        await wait_until(lambda: len(registry.scorer.asked) == threads)
        samples = await scrape(client)
        assert (of(samples, "requests_in_flight", model="als"), of(samples, "requests_waiting", model="als")) == (threads + 1, 1)
    finally:
        goes_on.set()
        answers = await asyncio.gather(*asked)
    assert [answer.status for answer in answers] == [200] * (threads + 1)
