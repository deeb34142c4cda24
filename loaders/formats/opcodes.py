"""The argument form of every pickle opcode, and a check that says whether a frame is well formed.

Covers: what the feed must know to find the next opcode. The source is Python's own `pickletools.opcodes` table, read
once at import, so that a form can never be mistyped here.
"""

from __future__ import annotations

import pickletools
from typing import NamedTuple


class Form(NamedTuple):
    """How the argument of an opcode is written: `fixed` bytes, `lines` text lines, or a `prefix`-byte length and that many bytes."""

    fixed: int
    lines: int
    prefix: int


_LINES = {
    "decimalnl_short": 1,
    "decimalnl_long": 1,
    "floatnl": 1,
    "stringnl": 1,
    "stringnl_noescape": 1,
    "stringnl_noescape_pair": 2,
    "unicodestringnl": 1,
}
_PREFIX = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}


def _form(opcode: pickletools.OpcodeInfo) -> Form:
    arg = opcode.arg
    if arg is None:
        return Form(0, 0, 0)
    if arg.n >= 0:
        return Form(arg.n, 0, 0)
    if arg.n == pickletools.UP_TO_NEWLINE:
        return Form(0, _LINES[arg.name], 0)
    return Form(0, 0, _PREFIX[arg.n])


FORMS: list[Form | None] = [None] * 256
for _opcode in pickletools.opcodes:
    FORMS[ord(_opcode.code)] = _form(_opcode)

FRAME = 0x95
STOP = ord(".")
BUILD = ord("b")
NEXT_BUFFER = 0x97
BINPERSID = ord("Q")
PROTO = 0x80
BINUNICODE = ord("X")
BIG_BYTES = frozenset((ord("B"), 0x8E, 0x96))
"""BINBYTES, BINBYTES8, BYTEARRAY8: from 64 KiB on their payload lies outside frames."""

BINPUT = ord("q")
LONG_BINPUT = ord("r")


class Broken(ValueError):
    """The stream is not a well-formed pickle; the message says where."""


def check_frame(frame: bytes, memo_limit: int) -> None:
    """Walk the opcodes of one frame. Raises Broken at a length beyond it, an unknown opcode, or a memo index over `memo_limit`.

    Slow (a Python step an opcode): only for telling, after a MemoryError, a forged length from a real memory cap.
    """
    at, end = 0, len(frame)
    while at < end:
        opcode = frame[at]
        form = FORMS[opcode]
        if form is None:
            raise Broken(f"unknown opcode 0x{opcode:02x}")
        at += 1
        if opcode == LONG_BINPUT and int.from_bytes(frame[at : at + 4], "little") > memo_limit:
            raise Broken("memo index beyond what was stored")
        at += form.fixed
        for _ in range(form.lines):
            newline = frame.find(b"\n", at)
            if newline < 0:
                raise Broken("text argument without an end")
            at = newline + 1
        if form.prefix:
            at += form.prefix + int.from_bytes(frame[at : at + form.prefix], "little")
        if at > end:
            raise Broken("an argument is longer than its frame")
