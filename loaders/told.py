"""Text that another process told, made fit to be told on. Pure.

Half of a surrogate pair is a character to Python, whose `json` reads and writes it, but none to UTF-8: one in the details
of one model would keep every page that shows all of them from being written. Covers: JSON of a child, and what else may hold
file names that are no UTF-8. Does not cover: text in arrays, which is decoded with replacements (`models.ids`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def read_json(text: str | bytes) -> Any:
    """The value of a JSON text, its strings as `whole` makes them. Raises ValueError, RecursionError."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return whole(json.loads(text))


def whole(value: Any) -> Any:
    """The same with U+FFFD for each half of a surrogate pair; keys too. Of mappings, lists and tuples a copy. Raises RecursionError."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, Mapping):
        return {whole(key): whole(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [whole(each) for each in value]
    return value
