"""What happened to a model since the server started, in numbers that never fall. Pure.

Kept in the entry, because a reader of views may miss entries but never the numbers in them. Does not cover: how they are
exposed (`service.telemetry.exposition`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Tally:
    """Numbers of one model.

    received_bytes: from its source, whatever became of them. retries: attempts that followed a failure by themselves. loads:
    versions that were loaded; restores: kept ones that were brought back. failures: type -> attempts that failed of it, and
    versions that died of it.
    """

    received_bytes: int = 0
    retries: int = 0
    loads: int = 0
    restores: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)

    def received(self, before: int | None, now: int) -> Tally:
        """A fetch told of `now` bytes, and of `before` the last time; its first word says what was there already (None)."""
        return self if before is None or now <= before else replace(self, received_bytes=self.received_bytes + now - before)

    def failed(self, type: str) -> Tally:
        return replace(self, failures={**self.failures, type: self.failures.get(type, 0) + 1})
