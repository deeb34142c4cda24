"""May one more call wait for its turn? Only if that may be expected soon: a longer queue answers nobody better.

Covers: the two queues there are, of work in a few threads and of questions to a hosted model's process, and what each learns
from the calls that had their turn. Pure: time is an argument. Does not cover: the bound on calls in flight, running anything
(`service.scoring`).

A number of calls is a bound on memory, not on time: 256 calls of 20 ms are five seconds. What L calls wait for one another
at a rate of X is L / X (Little's law), so that is bounded, and X is learnt. What else was considered is in
`docs/decisions/0011-a-queue-is-as-long-as-a-call.md`.
"""

from __future__ import annotations

import math
from collections import OrderedDict

from models.turn import Turn

AUTO_S = 0.025
"""The longest wait that is expected of anybody by a hosted model where the setting says auto."""
BURST_S = 0.15
"""The same by threads, until most calls are refused: 64 clients of a quick model are no overload. A longer one is late more often."""
_FORGETS = 1.01
"""Of all times the shortest counts, because what disturbs only adds; it grows by so much a call, so that a slower model is seen."""


class Congested(Exception):
    """A call of `model` would have to wait for about `wait_s` seconds, longer than a call may."""

    def __init__(self, model: str, wait_s: float) -> None:
        super().__init__(f"{model} is busy for the next {wait_s:.3f} s")
        self.model = model
        self.wait_s = wait_s

    @property
    def retry_after_s(self) -> int:
        """Whole seconds, at least one, as the Retry-After header has them (RFC 9110, 10.2.3)."""
        return max(1, math.ceil(self.wait_s))


class _Line:
    """Calls that wait, in the order they came, each of some weight."""

    def __init__(self) -> None:
        self._calls: OrderedDict[Turn, int] = OrderedDict()
        self._weight = 0
        self.last_begun: Turn | None = None
        """Of those that had their turn, the one that came last."""

    def join(self, turn: Turn, weight: int) -> None:
        self._calls[turn] = weight
        self._weight += weight

    def leave(self, turn: Turn) -> None:
        """It waits no more, for whatever reason."""
        self._weight -= self._calls.pop(turn, 0)

    def look(self) -> tuple[int, int]:
        """How many wait, and their weight."""
        # Turns begin in other threads and in other modules, which only note the time; they begin in the order they came.
        while self._calls and (first := next(iter(self._calls))).began_ns:
            self.last_begun = first
            self.leave(first)
        return len(self._calls), self._weight


