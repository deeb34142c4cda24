"""Addresses, headers, bodies, and whether the client's types are those of the server. Does not cover: what answers lead to."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import numpy as np
import pytest

from service.client import InvalidQuestion, results
from service.client.calls import Calls
from service.client.decoding import answer_in
from service.client.events import Snapshot, Transition
from service.client.results import ModelStatus
from service.client.wire import Request, Response, Send, Server, encoded, segment
from service.schemas import answers, interactions, models, telemetry, training, versions
from tests.unit.service.client.steps import World, told


@pytest.mark.parametrize(
    ("given", "environ", "expected"),
    [
        (None, {}, "http://127.0.0.1:8000"),
        (None, {"HOLDFAST_URL": "http://h:1/"}, "http://h:1"),
        ("https://h/holdfast/", {"HOLDFAST_URL": "http://other"}, "https://h/holdfast"),
        ("http://[::1]:8000", {}, "http://[::1]:8000"),
        (" http://h ", {}, "http://h"),
    ],
)
def test_where_the_server_is(given: str | None, environ: dict[str, str], expected: str) -> None:
    assert Server(given, environ=environ).url == expected


@pytest.mark.parametrize(
    "url", ["file:///etc", "localhost:8000", "http://", "http://u:p@h", "http://h?x=1", "http://h#x", "http://h:0", "http://h:x"]
)
def test_what_is_no_address_of_a_server(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|port|Port"):
        Server(url)


def test_the_token_goes_to_commands_only_and_is_not_shown() -> None:
    server = Server("http://h", environ={"ADMIN_LOAD_TOKEN": " secret\n"})
    assert server.request("POST", "/x", is_admin=True).headers["X-ADMIN-TOKEN"] == "secret"
    assert "X-ADMIN-TOKEN" not in server.request("GET", "/x").headers
    assert "secret" not in repr(server)
    assert not Server("http://h", "", environ={"ADMIN_LOAD_TOKEN": "secret"}).has_token


@pytest.mark.parametrize("token", ["two words", "a\nb", "t\N{LATIN SMALL LETTER O WITH DIAERESIS}k"])
def test_a_token_that_no_header_can_carry_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        Server("http://h", token)


def sent(word: str, *arguments: Any, answer: object = None) -> Request:
    world = World([told(200, answer)])
    world.carry_out(getattr(Calls(Server("http://h", "t"), world.rules()), word)(*arguments))
    (send,) = world.sent
    assert isinstance(send, Send)
    return send.request


RANKING = {"model": "a", "version": "v", "items": []}


def test_names_and_ids_are_one_segment_of_a_path() -> None:
    assert sent("predict", "a/b c", {"user_id": "é"}, answer=RANKING).path == "/models/a%2Fb%20c/predict"
    assert sent("similar", "als", "1/2?x", {}, answer=RANKING).path == "/models/als/similar/1%2F2%3Fx"
    assert sent("predict", None, {"user_id": 1}, answer=RANKING).path == "/predict"
    assert segment(7) == "7"
    for impossible in ("", ".", "..", "\udcff"):
        with pytest.raises(InvalidQuestion):
            segment(impossible)


def test_a_query_string_repeats_lists_and_leaves_out_none() -> None:
    question = {"k": 3, "exclude": [1, 2], "categories": ("a,b",), "only": None, "diversity": 0.5, "deadline_s": 3}
    assert (
        sent("similar", "als", 1, question, answer=RANKING).path
        == "/models/als/similar/1?k=3&exclude=1&exclude=2&categories=a%2Cb&diversity=0.5"
    )


def test_patience_is_not_part_of_a_question() -> None:
    request = sent("predict", "als", {"user_id": 1, "k": 2, "deadline_s": 9, "on_progress": print}, answer=RANKING)
    assert json.loads(request.body or b"") == {"user_id": 1, "k": 2}
    assert request.headers["Content-Type"] == "application/json"


def test_arrays_of_numpy_are_sent_as_what_they_hold() -> None:
    rows = {"instances": np.array([[1.5, math.nan]]), "user_id": np.int64(7)}
    assert json.loads(encoded(rows)) == {"instances": [[1.5, None]], "user_id": 7}
    for impossible in (object(), "\ud800", {1: 2, (1, 2): 3}):
        with pytest.raises(InvalidQuestion, match="cannot be sent as JSON"):
            encoded({"user_id": impossible})


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:05 GMT"}, None),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:05 GMT", "date": "Sat, 21 Nov 2026 10:00:00 GMT"}, 5.0),
        ({"retry-after": "Sat, 21 Nov 2026 09:00:00 GMT", "date": "Sat, 21 Nov 2026 10:00:00 GMT"}, 0.0),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:05 -0000", "date": "Sat, 21 Nov 2026 10:00:00 GMT"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert Response(503, headers).retry_after_s == seconds


def test_answers_keep_everything_the_server_said() -> None:
    item = {"item_id": 1, "score": 0.5, "title": "One", "because": [{"item_id": 2, "contribution": 0.25}]}
    hybrid = {"model": "h", "version": "v", "user_id": "u", "items": [item], "parts": {"als": "v1"}, "warnings": ["cold"]}
    answer = answer_in(json.dumps(hybrid).encode())
    assert isinstance(answer, results.Recommendations)
    assert (answer.user_id, answer.parts, answer.notes) == ("u", {"als": "v1"}, {"warnings": ["cold"]})
    assert answer.items[0] == results.Item(1, 0.5, {"title": "One"}, [results.Reason(2, 0.25)])
    batch = {"model": "h", "version": "v", "results": [{"user_id": 1, "items": []}, {"user_id": 2, "error": {"status": 404}}]}
    assert answer_in(json.dumps(batch).encode()) == results.BatchRecommendations(
        "h", "v", [results.UserResult(1, []), results.UserResult(2, [], {"status": 404})]
    )
    rows = {"model": "c", "version": "v", "predictions": ["a"], "probabilities": [[0.5, 0.5]], "classes": ["a", "b"]}
    assert answer_in(json.dumps(rows).encode()) == results.Predictions("c", "v", ["a"], [[0.5, 0.5]], ["a", "b"])


def fields_of(cls: type[msgspec.Struct]) -> set[str]:
    return {each.encode_name for each in msgspec.structs.fields(cls)}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (ModelStatus, models.ModelStatus),
        (results.Failure, models.Failure),
        (results.StoryLine, models.StoryLine),
        (results.Predictions, answers.Predictions),
        (results.Reason, answers.Reason),
        (Snapshot, telemetry.Snapshot),
        (Transition, telemetry.Transition),
        (results.Progress, telemetry.Progress),
        (results.Versions, versions.KeptVersions),
        (results.KeptVersion, versions.KeptVersion),
        (results.TrainingRun, training.Run),
        (results.Posted, interactions.Taken),
    ],
    ids=lambda each: each.__name__,
)
def test_the_client_knows_every_field_that_the_server_declares(ours: type[msgspec.Struct], theirs: type[msgspec.Struct]) -> None:
    assert fields_of(ours) == fields_of(theirs)
