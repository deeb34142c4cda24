"""Addresses of databases, as far as they may be told.

Covers: taking the password out of words that are shown. Does not cover: reading addresses (`config.values`, asyncpg).
"""

from __future__ import annotations

from urllib.parse import unquote


def without_password(text: str, url: str) -> str:
    """`text` without the password of `url`, as it is written there and as it is meant."""
    written = url.partition("://")[2].rpartition("@")[0].partition(":")[2]
    for secret in {written, unquote(written)} - {""}:
        text = text.replace(secret, "***")
    return text
