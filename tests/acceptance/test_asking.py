"""Every way to ask, over HTTP, of the installed program: ALS and content dicts, a forest, a pipeline, a hosted estimator.

Covers: what fields do and which are refused, compared with the libraries' own answers. Does not cover: each family's shapes
(`tests/contracts/test_families.py`), hybrids (`test_hybrid`), a hosted model's death (`test_hosted`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.acceptance.rankings import differences
from tests.acceptance.running import Reply, Server, serving
from tests.artifacts.content import content_dict, expected_like, texts
from tests.artifacts.linear import COLUMNS, Fitted, fit
from tests.artifacts.recommenders import ITEMS, Top, als_dict, bare_als, expected_recommend, interactions
from tests.artifacts.writing import write

K = 10
ALS = als_dict("int")
USERS, ITEM_IDS = list(ALS["user_id_map"]), list(ALS["item_id_map"])
PLACES = content_dict("str")["destinations_df"]
PLACE_IDS = PLACES["destination_id"].tolist()
ROWS = [[float(value) for value in row] for row in np.random.default_rng(5).normal(size=(300, 4))]
LABELS = ["low" if row[0] + row[1] ** 2 < 0.5 else "high" for row in ROWS]


@cache
def named() -> Fitted:
    """Fitted on a DataFrame of COLUMNS with missing values."""
    return fit(make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()), "words", missing=True, names=True)


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {
        "als": ALS,
        "content": content_dict("str"),
        "forest": RandomForestClassifier(20, random_state=0).fit(ROWS, LABELS),
        "pipeline": make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, LABELS),
        "knn": KNeighborsClassifier().fit(ROWS, LABELS),
        "named": named().estimator,
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models: dict[str, Any]) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("asking")
    files = {name: write(model, folder / name, "joblib") for name, model in models.items()}
    config = {"server": {"max_body": "1MiB"}, "models": {name: {"source": str(path)} for name, path in files.items()}}
    with serving(folder, config) as server:
        server.wait_ready(*files)
        yield server


def refused(reply: Reply, status: int, field: str) -> str:
    """The detail of a problem that names the field."""
    assert (reply.status, reply.headers["Content-Type"]) == (status, "application/problem+json"), reply
    assert reply.body["field"] == field, reply.body
    detail: str = reply.body["detail"]
    return detail


def ids(reply: Reply) -> list[Any]:
    assert reply.status == 200, reply
    return [item["item_id"] for item in reply.body["items"]]


# -- recommenders -------------------------------------------------------------------------------------------------------


def test_families_are_what_they_should_be(server: Server) -> None:
    found = {model["name"]: model["family"] for model in server.get("/models").body["models"]}
    assert found == {"als": "factors", "content": "neighbours", "forest": "trees", "pipeline": "linear", "knn": "hosted", "named": "linear"}


def test_liked_items_of_als_are_answered_as_implicit_recalculates_a_user(server: Server) -> None:
    user = 7
    liked = interactions()[user].copy()
    liked.data[:] = 1.0
    rows, scores = bare_als().recommend(0, liked, N=ITEMS - liked.nnz, recalculate_user=True)
    reply = server.predict("als", {"liked": [ITEM_IDS[row] for row in liked.indices] + ["unknown"], "k": K})
    assert differences(reply.body["items"], Top(rows.tolist(), scores.tolist()), ITEM_IDS, K) == []
    assert set(reply.body) == {"model", "version", "items"}


def test_similar_items_of_als_are_implicit_s(server: Server) -> None:
    row = 11
    rows, scores = bare_als().similar_items(row, N=ITEMS)
    keep = rows != row
    reply = server.get(f"/models/als/similar/{ITEM_IDS[row]}?k={K}")
    assert reply.body["item_id"] == ITEM_IDS[row]
    assert differences(reply.body["items"], Top(rows[keep].tolist(), scores[keep].tolist()), ITEM_IDS, K) == []


def test_liked_and_similar_places_are_those_of_the_content_matrix(server: Server) -> None:
    for path, body, rows in (("similar", None, [5]), ("predict", {"liked": [PLACE_IDS[3], PLACE_IDS[9]], "k": K}, [3, 9])):
        found = server.predict("content", body) if body else server.get(f"/models/content/{path}/{PLACE_IDS[rows[0]]}?k={K}")
        wanted = expected_like(rows, K)
        assert ids(found) == [PLACE_IDS[row] for row, _ in wanted]
        np.testing.assert_allclose([item["score"] for item in found.body["items"]], [score for _, score in wanted], rtol=1e-5)


def test_a_user_of_a_model_without_users_is_told_to_send_liked(server: Server) -> None:
    reply = server.predict("content", {"user_id": 1})
    assert "liked" in refused(reply, 422, "user_id")


def test_k_is_bounded_by_the_catalogue(server: Server) -> None:
    for k in (0, -1):
        refused(server.predict("als", {"user_id": USERS[0], "k": k}), 422, "k")
        refused(server.get(f"/models/als/similar/{ITEM_IDS[0]}?k={k}"), 422, "k")
    for model, subject in (("als", {"user_id": USERS[0]}), ("als", {"users": USERS[:2]}), ("content", {"liked": [PLACE_IDS[0]]})):
        assert str(ITEMS) in refused(server.predict(model, {**subject, "k": ITEMS + 1}), 422, "k")
    assert str(ITEMS) in refused(server.get(f"/models/als/similar/{ITEM_IDS[0]}?k={ITEMS + 1}"), 422, "k")
    everything = ids(server.predict("als", {"user_id": USERS[0], "k": ITEMS, "exclude_seen": False}))
    assert sorted(everything) == sorted(ITEM_IDS)


def test_exclude_only_and_seen(server: Server) -> None:
    best = expected_recommend(bare_als(), [4], ITEMS, interactions())[0]
    order = [ITEM_IDS[row] for row in best.items]
    user = {"user_id": USERS[4], "k": K}
    assert ids(server.predict("als", user)) == order[:K]
    assert ids(server.predict("als", {**user, "exclude": [*order[:3], "nowhere"]})) == order[3 : K + 3]
    assert ids(server.predict("als", {**user, "only": [*order[9:2:-3], "nowhere"]})) == order[3:10:3]
    assert ids(server.predict("als", {**user, "only": []})) == []
    seen = {ITEM_IDS[row] for row in interactions()[4].indices}
    assert seen.isdisjoint(ids(server.predict("als", {**user, "k": ITEMS})))
    assert seen <= set(ids(server.predict("als", {**user, "k": ITEMS, "exclude_seen": False})))
    by_comma = ids(server.get(f"/models/als/similar/{ITEM_IDS[1]}?k=5"))
    rest = server.get(f"/models/als/similar/{ITEM_IDS[1]}?k=5&exclude={by_comma[0]},{by_comma[2]}&exclude={by_comma[4]}")
    assert ids(rest)[:2] == [by_comma[1], by_comma[3]]


def test_fields_stand_beside_the_score(server: Server) -> None:
    reply = server.predict("content", {"liked": [PLACE_IDS[2]], "k": ITEMS, "fields": ["name", "price", "rating"]})
    for item in reply.body["items"]:
        place = PLACES.iloc[PLACE_IDS.index(item["item_id"])]
        assert list(item) == ["item_id", "score", "name", "price", "rating"]
        assert (item["name"], item["rating"]) == (place["name"], place["rating"])
        assert item["price"] == (None if np.isnan(place["price"]) else place["price"])
    one = server.get(f"/models/content/similar/{PLACE_IDS[2]}?fields=name,price&k=1").body["items"][0]
    assert list(one) == ["item_id", "score", "name", "price"]
    assert "name" in refused(server.predict("content", {"liked": [PLACE_IDS[2]], "fields": ["name", "titel"]}), 422, "fields[1]")
    refused(server.predict("content", {"liked": [PLACE_IDS[2]], "fields": ["score"]}), 422, "fields[0]")
    refused(server.predict("als", {"user_id": USERS[0], "fields": ["title"]}), 422, "fields[0]")


def test_categories_filter(server: Server) -> None:
    genres = dict(zip(PLACE_IDS, texts()[1], strict=True))
    for wanted in (["Sea"], ["Sea", "Food"]):
        reply = server.predict("content", {"liked": [PLACE_IDS[2]], "k": ITEMS, "categories": wanted})
        assert set(ids(reply)) == {id for id, has in genres.items() if set(has) & set(wanted) and id != PLACE_IDS[2]}
    assert ids(server.get(f"/models/content/similar/{PLACE_IDS[2]}?categories=Sea&categories=Food&k={ITEMS}")) == ids(reply)
    refused(server.predict("content", {"liked": [PLACE_IDS[2]], "categories": ["Sea", "Moon"]}), 422, "categories[1]")
    refused(server.predict("als", {"user_id": USERS[0], "categories": ["Sea"]}), 422, "categories")


def test_explanations_name_what_was_liked(server: Server) -> None:
    liked = PLACE_IDS[3:8]
    for model, body in (("content", {"liked": liked}), ("als", {"liked": ITEM_IDS[3:8]}), ("als", {"user_id": USERS[4]})):
        history = body.get("liked") or [ITEM_IDS[row] for row in interactions()[4].indices]
        reply = server.predict(model, {**body, "k": 5, "explain": True})
        assert any(item["because"] for item in reply.body["items"])
        for item in reply.body["items"]:
            parts = [reason["contribution"] for reason in item["because"]]
            assert parts == sorted(parts, reverse=True)
            assert {reason["item_id"] for reason in item["because"]} <= set(history)
        assert ids(reply) == ids(server.predict(model, {**body, "k": 5}))


def test_diversity(server: Server) -> None:
    for model, body in (("als", {"user_id": USERS[4]}), ("content", {"liked": PLACE_IDS[3:5]})):
        plain, one, mixed = (server.predict(model, {**body, "k": K, **more}) for more in ({}, {"diversity": 1}, {"diversity": 0.1}))
        assert ids(plain) == ids(one)
        assert ids(mixed) != ids(plain)
        assert ids(mixed)[0] == ids(plain)[0]
        refused(server.predict(model, {**body, "diversity": 1.5}), 422, "diversity")


def test_unknown_items_and_wrong_subjects_are_named(server: Server) -> None:
    refused(server.predict("als", {"liked": ["nowhere", -5]}), 404, "liked")
    refused(server.get("/models/als/similar/nowhere"), 404, "item_id")
    refused(server.get(f"/models/content/similar/{ITEM_IDS[0]}"), 404, "item_id")
    refused(server.predict("als", {"user_id": USERS[0], "liked": [ITEM_IDS[0]]}), 422, "liked")
    assert "user_id" in refused(server.predict("als", {"instances": ROWS[:1]}), 422, "instances")


# -- estimators ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["forest", "pipeline", "knn"])
def test_predictions_are_scikit_learn_s(server: Server, models: dict[str, Any], name: str) -> None:
    reply = server.predict(name, {"instances": ROWS})
    assert reply.status == 200
    assert reply.body["predictions"] == models[name].predict(ROWS).tolist()
    assert reply.body["classes"] == ["high", "low"]
    np.testing.assert_allclose(reply.body["probabilities"], models[name].predict_proba(ROWS), rtol=1e-6, atol=1e-9)
    assert reply.body["version"] == server.model(name)["version"]
    one = server.predict(name, {"instances": ROWS[5:6]}).body
    assert (one["predictions"], one["probabilities"]) == (reply.body["predictions"][5:6], reply.body["probabilities"][5:6])


@pytest.mark.parametrize("name", ["forest", "pipeline", "knn"])
@pytest.mark.parametrize(
    ("instances", "field"),
    [
        ([], "instances"),
        ([[1, 2, 3]], "instances[0]"),
        ([[1, 2, 3, 4, 5]], "instances[0]"),
        ([[1, 2, 3, 4], [1, 2]], "instances[1]"),
        ([[1, 2, 3, "four"]], "instances[0][3]"),
        ([[1, 2, [3], 4]], "instances[0][2]"),
        ([1, 2, 3, 4], "instances[0]"),
        ([{"a": 1}], "instances[0]"),
        ([[1, 2, 3, 4]] * 9_000 + [[1, 2, 3]], "instances[9000]"),
    ],
    ids=["none", "narrow", "wide", "ragged", "text", "nested", "flat", "names", "last"],
)
def test_wrong_rows_are_422_and_named(server: Server, name: str, instances: list[Any], field: str) -> None:
    refused(server.predict(name, {"instances": instances}), 422, field)


@pytest.mark.parametrize("name", ["pipeline", "knn"])
def test_a_missing_value_is_422_where_the_model_takes_none(server: Server, name: str) -> None:
    assert "missing" in refused(server.predict(name, {"instances": [[1, 2, 3, 4], [1, None, 3, 4]]}), 422, "instances[1][1]")


def test_rows_by_name_may_lack_nothing_but_values(server: Server) -> None:
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in named().rows]
    assert any(None in row.values() for row in rows)
    reply = server.predict("named", {"instances": [dict(reversed(row.items())) for row in rows]})
    assert reply.body["predictions"] == named().predictions.tolist()
    np.testing.assert_allclose(reply.body["probabilities"], named().probabilities, rtol=1e-6, atol=1e-9)
    assert server.predict("named", {"instances": named().rows}).body == reply.body
    lacking = {name: value for name, value in rows[0].items() if name not in COLUMNS[1:3]}
    assert all(name in refused(server.predict("named", {"instances": [rows[1], lacking]}), 422, "instances[1]") for name in COLUMNS[1:3])
    refused(server.predict("named", {"instances": [{**rows[0], "heigth": 1}]}), 422, "instances[0].heigth")
    refused(server.predict("named", {"instances": [{**rows[0], "age": "old"}]}), 422, "instances[0].age")


def test_a_body_beyond_the_limit_is_413(server: Server) -> None:
    reply = server.predict("forest", {"instances": [[0.123456789] * 4] * 40_000})
    assert (reply.status, reply.headers["Content-Type"]) == (413, "application/problem+json")


@pytest.mark.parametrize("name", ["forest", "pipeline", "knn"])
def test_an_estimator_recommends_nothing(server: Server, name: str) -> None:
    for body in ({"user_id": 1}, {"users": [1]}, {"liked": [1]}):
        assert "instances" in refused(server.predict(name, body), 422, next(iter(body)))
    assert "instances" in refused(server.get(f"/models/{name}/similar/1"), 422, "item_id")
    refused(server.predict(name, {"instances": ROWS[:1], "k": 3}), 422, "k")
