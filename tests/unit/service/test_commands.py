"""What commands print."""

from __future__ import annotations

import argparse
import io
import re
import sys
from typing import Any

import pytest
from rich.console import Console

from service.cli import build_parser
from service.client import Failure, KeptVersion, ModelStatus, Progress, Snapshot, Transition, Versions
from service.commands.bars import Bars
from service.commands.check import report_lines
from service.commands.predict import answer_lines, rows_in
from service.commands.progress import ModelProgress, model_line
from service.commands.version_table import version_lines
from service.commands.versions import show_stored
from service.commands.watch import changed_by, verdict_on
from tests.unit.service.fakes import NOW, VERSION, FakeRegistry, failed, live, loading


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def line(entry: Any) -> str:
    return model_line(FakeRegistry(entry).view("als").to_json(NOW))


def test_one_line_a_model() -> None:
    assert line(live()) == f"als: ready {VERSION}, factors, 1.0 kB"
    assert line(loading()) == "als: downloading [######..................]  25% 25 B of 100 B"
    assert line(loading(reason="waiting for memory")).endswith("(waiting for memory)")
    assert line(failed()) == "als: error source_unavailable: source_unavailable it is"


def test_progress_without_a_terminal_is_a_line_a_change() -> None:
    stream = io.StringIO()
    progress = ModelProgress(stream)
    for share in (0.25, 0.3, 0.5):
        progress.show([FakeRegistry(loading(progress=share)).view("als")], NOW)
    progress.show([FakeRegistry(live()).view("als")], NOW)
    progress.show([FakeRegistry(live()).view("als")], NOW)
    progress.end()
    assert len(stream.getvalue().splitlines()) == 3


def test_progress_on_a_terminal_is_redrawn() -> None:
    stream = Terminal()
    progress = ModelProgress(stream)
    views = FakeRegistry(live(), loading("bpr")).snapshot()
    progress.show(views, NOW)
    progress.show(views, NOW)
    assert stream.getvalue().count("\x1b[2A") == 1


def test_the_report_of_a_check() -> None:
    components = [
        {"name": "", "type": "dict", "shape": [2], "bytes": 0},
        {"name": "user_factors", "type": "float32", "shape": [10, 4], "bytes": 160},
    ]
    details = {"classes": [[0, 1], ["a", "b"]], "names": None, "score_range": {"min": -0.5, "p50": 0.12345}}
    report = {"verdict": "ok", "components": components, "details": details, "ids": {}, "seconds": 0.25, "peak_bytes": 2_000_000}
    first, whole, factors, *rest = report_lines("als.pkl", report)
    assert first == "als.pkl"
    assert whole.split() == ["(the", "whole)", "dict", "2", "-"]
    assert factors.split() == ["user_factors", "float32", "10x4", "160", "B"]
    told = ["  details:", "    classes: [0, 1], [a, b]", "    score_range: min -0.5, p50 0.1235", "  seconds: 0.25", "  peak_bytes: 2.0 MB"]
    assert rest == [*told, "verdict: ok"]
    assert report_lines("x", {"verdict": "corrupt_artifact", "message": "cut short"})[-1] == "verdict: corrupt_artifact: cut short"


def test_what_a_file_says_does_not_steer_the_terminal() -> None:
    components = [{"name": "\x1b]0;owned\x07é 日本", "type": "dict", "shape": [], "bytes": 0}]
    told = "\n".join(
        report_lines("x", {"verdict": "corrupt_artifact", "message": "no\x1b[2J\r\nverdict: ok\ud800", "components": components})
    )
    assert "\x1b" not in told and "\x07" not in told and "\nverdict: ok" not in told
    assert "\\x1b]0;owned\\x07é 日本" in told and told.endswith("verdict: corrupt_artifact: no\\x1b[2J\\r\\nverdict: ok\\ud800")


