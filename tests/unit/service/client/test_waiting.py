"""What the client does about each answer, by a clock of its own. Does not cover: sockets (`test_transports`)."""

from __future__ import annotations

import math
from typing import Any

import pytest

from service.client import (
    AnswerTooSlow,
    HoldfastError,
    InvalidAnswer,
    InvalidQuestion,
    ModelFailed,
    ModelLoading,
    ModelUnknown,
    Overloaded,
    Progress,
    Recommendations,
    RequestRefused,
    ServerFailed,
    ServerUnavailable,
    Unauthorized,
    UnknownEntity,
)
from service.client.calls import Calls
from service.client.results import Answer
from service.client.waiting import HOLD_S, LAST_TRY_S
from service.client.wire import Lost, Response, Server
from tests.unit.service.client.steps import (
    RECOMMENDED,
    REFUSED_CONNECTION,
    RESET,
    Scripted,
    World,
    loading,
    model,
    paths,
    prefers,
    problem,
    told,
)

FAILURE = {"type": "digest_mismatch", "message": "another file", "retryable": False, "attempts": 1}
FAILED = problem(503, "model-not-ready", model="als", model_status="error", failure=FAILURE)


def asked(world: World, on_progress: Any = None, **rules: float) -> Answer:
    """What comes of one question."""
    patience = {"on_progress": on_progress} if on_progress else {}
    return world.carry_out(Calls(Server("http://h", ""), world.rules(**rules)).predict("als", {"user_id": 1, **patience}))


def commanded(world: World, word: str, *arguments: Any, **rules: float) -> Any:
    """What comes of one command that is waited for."""
    calls = Calls(Server("http://h", "secret"), world.rules(**rules))
    return world.carry_out(getattr(calls, word)("als", *arguments, True, None))


def test_an_answer_is_returned_at_once() -> None:
    world = World([RECOMMENDED])
    answer = asked(world)
    assert isinstance(answer, Recommendations)
    assert [(item.item_id, item.score) for item in answer.items] == [(101, 0.5)]
    assert (paths(world.sent), world.pauses) == (["POST /models/als/predict"], [])
    assert "X-ADMIN-TOKEN" not in world.sent[0].request.headers


def test_a_server_that_holds_the_request_is_asked_again_at_once() -> None:
    world = World([])
    world.answers = [world.held(loading()), world.held(loading()), RECOMMENDED]
    asked(world, deadline_s=100)
    assert prefers([each.request for each in world.sent]) == [f"wait={HOLD_S}"] * 3
    assert world.pauses == []
    assert world.sent[0].timeout_s == 30 + HOLD_S


@pytest.mark.parametrize(
    ("answer", "chance", "pause_s"),
    [
        (loading(4), 0.0, 4.0),
        (loading(4), 1.0, 5.0),
        (told(202, {"model": "als"}), 0.0, 1.0),
        (told(202, [], preference_applied="wait=0", retry_after="3"), 0.0, 3.0),
        (loading(0), 0.0, 0.1),
    ],
    ids=["as told", "a little later", "not told", "held for nothing", "never at once"],
)
def test_a_server_that_does_not_hold_it_is_asked_after_retry_after(answer: Response, chance: float, pause_s: float) -> None:
    world = World([answer, RECOMMENDED], chance=chance)
    asked(world)
    assert world.pauses == [pause_s]


def test_progress_is_told_with_each_answer() -> None:
    world = World([])
    world.answers = [world.held(loading(progress=0.25)), world.held(loading(progress=0.5, phase=3)), RECOMMENDED]
    seen: list[Progress] = []
    asked(world, seen.append)
    assert seen == [Progress("als", "downloading", 0.25, 25, 100, 3.0, None), Progress("als")]
    assert prefers([each.request for each in world.sent]) == ["wait=1"] * 3


