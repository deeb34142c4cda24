"""A big model costs the serving process next to no private memory, and nothing of the training stack is ever imported by it.

Does not cover: what a batch of questions takes while it is answered, the child's memory and the ratios of loading (`bench/loading.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.models import array_bytes, big_model, write_model
from tests.acceptance.running import Server, rss_anon_bytes, serving

MODEL_BYTES = 200 << 20
GROWTH_LIMIT_BYTES = 30_000_000
FORMATS = ("pickle4", "joblib_lz4")
NEVER_IMPORTED = {"sklearn", "implicit", "scipy", "pandas", "joblib", "asyncpg"}
_IMPORTED = re.compile(r"^import time: +\d+ \| +\d+ \| +([\w.]+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Runs where the training stack is installed, so that not importing it is a choice; it logs every import of its own."""
    folder = tmp_path_factory.mktemp("memory")
    model = big_model(MODEL_BYTES, factors=128, fill="coarse")
    assert array_bytes(model) > 0.99 * MODEL_BYTES
    for name in FORMATS:
        write_model(folder / name, model, name)
    models = {name: {"source": str(folder / name), "load": "on_demand", "memory": "300MiB"} for name in FORMATS}
    with serving(folder, {"models": models}, environ={"PYTHONPROFILEIMPORTTIME": "1"}) as server:
        yield server
    for name in FORMATS:
        (folder / name).unlink()


@pytest.mark.parametrize("name", FORMATS)
def test_a_big_model_costs_the_server_no_private_memory(server: Server, name: str) -> None:
    assert server.get(f"/models/{name}").body["status"] == "not_started"
    before = rss_anon_bytes(server.pid)
    reply = server.predict(name, {"user_id": 1, "k": 10}, {"Prefer": "wait=60"})
    assert reply.status == 200, reply
    grown = rss_anon_bytes(server.pid) - before
    assert grown < GROWTH_LIMIT_BYTES, f"{grown / 1e6:.1f} MB for a model of {MODEL_BYTES / 1e6:.0f} MB"
    model = server.model(name)
    assert model["segment_bytes"] >= 0.99 * MODEL_BYTES
    # Nor did the child need it: the arrays went straight into the segment.
    assert model["load"]["peak_bytes"] < MODEL_BYTES / 4


def test_the_server_never_imported_the_training_stack(server: Server) -> None:
    imported = {name.partition(".")[0] for name in _IMPORTED.findall(server.log)}
    assert {"numpy", "aiohttp", "service", "loaders", "models"} <= imported  # else the log would prove nothing
    assert not imported & NEVER_IMPORTED
    mapped = Path(f"/proc/{server.pid}/maps").read_text()
    assert not [name for name in NEVER_IMPORTED if f"/site-packages/{name}/" in mapped]
