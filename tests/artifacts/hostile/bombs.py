"""Small files that want much memory: by many small objects, by deep ones, by decompression.

A cap that allows 20 bytes for every byte of pickle must still be hit: each opcode here makes more than that.
"""

from __future__ import annotations

import bz2
import lzma
import pickle
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache

from tests.artifacts.hostile.entry import BOMB, DAMAGED, USERS, Table, honest, matrix
from tests.artifacts.hostile.wrappers import forged_joblib

CAP = frozenset({"memory_cap_exceeded"})
MIB, GIB = 1 << 20, 1 << 30
_FRAME = 64 << 10


def add_to(table: Table) -> None:
    def add(
        name: str, says: str, build: Callable[[], bytes], expected: frozenset[str], *, suffix: str = ".pkl", may_load: bool = False
    ) -> None:
        table.add(f"bomb_{name}", says, lambda _: build(), expected, suffix=suffix, may_load=may_load)

    add("lists", "16 million empty lists in 16 MB", lambda: many(b"]", 16 << 20), CAP)
    add("dicts", "16 million empty dicts in 16 MB", lambda: many(b"}", 16 << 20), CAP)
    add("sets", "4 million empty sets in 4 MB", lambda: many(b"\x8f", 4 << 20), CAP)
    add("filled_dicts", "4 million dicts of one number in 24 MB", lambda: many(b"}K\x01K\x01s", 4 << 20), CAP)
    add(
        "records",
        "2 million objects of a class nobody knows in 8 MB",
        lambda: many(b"h\x00)\x81", 2 << 20, first=b"cother\nThing\nq\x000"),
        CAP,
    )
    add("unframed_sets", "4 million empty sets, outside frames", lambda: b"\x80\x04(" + b"\x8f" * (4 << 20) + b"l.", CAP)
    add("sets_in_model", "4 million empty sets beside a whole model", lambda: beside_model(b"\x8f", 4 << 20), CAP)

    add("deep_lists", "lists in a list, 300,000 deep", lambda: b"\x80\x04" + b"]" * 300_000 + b"a" * 299_999 + b".", DAMAGED)
    add("deep_tuples", "tuples in a tuple, a million deep", lambda: b"\x80\x04)" + b"\x85" * 1_000_000 + b".", DAMAGED)
    # CPython hashes tuples by recursion without a limit: this ends the process, and only the process.
    deep_key = b"\x80\x04})" + b"\x85" * 1_000_000 + b"K\x01s."
    add("deep_key", "the same as a key, which overflows the stack of whoever hashes it", lambda: deep_key, DAMAGED | {"child_crashed"})

    for how, size in (("zlib", 4 * GIB), ("gzip", GIB), ("xz", 4 * GIB), ("lzma", 256 * MIB), ("bz2", 4 * GIB), ("lz4", GIB)):
        for kind, says in (("array", "an array of zeros"), ("bytes", "bytes of zero"), ("text", "a text of NULs")):
            if kind == "array" or how == "zlib":
                name = f"{how}_{kind}"
                add(name, f"{says} of {size // MIB:,} MiB, declared honestly, by {how}", _deflated(how, kind, size), BOMB, suffix=".joblib")


def many(opcodes: bytes, count: int, *, first: bytes = b"") -> bytes:
    """A list of `count` objects, each made by `opcodes`, in frames as a pickler's."""
    return b"\x80\x04" + first + b"(" + b"".join(_frames(opcodes, count)) + b"l."


def beside_model(opcodes: bytes, count: int) -> bytes:
    """The honest base with such a list under a key that nobody needs."""
    model = pickle.dumps(honest(), 3)  # without frames: one that ended behind the cut would be broken
    return model[:-1] + b"\x8c\x05extra(" + b"".join(_frames(opcodes, count)) + b"ls."


def _records() -> bytes:
    return many(b"h\x00)\x81", 2 << 20, first=b"cother\nThing\nq\x000")


