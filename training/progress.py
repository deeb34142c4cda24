"""Progress of long work on a console: a bar on a terminal, plain lines elsewhere.

Covers: the callback of `training.demo.prepare`, usable for anything with stages and steps.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Self, TextIO


class ConsoleProgress:
    """Called with stage, steps done and steps in all; a stage ends when another begins. One thread only."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._has_bar = self._stream.isatty()
        self._stage = ""
        self._bar: Any = None
        self._quarter = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._end_stage()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show it. `total` 0 is a stage whose length is unknown."""
        if stage != self._stage:
            self._end_stage()
            self._stage, self._quarter = stage, 0
            if self._has_bar:
                self._bar = _bar(stage, total, self._stream)
            else:
                self._line(stage)
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
        elif total and done * 4 // total > self._quarter:
            self._quarter = done * 4 // total
            self._line(f"{stage}: {done}/{total}")

    def _line(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def _end_stage(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None


def _bar(stage: str, total: int, stream: TextIO) -> Any:
    from tqdm import tqdm

    return tqdm(desc=stage, total=total or None, file=stream, leave=True)
