"""A live bar for each model, on a terminal. Imported only where one draws: rich takes its time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column

from service.commands.progress import BAR_CELLS, facts_of, printable, state_of

_STYLES = {"ready": "green", "error": "red", "unloaded": "dim", "not_started": "dim"}


class Bars:
    """Shows status objects as they change. `end` leaves the last state on the screen."""

    def __init__(self, console: Console | None = None) -> None:
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            TextColumn("{task.fields[state]}"),
            # Plain colours: where a terminal has but 16, those of rich's theme make a full bar look like an empty one.
            BarColumn(BAR_CELLS, complete_style="cyan", finished_style="green"),
            # The only column that gives way: a narrow terminal breaks the words about a failure, and cuts no name.
            TextColumn("{task.fields[facts]}", table_column=Column(ratio=1, overflow="fold")),
            console=console,
            expand=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._progress.start()

    def show_models(self, facts: Sequence[Mapping[str, object]]) -> None:
        """Show them, each in the line of its name."""
        for model in facts:
            name, style = str(model["name"]), _STYLES.get(str(model["status"]), "cyan")
            state, told = f"[{style}]{escape(printable(state_of(model)))}", escape(printable(" ".join(facts_of(model))))
            if name not in self._tasks:
                self._tasks[name] = self._progress.add_task(escape(printable(name)), total=1.0, state=state, facts=told)
            self._progress.update(self._tasks[name], completed=share_of(model), state=state, facts=told)

    def end(self) -> None:
        """Nothing is drawn after this."""
        self._progress.stop()


def share_of(model: Mapping[str, object]) -> float:
    """How much of its bar is full, 0 to 1: as much as was downloaded while an attempt runs, else all of it if it serves."""
    progress = model["progress"]
    if model["phase"] not in (None, "draining"):
        return float(progress) if isinstance(progress, int | float) else 0.0
    return 1.0 if model["status"] == "ready" else 0.0
