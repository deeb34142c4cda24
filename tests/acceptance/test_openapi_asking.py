"""Schemathesis over every route that asks a model something: a recommender, estimators, one on its way, failed ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.fuzzing import EXAMPLES, HANG_GUARD_S, artifacts, fuzz, is_question, stalled_source
from tests.acceptance.running import serving

pytestmark = pytest.mark.timeout(HANG_GUARD_S)

# Which fields a question may have depends on what the model is; the description says the fields of all kinds.
KIND_DECIDES = {"checks.positive_data_acceptance": {"enabled": False}}


@pytest.mark.parametrize(
    ("asked", "examples", "statuses"),
    [(["als", "forest", "knn"], EXAMPLES, {200, 404, 422}), (["stalled", "broken", "missing"], 50, {202, 422, 503})],
    ids=["ready", "not ready"],
)
def test_what_asks(tmp_path: Path, asked: list[str], examples: int, statuses: set[int]) -> None:
    with stalled_source() as address:
        models = {name: {"source": str(path)} for name, path in artifacts(tmp_path).items()} | {"stalled": {"source": address}}
        # What `Prefer: wait` asks for is drawn too: without a bound most of the time would be spent on it.
        waiting = {name: {**settings, "max_wait_s": 0.01} for name, settings in models.items()}
        with serving(tmp_path, {"server": {"default_model": "als"}, "models": waiting}) as server:
            server.wait_ready("als", "forest", "knn")
            server.wait_model("broken", lambda model: model["status"] == "error", "it is known to be broken")
            found = fuzz(server, is_question, KIND_DECIDES, asked, examples)
    assert statuses <= set(found["POST /models/{model}/predict"])
