"""Both clients, each in front of the same servers: what sockets do. Does not cover: the rules themselves (`test_waiting`)."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from contextlib import aclosing, closing
from typing import Any

import pytest
import trustme
from aiohttp import web

from service.client import (
    AsyncHoldfast,
    Event,
    Holdfast,
    InvalidAnswer,
    ModelFailed,
    ModelLoading,
    Overloaded,
    Posted,
    Progress,
    ServerUnavailable,
    Snapshot,
    Unauthorized,
    UnknownEntity,
)
from service.keys import SCORING
from service.lifecycle.state import Entry
from tests.doubles.scripted import Script, ScriptedServer, answer, drip, reset, silence, stream
from tests.support import free_port, wait_until
from tests.unit.service.conftest import ClientOf
from tests.unit.service.fakes import FakeEstimator, FakeRegistry, failed, live, loading

RANKING = {"model": "als", "version": "v1", "user_id": 1, "items": [{"item_id": 101, "score": 0.5}]}
FINE = answer(200, RANKING)
LOADING = answer(202, {"status": "loading", "model": "als", "phase": "downloading", "progress": 0.5}, retry_after="0")

Work = Callable[[Any], Any]
Calling = Callable[..., Awaitable[Any]]
Serve = Callable[[FakeRegistry], Awaitable[str]]


async def _blocking(url: str, work: Work, token: str = "", **arguments: Any) -> Any:
    with Holdfast(url, token, **arguments) as client:
        return await asyncio.to_thread(work, client)


async def _asynchronous(url: str, work: Work, token: str = "", **arguments: Any) -> Any:
    async with Holdfast(url, token, **arguments) as client:
        return await work(client)


@pytest.fixture(params=[_blocking, _asynchronous], ids=["blocking", "asynchronous"])
def call(request: pytest.FixtureRequest) -> Calling:
    """`await call(url, lambda client: client.predict(...))`: the same through each of the clients."""
    chosen: Calling = request.param
    return chosen


def predict(client: Any) -> Any:
    return client.predict("als", user_id=1)


async def test_a_question_arrives_as_it_was_asked(call: Calling) -> None:
    async with ScriptedServer(FINE) as server:
        answered = await call(
            server.url + "/behind/a/proxy", lambda client: client.predict("a/b", user_id="é", exclude=[1, "1"]), token="t"
        )
    assert answered.items[0].item_id == 101
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/behind/a/proxy/models/a%2Fb/predict")
    assert json.loads(asked.body) == {"user_id": "é", "exclude": [1, "1"]}
    assert (asked.headers["Content-Type"], asked.headers["Prefer"]) == ("application/json", "wait=15")
    assert "X-ADMIN-TOKEN" not in asked.headers


async def test_a_query_string_arrives_as_it_was_asked(call: Calling) -> None:
    async with ScriptedServer(FINE) as server:
        await call(server.url, lambda client: client.similar("als", "1/2 + ü", exclude=["a+b", "c,d"], k=2))
    assert server.asked[0].path == "/models/als/similar/1%2F2%20%2B%20%C3%BC?exclude=a%2Bb&exclude=c%2Cd&k=2"


async def test_a_model_is_waited_for_and_its_progress_told(call: Calling) -> None:
    seen: list[Progress] = []
    async with ScriptedServer(LOADING, LOADING, FINE) as server:
        answered = await call(server.url, lambda client: client.predict(user_id=1, on_progress=seen.append))
    assert (answered.version, [each.progress for each in seen]) == ("v1", [0.5, 0.5])
    assert {each.headers["Prefer"] for each in server.asked} == {"wait=1"}


@pytest.mark.parametrize("script", [reset, answer(502), answer(429, None, retry_after="0")], ids=["reset", "gateway", "overloaded"])
async def test_a_question_is_asked_again(call: Calling, script: Script) -> None:
    async with ScriptedServer(FINE, script, script, FINE) as server:
        # The first answer leaves a connection behind, which is then used for the others.
        answers = await call(server.url, lambda client: _twice(client, predict))
    assert [each.version for each in answers] == ["v1", "v1"]
    assert len(server.asked) == 4


def _twice(client: Any, work: Work) -> Any:
    if isinstance(client, Holdfast):
        return [work(client), work(client)]

    async def both() -> list[Any]:
        return [await work(client), await work(client)]

    return both()


async def test_a_server_that_restarts_between_two_questions_or_in_one_is_waited_for(call: Calling) -> None:
    server = ScriptedServer(FINE, LOADING, FINE)
    async with server:

        async def restart() -> None:
            await server.stop()
            await server.start()

        asking = asyncio.ensure_future(call(server.url, lambda client: _twice(client, predict)))
        await wait_until(lambda: server.asked)
        await restart()
        assert [each.version for each in await asking] == ["v1", "v1"]


async def test_nobody_there_is_told_within_the_deadline(call: Calling) -> None:
    with pytest.raises(ServerUnavailable, match=r"[Rr]efused|[Cc]onnect"):
        await call(f"http://127.0.0.1:{free_port()}", predict, deadline_s=0.2)
    with pytest.raises(ServerUnavailable) as never_sent:
        await call(f"http://127.0.0.1:{free_port()}", lambda client: client.rollback("als"), deadline_s=0.2)
    assert "not known" not in str(never_sent.value)


async def test_a_command_that_may_have_been_done_is_not_sent_again(call: Calling) -> None:
    async with ScriptedServer(reset) as server:
        with pytest.raises(ServerUnavailable, match="whether it was done is not known"):
            await call(server.url, lambda client: client.rollback("als"), token="t")
    assert [(each.method, each.headers["X-ADMIN-TOKEN"]) for each in server.asked] == [("POST", "t")]


@pytest.mark.parametrize("slow", [silence, drip])
async def test_a_slow_answer_is_given_up(call: Calling, slow: Script) -> None:
    async with ScriptedServer(slow) as server:
        with pytest.raises(ServerUnavailable, match=r"timed out: no whole answer within 0\.05 s"):
            await call(server.url, lambda client: client.models(), timeout_s=0.05, unreachable_s=0)
    assert len(server.asked) == 1


async def test_the_connection_is_kept_from_one_answer_to_the_next(call: Calling) -> None:
    clients: list[object] = []

    async def seen(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        clients.append(request.transport.get_extra_info("peername"))
        return await (FINE if len(clients) == 3 else LOADING)(request)

    async with ScriptedServer(seen) as server:
        await call(server.url, predict)
    assert len(clients) == 3
    assert len(set(clients)) == 1


async def test_a_redirect_is_not_followed_with_the_token(call: Calling) -> None:
    async with ScriptedServer(FINE) as other, ScriptedServer(answer(307, None, location=f"{other.url}/x")) as server:
        with pytest.raises(InvalidAnswer) as caught:
            await call(server.url, lambda client: client.load("als"), token="t")
    assert (caught.value.status, other.asked) == (307, [])


async def test_proxies_of_the_environment_are_not_asked(call: Calling, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ScriptedServer(FINE) as proxy, ScriptedServer(FINE) as server:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        await call(server.url, predict)
    assert (len(server.asked), proxy.asked) == (1, [])


async def test_a_certificate_is_checked_and_may_be_of_an_authority_of_ones_own(call: Calling) -> None:
    authority = trustme.CA()
    serving, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(serving)
    authority.configure_trust(trusting)
    async with ScriptedServer(FINE, tls=serving) as server:
        with pytest.raises(ServerUnavailable, match=r"CERTIFICATE|certificate"):
            await call(server.url, predict)
        assert (await call(server.url, predict, tls=trusting)).version == "v1"
    assert len(server.asked) == 1


def told(kind: str, data: object, id: str) -> bytes:
    return f"id: {id}\nevent: {kind}\ndata: {json.dumps(data)}\n\n".encode()


def progress_of(name: str, id: str) -> bytes:
    return told("progress", {"model": name}, id)


async def first_events(call: Calling, url: str, count: int, **arguments: Any) -> list[Event]:
    def read(client: Holdfast) -> list[Event]:
        with closing(client.events()) as events:
            return [event for _, event in zip(range(count), events, strict=False)]

    async def read_async(client: AsyncHoldfast) -> list[Event]:
        seen: list[Event] = []
        async with aclosing(client.events()) as events:
            async for event in events:
                seen.append(event)
                if len(seen) == count:
                    break
        return seen

    found: list[Event] = await call(url, lambda client: read(client) if isinstance(client, Holdfast) else read_async(client), **arguments)
    return found


@pytest.mark.parametrize("end", [None, reset], ids=["ended", "reset"])
async def test_events_go_on_where_a_connection_ended(call: Calling, end: Script | None) -> None:
    greeting = b"retry: 1\n\n" + told("snapshot", {"models": [{"name": "als", "status": "ready"}]}, "b-1")
    half = progress_of("two", "b-3")[:-1]
    async with ScriptedServer(
        stream(greeting, b":\n\n", progress_of("one", "b-2"), half, then=end),
        reset,
        answer(503, {"type": "urn:holdfast:problem:not-ready"}),
        stream(progress_of("two", "b-3")[:20], progress_of("two", "b-3")[20:], then=silence),
    ) as server:
        events = await first_events(call, server.url, 3)
    assert isinstance(events[0], Snapshot) and events[0].models[0].is_ready
    assert events[1:] == [Progress("one"), Progress("two")]
    assert [each.headers.get("Last-Event-ID") for each in server.asked] == [None, "b-2", "b-2", "b-2"]


async def test_events_of_nobody(call: Calling) -> None:
    with pytest.raises(ServerUnavailable):
        await first_events(call, f"http://127.0.0.1:{free_port()}", 1, unreachable_s=0.2)
    async with ScriptedServer(FINE) as server:
        with pytest.raises(InvalidAnswer, match="no event stream"):
            await first_events(call, server.url, 1)


async def test_many_calls_at_the_same_time(call: Calling) -> None:
    async def all_at_once(client: Any) -> list[Any]:
        if isinstance(client, AsyncHoldfast):
            return await asyncio.gather(*(predict(client) for _ in range(40)))
        return await asyncio.gather(*(asyncio.to_thread(predict, client) for _ in range(40)))

    async with ScriptedServer(FINE) as server:
        if call is _blocking:
            with Holdfast(server.url) as client:
                answers = await all_at_once(client)
        else:
            answers = await call(server.url, all_at_once)
    assert {each.version for each in answers} == {"v1"}


# -- the real application ---------------------------------------------------------------------------------------------


@pytest.fixture
async def serve(client_of: ClientOf) -> Serve:
    """`await serve(registry)`: the URL of the application over it, with the admin token "t"."""

    async def start(registry: FakeRegistry) -> str:
        client = await client_of(registry, token="t")
        return str(client.make_url("/"))

    return start


async def test_questions_to_the_application(call: Calling, serve: Serve) -> None:
    url = await serve(FakeRegistry(live()))
    one = await call(url, lambda client: client.predict(user_id=1, k=2, fields=["title"], explain=True))
    assert [(item.item_id, item.fields) for item in one.items] == [(101, {"title": "title of 101"}), (102, {"title": "title of 102"})]
    assert one.items[0].because[0].item_id == 101
    batch = await call(url, lambda client: client.predict("als", users=[1, "nobody"]))
    assert [(each.user_id, len(each.items)) for each in batch.results] == [(1, 10), ("nobody", 0)]
    assert batch.results[1].error["status"] == 404
    assert (await call(url, lambda client: client.similar("als", 101, k=1))).item_id == 101
    with pytest.raises(UnknownEntity) as unknown:
        await call(url, lambda client: client.predict("als", user_id="nobody"))
    assert unknown.value.field == "user_id"
    rows = await serve(FakeRegistry(live(), scorer=FakeEstimator(classes=["a", "b"])))
    answered = await call(rows, lambda client: client.predict("als", instances=[[1, 2]]))
    assert (answered.predictions, answered.probabilities, answered.classes) == ([3], [[0.25, 0.75]], ["a", "b"])


async def test_what_the_application_tells_of_itself(call: Calling, serve: Serve) -> None:
    url = await serve(FakeRegistry(live(), failed("other")))
    assert [(each.name, each.status) for each in await call(url, lambda client: client.models())] == [("als", "ready"), ("other", "error")]
    assert (await call(url, lambda client: client.model("other"))).failure.type == "source_unavailable"
    assert (await call(url, lambda client: client.health())).models == {"als": "ready", "other": "error"}
    assert await call(url, lambda client: client.is_ready()) is False
    status = await call(url, lambda client: client.status())
    assert (len(status.models), status.memory["rss_bytes"] > 0) == (2, True)
    assert (await call(url, lambda client: client.versions("als"))).versions[0].live
    assert await call(url, lambda client: client.ask("GET", "/health/live")) == {"status": "ok"}


async def test_waiting_for_the_application(call: Calling, client_of: ClientOf, serve: Serve) -> None:
    registry = FakeRegistry(loading())
    served = await client_of(registry)
    url = str(served.make_url("/"))
    with pytest.raises(ModelLoading) as caught:
        await call(url, lambda client: client.predict("als", user_id=1, deadline_s=0))
    assert caught.value.progress == Progress("als", "downloading", 0.25, 25, 100, caught.value.progress.eta_s)
    asking = asyncio.ensure_future(call(url, predict))
    await wait_until(lambda: served.app[SCORING].in_flight("als"), what="the server holds the question")
    await registry.put(live())
    assert (await asking).model == "als"
    with pytest.raises(ModelFailed) as hopeless:
        await call(await serve(FakeRegistry(failed())), predict, deadline_s=0)
    assert hopeless.value.failure is not None and hopeless.value.failure.type == "source_unavailable"
    with pytest.raises(ModelFailed, match="als is unloaded"):
        await call(await serve(FakeRegistry(Entry("als", unloaded=True))), predict, deadline_s=0)


async def test_commands_to_the_application(call: Calling, serve: Serve) -> None:
    registry = FakeRegistry(live())
    url = await serve(registry)
    for token in ("", "wrong"):
        with pytest.raises(Unauthorized):
            await call(url, lambda client: client.load("als"), token=token)
    assert registry.commands == []
    for work in (
        lambda client: client.load("als", wait=True),
        lambda client: client.unload("als"),
        lambda client: client.reload("als", force=True, wait=5),
        lambda client: client.reload_all(wait=True),
        lambda client: client.clear("als"),
        lambda client: client.clear(),
    ):
        await call(url, work, token="t")
    words = [("load", "als"), ("unload", "als"), ("reload", "als", True), ("reload_all", True), ("clear", "als"), ("clear", None)]
    assert registry.commands == words


async def test_a_refusal_of_the_application_is_repeated_until_the_deadline(call: Calling, client_of: ClientOf) -> None:
    registry = FakeRegistry(live(), max_in_flight=0)
    client = await client_of(registry)
    with pytest.raises(Overloaded):
        await call(str(client.make_url("/")), predict, deadline_s=0)


async def test_training_is_asked_for_by_both(call: Calling) -> None:
    run = {"id": "r1", "training": "als", "status": "published", "ended_at": "2026-03-04T05:06:07.000Z"}
    async with ScriptedServer(answer(202, {"run": run})) as server:
        trained = await call(server.url, lambda client: client.train("als", force=True, by="ada", wait=True), token="t")
    assert (trained.status, server.asked[0].path) == ("published", "/models/als/train?force=true&by=ada")
    async with ScriptedServer(answer(200, {"runs": [run]})) as server:
        assert [each.id for each in await call(server.url, lambda client: client.runs("als", limit=1))] == ["r1"]
        assert [each.id for each in await call(server.url, lambda client: client.train_all(), token="t")] == ["r1"]
    async with ScriptedServer(answer(200, run)) as server:
        assert (await call(server.url, lambda client: client.run("r1"))).is_over
        assert (await call(server.url, lambda client: client.cancel_run("r1", by="ada"), token="t")).training == "als"
    assert [asked.path for asked in server.asked] == ["/training/runs/r1", "/training/runs/r1/cancel?by=ada"]


async def test_interactions_are_posted_by_both_and_again_where_the_answer_is_lost(call: Calling) -> None:
    async with ScriptedServer(reset, answer(202, {"accepted": 1, "duplicate": True})) as server:
        posted = await call(server.url, lambda client: client.post_interactions([{"user_id": 1, "item_id": 2}], key="k-1"), token="t")
    assert posted == Posted(1, duplicate=True)
    assert [(asked.path, asked.headers["Idempotency-Key"], asked.headers["X-ADMIN-TOKEN"]) for asked in server.asked] == [
        ("/interactions", "k-1", "t")
    ] * 2
    assert {asked.body for asked in server.asked} == {b'{"interactions":[{"user_id":1,"item_id":2}]}'}
