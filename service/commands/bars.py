"""A live bar for each model, on a terminal. Imported only where one draws: rich takes its time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from service.commands.progress import facts_of, printable, state_of

_STYLES = {"ready": "green", "error": "red", "unloaded": "dim", "not_started": "dim"}
BAR_CELLS = 28


class Bars:
    """Shows status objects as they change. `end` leaves the last state on the screen."""

    def __init__(self, console: Console | None = None) -> None:
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            TextColumn("{task.fields[state]}"),
            BarColumn(bar_width=BAR_CELLS),
            TextColumn("{task.fields[facts]}"),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._progress.start()

    def show_models(self, facts: Sequence[Mapping[str, object]]) -> None:
        """Show them, each in the line of its name."""
        for model in facts:
            name = str(model["name"])
            if name not in self._tasks:
                self._tasks[name] = self._progress.add_task(escape(printable(name)), state="", facts="", total=1.0)
            style = _STYLES.get(str(model["status"]), "cyan")
            self._progress.update(
                self._tasks[name],
                completed=share_of(model) or 0.0,
                total=None if share_of(model) is None else 1.0,
                state=f"[{style}]{escape(printable(state_of(model)))}",
                facts=escape(printable(" ".join(facts_of(model)))),
            )

    def end(self) -> None:
        """Nothing is drawn after this."""
        self._progress.stop()


def share_of(model: Mapping[str, object]) -> float | None:
    """How much of the bar is full; None for work whose end is not known."""
    progress = model["progress"]
    if model["phase"] not in (None, "draining"):
        return float(progress) if isinstance(progress, int | float) else None
    return 1.0 if model["status"] == "ready" else 0.0
