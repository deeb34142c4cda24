"""What a child might do that was taken over: the program that the tests start in place of `loaders.child`.

Run as `python hostile_child.py DEED FD`; it gets the same descriptors and the same plan as the real one.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import socket
import sys
from typing import Any

Plan = dict[str, Any]


def main() -> None:
    deed, wire = sys.argv[1], socket.socket(fileno=int(sys.argv[2]))
    plan = json.loads(wire.recv(int.from_bytes(wire.recv(4), "big"), socket.MSG_WAITALL))
    globals()[deed](wire, plan)


def send(wire: socket.socket, **frame: object) -> None:
    text = json.dumps(frame).encode()
    wire.sendall(len(text).to_bytes(4, "big") + text)


def claim_ok(wire: socket.socket, **more: object) -> None:
    send(wire, kind="ok", family="factors", **more)


def write_segment(plan: Plan, data: bytes) -> None:
    os.ftruncate(plan["segment_fd"], 0)
    os.pwrite(plan["segment_fd"], data, 0)


def tensors(note: object, table: dict[str, Any], payload: bytes) -> bytes:
    header = json.dumps({"__metadata__": {"holdfast": json.dumps(note)}, **table}).encode()
    header += b" " * (-len(header) % 64 - 8 % 64)
    header += b" " * (-(8 + len(header)) % 64)
    return len(header).to_bytes(8, "little") + header + payload


NOTE: dict[str, Any] = {"family": "factors", "meta": {}, "details": {}, "adopted": {}, "transposed": []}
RANGE: dict[str, Any] = {"kind": "range", "start": 0, "count": 4}
FACTORS: dict[str, Any] = {"dtype": "F32", "shape": [4, 4]}


def two_matrices(note: object, **changes: object) -> bytes:
    table = {"user_factors": {**FACTORS, "data_offsets": [0, 64]}, "item_factors": {**FACTORS, "data_offsets": [64, 128]}}
    return tensors(note, {**table, **changes}, bytes(128))


def empty_segment(wire: socket.socket, plan: Plan) -> None:
    claim_ok(wire)


def garbage_segment(wire: socket.socket, plan: Plan) -> None:
    write_segment(plan, os.urandom(4096))
    claim_ok(wire)


def huge_header(wire: socket.socket, plan: Plan) -> None:
    write_segment(plan, (1 << 62).to_bytes(8, "little") + b"{}")
    claim_ok(wire)


def deep_header(wire: socket.socket, plan: Plan) -> None:
    write_segment(plan, (200_000).to_bytes(8, "little") + b"[" * 200_000)
    claim_ok(wire)


def overlapping(wire: socket.socket, plan: Plan) -> None:
    write_segment(plan, two_matrices(NOTE, item_factors={**FACTORS, "data_offsets": [32, 96]}))
    claim_ok(wire)


def no_ids(wire: socket.socket, plan: Plan) -> None:
    write_segment(plan, two_matrices(NOTE))
    claim_ok(wire)


def ids_out_of_range(wire: socket.socket, plan: Plan) -> None:
    note = {**NOTE, "meta": {"user_ids": {**RANGE, "count": 4000}, "item_ids": RANGE}}
    write_segment(plan, two_matrices(note))
    claim_ok(wire)


def adopted_outside(wire: socket.socket, plan: Plan) -> None:
    adopted = {"user_factors": {"offset": 1 << 40, "dtype": "F32", "shape": [4, 4]}}
    write_segment(plan, tensors({**NOTE, "adopted": adopted}, {}, b""))
    claim_ok(wire)


def adopted_shape_overflow(wire: socket.socket, plan: Plan) -> None:
    adopted = {"user_factors": {"offset": 0, "dtype": "F32", "shape": [1 << 61, 1 << 61]}}
    write_segment(plan, tensors({**NOTE, "adopted": adopted}, {}, b""))
    claim_ok(wire)


def seen_out_of_range(wire: socket.socket, plan: Plan) -> None:
    note = {**NOTE, "meta": {"user_ids": RANGE, "item_ids": RANGE}}
    table = {
        "seen.indices": {"dtype": "I64", "shape": [3], "data_offsets": [128, 152]},
        "seen.indptr": {"dtype": "I64", "shape": [5], "data_offsets": [152, 192]},
    }
    indices = b"".join(n.to_bytes(8, "little") for n in (0, 1, 1 << 40))
    indptr = b"".join(n.to_bytes(8, "little") for n in (0, 1, 2, 3, 3))
    text = two_matrices(note, **table)
    write_segment(plan, text[: len(text)] + indices + indptr)
    claim_ok(wire)


def other_family(wire: socket.socket, plan: Plan) -> None:
    note = {**NOTE, "family": "os"}
    write_segment(plan, two_matrices(note))
    send(wire, kind="ok", family="os")


def no_verdict(wire: socket.socket, plan: Plan) -> None:
    os._exit(0)


def killed(wire: socket.socket, plan: Plan) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crashed(wire: socket.socket, plan: Plan) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def wire_garbage(wire: socket.socket, plan: Plan) -> None:
    wire.sendall(os.urandom(64))


def wire_endless_frame(wire: socket.socket, plan: Plan) -> None:
    wire.sendall((0xFFFFFFFF).to_bytes(4, "big") + bytes(1 << 16))


def wire_not_an_object(wire: socket.socket, plan: Plan) -> None:
    wire.sendall((2).to_bytes(4, "big") + b"[]")


def wire_cut_short(wire: socket.socket, plan: Plan) -> None:
    wire.sendall((100).to_bytes(4, "big") + b"{")


def wire_unknown_error(wire: socket.socket, plan: Plan) -> None:
    send(wire, kind="error", type="no_such_type", message="x", detail={})


def output_flood(wire: socket.socket, plan: Plan) -> None:
    for _ in range(2000):
        os.write(1, b"x" * 65536)
    os._exit(3)


def hang(wire: socket.socket, plan: Plan) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        signal.pause()


def phase_flood(wire: socket.socket, plan: Plan) -> None:
    for _ in range(20_000):
        send(wire, kind="phase", phase="loading")
        send(wire, kind="phase", phase=["loading"])
        send(wire, kind="progress", done="x")
    os._exit(0)


def _survivor(plan: Plan, wire: socket.socket) -> None:
    """A grandchild in a session of its own that keeps the segment mapped writable."""
    write_segment(plan, two_matrices({**NOTE, "meta": {"user_ids": RANGE, "item_ids": RANGE}}))
    ready_r, ready_w = os.pipe()
    if os.fork() == 0:
        os.setsid()
        mapped = mmap.mmap(plan["segment_fd"], 0)
        wire.close()
        for fd in (plan["segment_fd"], 1, 2):
            os.close(fd)
        os.write(ready_w, b"x")
        while mapped:
            signal.pause()
    os.read(ready_r, 1)


def grandchild_maps_segment(wire: socket.socket, plan: Plan) -> None:
    _survivor(plan, wire)
    claim_ok(wire)


def grandchild_after_crash(wire: socket.socket, plan: Plan) -> None:
    if os.fork() == 0:
        while True:
            signal.pause()
    os._exit(1)


if __name__ == "__main__":
    main()
