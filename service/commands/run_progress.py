"""How training runs come along, on a console: one line that is redrawn on a terminal, a line a change elsewhere; and how they ended.

Covers: runs as the server tells them (`training.running.runs.Run.to_json`), one that is waited for, and any number beside the models.
Does not cover: models (`service.commands.progress`).
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


class RunChanges:
    """Tells of any number of runs, among the lines of models: one where the status or the phase of a run changes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._told: dict[str, tuple[object, ...]] = {}

    def show(self, run: Facts) -> None:
        """Show where it is now, unless that was told."""
        place = (run["id"], run["status"], run["phase"])
        if self._told.get(run["training"]) != place:  # there is but one of a training at a time
            self._told[run["training"]] = place
            self._stream.write(change_line(run) + "\n")
            self._stream.flush()


def change_line(run: Facts) -> str:
    """One line about a run, in the manner of those about models; the word before its name tells it from the model of that name."""
    return printable(" ".join([f"training {run['training']}:", state_of_run(run), *facts_of_run(run)]))


def state_of_run(run: Facts) -> str:
    """Its phase, or whether it waits, or how it ended."""
    return str(run["phase"] or "begins") if run["status"] == "running" else str(run["status"])


def facts_of_run(run: Facts) -> list[str]:
    """What else is to be said of it: figures once it is over, why it waits, was refused or failed."""
    words = []
    if run["ended_at"] is not None and (figures := figures_of(run)):
        words.append(", ".join(figures))
    if run["reason"]:
        words.append(f"({run['reason']})")
    if run["status"] == "refused" and run["verdict"] is not None:
        words += [f"({rule['rule']}: {rule['message']})" for rule in run["verdict"]["rules"] if rule["passed"] is False]
    if run["failure"] is not None:
        words.append(f"{run['failure']['type']}: {run['failure']['message']}")
    return words


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
    lines = [", ".join([f"{run['training']}: {run['status']}", *figures_of(run)])]
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


def figures_of(run: Facts) -> list[str]:
    """What it published, how good that is, and what it took; nothing of what is not known."""
    verdict = run["verdict"]
    words = []
    if run["version"]:
        words.append(str(run["version"]))
    if verdict is not None:
        words.append(f"{verdict['metric']} {verdict['value']:.4f} (most popular {verdict['popular']:.4f}, {verdict['users']} users)")
    if run["seconds"] is not None:
        words.append(f"{run['seconds']:.1f} s")
    if run["peak_bytes"] is not None:
        words.append(f"peak {bytes_in_words(run['peak_bytes'])}")
    return words
