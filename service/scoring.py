"""Where scores are computed: small questions on the event loop, large ones in a few threads, never too many of either.

Covers: the bound on calls in flight, the deadline, and how long a lease is held. Does not cover: the arithmetic (a
family's `score.py`), HTTP.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import Any, TypeVar

from models.base import InvalidQuery, Query, Ranking, UnknownEntity
from service.lifecycle.registry import Lease

INLINE_COST = 500_000
"""Multiply-adds answered on the event loop itself: well under a millisecond, about what a thread's hand-over costs under load."""

MAX_ITEMS = 2_000_000
"""Items of one answer to several users, about 300 MB while it is made. One user may always have the whole catalogue."""

T = TypeVar("T")
Rankings = list[Ranking | UnknownEntity]


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
        self._counts = counts
        self._model = model
        self._holders = 1
        counts[model] += 1

    def hold(self) -> None:
        self._holders += 1

    def let_go(self) -> None:
        self._holders -= 1
        if self._holders == 0:
            self._counts[self._model] -= 1

    def __enter__(self) -> Place:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.let_go()


class Scoring:
    """Runs queries against leased versions. Event loop only; owns its threads until `aclose`."""

    def __init__(self, *, threads: int | None = None, inline_cost: int = INLINE_COST) -> None:
        self._threads = threads or max(2, min(8, os.cpu_count() or 1))
        self._inline_cost = inline_cost
        self._in_flight: Counter[str] = Counter()
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="scoring")

    def __repr__(self) -> str:
        return f"<Scoring threads={self._threads} in_flight={dict(+self._in_flight)}>"

    def in_flight(self, model: str) -> int:
        """Calls of `model` that run or wait now."""
        return self._in_flight[model]

    def enter(self, model: str, limit: int) -> Place:
        """A place for one call of `model`. Raises TooManyInFlight when `limit` are taken."""
        if self._in_flight[model] >= limit:
            raise TooManyInFlight(model, limit)
        return Place(self._in_flight, model)

    async def recommend(self, place: Place, lease: Lease, query: Query, timeout_s: float) -> Rankings:
        """The answers of the leased version, in the order of `query.users`; takes over the lease and closes it when scoring is over.

        The lease outlives a deadline or a cancelled call for as long as a thread still reads the arrays: unmapping them
        under it would kill the process. Raises TimeoutError after `timeout_s` seconds, models.base.RequestError.
        """
        with ExitStack() as held:
            held.enter_context(lease)
            _check_size(query, lease.scorer.details)
            if lease.scorer.cost(query) <= self._inline_cost:
                answers: Rankings = lease.scorer.recommend(query)
                return answers
            work = self._pool.submit(lease.scorer.recommend, query)
            place.hold()
            held.callback(place.let_go)
            self._release_after(work, held.pop_all())
        async with asyncio.timeout(timeout_s):
            return await asyncio.wrap_future(work)

    async def aside(self, place: Place, work: Callable[[], T]) -> T:
        """What `work` returns, done in a thread: for a call whose answer is so long that writing it would hold the event loop up."""
        written = self._pool.submit(work)
        place.hold()
        loop = asyncio.get_running_loop()
        written.add_done_callback(lambda _: loop.call_soon_threadsafe(place.let_go))
        return await asyncio.wrap_future(written)

    def _release_after(self, work: Future[Rankings], held: ExitStack) -> None:
        loop = asyncio.get_running_loop()
        work.add_done_callback(lambda _: loop.call_soon_threadsafe(held.close))

    async def aclose(self) -> None:
        """Waits for the threads; what has not begun is dropped, and its lease closed."""
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)
        await asyncio.sleep(0)  # let the releases, which the threads have just scheduled, run before anyone unmaps


def _check_size(query: Query, details: Mapping[str, Any]) -> None:
    """Raises InvalidQuery for an answer that would take the memory of the serving process."""
    known = details.get("items")
    users, items = len(query.users), min(query.k, known) if isinstance(known, int) else query.k
    if users > 1 and users * items > MAX_ITEMS:
        raise InvalidQuery(
            "k", f"{users} users with {items} items each are more than the {MAX_ITEMS} of one answer: ask for fewer at a time"
        )
