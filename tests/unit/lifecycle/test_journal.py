"""What a transition's log line says, and how loudly."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from service.lifecycle.journal import log_transitions
from service.lifecycle.state import Entry, Failure, Phase, StoryLine

FAILURE = Failure("not_a_model", "HTML", False, 1, 1.0)


@pytest.mark.parametrize(
    ("event", "retryable", "level"),
    [("failed", False, logging.ERROR), ("failed", True, logging.WARNING), ("unchanged", False, logging.INFO)],
)
def test_only_a_new_failure_is_loud(event: str, retryable: bool, level: int, caplog: pytest.LogCaptureFixture) -> None:
    line = StoryLine(1.0, event, Phase.DOWNLOADING, Phase.FAILED, "why")
    after = Entry("als", failure=replace(FAILURE, retryable=retryable), story=(line,), transitions=1)
    with caplog.at_level(logging.INFO, "holdfast.lifecycle"):
        log_transitions(Entry("als"), after)
    (record,) = caplog.records
    assert record.levelno == level
    assert (record.__dict__["action"], record.__dict__["phase"], record.__dict__["from_phase"]) == (event, "failed", "downloading")
