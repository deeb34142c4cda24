"""The fields of a question: what goes together, what the model is asked, how its answer is written. For every way to ask for items."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from models.base import Id, InvalidQuery, RequestError, UnknownEntity
from service import questions
from service.errors import InvalidField, MalformedBody
from service.query_string import asked_similar
from service.questions import Rows, TopK, asked, decode_question
from tests.unit.service.conftest import ClientOf
from tests.unit.service.fakes import VERSION, FakeItems, FakeRegistry, FakeScorer, live
from tests.unit.service.test_predict import PREDICT, ask

SIMILAR = "/models/als/similar"


async def get(client: Any, path: str) -> tuple[int, Any]:
    async with client.get(path) as response:
        return response.status, await response.json(content_type=None)


# -- bodies -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"liked": [1], "users": [1]}, "liked"),
        ({"users": [1], "instances": [[1]]}, "instances"),
        ({"liked": [1], "instances": [[1]]}, "instances"),
        ({"user_id": 1, "liked": [1], "users": [1]}, "users"),
        ({"user_id": 1, "liked": [1]}, "liked"),
        ({"liked": []}, "liked"),
        ({"liked": [1] * 10_001}, "liked"),
        ({"liked": [1.5]}, "liked[0]"),
        ({"liked": 1}, "liked"),
        ({"instances": []}, "instances"),
        ({"instances": {"age": 1}}, "instances"),
        ({"instances": [[1]] * 100_001}, "instances"),
        ({"instances": [[1, 2]], "k": 3}, "k"),
        ({"instances": [[1, 2]], "explain": False}, "explain"),
        ({"user_id": 1, "only": [{}]}, "only[0]"),
        ({"user_id": 1, "categories": "Action"}, "categories"),
        ({"user_id": 1, "categories": [1]}, "categories[0]"),
        ({"user_id": 1, "fields": ["f"] * 101}, "fields"),
        ({"user_id": 1, "fields": ["title", "score"]}, "fields[1]"),
        ({"user_id": 1, "fields": ["item_id"]}, "fields[0]"),
        ({"user_id": 1, "fields": ["because"]}, "fields[0]"),
        ({"user_id": 1, "explain": "yes"}, "explain"),
        ({"user_id": 1, "diversity": 1.01}, "diversity"),
        ({"user_id": 1, "diversity": -0.1}, "diversity"),
        ({"user_id": 1, "diversity": "0.5"}, "diversity"),
    ],
)
async def test_a_bad_field_is_422_and_named(client_of: ClientOf, body: object, field: str) -> None:
    registry = FakeRegistry(live())
    status, problem, _ = await ask(await client_of(registry, max_body_bytes=8 << 20), body)
    assert (status, problem["field"]) == (422, field)
    assert not registry.scorer.asked


async def test_everything_that_may_be_asked_reaches_the_model(client_of: ClientOf) -> None:
    registry = FakeRegistry(live())
    body = {
        "liked": [5, "x"],
        "k": 3,
        "exclude": [7],
        "only": [101, "y"],
        "exclude_seen": False,
        "categories": ["Action"],
        "fields": ["title"],
        "explain": True,
        "diversity": 0.5,
    }
    assert (await ask(await client_of(registry), body))[0] == 200
    (query,) = registry.scorer.asked
    assert {name: getattr(query, name) for name in body} == body
    assert (list(query.users), query.similar_to) == ([], None)


async def test_what_may_be_null_is_as_if_it_was_not_given(client_of: ClientOf) -> None:
    registry = FakeRegistry(live())
    client = await client_of(registry)
    await ask(client, {"user_id": 1, "only": None, "exclude_seen": None, "diversity": None})
    await ask(client, {"user_id": 1})
    assert registry.scorer.asked[0] == registry.scorer.asked[1]


async def test_fields_and_reasons_stand_beside_the_score(client_of: ClientOf) -> None:
    client = await client_of(FakeRegistry(live(), scorer=FakeScorer(notes={"answered_by": ["collaborative"], "items": 0, "model": "x"})))
    status, body, _ = await ask(client, {"liked": [5], "k": 1, "fields": ["title"], "explain": True})
    because = [{"item_id": 101, "contribution": 0.5}, {"item_id": 103, "contribution": 0.25}]
    item = {"item_id": 101, "score": 1 / 101, "title": "title of 101", "because": because}
    assert status == 200
    assert body == {"model": "als", "version": VERSION, "items": [item], "answered_by": ["collaborative"]}
    _, body, _ = await ask(client, {"users": [1], "k": 1, "fields": ["title"]})
    item = {"item_id": 101, "score": 1 / 101, "title": "title of 101"}
    assert body["results"] == [{"user_id": 1, "items": [item], "answered_by": ["collaborative"], "model": "x"}]


async def test_long_answers_with_fields_and_reasons_are_whole(client_of: ClientOf) -> None:
    scorer = FakeScorer(items=FakeItems(3000), most=3000)
    client = await client_of(FakeRegistry(live(), scorer=scorer))
    status, body, _ = await ask(client, {"user_id": 1, "k": 3000, "fields": ["a", "b"], "explain": True})
    assert status == 200
    assert [item["item_id"] for item in body["items"]] == list(range(101, 3101))
    assert all((item["a"], item["b"]) == (f"a of {item['item_id']}", f"b of {item['item_id']}") for item in body["items"])
    assert all(item["because"][0]["item_id"] == item["item_id"] for item in body["items"])


@pytest.mark.parametrize("family", ["factors", "hybrid"])
async def test_a_hybrid_takes_a_user_together_with_liked_items(client_of: ClientOf, family: str) -> None:
    registry = FakeRegistry(live(), scorer=FakeScorer(family=family))
    status, body, _ = await ask(await client_of(registry), {"user_id": 1, "liked": [101], "k": 1})
    assert status == (200 if family == "hybrid" else 422)
    if family == "hybrid":
        assert body["user_id"] == 1
        (query,) = registry.scorer.asked
        assert (query.users, query.liked) == ([1], [101])


@pytest.mark.parametrize(
    ("body", "said", "told"),
    [
        ({"user_id": 1}, "users", "user_id"),
        ({"users": [1]}, "user_id", "users[0]"),
        ({"users": [1, 2]}, "user_id", "users"),
        ({"users": [1, 2]}, "users[1]", "users[1]"),
        ({"liked": [1]}, "liked", "liked"),
    ],
)
def test_an_error_names_the_field_as_the_caller_wrote_it(body: dict[str, Any], said: str, told: str) -> None:
    question = asked(decode_question(json.dumps(body).encode()))
    errors: list[type[RequestError]] = [InvalidQuery, UnknownEntity]
    for error in errors:
        found = question.as_written(error(said, "so"))
        assert (type(found), found.field, found.message) == (error, told, "so")


# -- rows ---------------------------------------------------------------------------------------------------------------


def rows_of(body: bytes) -> Any:
    question = asked(decode_question(body))
    assert isinstance(question, Rows)
    return question.instances


def test_rows_come_as_they_were_sent_however_many() -> None:
    rows = [[number, float(number), None, True, f"é{number}"] for number in range(5000)]
    text = json.dumps({"instances": rows}).encode()
    assert len(text) > 10 * (16 << 10)
    assert rows_of(text) == rows
    assert rows_of(b'{"instances": [{"a": 1}, [2], 3]}') == [{"a": 1}, [2], 3]


def test_rows_are_decoded_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []

    def decode(raw: bytes) -> Any:
        lengths.append(len(raw))
        return msgspec.json.decode(raw)

    monkeypatch.setattr(questions, "_decode_rows", decode)
    rows = [[number] * 100 for number in range(2000)] + [[1] * 50_000]
    assert rows_of(json.dumps({"instances": rows}).encode()) == rows
    assert max(lengths[:-1]) < 20 << 10
    assert lengths[-1] > 100_000 and len(lengths) > 30


@pytest.mark.parametrize("row", [b'["\xff"]', b"[1,]", b"[NaN]", b"[01]", b'["\\ud800"]'])
def test_rows_that_are_not_json_are_refused(row: bytes) -> None:
    with pytest.raises((MalformedBody, msgspec.DecodeError)):
        rows_of(b'{"instances": [' + row + b"]}")


@pytest.mark.parametrize("before", [0, 10_000])
def test_a_number_beyond_any_float_is_found_in_its_row(before: int) -> None:
    with pytest.raises(InvalidField) as caught:
        rows_of(b'{"instances": [' + b"[1, 2]," * before + b"[1, 1e999]]}")
    assert caught.value.field == f"instances[{before}][1]"


# -- similar ------------------------------------------------------------------------------------------------------------


async def test_similar_items(client_of: ClientOf) -> None:
    registry = FakeRegistry(live())
    status, body = await get(await client_of(registry), f"{SIMILAR}/105?k=1&fields=title")
    items = [{"item_id": 101, "score": 1 / 101, "title": "title of 101"}]
    assert (status, body) == (200, {"model": "als", "version": VERSION, "item_id": 105, "items": items})
    assert registry.scorer.asked[0].similar_to == 105


async def test_what_is_asked_of_similar_items(client_of: ClientOf) -> None:
    registry = FakeRegistry(live())
    query = "k=3&exclude=101&exclude=102,nobody,103&only=1,2&only=104&categories=a,b&fields=title,kinds&diversity=0.5"
    assert (await get(await client_of(registry), f"{SIMILAR}/1,2?{query}"))[0] == 200
    (asked,) = registry.scorer.asked
    assert (asked.similar_to, asked.k, asked.diversity) == ("1,2", 3, 0.5)
    assert (asked.exclude, asked.only) == ([101, 102, "nobody", 103], ["1,2", 104])
    assert (asked.categories, asked.fields) == (["a,b"], ["title", "kinds"])


@pytest.mark.parametrize("id", ["099", "nobody", "a%2Fb", "%C3%A9%7B%7D", "9" * 5000, "٣", "1_05", "-0", "0105", "+105"])
async def test_an_unknown_item_is_404_and_names_item_id(client_of: ClientOf, id: str) -> None:
    registry = FakeRegistry(live())
    status, problem = await get(await client_of(registry), f"{SIMILAR}/{id}")
    assert (status, problem["field"], problem["model"]) == (404, "item_id", "als")
    assert not registry.leases


class Texts(FakeItems):
    """Has the one id "105"."""

    def row(self, id: Id) -> int | None:
        return 0 if id == "105" else None


async def test_an_id_of_digits_is_text_where_the_model_has_it_as_text(client_of: ClientOf) -> None:
    scorer = FakeScorer(items=Texts())
    _, body = await get(await client_of(FakeRegistry(live(), scorer=scorer)), f"{SIMILAR}/105?exclude=105")
    assert body["item_id"] == "105"
    assert scorer.asked[0].exclude == ["105"]


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ("k=0", "k"),
        ("k=-1", "k"),
        ("k=", "k"),
        ("k=1.5", "k"),
        ("k=21", "k"),
        ("k=1&k=2", "k"),
        ("field=title", "field"),
        ("user_id=1", "user_id"),
        ("fields=title,score", "fields[1]"),
        ("diversity=2", "diversity"),
        ("diversity=nan", "diversity"),
        ("exclude_seen=false", "exclude_seen"),
    ],
)
async def test_a_bad_parameter_is_422_and_named(client_of: ClientOf, parameters: str, field: str) -> None:
    status, problem = await get(await client_of(FakeRegistry(live())), f"{SIMILAR}/101?{parameters}")
    assert (status, problem["field"]) == (422, field)


def test_parameters_that_are_empty_are_what_they_say() -> None:
    question = asked_similar("1", {"only": [""], "exclude": [""], "fields": [""]})
    assert isinstance(question, TopK)
    assert (question.query.only, question.query.exclude, question.query.fields) == ([""], [""], [])


async def test_a_body_without_a_subject_says_what_there_is(client_of: ClientOf) -> None:
    status, problem, _ = await ask(await client_of(FakeRegistry(live())), {"k": 3}, PREDICT)
    assert (status, problem["field"]) == (422, "user_id")
    assert all(name in problem["detail"] for name in ("users", "liked", "instances"))
