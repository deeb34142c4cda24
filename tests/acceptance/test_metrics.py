"""/metrics of the installed program, read as Prometheus reads it: loads, failures, refusals, and counters that never fall.

Does not cover: each metric by itself (`tests/unit/service/test_metrics`).
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as families

from tests.acceptance.running import ADMIN, Beside, Reply, Server, serving
from tests.artifacts.recommenders import als_dict, bare_als
from tests.artifacts.writing import write
from tests.doubles.faults import FaultProxy, Plan
from tests.doubles.files import FileServer, Served
from tests.support import wait_until_sync

OPEN = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
"""What Prometheus 3 sends, nearly."""

# The double of the slow source runs in this process: a connection of a poll may be open whenever a test ends.
pytestmark = pytest.mark.leaves("fd")

Labels = tuple[tuple[str, str], ...]


class Scrape:
    """The samples of one answer."""

    def __init__(self, text: str, *, is_open: bool) -> None:
        read = list((open_families if is_open else families)(text))
        self.values: dict[tuple[str, Labels], float] = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value for family in read for sample in family.samples
        }
        growing = {sample.name for family in read if family.type in ("counter", "histogram") for sample in family.samples}
        self.counters = {key: value for key, value in self.values.items() if key[0] in growing}

    def get(self, name: str, **labels: str) -> float | None:
        key = tuple(sorted(labels.items()))
        return self.values.get((f"holdfast_{name}", key), self.values.get((name, key)))

    def __call__(self, name: str, **labels: str) -> float:
        value = self.get(name, **labels)
        assert value is not None, (name, labels)
        return value


def scrape(server: Server, accept: str = "") -> Scrape:
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    try:
        connection.request("GET", "/metrics", headers={"Accept": accept} if accept else {})
        response = connection.getresponse()
        assert response.status == 200
        assert response.headers.get_content_type() == ("application/openmetrics-text" if accept else "text/plain")
        return Scrape(response.read().decode(), is_open=bool(accept))
    finally:
        connection.close()


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write(als_dict(), tmp_path_factory.mktemp("artifact") / "als", "pickle4").read_bytes()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, artifact: bytes) -> Iterator[Server]:
    """`als` serves, `broken` cannot be a model, `gone` has no source, `stalled` downloads for ever and takes one call at a time."""
    folder = tmp_path_factory.mktemp("metrics")
    (folder / "broken.pkl").write_bytes(write(bare_als(), folder / "whole", "pickle4").read_bytes()[:-200])
    with Beside() as beside:
        files = beside.enter(FileServer({"/als": Served(artifact), "/big": Served(artifact * 100)}))
        proxy = beside.enter(FaultProxy(files.address, Plan(stall_after=100_000)))
        models: dict[str, dict[str, Any]] = {
            "als": {"source": f"{files.url}/als"},
            "broken": {"source": str(folder / "broken.pkl")},
            "gone": {"source": f"{files.url}/gone"},
            "stalled": {"source": f"{proxy.url}/big", "max_in_flight": 1, "required": False},
        }
        with serving(folder / "run", {"models": models}) as running:
            running.wait_ready("als")
            for name in ("broken", "gone"):
                running.wait_model(name, lambda model: model["status"] == "error", "failed")
            running.wait_model("stalled", lambda model: (model["bytes_done"] or 0) > 0, "downloading")
            yield running


def test_a_model_that_serves(server: Server, artifact: bytes) -> None:
    told, status = scrape(server), server.model("als")
    assert told("model_ready", model="als") == told("model_status", model="als", status="ready") == 1
    assert told("model_info", model="als", version=status["version"], family="factors") == 1
    assert told("model_load_seconds", model="als") == status["load"]["seconds"]
    assert told("model_load_peak_bytes", model="als") == status["load"]["peak_bytes"] > 0
    assert told("model_segment_bytes", model="als") == status["segment_bytes"] == told("segment_bytes")
    assert told("model_trained_timestamp_seconds", model="als") == 1772600767  # 2026-03-04T05:06:07Z
    assert told("model_download_bytes_total", model="als") == len(artifact)
    assert (told("model_loads_total", model="als"), told("model_attempts_total", model="als")) == (1, 1)
    assert told("model_transitions_total", model="als") == len(status["story"])


def test_models_that_failed_by_type(server: Server) -> None:
    told = scrape(server)
    assert told("model_failures_total", model="broken", type="corrupt_artifact") == 1
    assert told("model_failures_total", model="gone", type="source_not_found") >= 1
    for name in ("broken", "gone"):
        assert (told("model_ready", model=name), told("model_status", model=name, status="error")) == (0, 1)
        assert told.get("model_segment_bytes", model=name) is None


def test_a_download_on_its_way(server: Server) -> None:
    told, status = scrape(server), server.model("stalled")
    assert told("model_phase", model="stalled", phase="downloading") == 1
    assert 0 < told("model_download_progress_ratio", model="stalled") < 1
    assert told("model_download_done_bytes", model="stalled") == status["bytes_done"]
    assert told("model_download_bytes_total", model="stalled") == status["bytes_done"]


def test_the_server_itself(server: Server) -> None:
    told = scrape(server)
    assert told("event_loop_lag_seconds_count") > 0
    assert told("process_private_bytes") > 1 << 20
    assert told("process_open_fds") > 3
    assert told("process_resident_memory_bytes") >= told("process_private_bytes")
    assert told("store_bytes") > 0
    assert told("store_free_bytes") > 0
    assert told("memory_free_bytes") > 0
    assert 0 < told("uptime_seconds") < 3600


def asked(server: Server, outcome: str, model: str = "als") -> float:
    return scrape(server)("requests_total", model=model, outcome=outcome)


def test_calls_by_how_they_ended(server: Server) -> None:
    before = {outcome: asked(server, outcome) for outcome in ("ok", "refused")}
    assert server.predict("als", {"user_id": "0"}).status in (200, 404)
    assert server.predict("als", {"users": [1]}).status == 200
    assert server.predict("als", {"user_id": "nobody"}).status == 404
    after = {outcome: asked(server, outcome) for outcome in ("ok", "refused")}
    assert sum(after.values()) - sum(before.values()) == 3
    assert after["refused"] > before["refused"]
    unavailable = asked(server, "unavailable", "broken")
    assert server.predict("broken", {"user_id": 1}).status == 503
    assert asked(server, "unavailable", "broken") == unavailable + 1


def test_a_refusal_for_load_is_counted_and_who_waits_is_in_flight(server: Server) -> None:
    answers: list[Reply] = []
    waiting = threading.Thread(target=lambda: answers.append(server.predict("stalled", {"user_id": 1}, {"Prefer": "wait=20"})))
    waiting.start()
    try:
        wait_until_sync(lambda: scrape(server)("requests_in_flight", model="stalled") == 1, what="the first call waits")
        before = asked(server, "overloaded", "stalled")
        refused = server.predict("stalled", {"user_id": 1}, {"Prefer": "wait=20"})
        assert (refused.status, refused.retry_after_s) == (429, 1)
        assert asked(server, "overloaded", "stalled") == before + 1
        told = scrape(server)
        assert told("request_duration_seconds_bucket", model="stalled", outcome="overloaded", le="+Inf") == before + 1
        assert told("requests_in_flight_limit", model="stalled") == 1
    finally:
        server.ask("POST", "/models/stalled/unload", headers=ADMIN)
        waiting.join(60)
    assert [answer.status for answer in answers] == [503]
    server.ask("POST", "/models/stalled/load", headers=ADMIN)
    server.wait_model("stalled", lambda model: (model["bytes_done"] or 0) > 0, "downloading again")


def test_counters_never_fall_over_reloads_and_both_formats_say_the_same(server: Server, artifact: bytes) -> None:
    before = scrape(server, OPEN)
    for _ in range(2):
        assert server.ask("POST", "/models/als/reload?force=true&wait=60", headers=ADMIN).status == 200
        server.predict("als", {"users": [1]})
    plain, opened = scrape(server), scrape(server, OPEN)
    fallen = {key: (value, opened.counters.get(key)) for key, value in before.counters.items() if opened.counters.get(key, -1.0) < value}
    assert fallen == {}
    assert opened("model_loads_total", model="als") == before("model_loads_total", model="als") + 2
    assert opened("model_download_bytes_total", model="als") >= before("model_download_bytes_total", model="als")
    assert {key for key in plain.values if key[0].startswith("holdfast_")} == {
        key for key in opened.values if key[0].startswith("holdfast_")
    }


def test_the_calls_of_a_model_by_the_second(server: Server) -> None:
    for _ in range(5):
        server.predict("als", {"users": [1]})
    told = server.get("/models/als/calls").body
    assert told["totals"]["ok"] == asked(server, "ok")
    assert sum(second["calls"] for second in told["seconds"]) <= sum(told["totals"].values())
    last = told["seconds"][-1]
    assert last["at"].endswith("Z")
    assert 0 < last["p50_ms"] <= last["p99_ms"]
    assert server.get("/models/nobody/calls").status == 404