def test_the_deadline_ends_the_wait_with_the_progress() -> None:
    world = World([])
    world.answers = [world.held(loading())]
    with pytest.raises(ModelLoading, match=r"als is not ready yet: downloading 25%") as caught:
        asked(world, deadline_s=20.5)
    assert prefers([each.request for each in world.sent]) == ["wait=15", "wait=5", None, None]
    assert (caught.value.progress.bytes_done, caught.value.status) == (25, 202)
    assert world.now - 1000 <= 20.5
    assert world.sent[-1].timeout_s == LAST_TRY_S


def test_a_deadline_of_zero_is_one_try() -> None:
    for answer in (loading(), problem(429, "overloaded", retry_after=1), RESET):
        world = World([answer])
        with pytest.raises((ModelLoading, Overloaded, ServerUnavailable)):
            asked(world, deadline_s=0)
        assert (len(world.sent), world.pauses, world.sent[0].timeout_s) == (1, [], 30.0)
        assert prefers([each.request for each in world.sent]) == [None]


def test_a_wait_without_an_end() -> None:
    world = World([loading(), told(200, {"model": "als", "version": "v1", "items": []})])
    assert asked(world, deadline_s=math.inf).version == "v1"
    assert prefers([each.request for each in world.sent]) == ["wait=15"] * 2


@pytest.mark.parametrize("times", [{"timeout_s": 0}, {"timeout_s": math.inf}, {"deadline_s": math.nan}, {"unreachable_s": math.nan}])
def test_what_is_no_time_is_refused(times: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(times))):
        World([]).rules(**times)


@pytest.mark.parametrize(
    "refusal",
    [
        problem(429, "overloaded", retry_after=2),
        problem(503, "model-not-ready", retry_after=2, failure={**FAILURE, "retryable": True}),
        problem(503, "answer-failed", retry_after=2),
        told(503, None, retry_after="Sat, 21 Nov 2026 10:00:02 GMT", date="Sat, 21 Nov 2026 10:00:00 GMT"),
    ],
    ids=["overloaded", "failed, tried again later", "answer failed", "a gateway with a date"],
)
def test_who_says_when_is_asked_then(refusal: Response) -> None:
    world = World([refusal, refusal, RECOMMENDED])
    asked(world)
    assert world.pauses == [2.0, 2.0]


def test_many_refusals_spread_the_callers() -> None:
    world = World([*[problem(429, "overloaded", retry_after=1)] * 6, RECOMMENDED], chance=1.0)
    asked(world)
    assert world.pauses == [1.5, 2.0, 3.0, 5.0, 5.0, 5.0]


def test_the_refusal_is_raised_where_the_deadline_comes_first() -> None:
    world = World([problem(429, "overloaded", retry_after=30)])
    with pytest.raises(Overloaded) as caught:
        asked(world, deadline_s=10)
    assert (caught.value.status, caught.value.problem["title"], world.pauses) == (429, "overloaded", [])
    world = World([problem(429, "overloaded", retry_after=4)], chance=1.0)
    with pytest.raises(Overloaded):
        asked(world, deadline_s=10)
    assert world.now - 1000 <= 10


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (FAILED, ModelFailed, "model-not-ready it is"),
        (problem(503, "nothing-configured"), ModelUnknown, None),
        (problem(503, "models-failed"), ModelFailed, None),
        (problem(503, "store-unavailable"), ServerFailed, None),
        (told(503, None), ServerUnavailable, "the server answered 503"),
        (problem(404, "unknown-model"), ModelUnknown, None),
        (problem(404, "unknown-entity", field="user_id"), UnknownEntity, None),
        (problem(422, "invalid-field", field="k"), InvalidQuestion, None),
        (problem(400, "malformed-body"), RequestRefused, None),
        (told(404, None), RequestRefused, "the server answered 404"),
        (problem(401, "unauthorized"), Unauthorized, None),
        (problem(403, "admin-disabled"), Unauthorized, None),
        (problem(504, "deadline-exceeded"), AnswerTooSlow, None),
        (problem(500, "internal-error"), ServerFailed, None),
        (problem(501, "not-implemented"), ServerFailed, None),
        (told(400, {"error": "v2 says"}), RequestRefused, "v2 says"),
        (told(301, None, location="http://elsewhere/"), InvalidAnswer, None),
        (Response(200, {}, b"<html>"), InvalidAnswer, "not JSON"),
        (told(200, {"hello": 1}), InvalidAnswer, "no answer of a Holdfast server"),
        (told(200, {"model": "als", "version": "v", "items": [{"id": 1}]}), InvalidAnswer, None),
        (told(200, []), InvalidAnswer, None),
        (Lost("certificate", is_final=True), ServerUnavailable, "certificate"),
    ],
)
def test_everything_else_is_an_error_at_once(answer: Scripted, error: type[HoldfastError], words: str | None) -> None:
    world = World([answer])
    with pytest.raises(error, match=words) as caught:
        asked(world)
    assert type(caught.value) is error
    assert (len(world.sent), world.pauses) == (1, [])


