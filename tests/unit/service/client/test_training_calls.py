"""Training through the client: what is sent, what is waited for, and what is raised. Does not cover: sockets (`test_transports`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from service.client import AlreadyTraining, HoldfastError, ModelLoading, NotTrainedHere, Progress, ServerUnavailable, TrainingFailed
from service.client.calls import Calls
from service.client.wire import Server
from tests.unit.service.client.steps import RESET, World, paths, problem, told


def run(status: str, **members: Any) -> Mapping[str, Any]:
    """A run, as short as one may be."""
    over = {} if status in ("queued", "running") else {"ended_at": "2026-03-04T05:06:07.000Z"}
    return {"id": "r1", "training": "als", "status": status, **over, **members}


BEGUN = told(202, {"run": run("queued")})


def calls_of(world: World, **rules: float) -> Calls:
    return Calls(Server("http://h", "secret"), world.rules(**rules))


def trained(world: World, wait: bool | float = True, on_progress: Any = None) -> Any:
    return world.carry_out(calls_of(world).train("als", False, None, wait, on_progress))


def test_a_run_that_is_not_waited_for_is_returned_as_it_begins() -> None:
    world = World([BEGUN])
    begun = trained(world, wait=False)
    assert (begun.id, begun.status, begun.is_over) == ("r1", "queued", False)
    assert paths(world.sent) == ["POST /models/als/train"]
    assert world.sent[0].request.headers["X-ADMIN-TOKEN"] == "secret"


def test_force_and_who_asks_are_sent() -> None:
    world = World([BEGUN])
    world.carry_out(calls_of(world).train("a b", True, "ada@laptop", False, None))
    assert paths(world.sent) == ["POST /models/a%20b/train?force=true&by=ada%40laptop"]


@pytest.mark.parametrize("status", ["published", "refused", "skipped"])
def test_a_run_is_followed_to_its_end_and_a_refusal_is_a_result(status: str) -> None:
    seen: list[Progress] = []
    world = World([BEGUN, told(200, run("running", phase="fitting", step="sweep 3", progress=0.5)), told(200, run(status))])
    assert trained(world, on_progress=seen.append).status == status
    assert paths(world.sent) == ["POST /models/als/train", *["GET /training/runs/r1"] * 2]
    assert [(each.model, each.phase, each.progress, each.reason) for each in seen] == [
        ("als", "queued", None, None),
        ("als", "fitting", 0.5, "sweep 3"),
    ]


@pytest.mark.parametrize(
    ("ended", "says"),
    [
        (run("failed", failure={"type": "bad_data", "message": "no column ts"}), "run r1 of als failed: bad_data: no column ts"),
        (run("cancelled", reason="by ada"), "run r1 of als was cancelled: by ada"),
        (run("crashed"), "run r1 of als crashed: nothing is known of it"),
    ],
    ids=["failed", "cancelled", "crashed"],
)
def test_a_run_that_ends_badly_is_raised_with_all_that_is_known(ended: Mapping[str, Any], says: str) -> None:
    with pytest.raises(TrainingFailed) as raised:
        trained(World([BEGUN, told(200, ended)]))
    assert str(raised.value) == says
    assert raised.value.run.status == ended["status"]


def test_the_deadline_ends_the_wait_and_not_the_run() -> None:
    world = World([BEGUN, told(200, run("running", phase="fitting", progress=0.25))])
    with pytest.raises(ModelLoading, match="als is not ready yet: fitting 25%"):
        trained(world, wait=3)
    assert world.now - 1000 == pytest.approx(3)
    assert "cancel" not in " ".join(paths(world.sent))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (problem(409, "training-runs", run=run("running")), AlreadyTraining),
        (problem(409, "not-trained-here", model="als"), NotTrainedHere),
        (RESET, ServerUnavailable),
    ],
    ids=["runs already", "not trained here", "lost"],
)
def test_a_command_that_is_not_taken_is_not_given_twice(answer: Any, error: type[HoldfastError]) -> None:
    world = World([answer])
    with pytest.raises(error):
        trained(world)
    assert len(world.sent) == 1


def test_runs_are_looked_at_and_cancelled() -> None:
    world = World([told(200, {"runs": [run("running"), run("refused", verdict={"accepted": False})]}), told(200, run("running"))])
    calls = calls_of(world)
    assert [each.status for each in world.carry_out(calls.runs("als", 5))] == ["running", "refused"]
    assert not world.carry_out(calls.run("r1")).is_over
    assert not world.carry_out(calls.cancel_run("r1", None)).is_over
    assert paths(world.sent) == ["GET /training/runs?training=als&limit=5", "GET /training/runs/r1", "POST /training/runs/r1/cancel"]
    assert "X-ADMIN-TOKEN" in world.sent[-1].request.headers
    world = World([told(202, {"runs": [run("queued")]})])
    assert [each.id for each in world.carry_out(calls_of(world).train_all(False, None))] == ["r1"]
    assert paths(world.sent) == ["POST /api/ml/train-all"]
