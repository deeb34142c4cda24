"""How training runs come along, on a console: one line that is redrawn on a terminal, a line a change elsewhere; and how they ended.

Covers: runs as the server tells them (`training.running.runs.Run.to_json`). Does not cover: models (`service.commands.progress`).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any, TextIO

from service.commands.progress import bar, bytes_in_words, printable

Facts = Mapping[str, Any]
_PASSED = {True: "passed", False: "failed", None: "-"}


class RunProgress:
    """Shows one run at a time while it waits and runs. One thread only."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._told: tuple[object, ...] = ()
        self._is_drawn = False

    def show(self, run: Facts) -> None:
        """Show where it is now; nothing of one that is over."""
        if run["status"] not in ("queued", "running"):
            return
        if self._is_terminal:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r\x1b[2K{run_line(run)[:width]}")
            self._is_drawn = True
        else:
            place = (run["id"], run["status"], run["phase"], run["step"], run["reason"])
            if place == self._told:
                return
            self._told = place
            self._stream.write(run_line({**run, "progress": None}) + "\n")
        self._stream.flush()

    def end(self) -> None:
        """What is written next begins on a line of its own."""
        if self._is_drawn:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()
            self._is_drawn = False


def run_line(run: Facts) -> str:
    """One line about a run that waits or runs."""
    if run["status"] == "queued":
        doing = run["reason"] or "queued"
    else:
        doing = ": ".join(word for word in (run["phase"] or "begins", run["step"]) if word)
    share = run["progress"]
    return printable(f"{run['training']}: {doing}" + ("" if share is None else f" {bar(share)}"))


def ending_lines(run: Facts) -> list[str]:
    """How a run ended: what became of it, each rule of the gate with its figures, and where it failed the end of its log."""
    verdict = run["verdict"]
    words = [f"{run['training']}: {run['status']}"]
    if run["version"]:
        words.append(str(run["version"]))
    if verdict is not None:
        words.append(f"{verdict['metric']} {verdict['value']:.4f} (most popular {verdict['popular']:.4f}, {verdict['users']} users)")
    if run["seconds"] is not None:
        words.append(f"{run['seconds']:.1f} s")
    if run["peak_bytes"] is not None:
        words.append(f"peak {bytes_in_words(run['peak_bytes'])}")
    lines = [", ".join(words)]
    if run["reason"]:
        lines.append(f"  {run['reason']}")
    if verdict is not None:
        lines += [f"  {rule['rule']:<9} {_PASSED[rule['passed']]:<7} {rule['message']}" for rule in verdict["rules"]]
        if verdict["forced_by"]:
            lines.append(f"  published all the same, as {verdict['forced_by']} says")
    if run["failure"] is not None:
        lines.append(f"  {run['failure']['type']}: {run['failure']['message']}")
        lines += [f"  | {line}" for line in run["log"][-5:]]
    return [printable(line) for line in lines]
