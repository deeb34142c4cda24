"""Who is in the next question to a hosted model: calls wait while one is answered, then go together.

Covers: joining the rows of waiting calls, within bounds, and splitting the answer again. Does not cover: asking
(`loaders.hosting.scorer`). Rows stay JSON text from the call to the child. Event loop only.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from loaders.wire import WireError
from models.turn import Turn

MOST_ROWS = 4096
MOST_BYTES = 8 << 20
"""Of a question of several calls; a call by itself may be larger."""
_SHARE = 0.25
"""Of the time that its most urgent call has left, what a joined question is meant to take: together they must not be late."""


@dataclass(eq=False, slots=True)
class Call:
    """One caller's rows: `text` is JSON without the brackets. `deadline` is in the loop's time, `allowed_s`
    seconds after the call came. `answer` is cancelled by who gives up. `turn` is told when the question was out."""

    text: bytes
    rows: int
    deadline: float
    allowed_s: float
    answer: asyncio.Future[dict[str, Any]] = field(repr=False)
    turn: Turn = field(default_factory=Turn, repr=False)

    @property
    def is_waited_for(self) -> bool:
        return not self.answer.done()


class Waiting:
    """The calls that no question has yet, in the order they came."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque()
        self._row_s = 0.0

    def __len__(self) -> int:
        return len(self._calls)

    def put(self, call: Call) -> None:
        self._calls.append(call)

    def learn(self, rows: int, seconds: float) -> None:
        """How long a question of that many rows took: the newest counts for half."""
        self._row_s = (self._row_s + seconds / max(1, rows)) / 2

    def take(self, now: float) -> list[Call]:
        """The next calls to be answered together, [] if nobody waits. Those that were given up are dropped."""
        taken: list[Call] = []
        rows = length = 0
        urgent_s = float("inf")
        while self._calls:
            call = self._calls[0]
            if not call.is_waited_for:
                self._calls.popleft()
                continue
            rows, length = rows + call.rows, length + len(call.text)
            urgent_s = min(urgent_s, call.deadline - now)
            if taken and (rows > MOST_ROWS or length > MOST_BYTES or rows * self._row_s > urgent_s * _SHARE):
                break
            taken.append(self._calls.popleft())
        return taken

    def drop(self) -> list[Call]:
        """All that wait; nobody waits afterwards."""
        dropped = list(self._calls)
        self._calls.clear()
        return dropped


def begin(calls: Sequence[Call], now_ns: int) -> None:
    """It is their turn."""
    rows = sum(call.rows for call in calls)
    for call in calls:
        call.turn.began_ns, call.turn.calls, call.turn.rows = now_ns, len(calls), rows


def end(calls: Sequence[Call], now_ns: int) -> None:
    """Their turn is over."""
    for call in calls:
        call.turn.ended_ns = now_ns


def joined(id: int, calls: Sequence[Call]) -> bytes:
    """The JSON of the question."""
    return b'{"kind":"ask","id":%d,"rows":[%s]}' % (id, b",".join(call.text for call in calls))


def split(answer: dict[str, Any], calls: Sequence[Call]) -> list[dict[str, Any]]:
    """The part of each call. Raises WireError for an answer that is not one value a row."""
    count = sum(call.rows for call in calls)
    columns = {name: answer[name] for name in ("predictions", "probabilities") if answer.get(name) is not None}
    if "predictions" not in columns or not all(isinstance(values, list) and len(values) == count for values in columns.values()):
        raise WireError(f"an answer that is not one value for each of {count} rows")
    parts, at = [], 0
    for call in calls:
        parts.append({name: values[at : at + call.rows] for name, values in columns.items()})
        at += call.rows
    return parts
