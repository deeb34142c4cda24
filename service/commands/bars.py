"""A live bar for each model, and for the last run of each training, on a terminal. Imported only where one draws: rich takes its time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column

from service.commands.progress import BAR_CELLS, facts_of, printable, state_of
from service.commands.run_progress import Facts, facts_of_run, state_of_run

_STYLES = {"ready": "green", "error": "red", "unloaded": "dim", "not_started": "dim"}
_RUN_STYLES = {"published": "green", "refused": "yellow", "skipped": "dim", "cancelled": "dim", "failed": "red", "crashed": "red"}


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
        self._running: set[str] = set()
        self._progress.start()

    def show_models(self, facts: Sequence[Mapping[str, object]]) -> None:
        """Show them, each in the line of its name."""
        for model in facts:
            style = _STYLES.get(str(model["status"]), "cyan")
            self._show(str(model["name"]), style, state_of(model), facts_of(model), share_of(model))

    def show_run(self, run: Facts) -> None:
        """Show it, in the line of its training."""
        name, is_over = f"training {run['training']}", run["ended_at"] is not None
        told = facts_of_run(run) if is_over or not run["step"] else [run["step"]]
        share = float(run["status"] == "published") if is_over else run["progress"] or 0.0
        self._show(name, _RUN_STYLES.get(run["status"], "cyan"), state_of_run(run), told, share)
        (self._running.discard if is_over else self._running.add)(name)

    def forget_runs(self) -> None:
        """Runs that are not over are shown no more, until they are told of again: nobody may have told how they ended."""
        for name in self._running:
            self._progress.remove_task(self._tasks.pop(name))
        self._running.clear()

    def end(self) -> None:
        """Nothing is drawn after this."""
        self._progress.stop()

    def _show(self, name: str, style: str, state: str, facts: Sequence[str], share: float) -> None:
        shown, told = f"[{style}]{escape(printable(state))}", escape(printable(" ".join(facts)))
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(escape(printable(name)), total=1.0, state=shown, facts=told)
        self._progress.update(self._tasks[name], completed=share, state=shown, facts=told)


def share_of(model: Mapping[str, object]) -> float:
    """How much of its bar is full, 0 to 1: as much as was downloaded while an attempt runs, else all of it if it serves."""
    progress = model["progress"]
    if model["phase"] not in (None, "draining"):
        return float(progress) if isinstance(progress, int | float) else 0.0
    return 1.0 if model["status"] == "ready" else 0.0
