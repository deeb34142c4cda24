"""What runs under the cap of a training: one plan in, one staged version or none out, one verdict on the wire.

Started as `python -I -m training.running.child FD` by `training.running.runner`; FD is the wire. Covers: the walls, the peak of
memory, failures by their public type. Does not cover: the steps of a run (`training.running.steps`), the time limit and
publishing (`training.running.runner`). The order of the first lines matters: limits come before numpy. The network stays open,
for the database; what is read is the operator's own data. Leaves by `os._exit`, because the interpreter must not tear down
objects that point into mappings.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import traceback
from typing import Any

from loaders import blas, walls
from loaders.errors import FAILURES
from loaders.wire import ChildEnd, WireError
from training.errors import TRAINING_FAILURES
from training.running.telling import Secrets, Telling, Wire, log_to_stdout

_SAMPLE_S = 0.05
_OPEN_FILES = 256
_STORE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
"""Of a store that has no room or cannot be written."""
_INSTALL = 'pip install "holdfast[train]"'


def main() -> None:
    """Carry the plan out and leave: exit code 0 after a verdict, 1 without one."""
    wire = ChildEnd(int(sys.argv[1]))
    try:
        frame = wire.receive()
    except WireError:
        os._exit(1)
    memory = walls.PrivateMemory()
    stand = walls.limit(frame["data_bytes"], frame["data_hard_bytes"], frame["file_bytes"], frame["cpu_s"], _OPEN_FILES)
    stand += walls.isolate(frame["parent_pid"], network=True)
    secrets = Secrets(frame["data"]["url"])
    code = 1
    try:
        log_to_stdout(secrets)
        threading.Thread(target=_sample, args=(memory,), name="memory", daemon=True).start()
        from training.running.plan import Plan, threads_of
        from training.running.steps import carry_out

        plan = Plan.of(frame)
        blas.settle(threads_of(plan.training))
        outcome = carry_out(plan, Telling(wire), memory)
        wire.send("ok", walls=stand, peak_bytes=memory.sample(), **outcome.to_json())
        code = 0
    except BaseException as error:  # the last place that can still say why
        code = report(wire, error, memory, secrets)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _sample(memory: walls.PrivateMemory) -> None:
    waiting = threading.Event()
    while not waiting.wait(_SAMPLE_S):
        memory.sample()


def report(wire: Wire, error: BaseException, memory: walls.PrivateMemory, secrets: Secrets) -> int:
    """Send the error frame for a failure; 0 if it was sent."""
    try:
        type, message, detail = described(error)
        wire.send("error", type=type, message=secrets.hide(message), detail=_hidden(detail, secrets), peak_bytes=memory.sample())
    except (OSError, WireError, MemoryError, TypeError):
        return 1
    return 0


def described(error: BaseException) -> tuple[str, str, dict[str, Any]]:
    """A failure's public type (`training.errors`, `loaders.errors`), what it says, and its JSON-ready context."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        error.__traceback__ = None  # frees the frames that hold the memory
        return "memory_cap_exceeded", "", {}
    type, detail = getattr(error, "type", None), getattr(error, "detail", None)
    if (type in TRAINING_FAILURES or type in FAILURES) and isinstance(detail, dict):
        return str(type), str(error)[:2000], detail
    if isinstance(error, ModuleNotFoundError):
        return "missing_library", f"{error.name} is not installed: {_INSTALL}", {"libraries": [error.name]}
    if isinstance(error, OSError) and error.errno in _STORE:  # readers of data say themselves what failed
        return "disk_full", f"the store cannot be written: {error}"[:500], {}
    text = "".join(traceback.format_exception(error))[-4000:]
    return "child_crashed", f"{error.__class__.__name__}: {error}"[:500], {"traceback": text}


def _hidden(detail: dict[str, Any], secrets: Secrets) -> dict[str, Any]:
    return {name: secrets.hide(value) if isinstance(value, str) else value for name, value in detail.items()}


if __name__ == "__main__":
    main()
