"""Retries, status words and when to come back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loaders.errors import FAILURES, Retry
from service.lifecycle.policy import RetryPolicy, eta_s, is_hopeless, plan_retry, retry_after_s, status_of
from service.lifecycle.state import Attempt, Cause, Entry, Failure, Live, Phase, Status

NOW = 1000.0
DOWNLOAD = Attempt(
    id=1,
    phase=Phase.DOWNLOADING,
    cause=Cause.START,
    started_at=NOW - 20,
    bytes_done=600,
    bytes_total=1000,
    baseline_at=NOW - 10,
    baseline_bytes=500,
    fetch_began_at=NOW - 20,
)


def entry(**changes: object) -> Entry:
    return replace(Entry("als"), **changes)  # type: ignore[arg-type]


def failure(*, retryable: bool, next_attempt_at: float | None = None) -> Failure:
    return Failure("source_unavailable", "m", retryable, 1, NOW, next_attempt_at)


@pytest.mark.parametrize(
    ("retry", "delays"),
    [
        (Retry.BACKOFF, [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]),
        (Retry.LIMITED, [1.0, 2.0, None, None, None, None]),
        (Retry.ONCE, [0.0, None, None, None, None, None]),
        (Retry.SLOWLY, [300.0] * 6),
        (Retry.NEVER, [None] * 6),
    ],
    ids=lambda value: value.value if isinstance(value, Retry) else "",
)
def test_every_failure_type_is_retried_as_its_class_says(retry: Retry, delays: list[float | None]) -> None:
    types = [name for name, cls in FAILURES.items() if cls.retry is retry]
    assert types
    for name in types:
        assert [plan_retry(name, attempts, 0.0, RetryPolicy(cap_s=10.0)) for attempts in range(1, 7)] == delays


def test_jitter_only_shortens() -> None:
    policy = RetryPolicy(jitter=0.25)
    assert plan_retry("source_unavailable", 3, 0.0, policy) == 4.0
    assert plan_retry("source_unavailable", 3, 0.5, policy) == 3.5
    assert plan_retry("access_denied", 1, 0.999, policy) == pytest.approx(300 * 0.75, rel=1e-3)


def test_the_millionth_failure_waits_for_the_cap() -> None:
    assert plan_retry("source_unavailable", 1_000_000, 0.0) == 120.0


def test_an_unknown_type_has_no_plan() -> None:
    with pytest.raises(KeyError):
        plan_retry("nonsense", 1, 0.0)


@pytest.mark.parametrize(
    ("state", "status", "come_back_s"),
    [
        (entry(on_demand=True), Status.NOT_STARTED, 2),
        (entry(attempt=Attempt(1, Phase.QUEUED, Cause.START, NOW)), Status.LOADING, 2),
        (entry(attempt=DOWNLOAD), Status.LOADING, 30),
        (entry(attempt=replace(DOWNLOAD, bytes_done=990)), Status.LOADING, 1),
        (entry(live=Live("v", "r", NOW)), Status.READY, None),
        (entry(live=Live("v", "r", NOW), failure=failure(retryable=True, next_attempt_at=NOW + 5)), Status.READY, None),
        (entry(failure=failure(retryable=True, next_attempt_at=NOW + 4.2)), Status.ERROR, 5),
        (entry(failure=failure(retryable=True, next_attempt_at=NOW - 1)), Status.ERROR, 1),
        (entry(failure=failure(retryable=False)), Status.ERROR, None),
        (entry(unloaded=True), Status.UNLOADED, None),
    ],
)
def test_status_and_when_to_come_back(state: Entry, status: Status, come_back_s: int | None) -> None:
    assert (status_of(state), retry_after_s(state, NOW)) == (status, come_back_s)


def test_eta_goes_by_what_arrived_since_the_first_report() -> None:
    assert eta_s(DOWNLOAD, NOW) == 40.0
    assert eta_s(replace(DOWNLOAD, bytes_total=None), NOW) is None
    assert eta_s(replace(DOWNLOAD, baseline_bytes=600), NOW) is None
    assert eta_s(replace(DOWNLOAD, phase=Phase.LOADING), NOW) is None


def test_hopeless_is_permanent_or_unloaded() -> None:
    assert is_hopeless(entry(unloaded=True)) and is_hopeless(entry(failure=failure(retryable=False)))
    assert not is_hopeless(entry(failure=failure(retryable=True, next_attempt_at=NOW)))
    assert not is_hopeless(entry(live=Live("v", "r", NOW), failure=failure(retryable=False)))
