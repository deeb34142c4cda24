"""The event stream: its format, its events, and going on after a connection broke. Does not cover: sockets (`test_transports`)."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.client import InvalidAnswer, Progress, RequestRefused, ServerUnavailable, Snapshot, TrainingRun, Transition
from service.client.events import KINDS, EventStream, Message, Messages
from service.client.wire import Lost, Response, Server
from tests.unit.service.a_run import a_published_run
from tests.unit.service.client.steps import World, model, problem

OPENED = Response(200, {"content-type": "text/event-stream; charset=utf-8"})


def told_in(*chunks: bytes) -> list[Message]:
    messages = Messages()
    return [message for chunk in chunks for message in messages.feed(chunk)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data: a\n\n", [Message("message", "a", "")]),
        ("event: x\ndata: a\ndata:b\nid: 7\n\n", [Message("x", "a\nb", "7")]),
        (": a comment\n\n:\n\n", []),
        ("id: 1\n\ndata: a\n\n", [Message("message", "a", "1")]),
        ("data: a\r\rdata: b\r\n\r\n", [Message("message", "a", ""), Message("message", "b", "")]),
        ("\ufeffdata:  a\n\n", [Message("message", " a", "")]),
        ("data\nunknown: b\nevent\n\n", [Message("message", "", "")]),
        ("id: a\0b\nretry: soon\ndata: é\n\n", [Message("message", "é", "")]),
        ("data: never ended\n", []),
    ],
    ids=[
        "one",
        "all fields",
        "comments",
        "an id alone",
        "line ends",
        "byte order mark",
        "names alone",
        "what is ignored",
        "half a message",
    ],
)
def test_messages_are_read_as_the_standard_says(text: str, expected: list[Message]) -> None:
    assert told_in(text.encode()) == expected


STREAM = 'retry: 250\r\nid: b-1\r\nevent: x\r\ndata: {"é": "日本"}\r\n\r\n:\r\rdata: b\n\nid: b-2\ndata: c\n\n'.encode()


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_messages_do_not_depend_on_where_the_stream_was_cut(cuts: list[int]) -> None:
    bounds = [0, *sorted(cuts), len(STREAM)]
    chunks = [STREAM[begin:end] for begin, end in pairwise(bounds)]
    expected = [Message("x", '{"é": "日本"}', "b-1"), Message("message", "b", "b-1"), Message("message", "c", "b-2")]
    assert told_in(*chunks) == expected


def event(kind: str, data: Any, id: str = "") -> bytes:
    return (f"id: {id}\n" if id else "").encode() + f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


def stream_in(world: World) -> EventStream:
    return EventStream(Server("http://h", ""), world.rules(unreachable_s=10))


def test_events_are_typed() -> None:
    stream = stream_in(World([]))
    assert stream.opened(OPENED) is None
    moved = {"model": "als", "at": "2026-11-21T08:50:21.042Z", "event": "published", "from": "warming", "to": "live", "cause": "v1"}
    chunks = event("snapshot", {"models": [model()]}) + event("transition", {**moved, "status": model(version="v1")})
    chunks += event("of_a_newer_server", {}) + event("progress", {"model": "als", "phase": "downloading", "progress": 0.5})
    snapshot, transition, progress = stream.feed(chunks)
    assert isinstance(snapshot, Snapshot) and snapshot.models[0].is_ready
    assert isinstance(transition, Transition)
    assert (transition.from_, transition.to, transition.status.version) == ("warming", "live", "v1")
    assert progress == Progress("als", "downloading", 0.5)
    with pytest.raises(InvalidAnswer, match="of kind progress"):
        list(stream.feed(event("progress", {"no": "model"})))


def test_a_run_that_comes_along_is_an_event_without_its_log() -> None:
    stream = stream_in(World([]))
    assert stream.opened(OPENED) is None
    told = a_published_run("20261121T101500-3fa9c1").to_json()
    del told["log"]
    begun = {**dict.fromkeys(told), "id": "r2", "training": "als", "algorithm": "als", "status": "queued", "cause": "command"}
    begun |= {"requested_by": "", "forced": False, "created_at": told["created_at"], "parameters": {}, "metrics": {}}
    failed = {**begun, "status": "failed", "ended_at": told["ended_at"], "failure": {"type": "bad_data", "message": "no column ts"}}
    published, queued, ended = stream.feed(b"".join(event("run", each) for each in (told, begun, failed)))
    assert isinstance(published, TrainingRun) and isinstance(queued, TrainingRun) and isinstance(ended, TrainingRun)
    assert (published.status, published.version, published.metrics["ndcg@10"], published.log) == ("published", published.id, 0.31, ())
    assert published.verdict is not None and published.verdict["accepted"] and published.is_over
    assert (queued.status, queued.is_over, queued.phase) == ("queued", False, None)
    assert ended.failure is not None and ended.failure.message == "no column ts"
    assert KINDS[TrainingRun] == "run"
    with pytest.raises(InvalidAnswer, match="of kind run"):
        list(stream.feed(event("run", {"id": "r3"})))


def test_a_broken_stream_is_resumed_after_the_last_whole_event() -> None:
    stream = stream_in(World([]))
    assert "Last-Event-ID" not in stream.request().headers
    assert stream.opened(OPENED) is None
    whole = event("progress", {"model": "als"}, "boot-7")
    assert len(list(stream.feed(b"retry: 250\n\n" + whole + event("progress", {"model": "bpr"}, "boot-8")[:-1]))) == 1
    assert stream.lost(Lost("cut")) == 0.25
    assert stream.request().headers["Last-Event-ID"] == "boot-7"
    assert stream.opened(OPENED) is None
    assert len(list(stream.feed(event("progress", {"model": "bpr"}, "boot-8")))) == 1
    assert stream.last_event_id == "boot-8"
    assert stream.lost(Lost("cut")) == 0.25  # not as after a second loss in a row


def test_a_silent_server_is_tried_again_less_often_and_not_for_ever() -> None:
    world = World([], chance=0.0)
    stream = stream_in(world)
    pauses: list[float] = []

    def try_for_ever() -> None:
        while True:
            pauses.append(stream.lost(Lost("refused", was_sent=False)))
            world.now += pauses[-1]

    with pytest.raises(ServerUnavailable, match="refused"):
        try_for_ever()
    assert pauses[:6] == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0]
    assert 8 <= world.now - 1000 <= 10
    assert stream_in(world).lost(Lost("cut")) == 0.1
    with pytest.raises(ServerUnavailable, match="certificate"):
        stream_in(world).lost(Lost("certificate", is_final=True))


def test_what_is_no_stream_is_an_error_or_tried_again() -> None:
    world = World([])
    for response, error in (
        (Response(200, {"content-type": "text/html"}), InvalidAnswer),
        (problem(404, "not-found"), RequestRefused),
        (problem(401, "unauthorized"), RequestRefused),
    ):
        with pytest.raises(error):
            stream_in(world).opened(response)
    assert stream_in(world).opened(problem(503, "too-many-streams", retry_after=4)) == 4.0
    assert stream_in(world).opened(problem(503, "not-ready")) == 0.1
    with pytest.raises(ServerUnavailable, match="too-many-streams it is"):
        stream_in(world).opened(problem(503, "too-many-streams", retry_after=40))
