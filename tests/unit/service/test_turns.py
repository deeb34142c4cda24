"""Who may wait for a turn: simulated queues, with a clock that the test turns."""

from __future__ import annotations

import contextlib

import pytest

from models.turn import Turn
from service.turns import Congested, ProcessTurns, ThreadTurns

MS = 1_000_000


class Threads:
    """Threads that work off a queue, one cost unit a nanosecond of the test's clock."""

    def __init__(self, turns: ThreadTurns, count: int) -> None:
        self.turns, self.count, self.now_ns = turns, count, 1
        self.running: list[tuple[int, Turn, int]] = []
        self.waiting: list[tuple[Turn, int]] = []
        self.refused = 0

    def come(self, cost: int, longest_s: float | None = None) -> bool:
        try:
            self.waiting.append((self.turns.join("als", cost, longest_s), cost))
        except Congested:
            self.refused += 1
            return False
        self._start()
        return True

    def _start(self) -> None:
        while self.waiting and len(self.running) < self.count:
            turn, cost = self.waiting.pop(0)
            turn.began_ns = self.now_ns
            self.running.append((self.now_ns + cost, turn, cost))

    def end_one(self) -> None:
        self.running.sort(key=lambda each: each[0])
        self.now_ns, turn, cost = self.running.pop(0)
        turn.ended_ns = self.now_ns
        self.turns.leave(turn, cost)
        self._start()

    def settle(self) -> None:
        while self.running:
            self.end_one()


def threads(count: int = 2, cost: int = 20 * MS) -> Threads:
    """Threads whose queue has learnt what a unit of cost takes."""
    found = Threads(ThreadTurns(count), count)
    found.come(cost)
    found.settle()
    return found


@pytest.mark.parametrize("count", [1, 2, 8])
def test_of_slow_calls_as_many_wait_as_there_are_threads(count: int) -> None:
    queue = threads(count, 400 * MS)
    assert [queue.come(400 * MS) for _ in range(2 * count + 1)] == [True] * 2 * count + [False]
    queue.end_one()
    assert [queue.come(400 * MS) for _ in range(2)] == [True, False]


