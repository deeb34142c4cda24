"""What a transition's log line says, and how loudly."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from service.lifecycle.journal import log_transitions
from service.lifecycle.state import Attempt, Cause, Entry, Failure, Phase, StoryLine

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


@pytest.mark.parametrize(
    ("type", "fallback", "level"),
    [
        ("source_not_found", None, logging.INFO),
        ("source_not_found", "training:als", logging.WARNING),
        ("corrupt_artifact", None, logging.WARNING),
    ],
    ids=["the first training", "a source that is gone", "nothing fit is published"],
)
def test_that_a_training_has_published_nothing_so_far_is_no_warning(
    type: str, fallback: str | None, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    line = StoryLine(1.0, "fallback", Phase.DOWNLOADING, Phase.QUEUED, "why")
    attempt = Attempt(1, Phase.QUEUED, Cause.START, 1.0, because=replace(FAILURE, type=type), fallback=fallback)
    with caplog.at_level(logging.INFO, "holdfast.lifecycle"):
        log_transitions(Entry("als"), Entry("als", attempt=attempt, story=(line,), transitions=1))
    (record,) = caplog.records
    assert record.levelno == level
