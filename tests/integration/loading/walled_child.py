"""Tries what the walls forbid, from inside; prints one JSON object of what came of it.

Run as `python walled_child.py PARENT_PID DATA_BYTES FILE_BYTES FOLDER`.
With DATA_BYTES 0 it puts up its walls, says so, and waits for its parent to die.
"""

from __future__ import annotations

import contextlib
import errno
import json
import mmap
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from loaders import walls


def main() -> None:
    parent, data_bytes, file_bytes = map(int, sys.argv[1:4])
    memfd = os.memfd_create("grown")
    folder = Path(sys.argv[4])
    (folder / "there").touch()
    memory = walls.PrivateMemory()
    stand = walls.limit(data_bytes or 1 << 30, (data_bytes or 1 << 30) + (64 << 20), file_bytes, 60)
    stand += walls.isolate(parent)
    stand += [*walls.close_files(), *walls.close_processes()]
    if not data_bytes:
        print(json.dumps(stand), flush=True)
        while True:
            time.sleep(60)  # until it is killed
    result = {
        "walls": stand,
        "open_to_read": attempt(lambda: os.open(folder / "there", os.O_RDONLY)),
        "open_to_write": attempt(lambda: os.open(folder / "new", os.O_WRONLY | os.O_CREAT)),
        "list": attempt(lambda: os.listdir(folder)),
        "unlink": attempt(lambda: (folder / "there").unlink()),
        "fork": attempt(os.fork),
        "exec": attempt(lambda: os.execv(sys.executable, [sys.executable, "-c", ""])),
        "spawn": attempt(lambda: subprocess.run([sys.executable, "-c", ""], check=False)),
        "thread": attempt(lambda: threading.Thread(target=lambda: None).start()),
        "connect": attempt(lambda: socket.create_connection(("127.0.0.1", 9), timeout=1)),
        "allocate_much": attempt(lambda: bytes(data_bytes)),
        "allocate_little": attempt(lambda: bytes(1 << 20)),
        "map_much": attempt(lambda: mmap.mmap(-1, data_bytes, mmap.MAP_PRIVATE)),
        "grow_far": attempt(lambda: os.ftruncate(memfd, file_bytes + 1)),
        "grow_within": attempt(lambda: os.ftruncate(memfd, file_bytes)),
        "limits_up": attempt(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes * 2, file_bytes * 2))),
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "raised": [walls.raise_data(data_bytes + (16 << 20)), walls.raise_data(data_bytes), walls.raise_data(1 << 50)],
        "sample": memory.sample(),
    }
    print(json.dumps(result), flush=True)


def attempt(deed: Callable[[], object]) -> str:
    """What came of it: "done", or the name of the error."""
    try:
        deed()
    except MemoryError:
        return "MemoryError"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    except (RuntimeError, ValueError) as error:
        return type(error).__name__
    return "done"


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()
