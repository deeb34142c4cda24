"""Text that no UTF-8 can say, in files and in their names: every page that shows it is written, and other models answer."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

from tests.acceptance.running import run, serving
from tests.artifacts.recommenders import als_dict
from tests.artifacts.writing import write

HALF = "\ud800"


def test_it_breaks_neither_the_status_of_all_nor_an_answer(tmp_path: Path) -> None:
    trained = write({**als_dict(), "trained_at": f"20{HALF}"}, tmp_path / "trained.pkl", "pickle4")
    stranger = tmp_path / "stranger.pkl"
    stranger.write_bytes(pickle.dumps({HALF: 1, "user_factors": f"x{HALF}"}))
    named = os.fsencode(tmp_path) + b"/caf\xe9.pkl"
    Path(os.fsdecode(named)).write_bytes(trained.read_bytes())
    models = {"trained": {"source": str(trained)}, "stranger": {"source": str(stranger)}}
    with serving(tmp_path, {"models": models}, environ={"MODEL_NAMED_URL": os.fsdecode(named)}) as server:
        server.wait_ready("trained", "named")
        failed = server.wait_model("stranger", lambda model: model["status"] == "error", "stranger has failed")
        assert failed["failure"]["type"] in ("unknown_format", "missing_keys")
        for path in ("/models", "/health", "/status"):
            assert server.get(path).status == 200, path
        shown = {model["name"]: model for model in server.get("/models").body["models"]}
        assert shown["trained"]["details"]["trained_at"] == "20\ufffd" and shown["named"]["source"].endswith("/caf\ufffd.pkl")
        assert server.predict("named", {"user_id": als_user()}).status == 200
        refused = server.predict("stranger", {"user_id": 1})
        assert refused.status == 503 and refused.body["failure"]["type"] == failed["failure"]["type"]
    for name, code in ((str(trained), 0), (str(stranger), 1), (os.fsdecode(named), 0)):
        for words in ((), ("--json",)):
            checked = run(tmp_path, "check", name, *words)
            assert (checked.returncode, checked.stderr) == (code, ""), checked


def als_user() -> int:
    """A user of the ALS dict."""
    return next(iter(als_dict()["user_id_map"]))  # type: ignore[no-any-return]
