"""Which calls go together, and whose part of the answer is whose."""

from __future__ import annotations

import asyncio
import json

import pytest

from loaders.hosting.batching import MOST_BYTES, MOST_ROWS, Call, Waiting, joined, split
from loaders.wire import WireError


async def call(rows: int = 1, *, size: int = 3, deadline: float = 100.0) -> Call:
    return Call(b"[1]" if size == 3 else b"x" * size, rows, deadline, 5.0, asyncio.get_running_loop().create_future())


async def waiting(*calls: Call) -> Waiting:
    found = Waiting()
    for each in calls:
        found.put(each)
    return found


async def test_all_who_wait_go_together_in_their_order() -> None:
    calls = [await call() for _ in range(5)]
    queue = await waiting(*calls)
    assert queue.take(0.0) == calls and queue.take(0.0) == []


@pytest.mark.parametrize(("rows", "size"), [(MOST_ROWS // 2 + 1, 3), (1, MOST_BYTES // 2 + 1)])
async def test_no_question_of_several_is_beyond_the_bounds(rows: int, size: int) -> None:
    calls = [await call(rows, size=size) for _ in range(3)]
    queue = await waiting(*calls)
    assert [len(queue.take(0.0)) for _ in range(4)] == [1, 1, 1, 0]


async def test_one_call_may_be_larger_by_itself() -> None:
    large, small = await call(MOST_ROWS * 3), await call()
    queue = await waiting(small, large, small)
    assert [queue.take(0.0), queue.take(0.0)] == [[small], [large]]


async def test_together_they_are_not_late() -> None:
    """A row takes a second; the most urgent has eight: two rows are a quarter of that."""
    queue = await waiting(*[await call(deadline=8.0 if at == 1 else 1000.0) for at in range(6)])
    for _ in range(40):
        queue.learn(10, 10.0)
    assert len(queue.take(0.0)) == 2


async def test_who_gave_up_is_not_asked_for() -> None:
    calls = [await call() for _ in range(3)]
    calls[0].answer.cancel()
    queue = await waiting(*calls)
    assert queue.take(0.0) == calls[1:]
    queue.put(calls[0])
    assert queue.drop() == [calls[0]] and len(queue) == 0


async def test_a_question_is_the_rows_of_all_and_an_answer_is_cut_in_the_same_way() -> None:
    calls = [Call(b"[1],[2]", 2, 0.0, 5.0, (await call()).answer), Call(b"[3]", 1, 0.0, 5.0, (await call()).answer)]
    assert json.loads(joined(7, calls)) == {"kind": "ask", "id": 7, "rows": [[1], [2], [3]]}
    parts = split({"predictions": [1, 2, 3], "probabilities": [[0.1], [0.2], [0.3]]}, calls)
    assert parts == [{"predictions": [1, 2], "probabilities": [[0.1], [0.2]]}, {"predictions": [3], "probabilities": [[0.3]]}]
    assert split({"predictions": [1, 2, 3], "probabilities": None}, calls)[1] == {"predictions": [3]}


@pytest.mark.parametrize("answer", [{}, {"predictions": [1]}, {"predictions": "abc"}, {"predictions": [1, 2, 3], "probabilities": [[1]]}])
async def test_an_answer_that_is_none_breaks_the_wire(answer: dict[str, object]) -> None:
    calls = [await call(), await call(2)]
    with pytest.raises(WireError):
        split(answer, calls)