@pytest.mark.parametrize("cost", [MS // 2, 2 * MS, 5 * MS])
def test_of_quick_calls_as_many_wait_as_are_worked_off_in_time(cost: int) -> None:
    queue = threads(2, cost)
    admitted = 0
    while queue.come(cost):
        admitted += 1
    assert admitted == pytest.approx(2 + 2 * 150 * MS / cost, abs=1)
    assert admitted >= 64 or cost > 2 * MS


def test_a_full_queue_is_not_kept_full_once_most_are_refused() -> None:
    queue = threads(2, 20 * MS)
    assert sum(queue.come(20 * MS) for _ in range(1000)) >= 2 + 14
    waited: list[int] = []
    for _ in range(100):
        queue.end_one()
        waited.append(len(queue.waiting))
        for _ in range(10):  # ten times as many as are answered
            queue.come(20 * MS)
    assert max(waited[20:]) <= 2, "it is worked off, and stays short"
    assert min(waited) >= 1, "and no thread is ever without work"


def test_the_setting_is_the_longest_wait() -> None:
    queue = threads(1, 20 * MS)
    assert sum(queue.come(20 * MS, longest_s=1.0) for _ in range(1000)) == 1 + 50


def test_a_call_counts_for_what_it_costs() -> None:
    queue = threads(2, MS)
    assert all(queue.come(1000 * MS) for _ in range(3))
    assert queue.come(MS)  # one long call waits: there is room for as many as there are threads
    assert not queue.come(MS)
    queue.end_one()
    queue.end_one()
    assert all(queue.come(MS) for _ in range(10))


def test_once_most_are_refused_no_more_are_let_in_than_cores_can_answer_soon() -> None:
    turns = threads(2, 20 * MS).turns

    def take(took_ms: int) -> None:
        turn = turns.join("als", 20 * MS, None)
        turn.began_ns, turn.ended_ns = 1, 1 + took_ms * MS
        turns.leave(turn, 20 * MS)

    def room() -> int:
        """How many more are let in, until most are refused."""
        joined: list[Turn] = []
        for _ in range(100):
            with contextlib.suppress(Congested):
                joined.append(turns.join("als", 20 * MS, None))
        for turn in joined:
            turns.leave(turn, 20 * MS)
        return len(joined)

    for _ in range(50):  # twice as long, because they share cores
        take(40)
    assert room() > 6, "nobody was refused: a neighbour may have been busy"
    assert room() in (2, 3)
    for _ in range(50):
        take(20)
    assert room() > 6


def test_before_the_first_answer_nothing_is_known_and_nobody_refused() -> None:
    queue = Threads(ThreadTurns(2), 2)
    assert all(queue.come(1000 * MS) for _ in range(200))


def test_who_gives_up_makes_room() -> None:
    turns = threads(1, 400 * MS).turns
    running, waiting = turns.join("als", 400 * MS, None), None
    running.began_ns = 1
    waiting = turns.join("als", 400 * MS, None)
    with pytest.raises(Congested):
        turns.join("als", 400 * MS, None)
    turns.leave(waiting, 400 * MS)
    turns.join("als", 400 * MS, None)


def test_a_disturbance_is_not_believed_and_a_slower_model_is() -> None:
    turns = ThreadTurns(1)

    def room(cost: int = MS) -> int:
        joined: list[Turn] = []
        try:
            while len(joined) < 1000:
                joined.append(turns.join("als", cost, None))
        except Congested:
            pass
        for turn in joined:
            turns.leave(turn, cost)
        return len(joined)

    def take(cost: int, took_ns: int, times: int) -> None:
        for _ in range(times):
            turn = turns.join("als", cost, None)
            turn.began_ns, turn.ended_ns = 1, 1 + took_ns
            turns.leave(turn, cost)

    take(MS, MS, 5)
    assert room() in (149, 150)
    take(MS, 50 * MS, 10)
    assert room() >= 130
    take(MS, 10 * MS, 300)
    assert room() in (14, 15)
    take(MS, MS, 1)
    assert room() in (149, 150)


@pytest.mark.parametrize(("wait_s", "told"), [(0.001, 1), (1.0, 1), (1.2, 2), (60.5, 61)])
def test_when_to_come_back_is_in_whole_seconds(wait_s: float, told: int) -> None:
    assert Congested("als", wait_s).retry_after_s == told


class Process:
    """One question at a time of all that wait; it takes `fixed` ms and `each` ms for each row."""

    def __init__(self, fixed: float, each: float, longest_s: float | None = None) -> None:
        self.fixed, self.each, self.longest_s = fixed, each, longest_s
        self.turns = ProcessTurns()
        self.now_s = 1.0
        self.waiting: list[tuple[Turn, int, float]] = []
        self.refused = 0
        self.waits_s: list[float] = []
        self.questions: list[int] = []
        self.out: list[tuple[Turn, int, float]] = []
        self.ends_at = 0.0

    def come(self, rows: int = 1) -> None:
        try:
            self.waiting.append((self.turns.join("svc", rows, self.longest_s, self.now_s), rows, self.now_s))
        except Congested:
            self.refused += 1

    def run(self, seconds: float, per_s: float, rows: int = 1) -> None:
        """Calls come at this rate; every millisecond is looked at."""
        until, due = self.now_s + seconds, 0.0
        while self.now_s < until:
            due += per_s / 1000
            while due >= 1:
                due -= 1
                self.come(rows)
            if self.out and self.now_s >= self.ends_at:
                self._end()
            if self.waiting and not self.out:
                self._begin()
            self.now_s += 0.001

    def _begin(self) -> None:
        self.out, self.waiting = self.waiting, []
        asked = sum(rows for _, rows, _ in self.out)
        for turn, _, _ in self.out:
            turn.began_ns, turn.calls, turn.rows = int(self.now_s * 1e9), len(self.out), asked
        self.questions.append(asked)
        self.ends_at = self.now_s + (self.fixed + self.each * asked) / 1000

    def _end(self) -> None:
        for turn, _, came_s in self.out:
            turn.ended_ns = int(self.now_s * 1e9)
            self.turns.leave(turn, self.longest_s, self.now_s)
            self.waits_s.append(self.now_s - came_s)
        self.out = []

    def forget(self) -> None:
        self.refused, self.waits_s, self.questions = 0, [], []

    def p99_s(self) -> float:
        return sorted(self.waits_s)[int(len(self.waits_s) * 0.99)]


@pytest.mark.parametrize(("fixed", "each"), [(0, 20), (2, 18), (0, 60)])
def test_a_model_that_takes_its_time_for_each_row_is_asked_no_more_than_it_can(fixed: float, each: float) -> None:
    process = Process(fixed, each)
    process.run(3, 5)
    alone_s = process.p99_s()
    process.forget()
    process.run(20, 10_000 / (fixed + each))
    assert process.p99_s() <= 3 * alone_s + 0.002
    assert sum(process.questions) >= 0.95 * 20_000 / (fixed + each)


@pytest.mark.parametrize("rows", [1, 5])
def test_a_model_that_takes_the_same_for_many_rows_is_asked_many_at_a_time(rows: int) -> None:
    process = Process(20, 0.01)
    process.run(3, 5, rows)
    process.forget()
    process.run(1, 1000, rows)
    process.forget()
    process.run(5, 1000, rows)
    assert process.refused == 0
    assert max(process.questions) >= 20 * rows


def test_a_quick_model_meets_a_burst_it_has_never_seen() -> None:
    process = Process(1, 0.01)
    process.run(1, 10)
    for _ in range(64):
        process.come()
    process.run(0.1, 0)
    assert process.refused == 0


def test_a_burst_waits_as_long_as_the_operator_said_that_it_may() -> None:
    process = Process(0, 10, longest_s=0.5)
    process.run(1, 10)
    process.forget()
    for _ in range(51):
        process.come()
    process.run(1, 0)
    assert process.refused == 0
    assert max(process.waits_s) > 0.4


def test_a_late_question_changes_nothing_many_do() -> None:
    process = Process(10, 0.01)
    process.run(2, 500)
    process.run(0.1, 0)
    process.fixed = 80
    process.come()
    process.come()
    process.run(0.1, 0)
    process.fixed = 10
    process.forget()
    process.run(1, 500)
    assert process.refused == 0
    for _ in range(20):  # every fifth is late
        process.run(0.05, 500)
        process.fixed = 30
        process.run(0.01, 500)
        process.fixed = 10
    assert process.refused < 0.02 * len(process.waits_s)
    process.fixed, process.each = 0, 20
    process.run(3, 500)
    process.forget()
    process.run(1, 500)
    assert max(process.questions) <= 2


def test_a_model_that_became_quicker_is_found_out() -> None:
    process = Process(0, 20)
    process.run(5, 500)
    assert process.refused
    process.fixed, process.each = 20, 0.01
    process.run(130, 200)
    process.forget()
    process.run(2, 200)
    assert process.refused == 0


def test_a_call_of_many_rows_is_let_in_when_nobody_waits() -> None:
    process = Process(1, 1)
    process.run(1, 10)
    process.come(1000)
    assert process.refused == 0
    process.come(1000)
    assert process.refused == 1
