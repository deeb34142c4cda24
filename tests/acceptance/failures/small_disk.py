"""The program on a store that is a file system of a few megabytes, which nobody else sees and which ends with the program.

Covers: a mount namespace around the program, made where it starts. Does not cover: systems that allow neither root nor
unprivileged users a mount: there the program does not start, and the test fails.
"""

from __future__ import annotations

import sys
from pathlib import Path

_START = """#!{python}
import ctypes, os, sys
from pathlib import Path

NEWNS, NEWUSER, REC, PRIVATE = 0x20000, 0x10000000, 0x4000, 1 << 18
libc = ctypes.CDLL(None, use_errno=True)

def call(function, *arguments):
    if function(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{{function.__name__}}: {{os.strerror(number)}}")

uid, gid = os.getuid(), os.getgid()
if libc.unshare(NEWNS) != 0:
    call(libc.unshare, NEWNS | NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{{uid}} {{uid}} 1")
    Path("/proc/self/gid_map").write_text(f"{{gid}} {{gid}} 1")
call(libc.mount, None, b"/", None, REC | PRIVATE, None)
call(libc.mount, b"tmpfs", {store!r}, b"tmpfs", 0, {options!r})
from service.cli import main
sys.exit(main())
"""


def python_on_small_disk(folder: Path, store: Path, size_bytes: int) -> Path:
    """What to give `serving` as its `python`, so that `store` is a disk of that size for the program."""
    store.mkdir(parents=True)
    script = folder / "small" / "holdfast"
    script.parent.mkdir()
    options = f"size={size_bytes},mode=0700".encode()
    script.write_text(_START.format(python=sys.executable, store=bytes(store), options=options))
    script.chmod(0o755)
    return script.with_name("python")


def seen_by(pid: int, path: Path) -> Path:
    """The path as that process sees it."""
    return Path(f"/proc/{pid}/root{path}")
