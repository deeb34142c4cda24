"""The walls around a child that reads an artifact: limits, no privileges, no network, no files.

Covers: what a process does to itself before it looks at untrusted bytes. Does not cover: the cgroup around it
(`loaders.cgroup`), the wall-clock deadline (`loaders.process`). Child only. Standard library only: runs before numpy.

Sources: setrlimit(2), prctl(2), unshare(2), landlock(7), seccomp(2).
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import stat
import struct
from collections.abc import Iterable

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_LANDLOCK_CREATE, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT = 444, 445, 446
_READ_FILE, _READ_FOLDER = 1 << 2, 1 << 3

_libc = ctypes.CDLL(None, use_errno=True)


def limit(data_bytes: int, data_hard_bytes: int, file_bytes: int, cpu_s: int | None, open_files: int = 64) -> list[str]:
    """Resource limits, before anything is allocated; names of the walls that stand.

    data_bytes is the private memory (RLIMIT_DATA; the segment is not counted), file_bytes whatever file or memfd the process
    may grow. cpu_s None: a process that is to stay has no limit of processor time. Only RLIMIT_DATA may be raised again,
    up to data_hard_bytes, by `raise_data`.
    """
    resource.setrlimit(resource.RLIMIT_DATA, (data_bytes, data_hard_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    if cpu_s is not None:
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 5))
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return ["rlimit"]


def raise_data(data_bytes: int) -> int:
    """Move the soft RLIMIT_DATA up, never over the hard one; the limit that stands, bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = data_bytes if hard == resource.RLIM_INFINITY else min(data_bytes, hard)
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
        return wanted
    return soft


def isolate(parent_pid: int, nice: int = 10, *, network: bool = False) -> list[str]:
    """No network, no new privileges, death with the parent; names of the walls that stand. Before any thread exists.

    `nice`: how far it steps back behind the server. `network`: leave it open, for a process that reads no untrusted bytes and
    needs a database. Raises SystemExit if the parent died before the death signal was set.
    """
    walls = []
    os.nice(nice)
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
        walls.append("oom")
    except OSError:
        pass  # a container may forbid it; the other walls do not depend on it
    if not network and (_libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0 or _libc.unshare(_CLONE_NEWNET) == 0):
        walls.append("netns")
    # After unshare: a change of credentials clears the death signal.
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        raise SystemExit("the server is gone")
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        walls.append("no_new_privs")
    return walls


class PrivateMemory:
    """This process's private resident memory. Opened before the files are closed; `ru_maxrss` would not do, because a
    process made by vfork inherits its parent's peak."""

    def __init__(self) -> None:
        self._fd = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
        self.peak_bytes = 0

    def sample(self) -> int:
        """Bytes now; remembers the highest."""
        for line in os.pread(self._fd, 4096, 0).split(b"\n"):
            if line.startswith(b"RssAnon:"):
                self.peak_bytes = max(self.peak_bytes, int(line.split()[1]) * 1024)
        return self.peak_bytes


def close_files(readable: Iterable[str] = ()) -> list[str]:
    """Landlock: no file can be opened any more but to read one of `readable` or below it, no TCP port bound or reached.

    Without a path, after the last import. What does not exist is left out.
    """
    abi = _libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(1))
    if abi < 1:
        return []
    filesystem = (1 << (13 if abi == 1 else 14 if abi == 2 else 15 if abi < 5 else 16)) - 1
    network = 3 if abi >= 4 else 0
    scoped = 3  # abstract Unix sockets and signals stay inside
    attributes = struct.pack("QQQ", filesystem, network, scoped)[: 8 if abi < 4 else 16 if abi < 6 else 24]
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    ruleset = _libc.syscall(_LANDLOCK_CREATE, buffer, ctypes.c_size_t(len(attributes)), ctypes.c_uint(0))
    if ruleset < 0:
        return []
    for path in readable:
        _let_read(ruleset, path)
    stands = _libc.syscall(_LANDLOCK_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint(0)) == 0
    os.close(ruleset)
    return ["landlock"] if stands else []


def _let_read(ruleset: int, path: str) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # a folder of sys.path need not exist
    try:
        access = _READ_FILE | (_READ_FOLDER if stat.S_ISDIR(os.fstat(fd).st_mode) else 0)
        rule = struct.pack("=Qi", access, fd)
        buffer = ctypes.create_string_buffer(rule, len(rule))
        _libc.syscall(_LANDLOCK_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(1), buffer, ctypes.c_uint(0))
    finally:
        os.close(fd)


_DENIED = {
    "x86_64": (0xC000003E, (56, 57, 58, 59, 322, 435, 101, 310, 311, 62, 200, 234, 129, 297, 424, 438)),
    "aarch64": (0xC00000B7, (220, 221, 281, 435, 117, 270, 271, 129, 130, 131, 138, 240, 424, 438)),
}
"""Audit architecture, and the numbers on it of clone, fork, vfork, execve, execveat, clone3, ptrace, process_vm_readv and
_writev, kill, tkill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo, pidfd_send_signal, pidfd_getfd."""


_SOCKETS = {"x86_64": (41, 42, 425), "aarch64": (198, 203, 425)}
"""The numbers of socket, connect and io_uring_setup (whose operations no filter sees)."""


def close_processes(*, sockets: bool = True) -> list[str]:
    """A seccomp filter that refuses (EPERM) to start, become, trace or signal another process. Needs no_new_privs.

    Without `sockets` it refuses to make or connect one, too; those that are open already stay.
    """
    machine = platform.machine()
    known = _DENIED.get(machine)
    if known is None:
        return []
    arch, numbers = known
    if not sockets:
        numbers = (*numbers, *_SOCKETS[machine])
    count = len(numbers)

    def op(code: int, k: int, jt: int = 0, jf: int = 0) -> bytes:
        return struct.pack("HBBI", code, jt, jf, k)

    # ld arch; a foreign architecture is killed (its numbers mean other calls); ld nr; any listed number -> EPERM; else allow.
    program = [op(0x20, 4), op(0x15, arch, 1, 0), op(0x06, 0x80000000), op(0x20, 0)]
    program += [op(0x15, number, count - at, 0) for at, number in enumerate(numbers)]
    program += [op(0x06, 0x7FFF0000), op(0x06, 0x00050000 | 1)]
    code = ctypes.create_string_buffer(b"".join(program), 8 * len(program))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)), 16)
    return ["seccomp"] if _libc.prctl(_PR_SET_SECCOMP, 2, header, 0, 0) == 0 else []
