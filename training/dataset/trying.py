"""How often a database is tried, and how long until it is tried again.

Covers: the decision. Does not cover: what counts as passing (each reader knows the errors of its database), waiting.
"""

from __future__ import annotations

import random

from training.errors import DataUnavailable

FIRST_WAIT_S, LONGEST_WAIT_S = 2.0, 60.0


class TriesAgain(Exception):
    """A try failed for a reason that may pass; the message says which, without secrets."""


class Patience:
    """Counts the tries of one read."""

    def __init__(self, attempts: int) -> None:
        self._attempts = attempts
        self._failed = 0

    def next_wait_s(self, failed: TriesAgain) -> float:
        """Seconds until the next try: doubling, and jittered by half so that hosts of one schedule do not come back together.

        Raises DataUnavailable, caused by `failed`, where there is no next try.
        """
        self._failed += 1
        if self._failed >= self._attempts:
            times = "once" if self._attempts == 1 else f"{self._attempts} times"
            raise DataUnavailable(f"{failed} (tried {times})", attempts=self._attempts) from failed
        longest: float = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (self._failed - 1))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311  jitter, not a secret
