"""What a source address says: its scheme, what is wrong with it, and how to show it without its secrets.

Covers: pure text, no I/O, so that configuration can be checked before anything starts. Does not cover: opening
(`loaders.sources.open_source`).
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

DRIVE_HOSTS = frozenset({"drive.google.com", "docs.google.com", "drive.usercontent.google.com"})
SCHEMES = ("file", "http", "https", "s3", "gdrive", "training")

# Query values that name what is asked for. Every other value may be a signature or a key, so it is not shown.
_SHOWN_QUERY_KEYS = frozenset({"id", "export", "confirm", "alt", "dl", "download", "format", "raw", "ref", "rev", "version", "versionid"})
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://")
_TRAINING = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_DRIVE_ID = re.compile(r"[-\w]+")
_DRIVE_PATH = re.compile(r"/(?:file|document|presentation|spreadsheets)/(?:u/\d+/)?d/(?P<id>[-\w]+)")


class InvalidAddress(ValueError):
    """A source address that no source can open; the message says why."""


def scheme_of(uri: str) -> str:
    """The scheme that decides which source opens `uri`; a plain path is "file", a Google Drive share link is "gdrive"."""
    if uri.startswith("training:"):
        return "training"
    if uri.startswith("file:"):
        return "file"
    match = _SCHEME.match(uri)
    if match is None:
        return "file"
    scheme = match["scheme"].lower()
    authority = re.split(r"[/?#]", uri[match.end() :], maxsplit=1)[0]
    host = authority.rpartition("@")[2].partition(":")[0].lower()  # not urlsplit: it refuses what check_source shall explain
    return "gdrive" if scheme in ("http", "https") and host in DRIVE_HOSTS else scheme


def check_source(uri: str) -> str | None:
    """What is wrong with `uri` as a source, in words; None if nothing is. Asks nobody."""
    if not uri.strip():
        return "the source is empty"
    scheme = scheme_of(uri)
    if scheme == "training":
        name = uri.removeprefix("training:")
        return None if _TRAINING.fullmatch(name) else f"{name!r} names no training: training:NAME is what [training.NAME] publishes"
    if scheme not in SCHEMES:
        known = ", ".join(f"{each}{':' if each == 'training' else '://'}" for each in SCHEMES)
        return f"unknown scheme {scheme!r}: a source is a path, or one of {known}"
    try:
        {"file": file_path, "s3": bucket_and_key, "gdrive": drive_id}.get(scheme, _http_host)(uri)
    except ValueError as error:
        return str(error)
    return None


def redact(uri: str) -> str:
    """`uri` without user info, fragment and query values that may be secret: fit for logs and status pages."""
    if _SCHEME.match(uri) is None:
        return uri
    try:
        parts = urlsplit(uri)
    except ValueError:
        return f"{scheme_of(uri)}://***"
    host = parts.netloc.rpartition("@")[2]
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    query = urlencode([(key, value if key.lower() in _SHOWN_QUERY_KEYS else "***") for key, value in pairs], safe="*")
    return urlunsplit((parts.scheme, host, parts.path, query, ""))


def file_path(uri: str) -> Path:
    """The path of a plain path or a file URL. Raises InvalidAddress for a file URL of another host."""
    if not uri.startswith("file:"):
        return Path(uri).expanduser()
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost"):
        raise InvalidAddress(
            f"file://{parts.netloc}/... names another host; an absolute path takes three slashes: file:///{parts.netloc}{parts.path}"
        )
    if not parts.path.startswith("/"):
        raise InvalidAddress("a file URL holds an absolute path (file:///srv/model.pkl); a relative one is written without file:")
    return Path(unquote(parts.path))


def bucket_and_key(uri: str) -> tuple[str, str, str | None]:
    """(bucket, key, version or None) of s3://bucket/key[?versionId=...]. Raises InvalidAddress."""
    bucket, _, key = uri[len("s3://") :].partition("/")
    key, _, query = key.partition("?versionId=")
    if not bucket or not key or key.endswith("/"):
        raise InvalidAddress("an S3 source is s3://BUCKET/KEY")
    return bucket, key, query or None


def drive_id(uri: str) -> str:
    """The file id of gdrive://ID or of any Google Drive share link. Raises InvalidAddress."""
    if uri.lower().startswith("gdrive://"):
        found = uri[len("gdrive://") :].strip("/")
    else:
        parts = urlsplit(uri)
        if "/folders/" in parts.path:
            raise InvalidAddress("this Google Drive link names a folder, not a file")
        match = _DRIVE_PATH.match(parts.path)
        found = match["id"] if match else parse_qs(parts.query).get("id", [""])[0]
    if not _DRIVE_ID.fullmatch(found):
        raise InvalidAddress("no file id in this Google Drive address: it is gdrive://FILE_ID or the file's share link")
    return found


def _http_host(uri: str) -> str:
    host = _host(uri)
    if not host:
        raise InvalidAddress("this URL names no host")
    return host


def _host(uri: str) -> str:
    parts = urlsplit(uri)
    _ = parts.port  # ValueError if it is not a number
    return (parts.hostname or "").lower()
