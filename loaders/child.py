"""What runs under the cap: one artifact in, one segment out, one verdict on the wire.

Started as `python -I -m loaders.child FD` by `loaders.process`; FD is the wire. The order of the first lines matters:
limits and namespaces come before numpy (whose threads and memory they bound), Landlock after the last import. Leaves by
`os._exit`, because the interpreter must not tear down objects that point into mappings.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from typing import Any

from loaders import walls
from loaders.walls import PrivateMemory
from loaders.wire import ChildEnd, WireError


def main() -> None:
    """Run the plan and leave: exit code 0 after a verdict, 1 without one."""
    wire = ChildEnd(int(sys.argv[1]))
    try:
        plan = wire.receive()
    except WireError:
        os._exit(1)
    memory = walls.PrivateMemory()
    stand = walls.limit(plan["data_bytes"], plan["data_hard_bytes"], plan["segment_limit"], plan["cpu_s"])
    stand += walls.isolate(plan["parent_pid"])
    code = 1
    try:
        from loaders.reading import run

        run(wire, plan, stand, memory)
        code = 0
    except BaseException as error:  # the last place that can still say why
        code = report(wire, error, memory)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def report(wire: ChildEnd, error: BaseException, memory: PrivateMemory) -> int:
    """Send the error frame for a failure; 0 if it was sent."""
    try:
        peak = memory.sample()
        wire.send("error", peak_bytes=peak, **_fields(error))
    except (OSError, WireError, MemoryError):
        return 1
    return 0


def _fields(error: BaseException) -> dict[str, Any]:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        error.__traceback__ = None  # frees the frames that hold the memory
        return {"type": "memory_cap_exceeded", "message": "", "detail": {}}
    type, detail = getattr(error, "type", None), getattr(error, "detail", None)
    if isinstance(type, str) and isinstance(detail, dict):
        return {"type": type, "message": str(error)[:2000], "detail": detail}
    text = "".join(traceback.format_exception(error))[-4000:]
    return {"type": "child_crashed", "message": f"{error.__class__.__name__}: {error}"[:500], "detail": {"traceback": text}}


if __name__ == "__main__":
    main()
