"""Schemathesis over every route that reads, while models are ready, on their way and failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.routes import ROUTES
from tests.acceptance.fuzzing import ENDLESS, HANG_GUARD_S, KINDS, artifacts, fuzz, is_reading, stalled_source, trainings
from tests.acceptance.running import serving

pytestmark = pytest.mark.timeout(HANG_GUARD_S)


def test_every_route_is_of_one_kind_but_those_without_an_end() -> None:
    kinds = {route.path: [kind for kind in KINDS if kind(route)] for route in ROUTES}
    assert {path for path, found in kinds.items() if not found} <= set(ENDLESS)
    assert all(len(found) <= 1 for found in kinds.values())


def test_what_reads(tmp_path: Path) -> None:
    with stalled_source() as address:
        models = {name: {"source": str(path)} for name, path in artifacts(tmp_path).items()} | {"stalled": {"source": address}}
        with serving(tmp_path, {"server": {"default_model": "als"}, "models": models, **trainings(tmp_path)}) as server:
            server.wait_ready("als", "forest", "knn", "liked")
            server.wait_model("strict", lambda model: model["status"] == "error", "the gate has refused it")
            runs = [run["id"] for run in server.get("/training/runs").body["runs"]]
            assert len(runs) == 2
            found = fuzz(server, is_reading, {}, [*models, "liked", "strict"], runs=runs)
    assert {200, 404} <= set(found["GET /training/runs/{id}"])
