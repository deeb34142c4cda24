"""What the frames of a training process make of its run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from config.schema import GIB, DataSettings, TrainingSettings
from loaders.errors import ChildCrashed, MemoryCapExceeded
from tests.unit.service.a_run import a_published_run
from training.errors import TRAINING_FAILURES, DataUnavailable
from training.running.plan import Plan
from training.running.process import TrainingChild, ended, is_defect, told
from training.running.runs import Run, RunCause, RunStatus

RUN = Run("20261121T101500-3fa9c1", "als", "als", RunStatus.RUNNING, RunCause.COMMAND, 1.0, parameters={"factors": 8})


def places(*frames: Mapping[str, Any]) -> list[tuple[str | None, str | None, float | None]]:
    run, found = RUN, []
    for frame in frames:
        run = told(run, frame)
        found.append((run.phase, run.step, run.progress))
    return found


def test_phases_and_steps_are_followed() -> None:
    assert places(
        {"kind": "phase", "phase": "reading"},
        {"kind": "progress", "step": "reading items", "done": 10, "total": 0},
        {"kind": "progress", "step": "reading items", "done": 30, "total": 40},
        {"kind": "progress", "step": "reading items", "done": 50, "total": 40},
        {"kind": "warning", "message": "slow"},
        {"kind": "phase", "phase": "fitting"},
    ) == [
        ("reading", None, None),
        ("reading", "reading items", None),
        ("reading", "reading items", 0.75),
        ("reading", "reading items", 1.0),
        ("reading", "reading items", 1.0),
        ("fitting", None, None),
    ]


@pytest.mark.parametrize(
    "frame",
    [
        {"kind": "phase", "phase": "dreaming"},
        {"kind": "phase"},
        {"kind": "progress", "step": 7, "done": 1, "total": 2},
        {"kind": "warning", "message": "x"},
        {"kind": "mood"},
    ],
    ids=["phase", "none", "step", "warning", "kind"],
)
def test_a_frame_that_says_nothing_of_a_run_changes_nothing(frame: dict[str, Any]) -> None:
    assert told(RUN, frame) is RUN


@pytest.mark.parametrize("number", [-1, True, "3", None, 1.5], ids=["negative", "bool", "text", "none", "float"])
def test_progress_that_is_no_number_is_unknown(number: object) -> None:
    assert told(RUN, {"kind": "progress", "step": "fitting", "done": number, "total": 4}).progress is None


def test_what_was_measured_is_taken_over() -> None:
    other = a_published_run(RUN.id)
    outcome = {"verdict": other.verdict, "metrics": other.metrics, "parameters": {"factors": 16}, "fingerprint": {"digest": "x"}}
    run = ended(RUN, {**outcome, "outcome": "accepted"})
    assert (run.verdict, run.metrics, run.parameters, run.fingerprint) == (*outcome.values(),)


def test_a_run_that_was_skipped_keeps_what_was_configured() -> None:
    run = ended(RUN, {"outcome": "skipped", "fingerprint": {"digest": "x"}, "reason": "the data are the same"})
    assert (run.parameters, run.verdict, run.metrics, run.reason) == ({"factors": 8}, None, {}, "the data are the same")


@pytest.fixture
def child(tmp_path: Any) -> TrainingChild:
    plan = Plan("x", tmp_path, DataSettings(), TrainingSettings(name="als", memory_bytes=GIB))
    found = TrainingChild(plan, 0)
    found._plan = plan.to_frame()
    return found


@pytest.mark.parametrize("type", sorted(TRAINING_FAILURES))
def test_failures_of_training_come_back_as_what_they_were(child: TrainingChild, type: str) -> None:
    error = child.failure_of({"kind": "error", "type": type, "message": "no", "detail": {"x": 1}, "peak_bytes": 7})
    assert (error.__class__, str(error), child.peak_bytes) == (TRAINING_FAILURES[type], "no", 7)


def test_a_cap_hit_names_the_setting(child: TrainingChild) -> None:
    error = child.failure_of({"kind": "error", "type": "memory_cap_exceeded", "message": "", "detail": {}, "peak_bytes": 7})
    assert isinstance(error, MemoryCapExceeded)
    assert "raise `memory` of this training" in error.message


def test_what_is_no_failure_is_one_of_the_process(child: TrainingChild) -> None:
    error = child.failure_of({"kind": "error", "type": "data_unavailable", "message": 7})
    assert isinstance(error, ChildCrashed)
    assert not isinstance(error, DataUnavailable)


def test_a_defect_is_told_apart_from_a_death() -> None:
    assert is_defect(ChildCrashed("ValueError: x", traceback="..."))
    assert not is_defect(ChildCrashed("the training process was killed by SIGKILL", output=""))