def test_errors_say_what_is_known() -> None:
    with pytest.raises(ModelFailed) as failed:
        asked(World([FAILED]))
    assert failed.value.failure is not None
    assert (failed.value.failure.type, failed.value.model_status, failed.value.status) == ("digest_mismatch", "error", 503)
    with pytest.raises(InvalidQuestion) as invalid:
        asked(World([problem(422, "invalid-field", field="k")]))
    assert (invalid.value.field, invalid.value.problem["detail"], str(invalid.value)) == ("k", "invalid-field it is", "invalid-field it is")
    with pytest.raises(ModelFailed) as newer:
        asked(World([problem(503, "model-not-ready", failure={"kind": "of a newer server"})]))
    assert newer.value.failure is None and newer.value.problem["failure"] == {"kind": "of a newer server"}


@pytest.mark.parametrize(
    "gone", [REFUSED_CONNECTION, RESET, told(502, None), problem(503, "not-ready")], ids=["refused", "reset", "gateway", "stopping"]
)
def test_a_server_that_restarts_is_waited_for(gone: Scripted) -> None:
    world = World([loading(1), *[gone] * 8, loading(1), gone, RECOMMENDED], chance=1.0)
    asked(world)
    assert world.pauses[1:9] == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]
    assert world.pauses[10] == 0.1  # it had come back: a new silence begins


def test_a_server_that_stays_away_is_not_waited_for_for_ever() -> None:
    world = World([REFUSED_CONNECTION])
    with pytest.raises(ServerUnavailable, match="connection refused"):
        asked(world, unreachable_s=20)
    assert 15 <= world.now - 1000 <= 20
    world = World([RESET])
    with pytest.raises(ServerUnavailable, match="connection reset"):
        asked(world, deadline_s=5)
    assert world.now - 1000 <= 5


@pytest.mark.parametrize(
    ("word", "arguments", "is_safe"),
    [
        ("load", (), True),
        ("unload", (), True),
        ("reload", (False,), True),
        ("reload", (True,), False),
        ("rollback", (None, False), False),
        ("rollback", ("v1", False), True),
        ("rollback", (None, True), True),
        ("activate", ("v1",), True),
    ],
)
def test_a_command_is_sent_again_only_where_that_does_no_harm(word: str, arguments: tuple[Any, ...], is_safe: bool) -> None:
    ready = told(202, model())
    world = World([REFUSED_CONNECTION, ready])
    assert commanded(world, word, *arguments).is_ready  # it cannot have been done
    assert len(world.sent) == 2
    world = World([RESET, ready])
    if is_safe:
        assert commanded(world, word, *arguments).is_ready
    else:
        with pytest.raises(ServerUnavailable, match="whether it was done is not known"):
            commanded(world, word, *arguments)
        assert len(world.sent) == 1


def test_a_command_is_given_once_and_then_looked_after() -> None:
    answers: list[Scripted] = [
        told(202, model(phase="queued")),
        told(200, model(phase="downloading")),
        RESET,
        told(200, model(phase="loading")),
    ]
    world = World([*answers, told(200, model(version="v2"))])
    assert commanded(world, "reload", True).version == "v2"
    assert paths(world.sent) == ["POST /models/als/reload?force=true", *["GET /models/als/status"] * 4]
    assert [each.request.headers.get("X-ADMIN-TOKEN") for each in world.sent] == ["secret", None, None, None, None]


