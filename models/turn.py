"""When a call had its turn at what can do only so much at a time.

Covers: the note that is given away with a call and read by who gave it. Does not cover: who may wait how long (`service.turns`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Turn:
    """Times are nanoseconds of the monotonic clock, 0 until then.

    began_ns, ended_ns: of the work itself, after the wait for it. calls, rows: what was worked on together, this call among it.
    is_given_up: nobody waits for the answer any more; work in steps ends at the next one.
    """

    began_ns: int = 0
    ended_ns: int = 0
    calls: int = 1
    rows: int = 1
    is_given_up: bool = False

    @property
    def took_s(self) -> float | None:
        """Seconds of the work, None if it has not come to its end."""
        return (self.ended_ns - self.began_ns) / 1e9 if self.began_ns and self.ended_ns else None
