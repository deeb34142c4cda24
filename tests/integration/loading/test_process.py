"""One capped child: what it is told, what it says, and that nothing of it stays however it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from loaders.cgroup import CgroupWall
from loaders.errors import ChildCrashed, CorruptArtifact, LoadError, LoadTimeout, MemoryCapExceeded
from loaders.process import CappedChild, death_message, to_the_end
from loaders.spawning import SPAWNING
from tests.leaks import processes
from tests.support import wait_until

PROGRAM = Path(__file__).with_name("any_child.py")
PLAN: dict[str, Any] = {"data_hard_bytes": 1 << 28}


def child(deed: str, *fds: int, cgroup_bytes: int = 0) -> CappedChild:
    return CappedChild(fds, cgroup_bytes, ("-I", str(PROGRAM), deed))


async def run(deed: str, deadline_s: float = 60.0, **plan: Any) -> dict[str, Any]:
    async with child(deed) as started:
        return await started.run({**PLAN, **plan}, deadline_s, lambda frame: None)


async def test_plan_frames_and_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "not for children")
    frames: list[dict[str, Any]] = []
    with open(PROGRAM, "rb") as file:
        async with child("answer", file.fileno()) as started:
            verdict = await started.run({**PLAN, "number": 7}, 60.0, frames.append)
            assert str(started.pid) in repr(started)
        assert [frame["kind"] for frame in frames] == ["phase", "progress"]
        assert verdict["plan"]["number"] == 7 and verdict["plan"]["parent_pid"] == os.getpid()
        assert verdict["session"] == started.pid
        assert verdict["environment"]["OPENBLAS_NUM_THREADS"] == "1" and "SECRET_TOKEN" not in verdict["environment"]
        # stdin, stdout, stderr, the file, the wire, the listing itself: nothing else of this process.
        assert file.fileno() in verdict["fds"] and len(verdict["fds"]) == 6


async def test_who_asks_for_other_holders_of_a_descriptor_waits_until_the_child_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    real, were_locked = subprocess.Popen, []

    def starting(*args: Any, **more: Any) -> Any:
        were_locked.append(SPAWNING.locked())
        return real(*args, **more)

    monkeypatch.setattr("loaders.process.subprocess.Popen", starting)
    await run("answer")
    assert were_locked == [True] and not SPAWNING.locked()


async def test_what_a_dead_child_had_sent_is_read() -> None:
    frames: list[dict[str, Any]] = []
    async with child("many_frames_then_die") as started:
        with pytest.raises(CorruptArtifact, match="no good") as caught:
            await started.run(PLAN, 60.0, frames.append)
    assert [frame["number"] for frame in frames] == list(range(200))
    assert caught.value.detail == {"at": 7}


@pytest.mark.parametrize("deed", ["hang", "close_the_wire_and_hang", "fork_and_hang"])
async def test_the_deadline(deed: str) -> None:
    with pytest.raises(LoadTimeout):
        await run(deed, 0.5)


async def test_the_processor_limit() -> None:
    with pytest.raises(LoadTimeout, match="processor"):
        await run("spin")


async def test_a_verdict_needs_no_exit() -> None:
    assert (await run("answer_and_stay"))["kind"] == "ok"


@pytest.mark.parametrize("deed", ["dead_before_its_plan", "say_and_die"])
async def test_death_without_a_verdict(deed: str) -> None:
    with pytest.raises(ChildCrashed, match="exited with code 9"):
        await run(deed, say="")


async def test_the_last_words_are_kept_and_bounded() -> None:
    with pytest.raises(ChildCrashed, match="it was the disk") as caught:
        await run("say_and_die", say="x" * 500_000 + "\nit was the disk")
    assert len(str(caught.value.detail["output"])) <= 2000


async def test_no_more_output_is_kept_than_is_shown() -> None:
    async with child("say_and_die") as started:
        with pytest.raises(ChildCrashed):
            await started.run({**PLAN, "say": "x" * 300_000}, 60.0, lambda frame: None)
        assert 0 < len(started.output) <= 16 << 10


async def test_a_wire_that_a_grandchild_keeps_open_is_not_waited_for() -> None:
    until, end = os.pipe()
    try:
        async with child("leave_one_behind", until) as started:
            with pytest.raises(ChildCrashed):
                await started.run({**PLAN, "until": until}, 20.0, lambda frame: None)
    finally:
        os.close(until)
        os.close(end)  # what the one left behind waits for
    await wait_until(lambda: not processes())


@pytest.mark.parametrize("words", ["MemoryError", "OpenBLAS error: Memory allocation still failed"])
async def test_words_of_a_lack_of_memory(words: str) -> None:
    with pytest.raises(MemoryCapExceeded) as caught:
        await run("say_and_die", say=words)
    assert caught.value.detail["cap_bytes"] == 1 << 28


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ({"type": "disk_full", "message": "no room", "detail": {"need_bytes": 1}}, "disk_full"),
        ({"type": "corrupt_artifact", "message": "m", "detail": {"type": "x", "message": "y", "self": 1, "cls": 2}}, "corrupt_artifact"),
        ({"type": "corrupt_artifact", "message": "m" * 900_000, "detail": {}}, "corrupt_artifact"),
        ({"type": "memory_cap_exceeded", "message": "", "detail": {}, "peak_bytes": "many"}, "memory_cap_exceeded"),
        ({"type": "LoadError", "message": "m", "detail": {}}, "child_crashed"),
        ({"type": ["corrupt_artifact"], "message": "m", "detail": {}}, "child_crashed"),
        ({"type": "corrupt_artifact", "message": 7, "detail": {}}, "child_crashed"),
        ({"type": "corrupt_artifact", "message": "m", "detail": []}, "child_crashed"),
        ({}, "child_crashed"),
    ],
)
async def test_what_a_child_tells_as_its_error(frame: dict[str, Any], expected: str) -> None:
    with pytest.raises(LoadError) as caught:
        await run("tell", tell={"kind": "error", **frame})
    assert caught.value.type == expected
    assert len(caught.value.message) <= 2000


async def test_a_cgroup_that_is_too_small_for_it() -> None:
    probe = CgroupWall.make(64 << 20)
    if probe is None:
        pytest.skip("no memory cgroup is writable here")
    probe.remove()
    async with child("eat", cgroup_bytes=64 << 20) as started:
        with pytest.raises(MemoryCapExceeded):
            await started.run(PLAN, 60.0, lambda frame: None)
        assert started.walls == ["cgroup"]
    assert not list(Path("/sys/fs/cgroup").rglob(f"holdfast-{os.getpid()}-*"))


async def test_cancelling_again_and_again_still_cleans_up() -> None:
    inside = asyncio.Event()

    async def hold() -> None:
        async with child("fork_and_hang") as started:
            inside.set()
            await started.run(PLAN, 60.0, lambda frame: None)

    holding = asyncio.ensure_future(hold())
    await inside.wait()
    while not holding.done():
        holding.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await holding
    await wait_until(lambda: not processes())


async def test_no_descriptor_stays_where_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    monkeypatch.setattr("loaders.process.sys.executable", "/nonexistent/python")
    with pytest.raises(ChildCrashed, match="could not be started"):
        await run("answer")
    assert sorted(os.listdir("/proc/self/fd")) == before


async def test_no_process_stays_where_it_cannot_be_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(pid: int, flags: int = 0) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", refused)
    with pytest.raises(ChildCrashed, match="Too many open files"):
        await run("hang")
    assert not processes()


async def test_to_the_end() -> None:
    go, done = asyncio.Event(), []

    async def step() -> int:
        await go.wait()
        done.append(1)
        return 7

    waiting = asyncio.ensure_future(to_the_end(step()))
    await asyncio.sleep(0)
    for _ in range(3):
        waiting.cancel()
        await asyncio.sleep(0)
    assert not waiting.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert done == [1]
    assert await to_the_end(step()) == 7


def test_death_in_words() -> None:
    assert "SIGSEGV" in death_message(-signal.SIGSEGV)
    assert "signal -200" not in death_message(-200) and "200" in death_message(-200)
    assert "code 3" in death_message(3)
    assert "not exited" in death_message(None)
