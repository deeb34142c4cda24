"""Compressed artifacts: every compression, in several members, padded, cut, damaged."""

from __future__ import annotations

import bz2
import gzip
import lzma
import pickle
import random
import zlib
from collections.abc import Callable

import lz4.frame
import pytest

from loaders.errors import CorruptArtifact, UnknownFormat

from .reading import MemorySink, read_file

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "lz4": lambda data: lz4.frame.compress(data, content_checksum=True),
    "zlib": zlib.compress,
}
MODEL = {"ids": list(range(1000)), "zeros": bytes(200_000), "noise": random.Random(1).randbytes(300_000)}
DATA = pickle.dumps(MODEL, 4)
both = pytest.mark.parametrize("name", COMPRESSORS)


@both
def test_every_compression_reads_the_same(name: str) -> None:
    sink = MemorySink()
    tree = read_file(COMPRESSORS[name](DATA), sink)
    assert tree.root == MODEL
    assert tree.format == f"pickle+{name}"
    assert sink.taken == [200_000, 300_000]


@both
@pytest.mark.parametrize("step", [5_000, 250_000])
@pytest.mark.parametrize("padding", [0, 512])
def test_members_one_after_another_are_one_stream(name: str, step: int, padding: int) -> None:
    members = [COMPRESSORS[name](DATA[at : at + step]) for at in range(0, len(DATA), step)]
    assert read_file(bytes(padding).join(members) + bytes(padding)).root == MODEL


@both
def test_cut_compressed_streams_are_corrupt(name: str) -> None:
    small = COMPRESSORS[name](pickle.dumps({"a": [1, 2, 3], "b": "text" * 20}, 4))
    for end in range(9, len(small) - 1):
        with pytest.raises((CorruptArtifact, UnknownFormat)):
            read_file(small[:end])


@pytest.mark.parametrize("name", ["gzip", "bz2", "xz", "lz4", "zlib"])
def test_a_wrong_checksum_behind_the_last_value_is_noticed(name: str) -> None:
    packed = bytearray(COMPRESSORS[name](DATA))
    packed[-5 if name in ("gzip", "bz2") else -30 if name == "xz" else -1] ^= 0x10
    with pytest.raises(CorruptArtifact):
        read_file(bytes(packed))


@both
def test_what_follows_that_is_no_member_is_corrupt(name: str) -> None:
    with pytest.raises(CorruptArtifact):
        read_file(COMPRESSORS[name](DATA) + b"\x01garbage behind the end of it")


@both
def test_something_else_compressed_is_of_unknown_format(name: str) -> None:
    for content in (b"", b"\x80", b"\x80\x07.", b"just text"):
        with pytest.raises((UnknownFormat, CorruptArtifact)):
            read_file(COMPRESSORS[name](content))
