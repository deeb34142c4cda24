"""The table from status to HTTP answer, alone."""

from __future__ import annotations

import pytest

from service.lifecycle.state import Entry, Status
from service.status import HTTP_OF, answer_for
from tests.unit.service.fakes import LIVE, NOW, failed, live, loading


def test_every_status_has_a_row() -> None:
    assert set(HTTP_OF) == set(Status)


@pytest.mark.parametrize(
    ("entry", "http", "has_retry_after"),
    [
        (live(), 200, False),
        (Entry("als", live=LIVE, attempt=loading().attempt), 200, False),
        (Entry("als", live=LIVE, failure=failed().failure), 200, False),
        (loading(), 202, True),
        (Entry("als", on_demand=True), 202, True),
        (failed(next_attempt_at=NOW + 42.2), 503, True),
        (failed(type="corrupt_artifact"), 503, False),
        (Entry("als", unloaded=True), 503, False),
    ],
    ids=["live", "reloading", "stale", "loading", "not_started", "retrying", "permanent", "unloaded"],
)
def test_the_answer_of_each_state(entry: Entry, http: int, has_retry_after: bool) -> None:
    answer = answer_for(entry, NOW)
    assert answer.http == http
    assert (answer.retry_after_s is not None) == has_retry_after


def test_retry_after_is_whole_seconds_until_the_next_attempt() -> None:
    assert answer_for(failed(next_attempt_at=NOW + 42.2), NOW).retry_after_s == 43
    assert answer_for(failed(next_attempt_at=NOW - 5), NOW).retry_after_s == 1
