"""Progress on a console: plain lines, few of them, and a bar only on a terminal."""

from __future__ import annotations

import io

from training.progress import ConsoleProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def drive(stream: io.StringIO) -> str:
    with ConsoleProgress(stream) as show:
        show("waiting", 0, 0)
        for stage in ("one", "two"):
            for done in range(101):
                show(stage, done, 100)
    return stream.getvalue()


def test_elsewhere_plain_lines_one_a_quarter() -> None:
    lines = drive(io.StringIO()).splitlines()
    assert lines[:3] == ["waiting", "one", "one: 25/100"]
    assert lines[-1] == "two: 100/100"
    assert len(lines) == 1 + 2 * 5


def test_on_a_terminal_a_bar() -> None:
    text = drive(Terminal())
    assert "\r" in text
    assert "100/100" in text
    assert "two" in text
