"""Publishing and going back under load: `python -m bench.publishing [--publishes 50] [--rollbacks 10] [--clients 32]`.

The installed server trains `als` again and again from a small database, publishes, loads and serves it, and goes back now and then,
while clients ask without a pause, each on a connection of its own. At the end it goes back to an old version, which pins it, and
publishes as many as are kept. Prints as JSON: every answer that was not 200 with items, what is kept then, how long it takes from
asking for a run to every client's answer from it, the lag of the event loop, and what the serving process has before, halfway and
after: memory, threads, descriptors, children. The clients run on the same cores. Does not cover: how long a run takes (`bench.training`).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: beside it lie modules that are named like rooms
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import psutil
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.crowd import Crowd
from tests.acceptance.running import Beside, Server, rss_anon_bytes, serving
from training.made_up.interactions import write_database
from training.made_up.planted import plant

MODEL = "als"
KEPT = 5
TRAINED_WITHIN_S = 120.0
_PARAMETERS = {"factors": 16, "regularization": 30.0, "sweeps": 3}


@dataclass(frozen=True, slots=True)
class Vitals:
    """What a process has, at one moment."""

    threads: int
    descriptors: int
    private_bytes: int
    children: int

    @classmethod
    def of(cls, pid: int) -> Vitals:
        process = psutil.Process(pid)
        return cls(process.num_threads(), process.num_fds(), rss_anon_bytes(pid), len(process.children(recursive=True)))

    def as_json(self) -> dict[str, Any]:
        """By field name; memory in MB."""
        return {
            "threads": self.threads,
            "fds": self.descriptors,
            "private_mb": round(self.private_bytes / 1e6, 1),
            "children": self.children,
        }


@dataclass
class Publishing:
    """A server under load, and what it published."""

    server: Server
    crowd: Crowd
    published: list[str] = field(default_factory=list)

    def publish(self) -> str:
        """Train once more from the same data, whatever the gate says; the version. Raises AssertionError where nothing is published."""
        began = self.server.command("POST", f"/models/{MODEL}/train?force=true&wait=60")
        run = began.body["run"]
        assert (began.status, run["status"]) == (200, "published"), began
        self.published.append(run["version"])
        return self.published[-1]

    def wait_served(self, version: str) -> None:
        """Until it answers, and every client has had an answer since."""
        self.server.wait_model(MODEL, lambda model: model["version"] == version and model["phase"] is None, f"{version} serves")
        self.crowd.wait_for_answers(1)

    def go_back(self) -> None:
        """To the version before the newest, and to the newest again, which ends the pin."""
        assert self.server.command("POST", f"/models/{MODEL}/rollback?wait=60").status == 200
        self.wait_served(self.published[-2])
        assert self.server.command("POST", f"/models/{MODEL}/activate?version={self.published[-1]}&wait=60").status == 200
        self.wait_served(self.published[-1])

    def kept(self) -> list[str]:
        """Newest first."""
        return [each["version"] for each in self.server.get(f"/models/{MODEL}/versions").body["versions"]]


def config_of(folder: Path) -> dict[str, Any]:
    """One training over a small database, which is written."""
    write_database(folder / "data.db", plant(users=300, items=200, likes_per_user=20))
    return {
        "store": {"keep_versions": KEPT},
        "data": {"url": f"sqlite:///{folder}/data.db"},
        f"training.{MODEL}": {"algorithm": "als", "memory": "1GiB"},
        f"training.{MODEL}.parameters": _PARAMETERS,
    }


def lag_of(server: Server) -> dict[str, float]:
    """Mean and worst lag of the event loop so far, milliseconds; the worst is that of the last minute."""
    with urllib.request.urlopen(f"{server.url}/metrics") as reply:
        families = text_string_to_metric_families(reply.read().decode())
        values = {sample.name: sample.value for family in families for sample in family.samples if "event_loop_lag" in sample.name}
    name = "holdfast_event_loop_lag_seconds"
    mean_s = values[f"{name}_sum"] / max(1.0, values[f"{name}_count"])
    return {"mean_ms": round(mean_s * 1e3, 2), "worst_ms": round(values["holdfast_event_loop_lag_max_seconds"] * 1e3, 1)}


def figures(folder: Path, publishes: int, rollbacks: int, clients: int) -> dict[str, Any]:
    """What came of it; the last KEPT of `publishes` are published while an old version is pinned."""
    with serving(folder, config_of(folder)) as server, Beside() as beside:
        server.wait_ready(MODEL, deadline_s=TRAINED_WITHIN_S)
        crowd: AbstractAsyncContextManager[Crowd] = Crowd(f"{server.url}/models/{MODEL}/predict", {"user_id": 1, "k": 5}, clients)
        work = Publishing(server, beside.enter(crowd), [str(server.model(MODEL)["version"])])
        return _figures(work, publishes, rollbacks)


def _figures(work: Publishing, publishes: int, rollbacks: int) -> dict[str, Any]:
    server, crowd = work.server, work.crowd
    # What is made once is made: a run, a reload, every client's connection.
    work.wait_served(work.publish())
    before = halfway = Vitals.of(server.pid)
    seconds = []
    unpinned = publishes - 1 - KEPT
    goes_back_after = {round(unpinned * at / rollbacks) for at in range(1, rollbacks)}
    for at in range(unpinned):
        began = time.monotonic()
        work.wait_served(work.publish())
        seconds.append(time.monotonic() - began)
        if at + 1 in goes_back_after:
            work.go_back()
        if at == unpinned // 2:
            halfway = Vitals.of(server.pid)
    after = Vitals.of(server.pid)
    pinned = work.kept()[-1]
    assert server.command("POST", f"/models/{MODEL}/rollback?to={pinned}&wait=60").status == 200
    for _ in range(KEPT):
        work.publish()
    work.wait_served(pinned)
    ordered = sorted(seconds)
    return {
        "publishes": publishes,
        "rollbacks": len(goes_back_after) + 1,
        "clients": len(crowd.clients),
        "answers": sum(client.answers for client in crowd.clients),
        "other_than_200": dict(crowd.unexpected),
        "kept": len(work.kept()),
        "kept_is_newest_and_pinned": work.kept() == [*reversed(work.published[-KEPT:]), pinned],
        "publish_to_served_s": {"median": round(ordered[len(ordered) // 2], 2), "worst": round(ordered[-1], 2)},
        "event_loop_lag": lag_of(server),
        "server_before": before.as_json(),
        "server_halfway": halfway.as_json(),
        "server_after": after.as_json(),
    }


def main(words: Sequence[str] | None = None) -> int:
    """Print the figures; 1 where an answer was not 200, or other versions are kept than should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--publishes", type=int, default=50)
    parser.add_argument("--rollbacks", type=int, default=10)
    parser.add_argument("--clients", type=int, default=32)
    asked = parser.parse_args(words)
    if asked.publishes < KEPT + 3 + asked.rollbacks:
        parser.error(f"--publishes must be at least {KEPT + 3} more than --rollbacks: each goes back from a version of its own")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        found = figures(Path(folder), asked.publishes, asked.rollbacks, asked.clients)
    json.dump({"load_before": round(load, 1), **found}, sys.stdout, indent=2)
    print()
    return 0 if not found["other_than_200"] and found["kept_is_newest_and_pinned"] else 1


if __name__ == "__main__":
    sys.exit(main())