RANKED = {"model": "als", "version": "v1", "user_id": 1, "items": [{"item_id": "é\x1b[2J", "score": 0.5, "title": None}]}
EXPLAINED = {"item_id": 7, "score": 12.3456789, "kinds": ["a", "b"], "because": [{"item_id": 8, "contribution": -0.25}]}
ROWS = {"model": "m", "version": "v", "predictions": ["no", "yes"], "probabilities": [[0.75, 0.25], [0.5, 0.5]], "classes": ["no", "yes"]}


@pytest.mark.parametrize(
    ("answer", "lines"),
    [
        (RANKED, ["als v1 for user 1", "  item_id   score  title", "  é\\x1b[2J    0.5      -"]),
        (
            {"model": "h", "version": "v", "item_id": 3, "items": [EXPLAINED]},
            ["h v like 3", "  item_id    score  kinds  because", "        7  12.3457  a, b   8 (-0.25)"],
        ),
        ({"model": "h", "version": "v", "items": []}, ["h v", "  item_id  score"]),
        (
            {"model": "h", "version": "v", "results": [{"user_id": 9, "error": {"detail": "no user 9"}}]},
            ["h v for user 9: no user 9"],
        ),
        (ROWS, ["m v", "  row  prediction  p(no)  p(yes)", "    0  no           0.75    0.25", "    1  yes           0.5     0.5"]),
        ({"model": "m", "version": "v", "predictions": [[1.0, 2.5]]}, ["m v", "  row  prediction", "    0  1.0, 2.5"]),
        (
            {
                "model": "m",
                "version": "v",
                "predictions": [[0, 1]],
                "probabilities": [[[0.5, 0.5], [0.25, 0.75]]],
                "classes": [[0, 1], [0, 1]],
            },
            ["m v", "  row  prediction  output 0  output 1", "    0  0, 1        0.5, 0.5  0.25, 0.75"],
        ),
    ],
    ids=["items", "like an item", "no items", "an unknown user", "classes", "outputs", "outputs with classes"],
)
def test_an_answer_as_a_table(answer: dict[str, Any], lines: list[str]) -> None:
    assert answer_lines(answer) == lines


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
        ("[1, null]", [[1, None]]),
        ('{"age": 3}', [{"age": 3}]),
        ('{"instances": [[1]]}', [[1]]),
        ('[1, 2]\n\n{"a": 1}\n', [[1, 2], {"a": 1}]),
        ("7", [7]),
    ],
)
def test_rows_of_a_file(text: str, rows: list[Any]) -> None:
    assert rows_in(text) == rows


def status(name: str, word: str = "ready", **members: Any) -> ModelStatus:
    return ModelStatus(name, word, **members)


def test_watching_follows_the_events() -> None:
    models: dict[str, ModelStatus] = {}
    assert changed_by(Snapshot([status("a", "loading"), status("b")]), models) == [status("a", "loading"), status("b")]
    assert verdict_on(models) is None
    (moved,) = changed_by(Progress("a", "downloading", 0.5, 1, 2, 3.0, "why"), models)
    assert (moved.phase, moved.progress, moved.bytes_total, moved.reason, moved.status) == ("downloading", 0.5, 2, "why", "loading")
    assert changed_by(Progress("unheard of"), models) == []
    assert changed_by(Transition("a", "", "", "", "", "", status("a")), models) == [status("a")]
    assert verdict_on(models) == ""
    assert changed_by(Snapshot([]), models) == [] and verdict_on(models) == "no model is configured"


@pytest.mark.parametrize(
    ("model", "verdict"),
    [
        (status("a", "unloaded"), "will not be ready: a"),
        (status("a", "error", failure=Failure("t", "m", retryable=False)), "will not be ready: a"),
        (status("a", "error", failure=Failure("t", "m", retryable=True)), None),
        (status("a", "not_started"), None),
        (status("a", "unloaded", required=False), ""),
        (status("a", stale=True, failure=Failure("t", "m")), ""),
    ],
)
def test_what_is_waited_for(model: ModelStatus, verdict: str | None) -> None:
    assert verdict_on({"a": model, "b": status("b")}) == verdict


