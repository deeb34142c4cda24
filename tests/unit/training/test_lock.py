"""The locks of a training: one run at a time, and switching beside it."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support import wait_until_sync
from training.running.lock import LockBusy, RunLock, SwitchBusy, holder_of, switching

RUN = "20261121T101500-3fa9c1"


def test_who_has_it_is_named_to_who_comes_next(tmp_path: Path) -> None:
    lock = RunLock.take(tmp_path, "als", RUN)
    with pytest.raises(LockBusy, match=rf"{RUN} \(process {os.getpid()}\)") as busy:
        RunLock.take(tmp_path, "als", "20261121T101501-000000")
    assert busy.value.run_id == RUN
    RunLock.take(tmp_path, "bpr", RUN).release()
    lock.release()
    assert holder_of(tmp_path, "als") is None
    RunLock.take(tmp_path, "als", RUN).release()


def test_looking_takes_nothing(tmp_path: Path) -> None:
    assert holder_of(tmp_path, "als") is None
    lock = RunLock.take(tmp_path, "als", RUN)
    found = holder_of(tmp_path, "als")
    assert found is not None and found.run_id == RUN and found.pid == os.getpid()
    lock.release()
    assert holder_of(tmp_path, "als") is None


@pytest.mark.parametrize("written", ["", "{", "[]", '{"run": 7, "pid": "x"}'], ids=["empty", "cut", "list", "kinds"])
def test_a_holder_that_wrote_nothing_sensible_is_nobody_in_particular(tmp_path: Path, written: str) -> None:
    lock = RunLock.take(tmp_path, "als", RUN)
    (tmp_path / "als" / "lock").write_text(written)
    with pytest.raises(LockBusy, match=r"being trained already$"):
        RunLock.take(tmp_path, "als", RUN)
    lock.release()


def test_a_look_in_the_same_moment_turns_no_run_away(tmp_path: Path) -> None:
    RunLock.take(tmp_path, "als", RUN).release()
    fd = os.open(tmp_path / "als" / "lock", os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    looking = threading.Timer(0.03, os.close, (fd,))
    looking.start()
    RunLock.take(tmp_path, "als", RUN).release()
    looking.join()


def test_it_is_held_until_the_child_is_gone_too(tmp_path: Path) -> None:
    lock = RunLock.take(tmp_path, "als", RUN)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock.fd,))
    os.close(lock.fd)  # as a holder that is killed does
    assert holder_of(tmp_path, "als") is not None
    child.kill()
    child.communicate()
    wait_until_sync(lambda: holder_of(tmp_path, "als") is None, what="the lock is free")


def test_it_is_private_and_no_other_program_inherits_it(tmp_path: Path) -> None:
    lock = RunLock.take(tmp_path, "als", RUN)
    assert stat.S_IMODE((tmp_path / "als").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "als" / "lock").stat().st_mode) == 0o600
    assert not os.get_inheritable(lock.fd)
    lock.release()


def test_versions_are_switched_by_one_at_a_time_and_beside_a_run(tmp_path: Path) -> None:
    lock = RunLock.take(tmp_path, "als", RUN)
    with switching(tmp_path, "als"), pytest.raises(SwitchBusy, match="als"), switching(tmp_path, "als", wait_s=0.05):
        pass
    with switching(tmp_path, "als", wait_s=0.05):
        pass
    lock.release()
