"""What passes between the client's rules and a transport: requests and answers as plain data, and where the server is.

Covers: addresses, headers, the two things a transport is told to do (`Send`, `Pause`). Does not cover: deciding
(`service.client.waiting`), sockets (`service.client.blocking`, `service.client.asynchronous`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from service.client.errors import InvalidQuestion
from service.version import program_version

DEFAULT_URL = "http://127.0.0.1:8000"
TOKEN_HEADER = "X-ADMIN-TOKEN"  # noqa: S105 - the name of a header

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `path` has its query string; `headers` are complete, `body` is JSON."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """One whole HTTP response; the names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def retry_after_s(self) -> float | None:
        """Retry-After in seconds, from a number or a date (RFC 9110, 10.2.3); None without a usable one."""
        text = self.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdigit():
            return float(text)
        try:
            # Against the server's own clock: the two machines need not agree on the time.
            wait = parsedate_to_datetime(text) - parsedate_to_datetime(self.headers.get("date", ""))
        except (TypeError, ValueError):
            return None
        return max(0.0, wait.total_seconds())


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer came. `was_sent`: the server may have had the request. `is_final`: another try would end the same way."""

    reason: str
    was_sent: bool = True
    is_final: bool = False


def too_late(timeout_s: float) -> Lost:
    """A request whose answer was not there, or not whole, in time."""
    return Lost(f"timed out: no whole answer within {timeout_s:.3g} s")


@dataclass(frozen=True, slots=True)
class Send:
    """To the transport: send this, and give up after `timeout_s` seconds without an answer."""

    request: Request
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Pause:
    """To the transport: wait so many seconds."""

    seconds: float


Steps = Generator[Send | Pause, Response | Lost | None, T]
"""What a call does, step by step: yields a Send and is sent its Response or Lost, yields a Pause and is sent None; returns the result."""


def lower_cased(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers as `Response` has them."""
    return {name.lower(): value for name, value in headers.items()}


def segment(text: object) -> str:
    """One segment of a path. Raises InvalidQuestion for what none can be: nothing, dots that mean a folder, half a surrogate pair."""
    if str(text) in ("", ".", ".."):
        raise InvalidQuestion(f"{text!r} cannot be part of an address")
    try:
        return quote(str(text), safe="")
    except UnicodeEncodeError as error:
        raise InvalidQuestion(f"{text!a} is no text that can be sent") from error


def query(parameters: Mapping[str, Any]) -> str:
    """The query string, with its question mark; what is None is left out, a sequence is one parameter an element."""
    given = {name: _as_text(value) for name, value in parameters.items() if value is not None}
    return "?" + urlencode(given, doseq=True) if given else ""


def _as_text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return list(value) if isinstance(value, tuple | set | frozenset) else value


def encoded(body: Any) -> bytes:
    """JSON of a question; arrays and scalars of numpy as what they hold, times of pandas as times. Raises InvalidQuestion for text or
    values that have no JSON."""
    try:
        return msgspec.json.encode(body, enc_hook=_in_json)
    except (TypeError, UnicodeEncodeError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidQuestion(f"the question cannot be sent as JSON: {error}") from error


def _in_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    to_list: Callable[[], Any] | None = getattr(value, "tolist", None)
    if to_list is None:
        raise TypeError(f"{type(value).__name__} cannot be sent as JSON")
    return to_list()


class Server:
    """Where the server is, and who asks it."""

    def __init__(self, url: str | None = None, token: str | None = None, *, environ: Mapping[str, str] = os.environ) -> None:
        """url: else HOLDFAST_URL, else http://127.0.0.1:8000. token: to post and command, else ADMIN_LOAD_TOKEN. Raises ValueError."""
        self.url = checked_url(url or environ.get("HOLDFAST_URL") or DEFAULT_URL)
        self._agent = f"holdfast-client/{program_version()}"
        self._token = (environ.get("ADMIN_LOAD_TOKEN", "") if token is None else token).strip()
        if not all("!" <= sign <= "~" for sign in self._token):
            raise ValueError("an admin token is printable ASCII without spaces: no header can carry another")

    def __repr__(self) -> str:
        return f"<Server {self.url}{' with a token' if self._token else ''}>"

    @property
    def has_token(self) -> bool:
        return bool(self._token)

    def request(
        self, method: str, path: str, body: bytes | None = None, *, is_admin: bool = False, headers: Mapping[str, str] | None = None
    ) -> Request:
        """A request to this server. is_admin: the route asks for the token; it is sent to no other."""
        sent = {"Accept": "application/json", "User-Agent": self._agent, **(headers or {})}
        if body is not None:
            sent["Content-Type"] = "application/json"
        if is_admin and self._token:
            sent[TOKEN_HEADER] = self._token
        return Request(method, path, sent, body)


def checked_url(url: str) -> str:
    """The origin and perhaps a path, without a slash at its end. Raises ValueError for what is no such address."""
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"a server's URL begins with http:// or https:// and names a host, unlike {url!r}")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("a server's URL has no user, no query and no fragment")
    if parts.port == 0:
        raise ValueError("a server listens on no port 0")
    return parts.geturl().rstrip("/")