def test_the_versions_of_a_model() -> None:
    kept = [
        KeptVersion("v2", live=True, pinned=True, family="factors", artifact_bytes=1000, metrics={"ndcg@10": 0.12345}),
        KeptVersion("v1"),
    ]
    lines = version_lines(Versions("als", kept, live="v2"))
    assert [line.split() for line in lines[1:]] == [
        ["version", "family", "artifact", "metrics"],
        ["v2", "live", "pinned", "factors", "1.0", "kB", "ndcg@10", "0.1235"],
        ["v1", "-", "-", "-"],
    ]
    assert version_lines(Versions("als", [])) == ["als: no version is kept"]


def test_of_a_version_that_was_judged_the_metric_is_shown_that_it_was_judged_by() -> None:
    measured = {"precision@10": 0.09, "ndcg@10": 0.2372, "coverage@10": 0.5}
    kept = [KeptVersion("v1", metrics=measured, verdict={"accepted": True, "metric": "ndcg@10"}), KeptVersion("v0", metrics=measured)]
    _, _, judged, other = version_lines(Versions("als", kept))
    assert judged.endswith("  accepted  ndcg@10 0.2372")
    assert other.endswith("  precision@10 0.09, ndcg@10 0.2372, coverage@10 0.5")


def test_the_versions_of_a_model_that_is_trained_here() -> None:
    withdrawn = {"at": "2026-11-21T10:15:00Z", "type": "canary_failed", "message": "no\x1b[2J answer"}
    kept = [
        KeptVersion("v3", algorithm="als", published_at="2026-11-23T00:00:00Z", withdrawn=withdrawn),
        KeptVersion("v2", algorithm="als", published_at="2026-11-22T00:00:00Z", verdict={"accepted": True, "forced_by": None}),
        KeptVersion("v1", live=True, algorithm="als", verdict={"accepted": False, "forced_by": "me@here"}),
    ]
    title, names, *rows, note = version_lines(Versions("als", kept, live="v1", current="v2"))
    assert names.split() == ["version", "family", "algorithm", "published", "artifact", "verdict"]
    assert [row.split() for row in rows] == [
        ["v3", "withdrawn", "-", "als", "2026-11-23T00:00:00Z", "-", "-"],
        ["v2", "current", "-", "als", "2026-11-22T00:00:00Z", "-", "accepted"],
        ["v1", "live", "-", "als", "-", "-", "forced", "by", "me@here"],
    ]
    assert (title, note) == ("als", "  v3 was withdrawn: canary_failed: no\\x1b[2J answer")


