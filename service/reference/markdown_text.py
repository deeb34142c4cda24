"""Text that stays text in Markdown, as GitHub reads it. Does not cover: what the pages say."""

from __future__ import annotations

import re


def escaped(text: str) -> str:
    """Prose in which nothing in angle brackets is taken for HTML, and no star for emphasis; code stays code."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if index % 2 else re.sub(r"([<*\[\]])", r"\\\1", part) for index, part in enumerate(parts))


def cell(text: str) -> str:
    """The same on one line of a table, where a bar would end the cell, in code too."""
    return " ".join(escaped(text).split()).replace("|", "\\|")
