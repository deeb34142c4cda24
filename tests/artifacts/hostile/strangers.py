"""Files that are not models at all, as downloads often are."""

from __future__ import annotations

import io
import struct
import tarfile
import zlib

from tests.artifacts.hostile.entry import NO_MODEL, Table

NOT = frozenset({"not_a_model"})


def _png() -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


def _tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        member = tarfile.TarInfo("model.pkl")
        member.size = 2
        archive.addfile(member, io.BytesIO(b"N."))
    return file.getvalue()


_SIGN_IN = b"<title>Sign in</title><form action='https://accounts.example/'></form>"
_LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
_OTHER = NO_MODEL | {"corrupt_artifact"}

STRANGERS: dict[str, tuple[str, bytes, frozenset[str]]] = {
    "empty": ("an empty file", b"", NOT),
    "html": ("an HTML page", b"<!DOCTYPE html>\n<html><head>" + _SIGN_IN + b"</head></html>", NOT),
    "html_bom": ("an HTML page behind a byte order mark and blank lines", b"\xef\xbb\xbf\r\n\r\n  <HTML lang=en>" + _SIGN_IN, NOT),
    "html_comment": ("an HTML page that begins with a comment", b"<!-- saved -->\n<html>" + _SIGN_IN, NOT),
    "xml_error": ("an S3 error document", b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>", NO_MODEL),
    "json_error": ("a JSON error", b'{"error": {"code": 404, "message": "Not Found"}}', _OTHER),
    "text": ("a line of text", b"hello\n", _OTHER),
    "lfs_pointer": (
        "a Git LFS pointer",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n",
        _OTHER,
    ),
    "csv": ("a CSV table", b"user_id,item_id\n1,2\n" * 50, _OTHER),
    "png": ("a PNG picture", _png(), NO_MODEL),
    "elf": ("the head of a program", b"\x7fELF\x02\x01\x01" + bytes(57), NO_MODEL),
    "tar": ("a tar archive around a model", _tar(), _OTHER),
    "zip_empty": ("an empty zip archive", b"PK\x05\x06" + bytes(18), _OTHER | {"missing_keys"}),
    "zeros": ("zeros", bytes(4096), _OTHER),
    "ones": ("bytes of 255", b"\xff" * 4096, _OTHER),
    "one_byte": ("one byte", b"\x80", _OTHER),
    "dot": ("a full stop, which is STOP", b".", _OTHER),
    "gzip_of_html": ("an HTML page, compressed", zlib.compress(b"<!DOCTYPE html><html>" + _SIGN_IN), _OTHER),
}


def add_to(table: Table) -> None:
    for name, (says, content, expected) in STRANGERS.items():
        table.add(f"stranger_{name}", says, content, expected, suffix=".bin")
