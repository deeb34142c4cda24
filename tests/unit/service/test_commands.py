"""What commands print."""

from __future__ import annotations

import io
from typing import Any

from service.commands.check import report_lines
from service.commands.progress import ModelProgress, model_line
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
