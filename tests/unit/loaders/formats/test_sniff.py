"""A file's format is told by its first bytes alone."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from loaders.errors import CorruptArtifact, LoadError, NotAModel, UnknownFormat
from loaders.formats import looks_like_html, sniff

from .reading import read_file

HTML = [b"<!DOCTYPE html><html>", b"\xef\xbb\xbf\n <HTML>", b"<?xml version='1.0'?>", b"<!-- x -->", b"  <body>"]


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"PK\x03\x04rest", "npz"),
        (b"\x80\x02}.", "pickle"),
        (b"\x80\x05\x95", "pickle"),
        (b"\x1f\x8b\x08\x00", "compressed"),
        (b"BZh9", "compressed"),
        (b"\xfd7zXZ\x00", "compressed"),
        (b"\x5d\x00\x00\x80", "compressed"),
        (b"\x04\x22\x4d\x18d", "compressed"),
        (b"\x78\x9c", "compressed"),
        (b"\x78\x01", "compressed"),
    ],
)
def test_formats(head: bytes, expected: str) -> None:
    assert sniff(head, 1000) == expected


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"", NotAModel),
        *((page, NotAModel) for page in HTML),
        (b"\x80\x06.", UnknownFormat),
        (b"\x80\x00.", UnknownFormat),
        (b"(dp0\n", UnknownFormat),
        (b"\x78\x9d", UnknownFormat),
        (b"x", UnknownFormat),
        (b"\x10\0\0\0\0\0\0\x01{", CorruptArtifact),
    ],
)
def test_what_is_no_model(head: bytes, expected: type[LoadError]) -> None:
    with pytest.raises(expected):
        sniff(head, len(head))


def test_html_is_looked_for_at_the_beginning_only() -> None:
    assert not looks_like_html(b"\x80\x04 <html>")
    assert not looks_like_html(b" " * 2000 + b"<html>")


def test_a_safetensors_file_is_one_whatever_its_header_length_looks_like() -> None:
    """Lengths of 128 + 256n begin as a pickle does, others as a compressed file."""
    start = b'{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}'
    for length in range(len(start), 1600):
        data = length.to_bytes(8, "little") + start.ljust(length) + b"\x05\x06"
        assert sniff(data[:4096], len(data)) == "safetensors", length
        assert read_file(data).root["a"].values.tolist() == [5, 6]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_no_pickle_passes_for_safetensors(protocol: int) -> None:
    values: tuple[Any, ...] = ({"{": "{"}, "{" * 9, b"\0{\0{\0{\0{", ["{"], "{" * 70_000, b"{" * 70_000, np.zeros(3), {0: {}}, 0x7B7B7B7B)
    for value in values:
        data = pickle.dumps(value, protocol)
        assert sniff(data, len(data)) == "pickle"
