"""Rows as aligned lines of text, for people and for `awk` alike."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import TextIO

from service.commands.progress import printable


def table_lines(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """A line of titles and a line a row, two spaces before each; columns of numbers stand right, None is a dash."""
    cells = [list(titles), *([printable(_text(value)) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    is_right = [all(isinstance(value, int | float | None) for value in column) for column in zip(*rows, strict=True)] or [False] * len(
        titles
    )
    return [
        "  "
        + "  ".join(
            cell.rjust(width) if right else cell.ljust(width) for cell, width, right in zip(row, widths, is_right, strict=True)
        ).rstrip()
        for row in cells
    ]


def width_of(stream: TextIO) -> int | None:
    """How many characters a line of a terminal holds, or what COLUMNS says; None for a file or a pipe, which take any line."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def _text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
