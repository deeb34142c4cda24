"""A memory cgroup around one child, where one may be made: the outer wall that also sees what an rlimit does not.

Covers: cgroup v2 and v1, under the cgroup this process is in. Does not cover: admission (`loaders.memory`). Where none is
writable, `CgroupWall.make` gives None: the rlimits stand alone.
"""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

_serial = count(1)


class CgroupWall:
    """One cgroup for one child. Owns its directory; `remove` after the child is reaped."""

    def __init__(self, folder: Path, is_v2: bool) -> None:
        self._folder = folder
        self._is_v2 = is_v2

    @classmethod
    def make(cls, limit_bytes: int, root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> CgroupWall | None:
        """A cgroup limited to `limit_bytes` of memory, or None where that is not allowed here."""
        for base, is_v2 in _candidates(root, membership):
            folder = base / f"holdfast-{os.getpid()}-{next(_serial)}"
            try:
                folder.mkdir(mode=0o700)
            except OSError:
                continue
            try:
                (folder / ("memory.max" if is_v2 else "memory.limit_in_bytes")).write_text(str(limit_bytes))
                return cls(folder, is_v2)
            except OSError:
                folder.rmdir()
        return None

    def add(self, pid: int) -> bool:
        """Move a process in; False where the kernel refuses."""
        try:
            (self._folder / "cgroup.procs").write_text(str(pid))
        except OSError:
            return False
        return True

    def oom_kills(self) -> int:
        """How many processes the kernel killed here for the limit."""
        try:
            text = (self._folder / ("memory.events" if self._is_v2 else "memory.oom_control")).read_text()
        except OSError:
            return 0
        for line in text.splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill" and value.isdigit():
                return int(value)
        return 0

    def members(self) -> list[int]:
        """Processes that are in it still: what a child left behind, wherever it moved its session."""
        try:
            return [int(pid) for pid in (self._folder / "cgroup.procs").read_text().split()]
        except OSError:
            return []

    def remove(self) -> bool:
        """Remove the directory; False while a process is in it."""
        try:
            self._folder.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True


def _candidates(root: Path, membership: Path) -> list[tuple[Path, bool]]:
    """(directory under which a child cgroup may be made, is it v2), own cgroup first."""
    found = []
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            for base in (root, root / "unified"):
                folder = base / path.lstrip("/")
                if "memory" in _words(folder / "cgroup.subtree_control"):
                    found.append((folder, True))
        elif "memory" in controllers.split(","):
            found.append((root / "memory" / path.lstrip("/"), False))
    return found


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
