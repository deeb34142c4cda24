"""Who may command: the admin token; and who may post interactions: the ingest token, too.

Covers: how the token is checked, the audit line of every call. Does not cover: where the token comes from
(`config.load`), how wrong ones are counted (`service.wrong_tokens`), what the commands do (`service.routes.admin`).
"""

from __future__ import annotations

import hmac
import logging
import time

from aiohttp import web
from aiohttp.typedefs import Handler

from config.schema import ServerSettings
from service.errors import AdminDisabled, Problem, TooManyAttempts, Unauthorized, problems
from service.keys import ADMIN_TOKEN, INGEST_TOKEN, WRONG_TOKENS

TOKEN_HEADER = "X-ADMIN-TOKEN"  # noqa: S105 - the name of a header
_HOW_TO_SET = (
    "Set ADMIN_LOAD_TOKEN, or ADMIN_LOAD_TOKEN_FILE to a file that holds the token"
    " (systemd: LoadCredential=admin-token:FILE), and start the server again."
)
_HOW_TO_SET_INGEST = "Set [data] ingest_token, or an admin token (ADMIN_LOAD_TOKEN), and start the server again."
_HOW_TO_SEND = f"send it as {TOKEN_HEADER} or as Authorization: Bearer."
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="holdfast admin"'}
_TOLD_CHARACTERS = 200
"""Of each thing that the caller says in an audit line; what it says of its address is trusted for nothing."""
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


def check_token(request: web.Request, *, takes_ingest: bool = False) -> None:
    """Raises AdminDisabled when no token is configured, Unauthorized when the request has none or a wrong one.

    takes_ingest: the ingest token will do, too. TooManyAttempts for a wrong one after many from its address. A request without
    any token guesses nothing: it counts for nothing.
    """
    tokens = [token for token in (request.app[ADMIN_TOKEN], request.app[INGEST_TOKEN] if takes_ingest else b"") if token]
    if not tokens:
        raise AdminDisabled(_HOW_TO_SET_INGEST if takes_ingest else _HOW_TO_SET)
    given = presented_token(request)
    if given is None:
        raise Unauthorized(f"No admin token was sent: {_HOW_TO_SEND}", headers=_CHALLENGE)
    if any([hmac.compare_digest(given, token) for token in tokens]):  # noqa: C419  all of them, whichever it is
        return
    wait_s = request.app[WRONG_TOKENS].count(request.remote, time.monotonic())
    if wait_s is not None:
        detail = f"Too many wrong admin tokens came from {request.remote or 'this address'}: send the right one, or wait {wait_s} s."
        raise TooManyAttempts(detail, headers={"Retry-After": str(wait_s)}, retry_after_s=wait_s)
    raise Unauthorized(f"The admin token is wrong: {_HOW_TO_SEND}", headers=_CHALLENGE)


def guarded(handler: Handler, *, takes_ingest: bool = False) -> Handler:
    """The handler behind the token, with one audit line a call, refused ones too.

    Its errors become responses here already: the line has the number that the client gets. takes_ingest: the ingest token will do,
    too, and calls that are good are not told of: they command nothing, and are many.
    """

    async def checked(request: web.Request) -> web.StreamResponse:
        began = time.monotonic()
        status: int | None = None
        outcome = "cancelled"

        async def permitted(request: web.Request) -> web.StreamResponse:
            nonlocal outcome
            try:
                check_token(request, takes_ingest=takes_ingest)
                response = await handler(request)
            except Exception as error:
                outcome = error.slug if isinstance(error, Problem) else type(error).__name__
                raise
            outcome = str(response.status)
            return response

        try:
            response = await problems(request, permitted)
            status = response.status
            return response
        finally:
            if not takes_ingest or status is None or status >= 400:
                _record(request, status, outcome, time.monotonic() - began)

    return checked


def _record(request: web.Request, status: int | None, outcome: str, took_s: float) -> None:
    forwarded = request.headers.get("X-Forwarded-For")
    _audit.log(
        logging.INFO if status is not None and status < 400 else logging.WARNING,
        "admin call",
        extra={
            "action": request.method + " " + request.path,
            "model": request.match_info.get("model") or request.query.get("model"),
            "query": request.query_string[:_TOLD_CHARACTERS] or None,
            "remote": request.remote,
            "forwarded_for": None if forwarded is None else forwarded[:_TOLD_CHARACTERS],
            "status": status,
            "outcome": outcome,
            "duration_ms": round(took_s * 1000, 1),
        },
    )
