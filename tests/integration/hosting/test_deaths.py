"""Calls beside and after each other, deadlines, and a process that dies: between calls, during one, by its cap."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor

from loaders.errors import LoadTimeout, MemoryCapExceeded
from loaders.hosting.scorer import HostedModel
from models.base import AnswerFailed, InvalidQuery
from tests.integration.hosting.bench_of_hosted import FOREVER_S, hosted, numbers, people, pipeline, saved, svc, version
from tests.integration.loading.bench_of_one import bring, left_behind, open_loader
from tests.support import wait_until

ROWS = numbers()[0]
PERSON = {"age": 1.0, "town": "Ulm", "about": "tea"}


def process(points: int = 1500) -> Any:
    """Predicting n rows takes an n x `points` matrix."""
    rows = np.linspace(0, 1, points)[:, None]
    return GaussianProcessRegressor(optimizer=None, alpha=0.1).fit(rows, rows[:, 0])


async def outcomes(*calls: Awaitable[Any]) -> list[Any]:
    return await asyncio.gather(*calls, return_exceptions=True)


class Deaths(list[tuple[str, str]]):
    """What a version told of its death."""

    def __init__(self, scorer: HostedModel) -> None:
        super().__init__()
        scorer.on_death(lambda kind, message: self.append((kind, message)))


def stop(scorer: HostedModel) -> psutil.Process:
    """Its process answers nothing until it is told to go on."""
    process = psutil.Process(scorer.pid)
    process.suspend()
    return process


# -- joined -------------------------------------------------------------------------------------------------------------


async def test_calls_that_wait_go_together(tmp_path: Path) -> None:
    async with hosted(svc(), tmp_path) as scorer:
        answers = await asyncio.gather(*(scorer.answer(ROWS[at : at + 2].tolist(), FOREVER_S) for at in range(0, 100, 2)))
        assert [value for answer in answers for value in answer.predictions] == svc().predict(ROWS[:100]).tolist()
        assert scorer.calls <= 3


async def test_a_bad_row_fails_only_who_brought_it(tmp_path: Path) -> None:
    frame = people()
    wanted = pipeline().predict(frame).tolist()
    async with hosted(pipeline(), tmp_path) as scorer:
        calls = [scorer.answer([row], FOREVER_S) for row in frame.to_dict("records")]
        calls[7:7] = [scorer.answer([{**PERSON, "age": "old"}], FOREVER_S)]
        found = await outcomes(*calls)
        assert isinstance(found.pop(7), InvalidQuery)
        assert [answer.predictions[0] for answer in found] == wanted


async def test_a_caller_that_goes_away_disturbs_nobody(tmp_path: Path) -> None:
    async with hosted(svc(), tmp_path) as scorer:
        suspended = stop(scorer)
        calls = [asyncio.ensure_future(scorer.answer([row], FOREVER_S)) for row in ROWS[:6].tolist()]
        await asyncio.sleep(0)
        for call in (calls[0], calls[3]):
            call.cancel()
        suspended.resume()
        found = await outcomes(*calls)
        assert [isinstance(each, asyncio.CancelledError) for each in found] == [True, False, False, True, False, False]
        assert found[1].predictions + found[5].predictions == svc().predict(ROWS[[1, 5]]).tolist()


async def test_a_deadline_ends_the_call_and_at_last_the_process(tmp_path: Path) -> None:
    async with hosted(svc(), tmp_path) as scorer:
        deaths = Deaths(scorer)
        stop(scorer)
        short = asyncio.ensure_future(scorer.answer(ROWS[:1].tolist(), 0.05))
        await asyncio.sleep(0)
        queued = asyncio.ensure_future(scorer.answer(ROWS[:1].tolist(), FOREVER_S))
        with pytest.raises(TimeoutError):
            await short
        with pytest.raises(AnswerFailed, match="deadline"):
            await queued
        await wait_until(lambda: not psutil.pid_exists(scorer.pid))
        assert [type for type, _ in deaths] == ["child_crashed"]


async def test_a_slow_call_costs_nobody_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has as long again as it had, though nobody waits for it any more."""
    monkeypatch.setattr("loaders.hosting.scorer._GRACE_S", 0.0)
    async with hosted(svc(), tmp_path) as scorer:
        deaths = Deaths(scorer)
        slow = stop(scorer)
        with pytest.raises(TimeoutError):
            await scorer.answer(ROWS[:1].tolist(), 1.5)
        queued = asyncio.ensure_future(scorer.answer(ROWS[:2].tolist(), FOREVER_S))
        await asyncio.sleep(0)
        slow.resume()
        assert (await queued).predictions == svc().predict(ROWS[:2]).tolist()
        assert deaths == []


