"""What a test leaves behind: processes, threads, file descriptors, shared memory.

Covers: taking a census before a test and comparing it after one. Does not cover: temporary files (pytest removes them).
See also: the `no_leaks` fixture in `tests.conftest`.

Grandchildren count too, even those in a session of their own: the test process makes itself the subreaper, so an
orphan becomes its child instead of init's. What init would do for an orphan that ended, `Reaper` does here: without it
a killed process group would stay visible as zombies and code that waits for the group to be gone would wait for ever.
"""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

PR_SET_CHILD_SUBREAPER = 36
GRACE_S = 5.0
POLL_S = 0.02
KINDS = ("process", "thread", "fd", "segment")

# Threads of libraries that by design live as long as the process.
LASTING_THREADS = ("TMonitor",)
# Servers of the whole session, by process id: they make and end processes as they please. Who starts one adds it.
LASTING_PROCESSES: set[int] = set()
# The whole machine's segments are seen, so also what initdb makes for a moment for the tests of another process.
_INITDB = "PostgreSQL."
# What the reaper has open while it looks, in a thread of its own.
_LOOKING = f"/proc/{os.getpid()}/task"
# Descriptors that a native runtime (tokio in obstore and watchfiles) opens once, with the threads it starts.
RUNTIME_FDS = ("anon_inode:[eventpoll]", "anon_inode:[eventfd]", "socket:")
# Where a mapping lies that somebody made with a descriptor and not by loading a library.
SHARED = ("/memfd:", "/dev/shm/", "/dev/zero")


