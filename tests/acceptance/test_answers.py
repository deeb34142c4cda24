"""The server answers as implicit does, for every way a model is saved, in an environment that has no implicit.

Does not cover: every compression and every family of artifacts (`tests/integration/loading`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.rankings import differences
from tests.acceptance.running import Server, serving
from tests.artifacts.ids import make_ids, plain
from tests.artifacts.recommenders import Top, als_dict, bare_als, expected_recommend, interactions
from tests.artifacts.writing import write
from tests.support import run_python

USERS, ITEMS, FACTORS, K = 1000, 120, 16, 10
WAYS = ("pickle2", "pickle4", "pickle5", "joblib", "joblib_zlib", "joblib_lz4")
ID_KINDS = ("int", "str", "mixed")
ROWS = list(range(USERS))
ABSENT = ("implicit", "sklearn", "scipy", "pandas", "joblib")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, base_python: Path) -> Iterator[Server]:
    """Every way with a bare model and with the ALS dict, and every kind of ids, served at once from the base install."""
    folder = tmp_path_factory.mktemp("answers")
    model = bare_als(USERS, ITEMS, FACTORS)
    saved = {f"bare-{way}": (model, way) for way in WAYS}
    saved |= {f"dict-{way}": (als_dict("int", model=model, users=USERS, items=ITEMS), way) for way in WAYS}
    saved |= {f"ids-{kind}": (als_dict(kind, model=model, users=USERS, items=ITEMS), "pickle5") for kind in ID_KINDS}
    files = {name: write(content, folder / name, way) for name, (content, way) in saved.items()}
    config = {"models": {name: {"source": str(path)} for name, path in files.items()}}
    with serving(folder, config, python=base_python) as server:
        server.wait_ready(*files)
        yield server


@pytest.fixture(scope="module")
def all_items() -> list[Top]:
    """implicit's ranking of the whole catalogue for each user."""
    return expected_recommend(bare_als(USERS, ITEMS, FACTORS), ROWS, ITEMS)


@pytest.fixture(scope="module")
def unseen_items() -> list[Top]:
    """The same without what the user has seen."""
    return expected_recommend(bare_als(USERS, ITEMS, FACTORS), ROWS, ITEMS, interactions(USERS, ITEMS))


def ask_all(server: Server, model: str, users: list[Any], **fields: Any) -> list[list[dict[str, Any]]]:
    """The items of each user, from one call."""
    reply = server.predict(model, {"users": users, "k": K, **fields})
    assert reply.status == 200, reply
    assert reply.body["model"] == model
    assert reply.body["version"] == server.model(model)["version"]
    assert [result["user_id"] for result in reply.body["results"]] == users
    return [result["items"] for result in reply.body["results"]]


def all_differences(answers: list[list[dict[str, Any]]], expected: list[Top], item_ids: list[Any]) -> dict[int, list[str]]:
    """By row of the user; empty if every answer is implicit's."""
    pairs = enumerate(zip(answers, expected, strict=True))
    return {row: found for row, (answer, top) in pairs if (found := differences(answer, top, item_ids, K))}


@pytest.mark.parametrize("library", ABSENT)
def test_the_environment_of_the_server_has_no_training_stack(base_python: Path, library: str) -> None:
    missing = run_python(f"import {library}", flags=("-I",), python=str(base_python))
    assert missing.returncode == 1
    assert f"No module named '{library}'" in missing.stderr


@pytest.mark.parametrize("way", WAYS)
def test_a_bare_model_answers_a_thousand_users_as_implicit_does(server: Server, all_items: list[Top], way: str) -> None:
    assert all_differences(ask_all(server, f"bare-{way}", ROWS), all_items, list(range(ITEMS))) == {}


@pytest.mark.parametrize("way", WAYS)
def test_the_als_dict_answers_a_thousand_users_without_what_they_have_seen(server: Server, unseen_items: list[Top], way: str) -> None:
    users, items = make_ids("int", USERS), make_ids("int", ITEMS, first=500)
    assert all_differences(ask_all(server, f"dict-{way}", users), unseen_items, items) == {}


@pytest.mark.parametrize("way", WAYS)
def test_seen_items_come_back_when_asked_for(server: Server, all_items: list[Top], way: str) -> None:
    users, items = make_ids("int", USERS)[:50], make_ids("int", ITEMS, first=500)
    answers = ask_all(server, f"dict-{way}", users, exclude_seen=False)
    assert all_differences(answers, all_items[:50], items) == {}


