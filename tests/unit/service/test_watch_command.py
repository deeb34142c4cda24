"""`holdfast watch` and training runs: the lines, bars and JSON of their events. Does not cover: models (`test_commands`)."""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from rich.console import Console

from service.client import ModelStatus, Snapshot, TrainingRun
from service.commands import watch
from service.commands.bars import Bars
from service.commands.progress import BAR_CELLS
from service.commands.run_progress import RunChanges, change_line
from service.commands.watch import changed_by
from tests.unit.service.a_run import a_published_run
from tests.unit.service.fakes import NOW, FakeRegistry, live
from training.running.runs import Run, RunStatus

PUBLISHED = a_published_run("20261121T101500-3fa9c1")
RUNNING = replace(PUBLISHED, status=RunStatus.RUNNING, phase="fitting", step="a[b]c", progress=0.5, ended_at=None)
QUEUED = replace(RUNNING, status=RunStatus.QUEUED, phase=None, step=None, progress=None, reason="waits for pop")
ENDED = "20261121T101500-3fa9c1, ndcg@10 0.3100 (most popular 0.1000, 420 users), 20.5 s, peak 90.0 MB"


def event_of(run: Run) -> TrainingRun:
    return msgspec.convert(run.to_json(), TrainingRun)


def test_a_run_says_nothing_of_a_model() -> None:
    models = {"als": ModelStatus("als", "ready")}
    assert changed_by(event_of(RUNNING), models) == []
    assert models == {"als": ModelStatus("als", "ready")}


def test_any_number_of_runs_is_a_line_a_change_each() -> None:
    stream = io.StringIO()
    changes = RunChanges(stream)
    other = replace(RUNNING, id="20261121T101501-0a1b2c", training="pop")
    again = replace(QUEUED, id="20261122T101500-3fa9c1")
    further, later = replace(RUNNING, progress=0.75, step="more"), replace(RUNNING, phase="evaluating")
    for run in (QUEUED, RUNNING, other, further, other, later, PUBLISHED, PUBLISHED, again):
        changes.show(run.to_json())
    assert stream.getvalue().splitlines() == [
        "training als: queued (waits for pop)",
        "training als: fitting",
        "training pop: fitting",
        "training als: evaluating",
        f"training als: published {ENDED}",
        "training als: queued (waits for pop)",
    ]


RULES = [{"rule": "minimum", "passed": True, "message": "fine"}, {"rule": "champion", "passed": False, "message": "worse by 0.1"}]
BARE = replace(PUBLISHED, version=None, verdict=None, peak_bytes=None, started_at=None)
FAILURE = {"type": "bad_data", "message": "no column ts"}


@pytest.mark.parametrize(
    ("run", "line"),
    [
        (replace(RUNNING, phase=None), "training als: begins"),
        (
            replace(BARE, status=RunStatus.REFUSED, verdict={**(PUBLISHED.verdict or {}), "rules": RULES}),
            "training als: refused ndcg@10 0.3100 (most popular 0.1000, 420 users) (champion: worse by 0.1)",
        ),
        (replace(BARE, status=RunStatus.SKIPPED, reason="no\x1b[2Jthing new"), "training als: skipped (no\\x1b[2Jthing new)"),
        (replace(BARE, status=RunStatus.FAILED, failure=FAILURE), "training als: failed bad_data: no column ts"),
    ],
    ids=["begins", "refused", "skipped", "failed"],
)
def test_the_line_of_a_run_says_why(run: Run, line: str) -> None:
    assert change_line(run.to_json()) == line


def drawn(told: str) -> list[str]:
    """The lines that were drawn on a terminal."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", told).rstrip().splitlines()


def test_runs_have_bars_below_the_models_one_a_training() -> None:
    stream = io.StringIO()
    bars = Bars(Console(file=stream, force_terminal=True, width=160, color_system=None))
    bars.show_models([view.to_json(NOW) for view in FakeRegistry(live()).snapshot()])
    pop = replace(RUNNING, training="pop")
    for run in (RUNNING, PUBLISHED, pop, replace(RUNNING, training="gone")):
        bars.show_run(run.to_json())
    bars.forget_runs()
    bars.show_run(pop.to_json())
    bars.end()
    model, ended, runs = drawn(stream.getvalue())[-3:]
    assert model.split()[:2] == ["als", "ready"]
    assert ended.split()[:3] == ["training", "als", "published"] and "━" * BAR_CELLS in ended and ENDED in ended
    assert runs.split()[:3] == ["training", "pop", "fitting"] and runs.rstrip().endswith("a[b]c")
    assert f" {'━' * (BAR_CELLS // 2)} " in runs  # half of it


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, *events: Any, is_json: bool = False) -> str:
    """What a board prints of these events."""
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("COLUMNS", "160")
    models: dict[str, ModelStatus] = {}
    board = watch._board(argparse.Namespace(json=is_json))
    for event in events:
        board.show(event, changed_by(event, models))
    board.end()
    return stream.getvalue()


AT_FIRST = Snapshot([ModelStatus("als", "loading", phase="queued")])


def test_a_pipe_has_models_and_runs_as_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    told = shown(io.StringIO(), monkeypatch, AT_FIRST, event_of(RUNNING), event_of(replace(RUNNING, progress=0.6)), event_of(PUBLISHED))
    assert told.splitlines() == ["als: queued", "training als: fitting", f"training als: published {ENDED}"]


def test_a_terminal_forgets_runs_that_were_under_way_where_events_were_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn(shown(Terminal(), monkeypatch, AT_FIRST, event_of(RUNNING)))[-1].startswith("training als")
    assert drawn(shown(Terminal(), monkeypatch, AT_FIRST, event_of(RUNNING), AT_FIRST))[-1].split()[:2] == ["als", "queued"]


def test_json_has_runs_as_the_stream_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    first, run = map(json.loads, shown(io.StringIO(), monkeypatch, AT_FIRST, event_of(PUBLISHED), is_json=True).splitlines())
    assert (first["event_type"], run["event_type"]) == ("snapshot", "run")
    assert {**run, "log": ["kept"]} == {"event_type": "run", **PUBLISHED.to_json(), "log": ["kept"]}
    assert "log" not in run
