"""What runs as a hosted model: one artifact in, one object unpickled, then an answer to every question until the parent goes.

Started as `python -I -m loaders.hosting.child FD` by `loaders.process`; FD is the wire. The order of the first lines matters,
as in `loaders.child`; unlike there, files of the Python path stay readable, because unpickling imports. Questions are
{"id", "rows"}, answers {"kind": "answer", "id", "predictions", "probabilities"?, "calls", "peak_bytes"}, {"kind": "refused", "id",
"message"} where the estimator finds the rows wrong, or {"kind": "failed", "id", "message"} where it failed by itself. What
hits the memory cap is told by an "error" frame and ends the process: its heap cannot be trusted any more.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from typing import Any

from loaders import blas, child, walls
from loaders.told import whole
from loaders.wire import ChildEnd, WireError

FRAME_LIMIT = 64 << 20
"""The longest question or answer, bytes of JSON."""
_LONGEST_HELLO = 4 << 20
"""Of what is said of a model at first: the server reads it where others wait."""
_REFUSALS = (ValueError, TypeError, KeyError)
_TOLD_CHARACTERS = 2000


def main() -> None:
    """Load, then serve; exit code 0 when the parent is gone or after an "error" frame."""
    wire = ChildEnd(int(sys.argv[1]), FRAME_LIMIT)
    try:
        plan = wire.receive()
    except WireError:
        os._exit(1)
    memory = walls.PrivateMemory()
    stand = walls.limit(plan["data_bytes"], plan["data_hard_bytes"], 0, None)
    stand += walls.isolate(plan["parent_pid"], nice=0)
    code = 1
    try:
        _host(wire, plan, stand, memory)
        code = 0
    except BaseException as error:  # the last place that can still say why
        code = child.report(wire, error, memory)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _host(wire: ChildEnd, plan: dict[str, Any], stand: list[str], memory: walls.PrivateMemory) -> None:
    from loaders.hosting.paths import readable_paths

    # joblib would ask for semaphores, which are files.
    os.environ["JOBLIB_MULTIPROCESSING"] = "0"
    stand = [*stand, *walls.close_files(readable_paths()), *walls.close_processes(sockets=False)]
    wire.send("phase", phase="warming")
    blas.settle()
    from loaders.errors import UnknownFormat
    from loaders.hosting.estimator import served
    from loaders.hosting.unpickling import unpickle

    trusts_all = plan["trust"] == "any"
    told: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = served(unpickle(plan["artifact_fd"], plan["is_joblib"], trusts_all=trusts_all))
        told = [str(warning.message)[:300] for warning in caught if issubclass(warning.category, UserWarning)][:5]
    warnings.simplefilter("ignore")
    hello = {**model.describe(), "peak_bytes": memory.sample(), "cap_bytes": plan["data_hard_bytes"], "walls": stand, "warnings": told}
    text = json.dumps({"kind": "ok", **hello}, separators=(",", ":")).encode()
    if len(text) > _LONGEST_HELLO:
        raise UnknownFormat(f"the names of its features and classes take {len(text)} bytes, {_LONGEST_HELLO} are allowed")
    wire.send_text(text)
    if "joblib" in sys.modules:
        from joblib import parallel_config

        with parallel_config(backend="sequential"):
            _serve(wire, model, memory)
    else:
        _serve(wire, model, memory)


def _serve(wire: ChildEnd, served: Any, memory: walls.PrivateMemory) -> None:
    import msgspec

    while True:
        try:
            question = msgspec.json.decode(wire.receive_text())
        except WireError:
            return  # the parent is gone
        answer = _answer(served, question["rows"])
        answer |= {"id": question["id"], "calls": served.calls, "peak_bytes": memory.sample()}
        try:
            text = msgspec.json.encode(answer)
        except UnicodeEncodeError:
            text = msgspec.json.encode(whole(answer))
        if len(text) > FRAME_LIMIT:
            refusal = f"the answer has {len(text)} bytes, {FRAME_LIMIT} are allowed: send fewer rows at a time"
            text = msgspec.json.encode({"kind": "refused", "id": question["id"], "message": refusal})
        wire.send_text(text)


def _answer(served: Any, rows: list[Any]) -> dict[str, Any]:
    """The fields of the answer. Raises MemoryError."""
    try:
        return {"kind": "answer", **served.predict(rows)}
    except MemoryError:
        raise
    except Exception as error:
        words = " ".join(str(error).split())[:_TOLD_CHARACTERS] or type(error).__name__
        if isinstance(error, _REFUSALS):
            return {"kind": "refused", "message": words}
        return {"kind": "failed", "message": f"{type(error).__name__}: {words}"}


if __name__ == "__main__":
    main()
