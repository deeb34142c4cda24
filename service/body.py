"""Request bodies: from bytes to a typed struct, naming the field at fault.

Covers: size, time and media type of a JSON body, unknown fields, types; a large one is decoded in a thread. Does not cover:
what a value means to a model.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TypeVar

import msgspec
from aiohttp import HttpVersion11, web

from service.errors import BodyTimeout, InvalidField, MalformedBody, UnsupportedCoding, UnsupportedMediaType

T = TypeVar("T")

BODY_TIMEOUT_S = web.AppKey("body_timeout_s", float)
"""A body that takes longer is of a client that went away, or of one that holds connections on purpose."""
DECODED_INLINE = 16 << 10
"""Bytes that the event loop itself decodes, in less than a millisecond whatever they are."""

_AT = re.compile(r"^(?P<what>.*?) - at `\$\.?(?P<path>.*)`$", re.DOTALL)
_UNKNOWN = re.compile(r"unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING = re.compile(r"missing required field `(?P<name>.*)`", re.DOTALL)
_WHOLE_BODY = "body"
_TAKEN_AS_JSON = ("application/json", "application/x-www-form-urlencoded", "application/octet-stream", "text/plain")


async def read_body(request: web.Request, understand: Callable[[bytes], T]) -> T:
    """What `understand` makes of the body; in a thread for a large one, so it must not touch what belongs to the event loop.

    Raises MalformedBody, BodyTimeout, UnsupportedMediaType, UnsupportedCoding, InvalidField; web.HTTPRequestEntityTooLarge beyond max_body.
    """
    check_media_type(request)
    _check_coding(request)
    timeout_s = request.app[BODY_TIMEOUT_S]
    if _is_too_large(request):
        raise web.HTTPRequestEntityTooLarge(request.client_max_size, request.content_length or 0)
    try:
        async with asyncio.timeout(timeout_s):
            raw = await request.read()
    except TimeoutError as error:
        raise BodyTimeout(f"The body took longer than {timeout_s:g} s.", headers={"Connection": "close"}) from error
    except web.RequestPayloadError as error:
        raise MalformedBody(f"The body could not be read: {error}") from error
    return understand(raw) if len(raw) <= DECODED_INLINE else await asyncio.to_thread(understand, raw)


async def go_on_if_expected(request: web.Request) -> None:
    """Ask for a body that is announced by `Expect: 100-continue`, unless it will be refused: then it need not be sent.

    Source: RFC 9110, 10.1.1. Other expectations are ignored, as it allows.
    """
    is_expected = request.version >= HttpVersion11 and request.headers.get("Expect", "").lower() == "100-continue"
    if is_expected and not _is_too_large(request):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # by which aiohttp knows whether an answer has begun


def _is_too_large(request: web.Request) -> bool:
    return request.content_length is not None and request.content_length > request.client_max_size


def _check_coding(request: web.Request) -> None:
    """Refuse a body in a coding that was not taken off; aiohttp passes on what it does not know. Raises UnsupportedCoding."""
    if request.headers.get("Content-Encoding", "").strip().lower() not in ("", "identity", "gzip", "deflate"):
        raise UnsupportedCoding


def check_media_type(request: web.Request) -> None:
    """Refuse a body that says it is something else than JSON. Raises UnsupportedMediaType.

    Without a Content-Type it is taken as JSON, and so is what curl and others declare when nobody told them: it is decoded
    as JSON or refused for not being any.
    """
    declared = request.headers.get("Content-Type")
    if declared is None or request.content_type in _TAKEN_AS_JSON or request.content_type.endswith("+json"):
        return
    raise UnsupportedMediaType(f"Send application/json, not {declared!r}.", headers={"Accept": "application/json"})


def decode(raw: bytes, decode_json: Callable[[bytes], T]) -> T:
    """`raw` as `decode_json` has it. Raises MalformedBody, InvalidField."""
    try:
        return decode_json(raw)
    except msgspec.ValidationError as error:
        raise invalid_field(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBody("The body is empty; send a JSON object." if not raw.strip() else str(error)) from error


def invalid_field(message: str) -> InvalidField:
    """The field ("users[3]") and the complaint, out of the decoder's words."""
    at = _AT.match(message)
    what, path = (at["what"], at["path"]) if at else (message, "")
    named = _UNKNOWN.search(what) or _MISSING.search(what)
    if named:
        path = f"{path}.{named['name']}" if path else named["name"]
    return InvalidField(path or _WHOLE_BODY, what)
