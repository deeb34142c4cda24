"""Schemathesis over every route behind the admin token, of a server that is thrown away."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.fuzzing import HANG_GUARD_S, artifacts, fuzz, is_command, trainings
from tests.acceptance.running import serving

pytestmark = pytest.mark.timeout(HANG_GUARD_S)

# It sends a wrong token to every route, and takes only 401 and 403 for a refusal: after ten wrong tokens an address is told
# 429. That each of these routes wants the token is asked in tests/contracts/test_routes.py.
WRONG_TOKENS_ARE_COUNTED = {"checks.ignored_auth": {"enabled": False}}
# It takes what was deleted for gone, and draws it no more; a cache that was cleared is there to be cleared again.
NOTHING_GOES = {"phases.fuzzing.extra-data-sources": {"responses": False}}


def test_what_commands(tmp_path: Path) -> None:
    files = artifacts(tmp_path)
    # One that loads and one that fails at once: hundreds of commands are waited for, and each load costs a process.
    models = {name: {"source": str(files[name])} for name in ("als", "missing")}
    with serving(tmp_path, {"server": {"default_model": "als"}, "models": models, **trainings(tmp_path)}) as server:
        server.wait_ready("als", "liked")
        found = fuzz(server, is_command, {**WRONG_TOKENS_ARE_COUNTED, **NOTHING_GOES}, [*models, "liked", "strict"])
    assert {202, 404, 409} <= set(found["POST /models/{model}/train"])
    assert {202, 400, 422} <= set(found["POST /interactions"])
