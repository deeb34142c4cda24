"""Who may train, and who may switch what serves: two locks a training, each of which dies with its holders.

Covers: taking and giving them back, and who has one. Does not cover: what is done under them (`training.running.runner`,
`training.versions.publish`). Blocking, for threads. Standard library only.

    <store>/<training>/lock          held for a whole run, and inherited by its child: it is free once both are gone
    <store>/<training>/switch.lock   held for the moment in which something is published, switched, pinned or pruned, so that an
                                     operator can go back to an earlier version while another process trains

Source: flock(2): a lock belongs to the open file, so whoever inherits the descriptor holds it too, and the kernel gives it back
when the last of them ends, however it ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loaders.published import LOCK

SWITCH_LOCK = "switch.lock"
SWITCH_WAIT_S = 30.0
"""Publishing takes milliseconds; a disk that is slower than this is broken."""
_TRIES, _PAUSE_S = 5, 0.02
"""Whoever looks whether a run still has its lock holds it for a moment: that must not turn a run away."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a run's lock, as it wrote there. For messages: between taking the lock and writing, it is its predecessor's."""

    run_id: str | None
    pid: int | None


class LockBusy(Exception):
    """Another run of this training, here or in another process, has its lock."""

    def __init__(self, training: str, holder: Holder) -> None:
        by = f" by run {holder.run_id} (process {holder.pid})" if holder.run_id else ""
        super().__init__(f"{training} is being trained already{by}")
        self.training = training
        self.holder = holder

    @property
    def run_id(self) -> str | None:
        """The run that has it, where that is known."""
        return self.holder.run_id

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.training, self.holder))


class SwitchBusy(Exception):
    """Somebody has been publishing or switching this training's versions for longer than is waited."""


class RunLock:
    """The lock of a run, held. `fd` is to be inherited by its child."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def take(cls, store: Path, training: str, run_id: str) -> RunLock:
        """Hold it. Raises LockBusy, OSError."""
        fd = _opened(store, training, LOCK)
        try:
            for attempt in range(_TRIES):
                if _taken(fd):
                    break
                if attempt == _TRIES - 1:
                    raise LockBusy(training, _holder(fd))
                time.sleep(_PAUSE_S)
            _write(fd, json.dumps({"run": run_id, "pid": os.getpid()}))
        except BaseException:
            os.close(fd)
            raise
        return cls(fd)

    def release(self) -> None:
        """Give it back; once. A child that lives on has it still."""
        os.ftruncate(self.fd, 0)
        os.close(self.fd)


def holder_of(store: Path, training: str) -> Holder | None:
    """Who holds the lock of a run; None where nobody does. Raises OSError."""
    try:
        fd = os.open(store / training / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return None if _taken(fd) else _holder(fd)
    finally:
        os.close(fd)


@contextmanager
def switching(store: Path, training: str, wait_s: float = SWITCH_WAIT_S) -> Iterator[None]:
    """The only one to publish, switch, pin or prune versions of this training. Waits. Raises SwitchBusy, OSError."""
    fd = _opened(store, training, SWITCH_LOCK)
    try:
        deadline = time.monotonic() + wait_s
        while not _taken(fd):
            if time.monotonic() >= deadline:
                raise SwitchBusy(f"the versions of {training} have been held by another process for more than {wait_s:g} s")
            time.sleep(_PAUSE_S)
        yield
    finally:
        os.close(fd)


def _opened(store: Path, training: str, name: str) -> int:
    folder = store / training
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _taken(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(fd: int, text: str) -> None:
    os.ftruncate(fd, 0)
    os.pwrite(fd, text.encode(), 0)


def _holder(fd: int) -> Holder:
    try:
        told = json.loads(os.pread(fd, 4096, 0))
    except ValueError:
        told = None
    if not isinstance(told, dict):
        return Holder(None, None)
    run_id, pid = told.get("run"), told.get("pid")
    return Holder(run_id if isinstance(run_id, str) else None, pid if isinstance(pid, int) else None)