def _frames(opcodes: bytes, count: int) -> Iterator[bytes]:
    each = _FRAME // len(opcodes)
    frame = opcodes * each
    for start in range(0, count, each):
        body = frame[: min(each, count - start) * len(opcodes)]
        yield b"\x95" + struct.pack("<Q", len(body)) + body


def _deflated(how: str, kind: str, size: int) -> Callable[[], bytes]:
    return lambda: _zeros(how, kind, size)


@cache
def _zeros(how: str, kind: str, size: int) -> bytes:
    """A pickle around `size` zeros (a multiple of 64 MiB), compressed without ever holding them."""
    if kind == "array":
        before, after = _around_array(size)
    else:
        before, after = b"\x80\x04" + (b"\x8e" if kind == "bytes" else b"\x8d") + struct.pack("<Q", size), b"."
    return {"zlib": _zlib, "gzip": _gzip, "xz": _xz, "lzma": _lzma, "bz2": _bz2, "lz4": _lz4}[how](before, size, after)


def _around_array(size: int) -> tuple[bytes, bytes]:
    """What joblib writes before and after the bytes of user_factors, if they were `size` bytes, float32 of 256 columns."""
    whole = forged_joblib(shape=(size // 1024, 256), allow_mmap=False)
    before, after = whole.split(matrix(USERS).tobytes())
    return before, after


def _repeated_deflate(before: bytes, size: int, after: bytes, wbits: int) -> bytes:
    """One deflate stream, without its checksum; after a full flush, equal input gives equal bytes."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, wbits)
    head = deflate.compress(before) + deflate.flush(zlib.Z_FULL_FLUSH)
    mebibyte = deflate.compress(bytes(MIB)) + deflate.flush(zlib.Z_FULL_FLUSH)
    tail = deflate.compress(after) + deflate.flush(zlib.Z_FINISH)
    return head + mebibyte * (size // MIB) + tail


def _zlib(before: bytes, size: int, after: bytes) -> bytes:
    stream = _repeated_deflate(before, size, after, 15)[:-4]
    a, b = zlib.adler32(before) & 0xFFFF, zlib.adler32(before) >> 16
    checksum = zlib.adler32(after, ((b + a * size) % 65521) << 16 | a)
    return stream + struct.pack(">I", checksum)


def _gzip(before: bytes, size: int, after: bytes) -> bytes:
    checksum = zlib.crc32(before)
    for _ in range(size // MIB):
        checksum = zlib.crc32(_MEBIBYTE, checksum)
    header = b"\x1f\x8b\x08\x00" + bytes(6)
    trailer = struct.pack("<II", zlib.crc32(after, checksum), (len(before) + size + len(after)) & 0xFFFFFFFF)
    return header + _repeated_deflate(before, size, after, -15) + trailer


_MEBIBYTE = bytes(MIB)


def _xz(before: bytes, size: int, after: bytes) -> bytes:
    """Several streams one after the other, which xz and joblib read as one."""
    head, piece, tail = (lzma.compress(part, preset=0) for part in (before, bytes(32 * MIB), after))
    return head + piece * (size // (32 * MIB)) + tail


def _bz2(before: bytes, size: int, after: bytes) -> bytes:
    head, piece, tail = (bz2.compress(part) for part in (before, bytes(8 * MIB), after))
    return head + piece * (size // (8 * MIB)) + tail


def _lzma(before: bytes, size: int, after: bytes) -> bytes:
    compressor = lzma.LZMACompressor(lzma.FORMAT_ALONE, preset=0)
    pieces = [compressor.compress(before), *(compressor.compress(_MEBIBYTE) for _ in range(size // MIB)), compressor.compress(after)]
    return b"".join(pieces) + compressor.flush()


def _lz4(before: bytes, size: int, after: bytes) -> bytes:
    import lz4.frame

    with lz4.frame.LZ4FrameCompressor(block_size=lz4.frame.BLOCKSIZE_MAX4MB) as compressor:
        pieces = [compressor.begin(), compressor.compress(before)]
        pieces += [compressor.compress(_MEBIBYTE) for _ in range(size // MIB)]
        return b"".join([*pieces, compressor.compress(after), compressor.flush()])
