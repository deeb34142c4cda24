"""Pure decisions over an entry: when to try again, what to call its state, when a client should come back.

Does not cover: what changes an entry (`machine`), clocks and randomness (they come in as arguments).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from loaders.errors import FAILURES, Retry

from .state import Attempt, Cause, Entry, Phase, Status

LIMITED_TRIES = 3
LONG_LIFE_S = 60.0
"""A version that served for longer did not die of being loaded."""
AUTOMATIC = frozenset({Cause.START, Cause.RETRY, Cause.POLL, Cause.WATCH})
"""Causes that nobody asked for: such an attempt never tries a rejected revision again."""

_SHORTEST_RETRY_AFTER_S = 1
_USUAL_RETRY_AFTER_S = 2
_LONGEST_RETRY_AFTER_S = 30


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to wait before the next attempt. Jitter only shortens, so that no wait is longer than its cap.

    base_s, factor, cap_s: exponential backoff. slow_s: the interval for failures that a person must mend.
    jitter: the fraction of a wait that is random.
    """

    base_s: float = 1.0
    factor: float = 2.0
    cap_s: float = 120.0
    slow_s: float = 300.0
    jitter: float = 0.25

    def backoff_s(self, attempts: int, jitter: float) -> float:
        """Seconds to wait after the `attempts`-th failure in a row (1, 2, ...)."""
        exponent = min(attempts - 1, 64)  # beyond it the float would overflow long after the cap was reached
        return min(self.cap_s, self.base_s * self.factor**exponent) * (1.0 - self.jitter * jitter)


DEFAULT_RETRY = RetryPolicy()


def plan_retry(failure_type: str, attempts: int, jitter: float, policy: RetryPolicy = DEFAULT_RETRY) -> float | None:
    """Seconds until the next attempt, or None: not before the revision changes or an operator asks.

    `attempts` counts failures in a row; for a class that is tried only a few times, those of it and of this revision.
    `jitter` is in [0, 1). Raises KeyError for a type that is not in `loaders.errors.FAILURES`.
    """
    retry = FAILURES[failure_type].retry
    if retry is Retry.BACKOFF or (retry is Retry.LIMITED and attempts < LIMITED_TRIES):
        return policy.backoff_s(attempts, jitter)
    if retry is Retry.SLOWLY:
        return policy.slow_s * (1.0 - policy.jitter * jitter)
    if retry is Retry.ONCE and attempts == 1:
        return 0.0
    return None


def is_limited(failure_type: str) -> bool:
    """Whether the failure is of a class that is tried only a few times for one revision."""
    return FAILURES[failure_type].retry in (Retry.LIMITED, Retry.ONCE)


def count_failures(entry: Entry, failure_type: str, revision: str | None) -> tuple[int, int]:
    """Failures in a row for this revision with one of this type in the running attempt, and how many of them are of a limited class.

    An attempt that somebody asked for starts the count anew. A failure that came before the revision was known
    continues it: a source that is down for a while must not give a crashing artifact three more tries.
    """
    before, attempt = entry.failure, entry.attempt
    one = 1 if is_limited(failure_type) else 0
    is_other = before is None or (revision is not None and before.revision is not None and revision != before.revision)
    if before is None or is_other or attempt is None or attempt.cause not in AUTOMATIC:
        return 1, one
    return before.attempts + 1, before.limited + one


def is_final(entry: Entry, failure_type: str, revision: str | None) -> bool:
    """Whether a failure of the running attempt is one that no other attempt for the same revision would follow by itself."""
    attempts, limited = count_failures(entry, failure_type, revision)
    return plan_retry(failure_type, limited if is_limited(failure_type) else attempts, 0.0) is None


def count_deaths(before: int, lived_s: float) -> int:
    """Deaths in a row, this one counted: a version that lived long starts the count anew."""
    return 1 if lived_s > LONG_LIFE_S else before + 1


def known_revision(entry: Entry) -> str | None:
    """The revision that the running attempt must not bring again; None: whatever the source has is wanted."""
    attempt = entry.attempt
    if attempt is None or attempt.force:
        return None
    if entry.rejected is not None and attempt.cause in AUTOMATIC:
        return entry.rejected.revision
    return (entry.live.revision or None) if entry.live is not None and entry.live.fallback is None else None


def is_rejected(entry: Entry, revision: str | None) -> bool:
    """Whether this revision failed for good, and does not serve all the same."""
    is_live = entry.live is not None and entry.live.revision == revision
    return entry.rejected is not None and entry.rejected.revision == revision and not is_live


def status_of(entry: Entry) -> Status:
    """The word clients see."""
    if entry.live is not None:
        return Status.READY
    if entry.attempt is not None:
        return Status.LOADING
    if entry.unloaded:
        return Status.UNLOADED
    if entry.failure is not None:
        return Status.ERROR
    return Status.NOT_STARTED


def is_stale(entry: Entry) -> bool:
    """A version serves, but the last attempt to bring a newer one failed."""
    return entry.live is not None and entry.failure is not None


def is_settled(entry: Entry) -> bool:
    """No attempt runs or is queued (a retry may be waiting)."""
    return entry.attempt is None


def is_hopeless(entry: Entry) -> bool:
    """Not ready, and it will not become ready unless the source changes or an operator acts."""
    status = status_of(entry)
    return status is Status.UNLOADED or (status is Status.ERROR and entry.failure is not None and not entry.failure.retryable)


def eta_s(attempt: Attempt, now: float) -> float | None:
    """Seconds until the download ends, from its speed so far; None while unknown."""
    if attempt.phase is not Phase.DOWNLOADING or attempt.bytes_total is None or attempt.bytes_done is None or attempt.baseline_at is None:
        return None
    arrived, elapsed_s = attempt.bytes_done - attempt.baseline_bytes, now - attempt.baseline_at
    if arrived <= 0 or elapsed_s <= 0:
        return None
    return max(0.0, (attempt.bytes_total - attempt.bytes_done) * elapsed_s / arrived)


def retry_after_s(entry: Entry, now: float) -> int | None:
    """Whole seconds (at least 1) after which a client should ask again; None when it serves, or when waiting is in vain."""
    status = status_of(entry)
    if status is Status.READY or is_hopeless(entry):
        return None
    if status is Status.ERROR and entry.failure is not None and entry.failure.next_attempt_at is not None:
        return max(_SHORTEST_RETRY_AFTER_S, math.ceil(entry.failure.next_attempt_at - now))
    eta = eta_s(entry.attempt, now) if entry.attempt is not None else None
    if eta is None:
        return _USUAL_RETRY_AFTER_S
    return min(max(_SHORTEST_RETRY_AFTER_S, math.ceil(eta)), _LONGEST_RETRY_AFTER_S)


def retry_table(policy: RetryPolicy = DEFAULT_RETRY) -> str:
    """The rows of the table of retries in the docs, from the classes themselves."""
    whens = {
        Retry.BACKOFF: f"after {policy.base_s:g} s, then {policy.factor:g} times as long each time, up to {policy.cap_s:g} s",
        Retry.LIMITED: f"the same, but {LIMITED_TRIES} attempts for one revision",
        Retry.ONCE: "once more at once",
        Retry.SLOWLY: f"every {policy.slow_s:g} s: a person must mend it",
        Retry.NEVER: "not before the revision changes or an operator asks",
    }
    rows = []
    for retry, when in whens.items():
        types = " ".join(f"`{name}`" for name, cls in FAILURES.items() if cls.retry is retry)
        rows.append(f"| {retry.value} | {when} | {types} |")
    return "\n".join(rows)
