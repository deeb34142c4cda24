"""Recommendations by query string: which model is meant, in which kind ids are read, what is answered meanwhile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from models.base import Query
from tests.unit.service.conftest import ClientOf
from tests.unit.service.fakes import FakeEstimator, FakeRegistry, FakeScorer, failed, live, loading

PATH = "/api/frontend/recommendations"


async def ask(client: Any, query: str) -> tuple[int, Any]:
    async with client.get(f"{PATH}?{query}") as response:
        return response.status, await response.json(content_type=None)


def configured(registry: FakeRegistry, **families: str) -> FakeRegistry:
    """Each model with this family in its settings."""
    for name, family in families.items():
        registry.settings[name] = replace(registry.settings[name], family=family)
    return registry


async def test_it_answers_as_predict_does(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(live()))
    status, body = await ask(client, "user_id=1&k=2")
    async with client.post("/predict", json={"user_id": 1, "k": 2}) as response:
        assert (status, body) == (200, await response.json())


@pytest.mark.parametrize(("text", "user"), [("1", 1), ("one", "one")])
async def test_user_ids_are_read_in_the_kind_of_the_model(client_of: ClientOf, text: str, user: int | str) -> None:
    status, body = await ask(await client_of(FakeRegistry(live())), f"user_id={text}")
    assert (status, body["user_id"]) == (200, user)


@pytest.mark.parametrize("text", ["77", "01", "+1", "1.0", "nobody", "9" * 5000])
async def test_an_unknown_user_is_404(client_of: ClientOf, text: str) -> None:
    status, body = await ask(await client_of(FakeRegistry(live())), f"user_id={text}")
    assert (status, body["field"], body["model"]) == (404, "user_id", "als")


async def test_everything_else_that_may_be_asked(client_of: ClientOf) -> None:
    scorer = FakeScorer(family="hybrid")
    whom = "user_id=1&liked=101,102&liked=1,2"
    which = "exclude=103&only=104,105&exclude_seen=false&categories=a,b"
    query = f"{whom}&{which}&explain=1&fields=title,kinds&diversity=0.5"
    status, _ = await ask(await client_of(FakeRegistry(live(), scorer=scorer)), query)
    assert status == 200
    assert scorer.asked == [
        Query(
            users=[1],
            liked=[101, 102, "1,2"],
            exclude=[103],
            only=[104, 105],
            exclude_seen=False,
            explain=True,
            fields=["title", "kinds"],
            categories=["a,b"],
            diversity=0.5,
        )
    ]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "user_id"),
        ("user_id=", "user_id"),
        ("liked=", "user_id"),
        ("user_id=1&user_id=2", "user_id"),
        ("user_id=1&k=0", "k"),
        ("user_id=1&k=many", "k"),
        ("user_id=1&k=21", "k"),
        ("user_id=1&exclude_seen=perhaps", "exclude_seen"),
        ("user_id=1&fields=score", "fields[0]"),
        ("user_id=1&users=1", "users"),
        ("user_id=1&liked=101", "liked"),
    ],
)
async def test_a_field_at_fault_is_named(client_of: ClientOf, query: str, field: str) -> None:
    status, body = await ask(await client_of(FakeRegistry(live())), query)
    assert (status, body["field"]) == (422, field)


async def test_a_model_that_knows_no_users_is_asked_with_liked(client_of: ClientOf) -> None:
    scorer = FakeScorer()
    status, body = await ask(await client_of(FakeRegistry(live(), scorer=scorer)), "liked=101")
    assert (status, "user_id" in body, scorer.asked[0].liked) == (200, False, [101])


async def test_an_estimator_says_what_it_is(client_of: ClientOf) -> None:
    status, body = await ask(await client_of(FakeRegistry(live(), scorer=FakeEstimator())), "user_id=1")
    assert (status, body["field"]) == (422, "user_id")
    assert "instances" in body["detail"]


# What serves in these is of the family `factors`: that is what the fake registry's version is.


@pytest.mark.parametrize("algorithm", ["bpr", "content_based", "hybrid", "collaborative", ""])
async def test_an_algorithm_is_a_model_or_a_kind_of_them(client_of: ClientOf, algorithm: str) -> None:
    registry = configured(FakeRegistry(loading("text"), loading("mix"), live("bpr"), live("als")), text="neighbours", mix="hybrid")
    status, body = await ask(await client_of(registry, default_model="als"), f"user_id=1&algorithm={algorithm}")
    meant = {"bpr": "bpr", "content_based": "text", "hybrid": "mix", "collaborative": "als", "": "als"}[algorithm]
    assert (status, body["model"]) == (200 if meant in ("bpr", "als") else 202, meant)


async def test_a_model_of_that_name_comes_before_the_kind(client_of: ClientOf) -> None:
    registry = FakeRegistry(live("als"), live("collaborative"))
    assert (await ask(await client_of(registry, default_model="als"), "user_id=1&algorithm=collaborative"))[1]["model"] == "collaborative"


async def test_without_a_default_the_first_of_a_kind_is_meant_and_no_algorithm_is_422(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(live("bpr"), live("als")))
    assert (await ask(client, "user_id=1&algorithm=collaborative"))[1]["model"] == "bpr"
    status, body = await ask(client, "user_id=1")
    assert (status, body["field"]) == (422, "algorithm")
    assert "als, bpr" in body["detail"]


@pytest.mark.parametrize("algorithm", ["nobody", "content_based"])
async def test_an_unknown_algorithm_is_404_and_says_what_there_is(client_of: ClientOf, algorithm: str) -> None:
    status, body = await ask(await client_of(FakeRegistry(live("bpr"))), f"user_id=1&algorithm={algorithm}")
    assert (status, body["type"], body["field"], body["models"]) == (404, "urn:holdfast:problem:unknown-algorithm", "algorithm", ["bpr"])
    assert "bpr, collaborative (bpr)" in body["detail"]


async def test_with_nothing_configured(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry())
    assert (await ask(client, "user_id=1&algorithm=hybrid"))[0] == 404
    assert (await ask(client, "user_id=1"))[0] == 503


async def test_while_a_model_may_turn_out_to_be_of_that_kind_it_is_not_ready(client_of: ClientOf) -> None:
    registry = FakeRegistry(failed("broken"), loading("text"), live("als"))
    client = await client_of(registry, default_model="als")
    async with client.get(f"{PATH}?user_id=1&algorithm=content_based", headers={"Prefer": "wait=1"}) as response:
        body = await response.json()
        # It was not waited for: once it is loaded it may be something else.
        assert (response.status, body["model"], body["phase"]) == (202, "text", "downloading")
        assert "Preference-Applied" not in response.headers
    del registry.entries["text"], registry.settings["text"]
    status, body = await ask(client, "user_id=1&algorithm=content_based")
    assert (status, body["model"]) == (503, "broken")
