"""/events of the installed program: a download as it is watched from outside, a cut connection, the end of the server.

Does not cover: slow clients and the bounds of the log (`tests/unit/service/test_events`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.acceptance.event_stream import Event, EventStream
from tests.acceptance.running import ADMIN, Beside, Server, serving
from tests.artifacts.writing import write
from tests.doubles.faults import FaultProxy, Plan
from tests.doubles.files import FileServer, Served

FACTORS = 64
BYTES_PER_S = 1_000_000


@dataclass
class Slow:
    """A server whose model `als` downloads for about two seconds."""

    server: Server
    proxy: FaultProxy


@pytest.fixture
def slow(tmp_path: Path, beside: Beside) -> Iterator[Slow]:
    rng = np.random.default_rng(1)
    arrays = {name: rng.random((rows, FACTORS), np.float32) for name, rows in (("user_factors", 4000), ("item_factors", 4000))}
    content = write(arrays, tmp_path / "als.npz", "npz").read_bytes()
    files = beside.enter(FileServer({"/als": Served(content)}))
    proxy = beside.enter(FaultProxy(files.address, Plan(bytes_per_s=BYTES_PER_S)))
    config = {"server": {"drain": "10m"}, "models": {"als": {"source": f"{proxy.url}/als", "load": "on_demand"}}}
    with serving(tmp_path / "run", config) as server:
        yield Slow(server, proxy)


def is_published(event: Event) -> bool:
    return event.kind == "transition" and event.data["event"] == "published"


def lines(events: list[Event]) -> list[dict[str, Any]]:
    """The lines of the story that were told, as the status object has them."""
    return [{key: event.data[key] for key in ("at", "event", "from", "to", "cause")} for event in events if event.kind == "transition"]


def test_a_download_is_seen_from_its_first_byte_to_the_published_version(slow: Slow) -> None:
    with EventStream(slow.server) as stream:
        began_at = time.monotonic()
        assert slow.server.ask("POST", "/models/als/load", headers=ADMIN).status == 202
        events = stream.until(is_published)
        took_s = time.monotonic() - began_at
    first, *rest = events
    assert first.kind == "snapshot"
    assert [model["status"] for model in first.data["models"]] == ["not_started"]
    assert lines(rest) == slow.server.model("als")["story"]
    progress = [event.data for event in rest if event.kind == "progress"]
    assert 3 <= len(progress) <= 5 * took_s + 1
    assert all(earlier["bytes_done"] <= later["bytes_done"] for earlier, later in pairwise(progress))
    downloading = [told for told in progress if told["phase"] == "downloading" and told["bytes_total"]]
    assert len({told["bytes_done"] for told in downloading}) >= 3
    assert any(told["eta_s"] for told in downloading)
    assert rest[-1].data["status"] | {"story": None} == slow.server.model("als") | {"story": None}


def test_a_connection_that_was_cut_goes_on_without_loss_or_repetition(slow: Slow) -> None:
    with EventStream(slow.server) as stream:
        slow.server.ask("POST", "/models/als/load", headers=ADMIN)
        before = stream.until(lambda event: event.kind == "progress" and (event.data["bytes_done"] or 0) > 200_000)
    slow.server.wait_ready("als")
    with EventStream(slow.server, last_event_id=before[-1].id) as stream:
        after = stream.until(is_published)
    events = [*before[1:], *after]
    assert {event.kind for event in after} <= {"transition", "progress"}
    assert [event.number for event in events] == list(range(events[0].number, events[0].number + len(events)))
    assert lines(events) == slow.server.model("als")["story"]


def test_failures_and_their_retries_are_told_with_the_status_after_them(slow: Slow) -> None:
    slow.proxy.plan.refuses = True
    with EventStream(slow.server) as stream:
        slow.server.ask("POST", "/models/als/load", headers=ADMIN)
        failed = stream.until(lambda event: event.kind == "transition" and event.data["to"] == "failed")[-1]
        assert failed.data["status"]["failure"]["type"] == "source_unavailable"
        assert failed.data["status"]["failure"]["next_attempt_at"] is not None
        slow.proxy.heal()
        retried = stream.until(is_published)
    assert {"retry", "fetch_began", "phase", "published"} <= {line["event"] for line in lines(retried)}


def test_the_end_of_the_server_ends_the_streams_and_waits_for_none(slow: Slow) -> None:
    with EventStream(slow.server) as stream:
        first = next(iter(stream))
        assert slow.server.stop() == 0  # within its deadline, though the server may drain for ten minutes
        assert list(stream) == []
    with serving(slow.server.folder, {}) as again, EventStream(again, last_event_id=first.id) as stream:
        assert next(iter(stream)).kind == "snapshot", "another process knows nothing of that id"
