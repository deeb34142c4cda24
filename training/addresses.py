"""Addresses of databases, as far as they may be told.

Covers: what is secret in an address, taking it out of words that are shown. Does not cover: reading addresses (`config.values`,
asyncpg).
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote, unquote_plus

HIDDEN = "***"
_SECRET_PARAMETERS = ("password", "sslpassword")


def secrets_of(url: str) -> tuple[str, ...]:
    """Passwords of an address, each as it is written there and as it is meant, the longest first.

    Before the host or as a parameter (libpq, 34.1.1.2). One that is not percent-encoded, as it ought to be, may end at any of its
    own characters: it is taken as far as it can reach, too.
    """
    rest = url.partition("://")[2]
    authorities = (rest, re.split(r"[/?#]", rest, maxsplit=1)[0])
    written = {authority.rpartition("@")[0].partition(":")[2] for authority in authorities}
    meant = {unquote(each) for each in written}
    for parameter in re.split(r"[&;]", rest.partition("?")[2]):
        for name, value in parse_qsl(parameter):
            if name.lower() in _SECRET_PARAMETERS:
                text = parameter.partition("=")[2]
                written.add(text)
                meant |= {value, unquote(text), unquote_plus(text)}
    return tuple(sorted((written | meant) - {""}, key=len, reverse=True))


def without_password(text: str, url: str) -> str:
    """`text` without what is secret in `url`."""
    for secret in secrets_of(url):
        text = text.replace(secret, HIDDEN)
    return text