@pytest.mark.parametrize("kind", ID_KINDS)
def test_ids_keep_their_type(server: Server, unseen_items: list[Top], kind: str) -> None:
    users, items = [plain(id) for id in make_ids(kind, USERS)], [plain(id) for id in make_ids(kind, ITEMS, first=500)]
    answers = ask_all(server, f"ids-{kind}", users)
    # == makes no difference between 1 and True, nor would a dict between 1 and 1.0: the types are compared on their own.
    assert {type(item["item_id"]) for answer in answers for item in answer} == {type(id) for id in items}
    assert all_differences(answers, unseen_items, items) == {}


def test_an_id_of_another_type_is_another_id(server: Server) -> None:
    assert server.predict("ids-int", {"user_id": "1"}).status == 404
    assert server.predict("ids-str", {"user_id": 1}).status == 404
    both = make_ids("mixed", USERS)
    assert 1 in both and "1" in both
    one, other = (server.predict("ids-mixed", {"user_id": id, "k": K}).body for id in (1, "1"))
    assert (one["user_id"], other["user_id"]) == (1, "1")
    assert one["items"] != other["items"]


def test_one_user_gets_the_same_as_in_a_batch(server: Server) -> None:
    users = make_ids("int", USERS)[:20]
    batch = ask_all(server, "dict-joblib", users)
    assert [server.predict("dict-joblib", {"user_id": user, "k": K}).body["items"] for user in users] == batch


def test_explicitly_excluded_items_are_left_out(server: Server, unseen_items: list[Top]) -> None:
    user, items = make_ids("int", USERS)[7], make_ids("int", ITEMS, first=500)
    best = unseen_items[7]
    left_out = [items[row] for row in best.items[:3]]
    reply = server.predict("dict-pickle4", {"user_id": user, "k": K, "exclude": [*left_out, "unknown", -1]})
    rest = Top(best.items[3:], best.scores[3:])
    assert differences(reply.body["items"], rest, items, K) == []


def test_k_up_to_the_catalogue_gives_all_of_it_and_beyond_is_refused(server: Server, all_items: list[Top]) -> None:
    reply = server.predict("bare-joblib", {"user_id": 3, "k": ITEMS})
    assert len(reply.body["items"]) == ITEMS
    assert differences(reply.body["items"], all_items[3], list(range(ITEMS)), ITEMS) == []
    beyond = server.predict("bare-joblib", {"user_id": 3, "k": ITEMS + 1})
    assert (beyond.status, beyond.body["field"]) == (422, "k")
    assert str(ITEMS) in beyond.body["detail"]


def test_an_unknown_user_is_a_404_that_names_the_field(server: Server) -> None:
    reply = server.predict("dict-pickle5", {"user_id": 10**9})
    assert (reply.status, reply.headers["Content-Type"]) == (404, "application/problem+json")
    assert (reply.body["field"], reply.body["model"], reply.body["status"]) == ("user_id", "dict-pickle5", 404)


def test_an_unknown_user_of_a_batch_is_an_entry_of_its_own(server: Server) -> None:
    known = make_ids("int", USERS)[0]
    reply = server.predict("dict-pickle5", {"users": [known, 10**9]})
    assert reply.status == 200
    first, second = reply.body["results"]
    assert len(first["items"]) == 10
    assert (second["user_id"], second["error"]["status"], second["error"]["field"]) == (10**9, 404, "users[1]")


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "user_id"), ({"user_id": 1, "k": 0}, "k"), ({"user_id": 1, "users": [1]}, "users"), ({"user_id": 1.5}, "user_id")],
)
def test_a_bad_field_is_a_422_that_names_it(server: Server, body: dict[str, Any], field: str) -> None:
    reply = server.predict("dict-pickle5", body)
    assert (reply.status, reply.headers["Content-Type"]) == (422, "application/problem+json")
    assert reply.body["field"] == field


def test_what_is_shown_of_a_model(server: Server) -> None:
    model = server.model("dict-joblib_zlib")
    assert (model["family"], model["stale"], model["failure"]) == ("factors", False, None)
    assert {name: model["details"][name] for name in ("users", "items", "factors")} == {"users": USERS, "items": ITEMS, "factors": FACTORS}
    assert model["load"]["from_segment"] is False
    assert 0 < model["load"]["peak_bytes"] <= model["load"]["cap_bytes"]
    assert "rlimit" in model["load"]["walls"]
    ranges = model["details"]["score_range"]
    assert ranges["min"] <= ranges["p50"] <= ranges["p99"] <= ranges["max"]
