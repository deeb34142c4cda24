"""A hybrid of a content dict and an NMF dict, through the installed program: who is answered by what, and what it waits for.

Does not cover: every rule of its answers (`tests/unit/models/test_hybrid.py`), every order of events
(`tests/unit/lifecycle/test_parts.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.acceptance.running import Beside, Server, serving
from tests.artifacts.hybrids import (
    CONTENT_IDS,
    NMF_IDS,
    blended,
    content_dict,
    content_scores,
    hybrid_dict,
    nmf_scores,
    seen_by,
)
from tests.artifacts.ids import make_ids
from tests.artifacts.nmf import nmf_dict
from tests.artifacts.recommenders import USERS
from tests.artifacts.writing import write
from tests.doubles.faults import FaultProxy, Plan
from tests.doubles.files import FileServer, Served

USER_IDS = make_ids("int", USERS)
ROW = 7
USER = USER_IDS[ROW]
NOBODY = 999_999
PARTS = ("content_based", "collaborative")


def files(folder: Path, **hybrid: Any) -> dict[str, dict[str, Any]]:
    """The three models under the names that a hybrid expects by default, each in another format."""
    folder.mkdir(parents=True, exist_ok=True)
    saved = {
        "hybrid": write(hybrid_dict(**hybrid), folder / "hybrid.pkl", "pickle4"),
        "content_based": write(content_dict(), folder / "content.joblib", "joblib"),
        "collaborative": write(nmf_dict("int"), folder / "nmf.joblib", "joblib_zlib"),
    }
    return {name: {"source": str(path)} for name, path in saved.items()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The three, and a second hybrid whose content weight falls and that names its parts itself."""
    folder = tmp_path_factory.mktemp("hybrid")
    models = files(folder)
    named = {"content": "content_based", "collaborative": "collaborative"}
    falling = hybrid_dict(content_weight_warm=0.1, warm_interactions=10, default_lambda=1.0, parts=named)
    models["falling"] = {"source": str(write(falling, folder / "falling.pkl", "pickle5"))}
    with serving(folder, {"models": models}) as server:
        server.wait_ready(*models)
        yield server


def sampled(server: Server, name: str) -> dict[str, float]:
    found: dict[str, float] = server.model(name)["details"]["score_range"]
    return found


def ask(server: Server, body: Mapping[str, Any], model: str = "hybrid") -> dict[str, Any]:
    reply = server.predict(model, body)
    assert reply.status == 200, reply
    answer: dict[str, Any] = reply.body
    return answer


def ids_of(answer: Mapping[str, Any]) -> list[int]:
    return [item["item_id"] for item in answer["items"]]