def test_bars_on_a_terminal() -> None:
    stream = io.StringIO()
    bars = Bars(Console(file=stream, force_terminal=True, width=100, color_system=None))
    views = FakeRegistry(live(), loading("b[bold]pr"), failed("x")).snapshot()
    bars.show_models([view.to_json(NOW) for view in views])
    bars.end()
    als, bpr, x = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue()).rstrip().splitlines()[-3:]
    assert als.split()[:2] == ["als", "ready"] and VERSION in als
    assert bpr.split()[:2] == ["b[bold]pr", "downloading"] and bpr.rstrip().endswith("25 B of 100 B")
    assert "source_unavailable it is" in x


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "soon"])
@pytest.mark.parametrize("words", [["predict", "--deadline"], ["watch", "--deadline"], ["load", "als", "--wait"]], ids=" ".join)
def test_a_time_is_a_number_of_seconds(words: list[str], seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        build_parser().parse_args([*words, seconds])
    assert caught.value.code == 2
    assert f"'{seconds}' is no number of seconds" in capsys.readouterr().err


def test_a_narrow_terminal_breaks_the_failure_and_cuts_no_name() -> None:
    stream = io.StringIO()
    bars = Bars(Console(file=stream, force_terminal=True, width=60, color_system=None))
    bars.show_models([view.to_json(NOW) for view in FakeRegistry(live("recommender"), failed("x", type="no" * 60)).snapshot()])
    bars.end()
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert re.search(r"^\s*recommender ready ", shown, re.MULTILINE)
    assert re.search(r"^x +error ", shown, re.MULTILINE)
    assert "no" * 60 in "".join(shown.split())


def many_columns() -> Versions:
    """As a rolled back training has them."""
    judged = {"accepted": True, "metric": "ndcg@10"}
    known: dict[str, Any] = {
        "family": "factors",
        "algorithm": "als",
        "artifact_bytes": 1_234_567,
        "metrics": {"ndcg@10": 0.23721, "precision@10": 0.1},
    }
    times = [f"2026-11-2{day}T10:15:03.123Z" for day in range(4)]
    names = [f"2026112{day}T101500-3fa9c1" for day in range(4)]
    withdrawn = {"type": "canary_failed", "message": "it answered nothing"}
    kept = [
        KeptVersion(names[3], published_at=times[3], verdict=judged, withdrawn=withdrawn, **known),
        KeptVersion(names[2], published_at=times[2], verdict={**judged, "forced_by": "ada@laptop.example.com"}, **known),
        KeptVersion(
            names[1], live=True, pinned=True, published_at=times[1], verdict=judged, loaded_at=times[3], segment_bytes=7_000, **known
        ),
        KeptVersion(names[0], published_at=times[0], **{**known, "metrics": None}),
    ]
    return Versions("als", kept, live=names[1])


def test_on_a_narrow_terminal_the_versions_keep_what_is_looked_for() -> None:
    _, *table, note = version_lines(many_columns(), 80)
    assert max(map(len, table)) <= 80
    assert [row.split() for row in table] == [
        ["version", "published", "verdict", "ndcg@10"],
        ["20261123T101500-3fa9c1", "withdrawn", "2026-11-23T10:15Z", "accepted", "0.2372"],
        ["20261122T101500-3fa9c1", "2026-11-22T10:15Z", "forced", "0.2372"],
        ["20261121T101500-3fa9c1", "live", "pinned", "2026-11-21T10:15Z", "accepted", "0.2372"],
        ["20261120T101500-3fa9c1", "2026-11-20T10:15Z", "-", "-"],
    ]
    assert note.endswith("was withdrawn: canary_failed: it answered nothing"), "a sentence is wrapped, not cut"


def test_where_there_is_room_there_are_more_columns() -> None:
    titles = [version_lines(many_columns(), width)[1].split() for width in (60, 80, 90, 130, 500, None)]
    told = [len(each) for each in titles]
    assert told == sorted(told) and told[0] == told[1] < told[2] < told[3] < told[4] == told[5], titles
    assert titles[2] == ["version", "algorithm", "published", "verdict", "ndcg@10"]


def test_when_a_version_came_from_elsewhere_is_told_on_a_narrow_terminal_too() -> None:
    kept = [KeptVersion("v" * 30, live=True, family="neighbours", loaded_at="2026-11-23T10:15:03Z", artifact_bytes=5, segment_bytes=5)]
    _, titles, row = version_lines(Versions("text", kept, live="v" * 30), 80)
    assert titles.split() == ["version", "family", "loaded", "artifact"]
    assert row.split()[1:] == ["live", "neighbours", "2026-11-23T10:15Z", "5", "B"]


@pytest.mark.parametrize(("stream", "width"), [(Terminal(), 80), (io.StringIO(), None)], ids=["terminal", "pipe"])
def test_a_pipe_gets_every_column_and_a_terminal_those_that_fit(
    stream: io.StringIO, width: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "stdout", stream)
    assert show_stored(many_columns(), argparse.Namespace(json=False)) == 0
    assert stream.getvalue().splitlines() == version_lines(many_columns(), width)