def test_a_command_that_fails_is_told_though_an_old_version_serves() -> None:
    world = World([told(202, model(phase="queued")), told(200, model(stale=True, failure=FAILURE))])
    with pytest.raises(ModelFailed, match="als is ready: digest_mismatch: another file"):
        commanded(world, "reload", False)
    draining = told(202, model("unloaded", "draining", failure=FAILURE))
    assert commanded(World([draining]), "unload").status == "unloaded"
    world = World([told(202, model("loading", "downloading", progress=0.5))])
    with pytest.raises(ModelLoading, match="downloading 50%"):
        commanded(world, "load", deadline_s=7)
    assert world.now - 1000 == pytest.approx(7)


def ready(world: World, token: str = "", **rules: float) -> Any:
    return world.carry_out(Calls(Server("http://h", token), world.rules(**rules)).wait_ready("als"))


def test_waiting_for_a_model_looks_at_its_status() -> None:
    world = World([told(200, model("loading", "downloading")), RESET, told(200, model("error", failure={**FAILURE, "retryable": True}))])
    world.answers = [*world.answers, told(200, model(version="v1"))]
    assert ready(world).version == "v1"
    assert set(paths(world.sent)) == {"GET /models/als/status"}
    for hopeless in (model("unloaded"), model("error", failure=FAILURE)):
        with pytest.raises(ModelFailed):
            ready(World([told(200, hopeless)]))
    world = World([told(200, model("loading", "queued", reason="waits for memory"))])
    with pytest.raises(ModelLoading, match="als is not ready yet: queued: waits for memory"):
        ready(world, deadline_s=3)
    assert world.now - 1000 == pytest.approx(3)


def test_the_last_look_at_a_model_is_a_short_one() -> None:
    world = World([told(200, model("loading", "downloading"))])
    with pytest.raises(ModelLoading):
        ready(world, deadline_s=3)
    assert (world.sent[0].timeout_s, world.sent[-1].timeout_s) == (3.0, LAST_TRY_S)
    world = World([told(200, model("loading", "downloading"))])
    with pytest.raises(ModelLoading):
        ready(world, deadline_s=0)
    assert [each.timeout_s for each in world.sent] == [30.0]


def test_a_model_that_loads_on_demand_is_loaded_by_who_may() -> None:
    waiting = [told(200, model("not_started")), told(202, model("loading", "queued")), told(200, model())]
    world = World(waiting)
    assert ready(world, "secret").is_ready
    assert paths(world.sent) == ["GET /models/als/status", "POST /models/als/load", "GET /models/als/status"]
    with pytest.raises(ModelLoading, match="loads on demand"):
        ready(World(waiting))


def test_all_models_are_reloaded_and_each_failure_is_told() -> None:
    names = {"models": [{"name": name, "status": "loading", "phase": "queued"} for name in ("a", "b", "c")]}
    ends = [told(200, {"name": name, "status": "error", "failure": FAILURE}) for name in ("a", "b")]
    world = World([told(202, names), *ends, told(200, {"name": "c", "status": "ready"})])
    calls = Calls(Server("http://h", "secret"), world.rules())
    with pytest.raises(ModelFailed, match=r"a is error.*; b is error"):
        world.carry_out(calls.reload_all(True, None))
    assert paths(world.sent)[-1] == "GET /models/c/status"


def test_health_and_readiness_are_asked_once() -> None:
    for status, is_ready in ((200, True), (503, False)):
        world = World([told(status, {"status": "whatever"})])
        assert world.carry_out(Calls(Server("http://h", ""), world.rules()).is_ready()) is is_ready
    world = World([RESET])
    with pytest.raises(ServerUnavailable):
        world.carry_out(Calls(Server("http://h", ""), world.rules()).health())
    assert len(world.sent) == 1
