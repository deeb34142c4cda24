"""Who may command: the admin token.

Covers: how the token is checked, the audit line of every call. Does not cover: where the token comes from
(`config.load`), what the commands do (`service.routes.admin`).
"""

from __future__ import annotations

import hmac
import logging

from aiohttp import web
from aiohttp.typedefs import Handler

from config.schema import ServerSettings
from service.errors import AdminDisabled, Problem, Unauthorized
from service.keys import ADMIN_TOKEN

TOKEN_HEADER = "X-ADMIN-TOKEN"  # noqa: S105 - the name of a header
_HOW_TO_SET = (
    "Set ADMIN_LOAD_TOKEN, or ADMIN_LOAD_TOKEN_FILE to a file that holds the token"
    " (systemd: LoadCredential=admin-token:FILE), and start the server again."
)
_HOW_TO_SEND = f"send it as {TOKEN_HEADER} or as Authorization: Bearer."
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="holdfast admin"'}
_audit = logging.getLogger("holdfast.audit")


def configured_token(server: ServerSettings) -> bytes:
    """The admin token that `config.load` found; b"" when there is none: an empty one counts as none."""
    return server.admin_token.strip().encode()


def presented_token(request: web.Request) -> bytes | None:
    """The token that the request carries, or None."""
    given = request.headers.get(TOKEN_HEADER)
    if given is None:
        scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
        given = rest if scheme.lower() == "bearer" else None
    return None if given is None else given.strip().encode("utf-8", "surrogateescape")


def check_token(request: web.Request) -> None:
    """Raises AdminDisabled when no token is configured, Unauthorized when the request has none or a wrong one."""
    token = request.app[ADMIN_TOKEN]
    if not token:
        raise AdminDisabled(_HOW_TO_SET)
    given = presented_token(request)
    if given is None or not hmac.compare_digest(given, token):
        why = "No admin token was sent" if given is None else "The admin token is wrong"
        raise Unauthorized(f"{why}: {_HOW_TO_SEND}", headers=_CHALLENGE)


def guarded(handler: Handler) -> Handler:
    """The handler behind the token, with one audit line a call, refused ones too."""

    async def checked(request: web.Request) -> web.StreamResponse:
        try:
            check_token(request)
        except Problem as refusal:
            _record(request, refusal.slug, logging.WARNING)
            raise
        try:
            response = await handler(request)
        except Exception as error:
            _record(request, type(error).__name__, logging.WARNING)
            raise
        _record(request, str(response.status), logging.INFO)
        return response

    return checked


def _record(request: web.Request, outcome: str, level: int) -> None:
    _audit.log(
        level,
        "admin call",
        extra={
            "action": request.method + " " + request.path,
            "model": request.match_info.get("model"),
            "query": request.query_string or None,
            "remote": request.remote,
            "outcome": outcome,
        },
    )
