"""Log lines: one event a line, as text for people or as JSON for machines.

Covers: formats and set-up. A line is a fixed message plus the fields given as `extra`. Does not cover: what is logged.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any, TextIO

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """What the caller gave as `extra`, without the fields that are None."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD and value is not None}


def _at(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


class TextFormatter(logging.Formatter):
    """2026-01-31T12:00:00.000Z INFO holdfast.lifecycle: published model=als version=..."""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={_plain(value)}" for name, value in fields_of(record).items())
        line = f"{_at(record)} {record.levelname} {record.name}: {record.getMessage()}{fields}".replace("\n", "\\n")
        return line + (f"\n{self.formatException(record.exc_info)}" if record.exc_info else "")


class JsonFormatter(logging.Formatter):
    """One JSON object a line; a traceback is the field `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        head = {"time": _at(record), "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        line = {**head, **fields_of(record)}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def _plain(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if not text or any(c.isspace() or c in '"=' for c in text) else text


def set_up_logging(log_format: str, *, level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send every log line of the process to stderr (or `stream`) in this format: "text" or "json"."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("holdfast").setLevel(level)