def assert_best(answer: Mapping[str, Any], scores: Mapping[int, float], k: int, without: list[int]) -> None:
    """The k best of `scores`, best first; items nearer together than rounding may change places."""
    left = {id: score for id, score in scores.items() if id not in without}
    best = sorted(left.values(), reverse=True)[:k]
    found = ids_of(answer)
    assert len(found) == len(set(found)) == len(best)
    np.testing.assert_allclose([left[id] for id in found], best, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose([item["score"] for item in answer["items"]], best, rtol=1e-4, atol=1e-6)


def similarity(ids: list[int]) -> float:
    """Mean cosine of the pairs among these items that the content dict has."""
    rows = [CONTENT_IDS.index(id) for id in ids if id in CONTENT_IDS]
    alike = content_dict()["similarity_matrix"][np.ix_(rows, rows)]
    return float(alike[np.triu_indices(len(rows), 1)].mean())


# -- answers --------------------------------------------------------------------------------------------------------------


def test_a_warm_user_is_answered_by_both_parts(server: Server) -> None:
    seen = seen_by(ROW)
    wanted = blended(
        [
            (content_scores(seen), 0.6, sampled(server, "content_based")),
            (nmf_scores(ROW), 0.4, sampled(server, "collaborative")),
        ]
    )
    answer = ask(server, {"user_id": USER, "k": 12, "diversity": 1.0})
    assert_best(answer, wanted, 12, seen)
    assert (answer["answered_by"], answer["content_weight"]) == (["content", "collaborative"], 0.6)
    assert answer["parts"] == {name: server.model(name)["version"] for name in ("content_based", "collaborative")}
    everything = ask(server, {"user_id": USER, "k": 55, "diversity": 1.0, "exclude_seen": False})
    assert set(ids_of(everything)) == {*NMF_IDS, *CONTENT_IDS}
    assert_best(everything, wanted, 55, [])
    assert server.predict("hybrid", {"user_id": USER, "k": 56}).status == 422


def test_a_cold_user_is_answered_for_what_is_liked_in_the_session(server: Server) -> None:
    assert server.predict("hybrid", {"user_id": NOBODY}).status == 404
    liked = [903, 907]
    wanted = blended([(content_scores(liked), 1.0, sampled(server, "content_based"))])
    for body in ({"liked": liked}, {"user_id": NOBODY, "liked": liked}):
        answer = ask(server, {"k": 8, "diversity": 1.0, **body})
        assert_best(answer, wanted, 8, liked)
        assert (answer["answered_by"], answer["content_weight"]) == (["content"], 1.0)
    known = ask(server, {"liked": NMF_IDS[:2], "k": 5})
    assert known["answered_by"] == ["content", "collaborative"]
    alone = ask(server, {"liked": NMF_IDS[-2:], "k": 5})
    assert alone["answered_by"] == ["collaborative"] and set(ids_of(alone)) <= set(NMF_IDS)
    assert server.predict("hybrid", {"liked": [1]}).status == 404


def test_a_batch_says_of_each_who_answered(server: Server) -> None:
    body = ask(server, {"users": [*USER_IDS[:5], NOBODY], "k": 4})
    for user, result in zip(USER_IDS[:5], body["results"], strict=False):
        one = ask(server, {"user_id": user, "k": 4})
        assert (result["items"], result["answered_by"]) == (one["items"], one["answered_by"])
    assert "error" in body["results"][-1]


def test_similar_items_filters_columns_and_reasons_come_through(server: Server) -> None:
    similar = server.get(f"/models/hybrid/similar/{CONTENT_IDS[-1]}?k=5&fields=name")
    assert similar.status == 200, similar
    alike = content_scores(CONTENT_IDS[-1:])
    assert_best(similar.body, alike, 5, CONTENT_IDS[-1:])
    assert [item["name"] for item in similar.body["items"]] == [f"place {id}" for id in ids_of(similar.body)]
    filtered = ask(server, {"user_id": USER, "k": 5, "categories": ["museum"], "fields": ["categories"], "explain": True})
    assert filtered["items"] and all("museum" in item["categories"] for item in filtered["items"])
    assert {reason["item_id"] for item in filtered["items"] for reason in item["because"]} <= set(seen_by(ROW))
    unknown = server.predict("hybrid", {"user_id": USER, "fields": ["price"]})
    assert (unknown.status, unknown.body["field"]) == (422, "fields[0]")


def test_lambda_one_is_plain_order_and_less_makes_lists_more_diverse(server: Server) -> None:
    plain, saved, diverse = [], [], []
    for user in USER_IDS[:20]:
        one = ask(server, {"user_id": user, "k": 8, "diversity": 1.0})
        scores = [item["score"] for item in one["items"]]
        assert scores == sorted(scores, reverse=True)
        plain.append(similarity(ids_of(one)))
        by_default = ask(server, {"user_id": user, "k": 8})
        assert by_default["items"] == ask(server, {"user_id": user, "k": 8, "diversity": 0.7})["items"]
        saved.append(similarity(ids_of(by_default)))
        diverse.append(similarity(ids_of(ask(server, {"user_id": user, "k": 8, "diversity": 0.3}))))
    assert np.mean(diverse) < np.mean(saved) < np.mean(plain)


def test_the_content_weight_falls_with_the_history_where_the_artifact_says_so(server: Server) -> None:
    for row in range(10):
        seen = seen_by(row)
        weight = 0.6 - 0.5 * min(1.0, len(seen) / 10)
        answer = ask(server, {"user_id": USER_IDS[row], "k": 10}, "falling")
        if answer["answered_by"] == ["content", "collaborative"]:
            assert answer["content_weight"] == pytest.approx(weight, abs=1e-4)
            parts = (
                (content_scores(seen), weight, sampled(server, "content_based")),
                (nmf_scores(row), 1 - weight, sampled(server, "collaborative")),
            )
            assert_best(answer, blended(parts), 10, seen)


def test_the_status_tells_weights_and_parts(server: Server) -> None:
    model = server.model("hybrid")
    assert (model["status"], model["family"], model["reason"]) == ("ready", "hybrid", None)
    details = model["details"]
    assert (details["content_weight"], details["collaborative_weight"], details["default_lambda"]) == (0.6, 0.4, 0.7)
    assert details["parts"] == {"content": "content_based", "collaborative": "collaborative"}


# -- what it waits for ----------------------------------------------------------------------------------------------------


class Held:
    """A file behind a connection that lets nothing pass until the test says so."""

    def __init__(self, beside: Beside, content: bytes) -> None:
        self._beside = beside
        self._gate = asyncio.Event()
        self._files = beside.enter(FileServer({"/model": Served(content)}))
        self._proxy = beside.enter(FaultProxy(self._files.address, Plan(at=(1, self._gate.wait))))

    @property
    def url(self) -> str:
        return f"{self._proxy.url}/model"

    def let_go(self) -> None:
        self._beside.run(self._open())

    async def _open(self) -> None:
        self._gate.set()


def test_it_waits_for_its_parts_and_says_for_which(beside: Beside, tmp_path: Path) -> None:
    models = files(tmp_path)
    held = Held(beside, Path(models["content_based"]["source"]).read_bytes())
    models["content_based"]["source"] = held.url
    with serving(tmp_path, {"models": models}) as server:
        server.wait_ready("collaborative")
        reason = "waits for part content (content_based): downloading"
        waiting = server.wait_model("hybrid", lambda model: model["reason"] == reason, reason)
        assert (waiting["status"], waiting["phase"]) == ("loading", "downloading")
        reply = server.predict("hybrid", {"user_id": USER})
        assert reply.status == 202 and (reply.retry_after_s or 0) >= 1, reply
        assert (reply.body["status"], reply.body["phase"], reply.body["reason"]) == ("loading", "downloading", reason)
        ready = server.get("/health/ready")
        assert ready.status == 503 and set(ready.body["waiting_for"]) == {"hybrid", "content_based"}
        assert server.predict("collaborative", {"user_id": USER}).status == 200
        held.let_go()
        answered = server.predict("hybrid", {"user_id": USER}, {"Prefer": "wait=60"})
        assert answered.status == 200 and answered.body["answered_by"] == ["content", "collaborative"], answered
        assert server.get("/health/ready").status == 200


def test_a_failed_part_is_named_and_mending_it_mends_the_hybrid(tmp_path: Path) -> None:
    models = files(tmp_path)
    source = Path(models["content_based"]["source"])
    good = source.read_bytes()
    source.write_bytes(good[: len(good) // 2])
    with serving(tmp_path, {"models": models}) as server:
        failed = server.wait_model("hybrid", lambda model: model["status"] == "error", "the hybrid shows the failure")
        assert failed["failure"]["type"] == "part_unavailable" and failed["failure"]["retryable"] is False
        assert failed["failure"]["message"].startswith("part content (content_based) failed: corrupt_artifact")
        reply = server.predict("hybrid", {"user_id": USER})
        assert reply.status == 503 and reply.retry_after_s is None
        assert (reply.body["model"], reply.body["failure"]["type"]) == ("hybrid", "part_unavailable")
        assert server.get("/health/ready").status == 503
        source.write_bytes(good)
        assert server.command("POST", "/models/content_based/reload?wait=60").status == 200
        assert server.predict("hybrid", {"user_id": USER}).status == 200


def test_a_part_that_is_unloaded_and_loaded_again(tmp_path: Path) -> None:
    models = files(tmp_path)
    with serving(tmp_path, {"models": models}) as server:
        server.wait_ready("hybrid")
        before = ask(server, {"user_id": USER})
        server.command("POST", "/models/collaborative/unload")
        reply = server.predict("hybrid", {"user_id": USER})
        assert reply.status == 503 and reply.body["failure"]["message"] == "part collaborative (collaborative) was unloaded: load it"
        assert server.command("POST", "/models/collaborative/load?wait=60").status == 200
        assert ask(server, {"user_id": USER}) == before
        newer = write(nmf_dict("int", transposed=True), tmp_path / "newer.joblib", "joblib").read_bytes()
        Path(models["collaborative"]["source"]).write_bytes(newer)
        assert server.command("POST", "/models/collaborative/reload?wait=60").status == 200
        assert ids_of(ask(server, {"user_id": USER})) == ids_of(before)
    with serving(tmp_path, {"models": models}) as server:
        server.wait_ready("hybrid")
        assert server.model("hybrid")["load"]["from_segment"] is True
        assert ids_of(ask(server, {"user_id": USER})) == ids_of(before)


def test_parts_whose_ids_are_of_two_kinds_are_told_of(tmp_path: Path) -> None:
    models = files(tmp_path)
    models["collaborative"]["source"] = str(write(nmf_dict("str"), tmp_path / "texts.joblib", "joblib"))
    with serving(tmp_path, {"models": models}) as server:
        server.wait_ready("hybrid")
        (warning,) = ask(server, {"liked": CONTENT_IDS[:2]})["warnings"]
        assert warning.startswith("the parts have no item in common: content has int: 503, 510, ")
        batch = ask(server, {"users": [make_ids("str", USERS)[0], USER]})["results"]
        assert batch[0]["warnings"] == [warning] and batch[0]["answered_by"] == ["collaborative"] and "error" in batch[1]


def test_parts_that_nobody_configured_and_those_that_are_none(tmp_path: Path) -> None:
    models = files(tmp_path)
    alone = {"lonely": models["hybrid"], "twice": models["hybrid"], "mixed": models["hybrid"]}
    environ = {
        "HOLDFAST_MODELS_TWICE_PARTS": "content=mixed, collaborative=nmf",
        "HOLDFAST_MODELS_MIXED_PARTS": "content=nmf, collaborative=nmf",
    }
    with serving(tmp_path, {"models": {**alone, "nmf": models["collaborative"]}}, environ=environ) as server:
        lonely = server.wait_model("lonely", lambda model: model["status"] == "error", "lonely has failed")
        assert lonely["failure"]["type"] == "part_unavailable"
        for word in ("'content_based'", "'collaborative'", "parts = ", "lonely"):
            assert word in lonely["failure"]["message"]
        server.wait_ready("mixed", "nmf")
        twice = server.wait_model("twice", lambda model: model["status"] == "error", "twice has failed")
        assert "part content (mixed) is a hybrid model: a part cannot have parts itself" in twice["failure"]["message"]
        assert ask(server, {"user_id": USER}, "mixed")["answered_by"] == ["content", "collaborative"]
