"""Log lines: fields, text, JSON."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from service.logs import set_up_logging


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("holdfast")
    before = root.handlers[:], root.level, ours.level
    yield root
    root.handlers[:], root.level = before[0], before[1]
    ours.setLevel(before[2])


def lines(log_format: str) -> list[str]:
    stream = io.StringIO()
    set_up_logging(log_format, stream=stream)
    log = logging.getLogger("holdfast.test")
    log.info("published", extra={"model": "als", "cause": "new revision", "none": None})
    log.info("two\nlines")
    try:
        raise ValueError("boom")
    except ValueError:
        log.exception("failed")
    logging.getLogger("somebody.else").info("chatter")
    return stream.getvalue().splitlines()


def test_text_lines(root: logging.Logger) -> None:
    first, second, third, *traceback = lines("text")
    assert first.endswith('INFO holdfast.test: published model=als cause="new revision"')
    assert first[10] == "T"
    assert second.endswith("two\\nlines")
    assert third.endswith("ERROR holdfast.test: failed")
    assert traceback[-1] == "ValueError: boom"


def test_json_lines(root: logging.Logger) -> None:
    first, second, third = map(json.loads, lines("json"))
    assert {key: first[key] for key in ("level", "logger", "message", "model", "cause")} == {
        "level": "info",
        "logger": "holdfast.test",
        "message": "published",
        "model": "als",
        "cause": "new revision",
    }
    assert "none" not in first
    assert second["message"] == "two\nlines"
    assert third["traceback"].endswith("ValueError: boom")


def test_setting_up_twice_does_not_double_the_lines(root: logging.Logger) -> None:
    assert len(lines("json")) == len(lines("json")) == 3
