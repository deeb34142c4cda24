"""Where scores are computed: small questions on the event loop, large ones in a few threads, never too many of either.

Covers: the bound on calls in flight, the deadline, and how long a lease is held. Does not cover: who may wait for a thread
(`service.turns`), what a question costs and what is to run for it (`service.jobs`), HTTP.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import TypeVar

from models.turn import Turn
from service.binding import bound
from service.jobs import Answer, Job, Remote, job_of
from service.lifecycle.registry import Lease
from service.questions import Asked
from service.telemetry.calls import Call
from service.turns import ProcessTurns, ThreadTurns

INLINE_COST = 500_000
"""Multiply-adds answered on the event loop itself: well under a millisecond, about what a thread's hand-over costs under load."""

_NICE = 5
"""Before the loading children, which have 10."""

T = TypeVar("T")


class TooManyInFlight(Exception):
    """The model has `limit` calls in flight already."""

    def __init__(self, model: str, limit: int) -> None:
        super().__init__(f"{model} has {limit} calls in flight")
        self.model = model
        self.limit = limit


class Place:
    """One counted call in flight. Event loop only.

    It is given back when the call ended *and* no thread works for it any more: a call that met its deadline leaves its
    thread behind, and calls that come after must not pile up behind that thread without bound.
    """

    def __init__(self, counts: Counter[str], model: str) -> None:
        self.model = model
        self._counts = counts
        self._holders = 1
        counts[model] += 1

    def hold(self) -> None:
        self._holders += 1

    def let_go(self) -> None:
        self._holders -= 1
        if self._holders == 0:
            self._counts[self.model] -= 1

    def __enter__(self) -> Place:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.let_go()


class Scoring:
    """Puts questions to leased versions. Event loop only; owns its threads until `aclose`."""

    def __init__(self, *, threads: int | None = None, inline_cost: int = INLINE_COST) -> None:
        self._threads = threads or max(2, min(8, os.cpu_count() or 1))
        self._inline_cost = inline_cost
        self._in_flight: Counter[str] = Counter()
        self._of_threads: defaultdict[str, ThreadTurns] = defaultdict(lambda: ThreadTurns(self._threads))
        self._of_processes: defaultdict[str, ProcessTurns] = defaultdict(ProcessTurns)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="scoring", initializer=_step_back)

    def __repr__(self) -> str:
        return f"<Scoring threads={self._threads} in_flight={dict(+self._in_flight)}>"

    def in_flight(self, model: str) -> int:
        """Calls of `model` that run or wait now."""
        return self._in_flight[model]

    def waiting(self, model: str) -> int:
        """Calls of `model` that wait for their turn now."""
        lines: tuple[ThreadTurns | ProcessTurns | None, ...] = (self._of_threads.get(model), self._of_processes.get(model))
        return sum(line.waiting for line in lines if line is not None)

    def enter(self, model: str, limit: int) -> Place:
        """A place for one call of `model`. Raises TooManyInFlight when `limit` are taken."""
        if self._in_flight[model] >= limit:
            raise TooManyInFlight(model, limit)
        return Place(self._in_flight, model)

    async def answer(
        self, place: Place, lease: Lease, asked: Asked, timeout_s: float, call: Call, *, queue_s: float | None = None
    ) -> Answer:
        """The answer of the leased version; takes over the lease and closes it when scoring is over. `call` gets its times.

        Small questions are answered at once; others are refused where they would wait for their turn for more than about
        `queue_s` seconds (None: what `service.turns` finds right). The lease outlives a deadline or a cancelled call for as
        long as a thread still reads the arrays: unmapping them under it would kill the process. Raises Congested, TimeoutError
        after `timeout_s` seconds, models.base.RequestError, models.base.AnswerFailed.
        """
        with ExitStack() as held:
            held.enter_context(lease)
            job = job_of(asked, bound(lease))
            if isinstance(job, Remote):
                return await self._elsewhere(place.model, job, timeout_s, call, queue_s)
            if job.cost <= self._inline_cost:
                began_ns = time.monotonic_ns()
                try:
                    return job.run(Turn())
                finally:
                    call.infer_ns = time.monotonic_ns() - began_ns
            turns = self._of_threads[place.model]
            turn = turns.join(place.model, job.cost, queue_s)
            held.callback(turns.leave, turn, job.cost)
            place.hold()
            held.callback(place.let_go)
            work = self._pool.submit(_timed, job, turn, call, time.monotonic_ns())
            self._release_after(work, held.pop_all())
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.wrap_future(work)  # who gives up before a thread takes it, takes it out of the queue
        finally:
            turn.is_given_up = True

    async def _elsewhere(self, model: str, job: Remote, timeout_s: float, call: Call, queue_s: float | None) -> Answer:
        turns = self._of_processes[model]
        came_ns = time.monotonic_ns()
        turn = turns.join(model, job.rows, queue_s, came_ns / 1e9)
        try:
            return await job.send(timeout_s, turn)
        finally:
            over_ns = time.monotonic_ns()
            call.queue_ns = (turn.began_ns or over_ns) - came_ns
            call.infer_ns = over_ns - came_ns - call.queue_ns
            turns.leave(turn, queue_s, over_ns / 1e9)

    async def aside(self, place: Place, work: Callable[[], T]) -> T:
        """What `work` returns, done in a thread: for a call whose answer is so long that writing it would hold the event loop up."""
        written = self._pool.submit(work)
        place.hold()
        loop = asyncio.get_running_loop()
        written.add_done_callback(lambda _: loop.call_soon_threadsafe(place.let_go))
        return await asyncio.wrap_future(written)

    def _release_after(self, work: Future[Answer], held: ExitStack) -> None:
        loop = asyncio.get_running_loop()
        work.add_done_callback(lambda _: loop.call_soon_threadsafe(held.close))

    async def aclose(self) -> None:
        """Waits for the threads; what has not begun is dropped, and its lease closed."""
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)
        await asyncio.sleep(0)  # let the releases, which the threads have just scheduled, run before anyone unmaps


def _step_back() -> None:
    """This thread goes behind the event loop: where cores are short, refusals and /health are not to wait for scores."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)  # on Linux a thread has a priority of its own


def _timed(job: Job, turn: Turn, call: Call, submitted_ns: int) -> Answer:
    """What the job answers, and how long it waited and took."""
    turn.began_ns = time.monotonic_ns()
    call.queue_ns = turn.began_ns - submitted_ns
    try:
        answer = job.run(turn)
        turn.ended_ns = time.monotonic_ns()  # what failed, or was left, teaches nothing about how long an answer takes
        return answer
    finally:
        call.infer_ns = time.monotonic_ns() - turn.began_ns