class Reaper:
    """Waits for orphans that ended, as init would; never for a process that this one spawned. One daemon thread a session."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spawned: set[int] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="orphan-reaper", daemon=True)
        self._real: Callable[..., int] = subprocess._fork_exec  # type: ignore[attr-defined]

    def start(self) -> None:
        if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
        subprocess._fork_exec = self._fork_exec  # type: ignore[attr-defined]
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        subprocess._fork_exec = self._real  # type: ignore[attr-defined]

    def _fork_exec(self, *args: Any) -> int:
        # Under the lock, so that the thread never sees a child that is not yet known as ours.
        with self._lock:
            pid = self._real(*args)
            self._spawned.add(pid)
        return pid

    def _run(self) -> None:
        while not self._stop.wait(POLL_S):
            with self._lock:
                children = set(_children())
                self._spawned &= children
                for pid in children - self._spawned:
                    if _state(pid) == "Z":
                        os.waitpid(pid, os.WNOHANG)


@dataclass(frozen=True)
class Census:
    """What exists at one moment. Values say in words what each thing is."""

    process: dict[tuple[int, float], str] = field(default_factory=dict)
    thread: dict[threading.Thread, str] = field(default_factory=dict)
    fd: dict[tuple[int, str], str] = field(default_factory=dict)
    segment: dict[tuple[str, str], str] = field(default_factory=dict)
    native_threads: frozenset[int] = frozenset()

    @classmethod
    def take(cls, scratch: Path) -> Census:
        """Everything now; mapped files count where they lie below `scratch`, in /dev/shm, or in memory only."""
        return cls(processes(), _threads(), _fds(), _segments(scratch), _native_threads())


def leaks_since(before: Census, scratch: Path, *, allowed: Collection[str] = (), grace_s: float = GRACE_S) -> list[str]:
    """One line for each thing that is there now, was not `before`, and is not gone within `grace_s` seconds."""
    ends_at = time.monotonic() + grace_s
    found = _compare(before, Census.take(scratch), allowed)
    for generation in (1, 2):  # what is in a cycle is young, mostly, and a full collection visits all that was ever imported
        if found:
            gc.collect(generation)
            found = _compare(before, Census.take(scratch), allowed)
    while found and time.monotonic() < ends_at:
        time.sleep(POLL_S)
        gc.collect()
        found = _compare(before, Census.take(scratch), allowed)
    return found


def _compare(before: Census, after: Census, allowed: Collection[str]) -> list[str]:
    # A native runtime that started in this test keeps its own descriptors for good; they are not the test's.
    runtime_started = bool(after.native_threads - before.native_threads)
    lines = []
    for kind in KINDS:
        old, new = getattr(before, kind), getattr(after, kind)
        found = {key: words for key, words in new.items() if key not in old and kind not in allowed}
        if kind == "fd":
            found = _told(found, runtime_started)
        lines += [f"{kind}: {words}" for words in found.values()]
    return lines


def _children() -> list[int]:
    pids: list[int] = []
    for task in _listdir("/proc/self/task"):
        try:
            pids += map(int, _read(f"/proc/self/task/{task}/children").split())
        except FileNotFoundError:  # the thread ended meanwhile; its children moved to another one
            continue
    return pids


def _state(pid: int) -> str:
    try:
        return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[0].decode()
    except FileNotFoundError:
        return ""


def processes() -> dict[tuple[int, float], str]:
    """The processes below this one, by process id and start, in words; without the lasting ones and what those started."""
    found: dict[tuple[int, float], str] = {}
    lasting = set(LASTING_PROCESSES)
    if lasting.issuperset(_children()):  # mostly so, and psutil looks at each process of the machine
        return found
    for child in psutil.Process().children(recursive=True):  # a parent before its children
        try:
            if child.pid in lasting or child.ppid() in lasting:
                lasting.add(child.pid)
                continue
            words = " ".join(child.cmdline()) or child.name()
        except psutil.ZombieProcess:  # before NoSuchProcess, whose subclass it is
            words = "ended, but nobody waited for it"
        except psutil.NoSuchProcess:
            continue
        found[child.pid, child.create_time()] = f"{child.pid} {words[:200]}"
    return found


def _threads() -> dict[threading.Thread, str]:
    # By object, not by number: the kernel gives the number of an ended thread to the next one.
    return {t: f"{t.name} (daemon={t.daemon})" for t in threading.enumerate() if type(t).__name__ not in LASTING_THREADS}


def _native_threads() -> frozenset[int]:
    python = {t.native_id for t in threading.enumerate()}
    return frozenset(int(task) for task in _listdir("/proc/self/task")) - python


def _fds() -> dict[tuple[int, str], str]:
    found = {}
    for name in _listdir("/proc/self/fd"):
        try:
            target = str(Path(f"/proc/self/fd/{name}").readlink())
        except FileNotFoundError:  # the descriptor of the listing itself
            continue
        if target.startswith(_LOOKING):
            continue
        found[int(name), target] = f"{name} {target}"
    return found


def _told(found: dict[tuple[int, str], str], runtime_started: bool) -> dict[tuple[int, str], str]:
    """Sockets with their ends, which nobody needs to know of what is not left behind; without those of a runtime that started."""
    sockets = any(target.startswith("socket:") for _, target in found)
    inet = {c.fd: f" {c.laddr} -> {c.raddr} inet" for c in psutil.Process().net_connections("inet")} if sockets else {}
    return {
        (fd, target): words + inet.get(fd, "")
        for (fd, target), words in found.items()
        if not runtime_started or fd in inet or not target.startswith(RUNTIME_FDS)
    }


def _segments(scratch: Path) -> dict[tuple[str, str], str]:
    found = {("shm", name): f"/dev/shm/{name}" for name in _listdir("/dev/shm") if not name.startswith(_INITDB)}
    places = (f"{scratch}/", *SHARED)
    maps = _read("/proc/self/maps")
    if not any(os.fsencode(place) in maps for place in places):  # mostly so, and there is a line for each part of each library
        return found
    for line in os.fsdecode(maps).splitlines():
        parts = line.split(maxsplit=5)
        if len(parts) == 6 and parts[5].startswith(places):
            found[parts[0], parts[5]] = f"mapping {parts[0]} {parts[1]} {parts[5]}"
    return found


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read()


def _listdir(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except FileNotFoundError:
        return []
