"""Five teams put Holdfast where their own service was: each calls the addresses it always called, and reads the fields it always read.

Does not cover: tokens (`test_operating`), what is answered in detail (`test_answers`, `test_hybrid`), every field of these
addresses (`tests/unit/service/test_legacy.py`, `test_frontend.py`).
"""

from __future__ import annotations

import asyncio
import urllib.parse
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.running import Beside, Server, serving
from tests.artifacts.hybrids import CONTENT_IDS, content_dict, hybrid_dict
from tests.artifacts.lightfm import lightfm_dict
from tests.artifacts.nmf import nmf_dict
from tests.artifacts.recommenders import ITEMS, TRAINED_AT, USERS, als_dict, bare_als
from tests.artifacts.writing import write
from tests.doubles.faults import FaultProxy, Plan
from tests.doubles.files import FileServer, Served


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The three algorithms of a travel site, under the site's own names, and one that is unloaded at the start."""
    folder = tmp_path_factory.mktemp("mixed")
    parts = {"content": "places", "collaborative": "visitors"}
    saved = {"places": content_dict(), "visitors": nmf_dict("int"), "blend": hybrid_dict(parts=parts), "als": als_dict("str")}
    models: dict[str, dict[str, Any]] = {name: {"source": str(write(each, folder / name, "joblib"))} for name, each in saved.items()}
    models["als"] |= {"load": "on_demand", "required": False}
    with serving(folder, {"server": {"default_model": "blend"}, "models": models}) as server:
        server.wait_ready("places", "visitors", "blend")
        yield server


def recommended(server: Server, **query: object) -> Any:
    return server.get("/api/frontend/recommendations?" + urllib.parse.urlencode(query, doseq=True))


def replace(artifact: Path, content: object) -> None:
    """Another revision at the same path, in one step."""
    write(content, artifact.with_name("fresh"), "joblib").replace(artifact)


async def opened(gate: asyncio.Event) -> None:
    gate.set()


# -- one model, asked by POST /predict ---------------------------------------------------------------------------------


def test_the_team_that_waits_for_its_model_and_then_predicts(tmp_path: Path, beside: Beside) -> None:
    gate = asyncio.Event()
    content = write(als_dict("int"), tmp_path / "als.joblib", "joblib").read_bytes()
    files = beside.enter(FileServer({"/als.joblib": Served(content)}))
    held = beside.enter(FaultProxy(files.address, Plan(at=(1, gate.wait))))
    with serving(tmp_path, {"models": {"als": {"source": f"{held.url}/als.joblib"}}}) as server:
        server.wait_model("als", lambda model: model["phase"] == "downloading", "the download has begun")
        status = server.get("/predict/status").body
        assert (status["status"], status["model"], status["phase"]) == ("loading", "als", "downloading")
        assert status["retry_after_s"] >= 1
        assert server.ask("POST", "/predict", {"user_id": 1}).status == 202
        beside.run(opened(gate))
        answer = server.ask("POST", "/predict", {"user_id": 1, "k": 3}, {"Prefer": "wait=60"})
        assert (answer.status, len(answer.body["items"])) == (200, 3)
        assert server.get("/predict/status").body["status"] == "ready"
        (model,) = server.get("/models/status").body["models"]
        assert model == server.get("/models/als/status").body
        assert server.command("POST", "/models/reload?wait=60").status == 200
        assert server.command("DELETE", "/models/clear").body["freed_bytes"] >= 0
        assert server.ask("POST", "/predict", {"user_id": 1}).status == 200


# -- models loaded by name ---------------------------------------------------------------------------------------------


def test_the_team_that_loads_models_by_name(mixed: Server) -> None:
    begun = mixed.command("POST", "/ml/load?model=als")
    assert (begun.status, begun.body["name"], begun.headers["Location"]) == (202, "als", "/models/als")
    mixed.wait_ready("als")
    version = mixed.model("als")["version"]
    loaded = mixed.command("POST", "/ml/load/als-worker?wait=60")
    assert (loaded.status, loaded.body["status"], loaded.body["version"]) == (200, "ready", version)
    assert mixed.command("POST", "/ml/load").body["name"] == "blend"
    assert mixed.command("POST", "/ml/load?worker=als").body["field"] == "worker"


# -- a site with three algorithms --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("algorithm", "model"), [("collaborative", "visitors"), ("hybrid", "blend"), (None, "blend"), ("visitors", "visitors")]
)
def test_the_team_whose_page_asks_by_query_string(mixed: Server, algorithm: str | None, model: str) -> None:
    reply = recommended(mixed, user_id=4, k=5, **({} if algorithm is None else {"algorithm": algorithm}))
    assert (reply.status, reply.body["model"], reply.body["user_id"]) == (200, model, 4)
    assert reply.body == mixed.predict(model, {"user_id": 4, "k": 5}).body