class ThreadTurns:
    """Calls of one model that wait for one of `threads` threads; the weight of a call is its cost in multiply-adds.

    Twice as many as there are threads may always be in flight: who waits then finds a thread after one call's time at most.
    Once most calls are refused, cores are what is short, and calls that share them only take longer: then no more wait than
    the calls of that moment are quick, and bursts are not waited for.
    """

    _AT_ONCE_S = 0.005
    """What may wait even then, so that no thread waits for the event loop."""
    _MEMORY = 1 / 16
    """Weight of the newest call in averages."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._line = _Line()
        self._in_flight = 0
        self._unit_s = 0.0
        self._recent_unit_s = 0.0
        self._refused_share = 0.0

    @property
    def waiting(self) -> int:
        """Calls that have not had their turn yet."""
        return self._line.look()[0]

    def join(self, model: str, cost: int, longest_s: float | None) -> Turn:
        """The turn of one more call. Raises Congested where it is to be expected after more than `longest_s` seconds (None: auto)."""
        _, ahead = self._line.look()
        wait_s = (ahead + cost) * self._unit_s / self._threads
        most, allowed_s = 2 * self._threads, BURST_S if longest_s is None else longest_s
        if longest_s is None and self._refused_share > 0.5:
            most, allowed_s = max(self._threads, int(most * self._unit_s / self._recent_unit_s)), self._AT_ONCE_S
        is_refused = self._in_flight >= most and wait_s > allowed_s
        self._refused_share += (is_refused - self._refused_share) * self._MEMORY
        if is_refused:
            raise Congested(model, wait_s)
        turn = Turn()
        self._line.join(turn, cost)
        self._in_flight += 1
        return turn

    def leave(self, turn: Turn, cost: int) -> None:
        """The call is over, whether it had its turn or not."""
        self._line.leave(turn)
        self._in_flight -= 1
        if turn.took_s is not None:
            unit_s = turn.took_s / max(1, cost)
            self._unit_s = min(unit_s, self._unit_s * _FORGETS or unit_s)
            self._recent_unit_s += (unit_s - self._recent_unit_s) * (self._MEMORY if self._recent_unit_s else 1.0)


class ProcessTurns:
    """Calls of a hosted model. One question is out at a time, and all that wait go into the next; the weight of a call is its rows.

    What a question of many calls takes cannot be known from those of one: for most models hardly more, for some as often as
    long. So it is tried: `_proven` rows are known to be answered in about the time of one call, twice as many are let in
    now and then, and what took too long is not tried again for a while, each time for longer. Who set how long calls may
    wait is believed to have meant the worst case: so many rows are let in at first.
    """

    _SLACK = 1.5
    """Times as long as the quickest question, at which a question still counts as one that took as long as one."""
    _QUICK_S, _BURST = 0.005, 64
    """A model that is so quick is believed to answer so many rows as well: being wrong costs a fraction of a second, once."""
    _PATIENCE_S, _LONGEST_PATIENCE_S = 1.0, 160.0
    _AT_ITS_LEAST = 10.0
    """Times as patient where even two rows took too long: that is how such a model is, and no disturbance."""
    _TOO_LATE = 4.0
    """Lateness, in times what a question may take, that is no disturbance any more; those that are in time make up for it."""

    def __init__(self) -> None:
        self._line = _Line()
        self._quickest_s = 0.0
        self._proven = 1
        self._patience_s = self._PATIENCE_S
        self._tries_at = 0.0
        self._lateness = 0.0
        self._learnt_of = 0

    @property
    def waiting(self) -> int:
        """Calls that have not had their turn yet."""
        return self._line.look()[0]

    def join(self, model: str, rows: int, longest_s: float | None, now: float) -> Turn:
        """The turn of one more call. Raises Congested where more rows than one question should have would wait for it."""
        waiting, ahead = self._line.look()
        if self._quickest_s and waiting and ahead + rows > self._most(now):
            raise Congested(model, 2 * self._enough_s(longest_s))
        turn = Turn()
        self._line.join(turn, rows)
        return turn

    def _most(self, now: float) -> int:
        running = self._line.last_begun
        is_trying = running is not None and not running.ended_ns and running.rows > self._proven
        return self._proven if is_trying or now < self._tries_at else 2 * self._proven

    def leave(self, turn: Turn, longest_s: float | None, now: float) -> None:
        """The call is over, whether it had its turn or not."""
        self._line.leave(turn)
        if turn.took_s is not None and turn.began_ns != self._learnt_of:  # each of the calls of a question says the same
            self._learnt_of = turn.began_ns
            self._learn(turn, turn.took_s, longest_s, now)

    def _enough_s(self, longest_s: float | None) -> float:
        """How long a question may take."""
        return max(AUTO_S if longest_s is None else longest_s, self._SLACK * self._quickest_s)

    def _learn(self, turn: Turn, took_s: float, longest_s: float | None, now: float) -> None:
        if not self._quickest_s:
            self._proven = self._BURST if took_s <= self._QUICK_S else max(1, int((longest_s or 0.0) / took_s))
        self._quickest_s = min(took_s, self._quickest_s * _FORGETS or took_s)
        enough_s = self._enough_s(longest_s)
        if took_s <= enough_s and turn.rows > self._proven:
            self._proven, self._patience_s = turn.rows, self._PATIENCE_S
        elif took_s > enough_s and turn.calls == 1:
            return  # it would have taken as long in any case
        elif took_s > enough_s and turn.rows > self._proven:
            self._tries_at = now + self._patience_s * (self._AT_ITS_LEAST if self._proven == 1 else 1.0)
            self._patience_s = min(2 * self._patience_s, self._LONGEST_PATIENCE_S)
        self._lateness = max(0.0, self._lateness + took_s / enough_s - 1.0)
        if self._lateness > self._TOO_LATE:
            self._proven = max(1, min(self._proven, int(turn.rows * enough_s / took_s)))
            self._lateness = 0.0
