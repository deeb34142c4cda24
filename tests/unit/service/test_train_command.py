"""`holdfast train` on a console: what is shown while a run comes along, how it ended, and the exit code."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest

from service.commands.run_progress import RunProgress, ending_lines, run_line
from service.commands.train import exit_code, who
from tests.unit.service.a_run import a_published_run
from training.running.runs import Run, RunStatus

PUBLISHED = a_published_run("20261121T101500-3fa9c1")
RUNNING = replace(PUBLISHED, status=RunStatus.RUNNING, phase="fitting", step="sweeps", progress=0.5, ended_at=None)
QUEUED = replace(PUBLISHED, status=RunStatus.QUEUED, phase=None, reason="waits for pop")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, *runs: Run) -> str:
    progress = RunProgress(stream)
    for run in runs:
        progress.show(run.to_json())
    progress.end()
    return stream.getvalue()


def test_one_line_a_run() -> None:
    assert run_line(QUEUED.to_json()) == "als: waits for pop"
    assert run_line(replace(QUEUED, reason=None).to_json()) == "als: queued"
    assert run_line(replace(RUNNING, phase=None, step=None, progress=None).to_json()) == "als: begins"
    assert run_line(RUNNING.to_json()) == "als: fitting: sweeps [############............]  50%"


def test_without_a_terminal_a_line_a_step() -> None:
    further = replace(RUNNING, progress=0.6)
    assert shown(io.StringIO(), QUEUED, RUNNING, further, PUBLISHED) == "als: waits for pop\nals: fitting: sweeps\n"


def test_on_a_terminal_it_is_redrawn_and_goes() -> None:
    told = shown(Terminal(), RUNNING, replace(RUNNING, progress=0.75))
    assert told.count("\r\x1b[2K") == 3
    assert "\n" not in told
    assert told.endswith("\r\x1b[2K")
    assert shown(Terminal(), PUBLISHED) == ""


def test_how_a_run_ended_with_the_figures_of_the_gate() -> None:
    assert ending_lines(PUBLISHED.to_json()) == [
        "als: published, 20261121T101500-3fa9c1, ndcg@10 0.3100 (most popular 0.1000, 420 users), 20.5 s, peak 90.0 MB",
        "  minimum   passed  ndcg@10 is 0.31, at least 0.05 is asked",
        "  popular   -       not asked of the most popular items themselves",
        "  champion  passed  better by 0.01",
    ]


def test_why_a_run_failed_with_the_end_of_its_log() -> None:
    failed = replace(
        PUBLISHED,
        status=RunStatus.FAILED,
        verdict=None,
        version=None,
        peak_bytes=None,
        failure={"type": "bad_data", "message": "no\x1b[1m"},
    )
    assert ending_lines(failed.to_json()) == [
        "als: failed, 20.5 s",
        "  bad_data: no\\x1b[1m",
        "  | 12:19:26 reading interactions",
        "  | 12:19:27 fitting",
    ]


def test_who_forced_a_version_is_named() -> None:
    verdict = {**(PUBLISHED.verdict or {}), "forced_by": "ada@laptop"}
    assert ending_lines(replace(PUBLISHED, verdict=verdict).to_json())[-1] == "  published all the same, as ada@laptop says"


@pytest.mark.parametrize(
    ("statuses", "is_busy", "code"),
    [
        (["published"], False, 0),
        (["skipped"], False, 0),
        (["published", "refused"], False, 3),
        (["published", "refused"], True, 75),
        (["refused", "failed"], True, 1),
        (["crashed"], False, 1),
        (["cancelled"], False, 1),
        ([], True, 75),
    ],
)
def test_the_exit_code_is_that_of_the_worst(statuses: list[str], is_busy: bool, code: int) -> None:
    runs: list[dict[str, Any]] = [{"status": status} for status in statuses]
    assert exit_code(runs, is_busy=is_busy) == code


def test_who_asks_is_a_user_of_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    assert who().startswith("ada@")
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 7)
    assert who().startswith("somebody@")