def test_their_content_based_algorithm_is_told_what_is_liked(mixed: Server) -> None:
    refused = recommended(mixed, user_id=4, algorithm="content_based")
    assert (refused.status, refused.body["field"]) == (422, "user_id")
    assert "liked" in refused.body["detail"]
    liked = CONTENT_IDS[:2]
    question = {"liked": liked, "k": 4, "exclude": [CONTENT_IDS[5]], "fields": ["name"]}
    asked = {"algorithm": "content_based", "k": 4, "fields": "name", "exclude": CONTENT_IDS[5]}
    expected = mixed.predict("places", question).body
    assert "name" in expected["items"][0]
    for written in (",".join(map(str, liked)), liked):
        assert recommended(mixed, liked=written, **asked).body == expected


def test_their_page_gets_a_clear_answer_to_a_wrong_question(mixed: Server) -> None:
    unknown = recommended(mixed, user_id=4, algorithm="popularity")
    assert (unknown.status, unknown.body["field"]) == (404, "algorithm")
    assert "content_based (places)" in unknown.body["detail"]
    assert (recommended(mixed, user_id=999_999).status, recommended(mixed, user_id=4, k="many").body["field"]) == (404, "k")


def test_their_training_page_sees_what_is_trained_and_that_nobody_trains_here(mixed: Server) -> None:
    status = mixed.get("/api/ml/status").body
    for algorithm, model in (("content_based", "places"), ("collaborative", "visitors"), ("hybrid", "blend"), ("places", "places")):
        assert status[algorithm] == {"status": "trained", "trained_at": TRAINED_AT, "model": model}
    train = mixed.command("POST", "/api/ml/train-all")
    assert (train.status, train.body["type"]) == (409, "urn:holdfast:problem:not-trained-here")
    assert mixed.get("/training/runs").body == {"runs": []}


# -- a file that a job of their own replaces ---------------------------------------------------------------------------


def test_the_team_whose_job_replaces_the_file_and_says_so(tmp_path: Path) -> None:
    artifact = write(lightfm_dict("str"), tmp_path / "lightfm.joblib", "joblib")
    with serving(tmp_path / "run", {"models": {"posts": {"source": str(artifact)}}}) as server:
        server.wait_ready("posts")
        first = server.command("GET", "/admin/model-status").body
        assert datetime.fromisoformat(first.pop("last_reload_time")).tzinfo is not None
        assert first == {
            "is_loaded": True,
            "num_users": USERS,
            "num_items": ITEMS,
            "num_posts_metadata": ITEMS,
            "model_type": "LightFM",
            "model_path": str(artifact),
            "file_updated": False,
        }
        unchanged = server.command("POST", "/admin/reload-model")
        assert (unchanged.status, unchanged.body["success"], unchanged.body["details"]["reason"]) == (200, True, "unchanged")
        version = unchanged.body["details"]["version"]

        replace(artifact, als_dict("str", model=bare_als(factors=5)))
        assert server.command("GET", "/admin/model-status").body["file_updated"] is True
        changed = server.command("POST", "/admin/reload-model").body
        assert (changed["details"]["reloaded"], changed["details"]["reason"]) == (True, "changed")
        assert changed["details"]["previous_version"] == version
        after = server.command("GET", "/admin/model-status").body
        assert (after["model_type"], after["file_updated"], after["num_posts_metadata"]) == ("AlternatingLeastSquares", False, 0)

        artifact.write_bytes(b"not a model")
        failed = server.command("POST", "/admin/reload-model?model=posts")
        assert (failed.status, failed.headers["Content-Type"], failed.body["model_status"]) == (503, "application/problem+json", "ready")
        assert server.model("posts")["version"] == changed["details"]["version"]
        assert server.ask("POST", "/predict", {"user_id": "u1"}).body["version"] == changed["details"]["version"]
        artifact.unlink()
        assert server.command("GET", "/admin/model-status").body["file_updated"] is None
        assert server.command("POST", "/ml/load/posts-worker").status == 202


# -- a default file in the environment ---------------------------------------------------------------------------------


def test_the_team_that_sets_one_variable(tmp_path: Path) -> None:
    artifact = write(als_dict("int"), tmp_path / "als.pkl", "pickle4")
    with serving(tmp_path, {}, environ={"ALS_MODEL_PATH": str(artifact)}) as server:
        server.wait_ready("als")
        answer = server.ask("POST", "/predict", {"user_id": 1})
        assert (answer.status, answer.body["model"]) == (200, "als")
        assert recommended(server, user_id=1).body == answer.body
        assert server.command("GET", "/admin/model-status").body["model_path"] == str(artifact)
