"""How long a client is willing to wait: the Prefer header (RFC 7240) and the `wait` query parameter.

Covers: parsing, and waiting that ends early when the server stops. Does not cover: what is answered afterwards.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from aiohttp import web

from service.errors import InvalidField
from service.keys import STOPPING

T = TypeVar("T")

ADMIN_WAIT_LIMIT_S = 3600.0
"""An operator may wait out any load; the bound only keeps forgotten connections from living for ever."""

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PREFERENCE = re.compile(
    r"\s*(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*"
    rf"(?:=\s*(?P<value>{_QUOTED}|[^\s,;]*)\s*)?"
    rf'(?:;(?:[^",]|{_QUOTED})*)?'  # parameters: nobody defined any for `wait`
    r"(?:,|$)"
)
_NUMBER = re.compile(r"[-+0-9.eE]+")
"""What may be a number in an address: `float` would also take 1_000, blanks around it and digits of other scripts."""
_SECONDS = re.compile(r"[0-9]{1,9}")


def preferred_wait_s(headers: Iterable[str]) -> int | None:
    """The seconds of the first `wait` preference in these Prefer header values; None without one, or if it is no whole number."""
    for header in headers:
        position = 0
        while match := _PREFERENCE.match(header, position):
            position = match.end()
            if match["name"].lower() == "wait":
                value = (match["value"] or "").strip('"')
                return int(value) if _SECONDS.fullmatch(value) else None
            if position >= len(header):
                break
    return None


def query_wait_s(request: web.Request, limit_s: float = ADMIN_WAIT_LIMIT_S) -> float | None:
    """The `wait` query parameter in seconds, at most `limit_s`; None without one. Raises InvalidField."""
    text = request.query.get("wait")
    if text is None:
        return None
    try:
        seconds = float(text) if _NUMBER.fullmatch(text) else math.nan
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise InvalidField("wait", f"expected a number of seconds >= 0, got {text!r}")
    return min(seconds, limit_s)


def query_flag(request: web.Request, name: str) -> bool:
    """A boolean query parameter; present without a value means true. Raises InvalidField."""
    text = request.query.get(name)
    if text is None:
        return False
    if text.lower() in ("", "1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise InvalidField(name, f"expected true or false, got {text!r}")


async def unless_stopping(app: web.Application, waiting: Coroutine[Any, Any, T]) -> T | None:
    """The result of `waiting`, or None as soon as the server stops: a drain must not wait for models that nobody will serve."""
    work = asyncio.ensure_future(waiting)
    stop = asyncio.ensure_future(app[STOPPING].wait())
    try:
        await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
        return work.result() if work.done() else None
    finally:
        work.cancel()
        stop.cancel()
        await asyncio.gather(work, stop, return_exceptions=True)
