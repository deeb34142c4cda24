"""A child that does as it is told by a word: what `test_process` starts. Run as `python any_child.py DEED FD`."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sys
from typing import Any


def main() -> None:
    deed, wire = sys.argv[1], socket.socket(fileno=int(sys.argv[2]))
    if deed != "dead_before_its_plan":
        plan = json.loads(wire.recv(int.from_bytes(wire.recv(4), "big"), socket.MSG_WAITALL))
        globals()[deed](wire, plan)
    os._exit(9)


def send(wire: socket.socket, **frame: Any) -> None:
    text = json.dumps(frame).encode()
    wire.sendall(len(text).to_bytes(4, "big") + text)


def answer(wire: socket.socket, plan: dict[str, Any]) -> None:
    send(wire, kind="phase", phase="loading")
    send(wire, kind="progress", done=1, total=2)
    send(wire, kind="ok", environment=dict(os.environ), fds=sorted(map(int, os.listdir("/proc/self/fd"))), session=os.getsid(0), plan=plan)


def answer_and_stay(wire: socket.socket, plan: dict[str, Any]) -> None:
    send(wire, kind="ok")
    hang(wire, plan)


def many_frames_then_die(wire: socket.socket, plan: dict[str, Any]) -> None:
    for number in range(200):
        send(wire, kind="progress", number=number)
    send(wire, kind="error", type="corrupt_artifact", message="no good", detail={"at": 7})


def tell(wire: socket.socket, plan: dict[str, Any]) -> None:
    send(wire, **plan["tell"])


def hang(wire: socket.socket, plan: dict[str, Any]) -> None:
    while True:
        signal.pause()


def close_the_wire_and_hang(wire: socket.socket, plan: dict[str, Any]) -> None:
    wire.close()
    hang(wire, plan)


def spin(wire: socket.socket, plan: dict[str, Any]) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (1, 6))
    while True:
        pass


def say_and_die(wire: socket.socket, plan: dict[str, Any]) -> None:
    print(plan["say"], flush=True)


def eat(wire: socket.socket, plan: dict[str, Any]) -> None:
    kept = [b"x" * (8 << 20) for _ in range(64)]
    send(wire, kind="ok", kept=len(kept))


def fork_and_hang(wire: socket.socket, plan: dict[str, Any]) -> None:
    os.fork()
    hang(wire, plan)


def leave_one_behind(wire: socket.socket, plan: dict[str, Any]) -> None:
    """In a session of its own, where nobody kills it, with the wire open."""
    ready, gone = os.pipe()
    if os.fork() == 0:
        os.setsid()
        os.write(gone, b"x")
        os.read(plan["until"], 1)
        os._exit(0)
    os.read(ready, 1)


if __name__ == "__main__":
    main()
