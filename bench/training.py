"""From a million interactions in PostgreSQL to answers: `python -m bench.training [--interactions 1000000] [--memory 1GiB]`.

A real PostgreSQL gets planted interactions by COPY; the installed server, which has nothing to serve, trains from them, publishes
and serves. Then the same data once more, which is to be skipped. Prints as JSON:
seconds by phase, each also as a share of the run; the peak of the training process beside its cap, beside the bytes of the
interactions as arrays (20 each: two rows, a weight, a time) and beside the table in the database; the growth of the serving process
and the lag of its event loop meanwhile; the second run's seconds as a share of the first's. Nobody asks the server anything but
how far it is. Does not cover: how good the model is (`bench.quality`), publishing under load (`bench.publishing`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: beside it lie modules that are named like rooms
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from bench.publishing import Vitals, lag_of
from bench.ticker import SmapsSampler
from tests.acceptance.running import Server, rss_anon_bytes, serving
from tests.doubles.postgres import PostgresServer
from tests.support import wait_until_sync
from training.made_up.planted_factors import plant_factors

DATABASE = "bench"
LIKES = 50
ITEMS = 2_000
ARRAY_BYTES = 20
"""Of an interaction: int32 user, int32 item, float32 weight, float64 time."""
POLL_S = 0.05


def rows_of(count: int) -> Iterator[tuple[int, int, float, datetime]]:
    """At least `count` planted interactions, users and items numbered from 1."""
    planted = plant_factors(users=count // LIKES + 200, items=ITEMS, likes_per_user=LIKES, holdout=0.0).dataset.interactions
    assert planted.times is not None
    columns = (planted.users + 1, planted.items + 1, planted.weights, planted.times)
    for user, item, weight, at in zip(*(column.tolist() for column in columns), strict=True):
        yield user, item, weight, datetime.fromtimestamp(at, UTC)


def fill(server: PostgresServer, count: int) -> tuple[str, dict[str, int]]:
    """The database's url; how many interactions it has, and what their table takes."""
    server.run(f"CREATE DATABASE {DATABASE}")
    server.run("CREATE TABLE interactions (user_id int, item_id int, weight real, ts timestamptz)", DATABASE)
    url = f"postgresql://postgres@127.0.0.1:{server.port}/{DATABASE}"

    async def copy() -> None:
        import asyncpg

        connection = await asyncpg.connect(url)
        await connection.copy_records_to_table("interactions", records=rows_of(count))
        await connection.close()

    asyncio.run(copy())
    asked = "SELECT count(*), pg_table_size('interactions') FROM interactions"
    rows, size = map(int, server.run(asked, DATABASE).split("|"))
    return url, {"interactions": rows, "table_bytes": size}


def follow(server: Server, run_id: str) -> tuple[dict[str, Any], dict[str, float]]:
    """A run when it is over, and how many seconds it was in each phase."""
    seconds: dict[str, float] = {}
    seen_at = time.monotonic()
    while True:
        run: dict[str, Any] = server.get(f"/training/runs/{run_id}").body
        now = time.monotonic()
        phase = run["phase"] or "starting"
        seconds[phase] = seconds.get(phase, 0.0) + now - seen_at
        seen_at = now
        if run["ended_at"]:
            return run, {name: round(spent, 2) for name, spent in seconds.items()}
        time.sleep(POLL_S)


def first_run(server: Server) -> str:
    """The id of the run that the server begins by itself."""
    runs = wait_until_sync(lambda: server.get("/training/runs").body["runs"], 60.0, what="the server trains")
    return str(runs[-1]["id"])


def figures(folder: Path, url: str, data: dict[str, int], memory: str) -> dict[str, Any]:
    """What came of it. Raises AssertionError where the first run is not published, or the second not skipped."""
    config = {"data": {"url": url}, "training.als": {"algorithm": "als", "memory": memory}}
    with serving(folder, config) as server:
        began = time.monotonic()
        server.get("/health")
        idle = rss_anon_bytes(server.pid)
        with SmapsSampler(server.pid, period_s=0.01) as sampler:
            run, phases = follow(server, first_run(server))
            assert run["status"] == "published", run
            server.wait_ready("als")
            assert server.predict("als", {"user_id": 1}).body["version"] == run["version"]
            served_s = time.monotonic() - began
            before = Vitals.of(server.pid)
            again, _ = follow(server, server.command("POST", "/models/als/train").body["run"]["id"])
        assert again["status"] == "skipped", again
        arrays = data["interactions"] * ARRAY_BYTES
        return {
            **data,
            "phases_s": phases,
            "phases_share": {name: round(spent / sum(phases.values()), 3) for name, spent in phases.items()},
            "begun_to_served_s": round(served_s, 1),
            "child_peak_mb": round(run["peak_bytes"] / 1e6, 1),
            "child_peak_of_cap_x": round(run["peak_bytes"] / run["cap_bytes"], 3),
            "child_peak_of_arrays_x": round(run["peak_bytes"] / arrays, 2),
            "child_peak_of_table_x": round(run["peak_bytes"] / data["table_bytes"], 2),
            "skipped_s": again["seconds"],
            "skipped_of_first_x": round(again["seconds"] / run["seconds"], 3),
            "skipped_peak_of_arrays_x": round(again["peak_bytes"] / arrays, 2),
            "server_growth_mb": round((sampler.peak_private_bytes - idle) / 1e6, 1),
            "event_loop_lag": lag_of(server),
            "server_before_second_run": before.as_json(),
            "server_after_second_run": Vitals.of(server.pid).as_json(),
            "parameters": run["parameters"],
            "metrics": {name: round(value, 4) for name, value in run["metrics"].items()},
            "popular": round(run["verdict"]["popular"], 4),
        }


def main(words: Sequence[str] | None = None) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interactions", type=int, default=1_000_000)
    parser.add_argument("--memory", default="1GiB", help="cap of the training process (default 1GiB)")
    asked = parser.parse_args(words)
    postgres = PostgresServer()
    try:
        postgres.start()
        url, data = fill(postgres, asked.interactions)
        load = os.getloadavg()[0]
        with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
            found = figures(Path(folder), url, data, asked.memory)
        json.dump({"load_before": round(load, 1), "load_after": round(os.getloadavg()[0], 1), **found}, sys.stdout, indent=2)
        print()
    finally:
        postgres.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main())