# -- death --------------------------------------------------------------------------------------------------------------


async def test_killed_between_calls(tmp_path: Path) -> None:
    async with hosted(svc(), tmp_path) as scorer:
        await scorer.answer(ROWS[:1].tolist(), FOREVER_S)
        deaths = Deaths(scorer)
        os.kill(scorer.pid, signal.SIGKILL)
        await wait_until(lambda: deaths)
        assert deaths == [("child_crashed", "the hosting process was killed by SIGKILL")]
        with pytest.raises(AnswerFailed, match="SIGKILL"):
            await scorer.answer(ROWS[:1].tolist(), FOREVER_S)
        await asyncio.sleep(0)
        assert len(deaths) == 1


async def test_killed_during_a_call_all_who_wait_hear_of_it(tmp_path: Path) -> None:
    async with hosted(svc(), tmp_path) as scorer:
        deaths = Deaths(scorer)
        stop(scorer)
        calls = [asyncio.ensure_future(scorer.answer([row], FOREVER_S)) for row in ROWS[:4].tolist()]
        for _ in range(3):
            await asyncio.sleep(0)
        os.kill(scorer.pid, signal.SIGKILL)
        found = await outcomes(*calls)
        assert [type(each) for each in found] == [AnswerFailed] * 4
        assert deaths == [("child_crashed", "the hosting process was killed by SIGKILL")]
        late: list[str] = []
        scorer.on_death(lambda kind, message: late.append(kind))
        await wait_until(lambda: late)


async def test_who_allocates_in_predict_dies_by_the_cap_alone(tmp_path: Path) -> None:
    cap = 400 << 20
    (tmp_path / "other").mkdir()
    async with hosted(svc(), tmp_path / "other") as other, hosted(process(), tmp_path, memory_bytes=cap) as scorer:
        deaths = Deaths(scorer)
        assert len((await scorer.answer([[0.5]], FOREVER_S)).predictions) == 1
        with pytest.raises(AnswerFailed, match=str(cap)) as caught:
            await scorer.answer(np.zeros((60_000, 1)).tolist(), FOREVER_S)
        assert caught.value.type == "memory_cap_exceeded"
        await wait_until(lambda: deaths)
        assert deaths[0][0] == "memory_cap_exceeded"
        assert len((await other.answer(ROWS[:3].tolist(), FOREVER_S)).predictions) == 3


async def test_closing_it_is_no_death_and_leaves_no_process(tmp_path: Path) -> None:
    async with open_loader(tmp_path) as loader:
        loaded = await bring(loader, saved(svc(), tmp_path))
        deaths = Deaths(loaded.scorer)
        pid = loaded.scorer.pid
        call = asyncio.ensure_future(loaded.scorer.answer(ROWS.tolist(), FOREVER_S))
        await asyncio.sleep(0)
        await loaded.close()
        assert not psutil.pid_exists(pid) and deaths == []
        (found,) = await outcomes(call)
        assert isinstance(found, AnswerFailed)


# -- loading ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mib", [60, 90, 130, 200])
async def test_where_the_cap_has_no_room_for_it_it_does_not_load(mib: int, tmp_path: Path) -> None:
    """At each of these something else is what does not fit: Python, one of the two copies of OpenBLAS, scikit-learn."""
    async with open_loader(tmp_path) as loader:
        with pytest.raises(MemoryCapExceeded, match="raise `memory`"):
            await bring(loader, saved(process(1500), tmp_path), memory_bytes=mib << 20)
        assert left_behind(loader) == []


async def test_the_load_s_time_limit_holds_for_the_hello(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(pickle.dumps(svc()))
    async with open_loader(tmp_path) as loader:
        async with version(loader, path) as loaded:
            seconds = loaded.load["seconds"]
        with pytest.raises(LoadTimeout):
            await bring(loader, path, load_timeout_s=min(0.3, seconds / 4))
