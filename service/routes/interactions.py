"""POST /interactions: what users did, as it happens.

Covers: the request, and what is told of it. Does not cover: where they go (`service.intake`), who may post (`service.admin`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from aiohttp import web
from msgspec import UNSET, Meta

from service.body import read_body
from service.errors import DatabaseUnavailable, InvalidField, NotTakenHere, Overloaded
from service.intake import TooManyWaiting
from service.keys import INTAKE
from service.replies import reply
from service.routes.declared import Answer, Body, Parameter, Route, command, problem
from service.routes.implied import RETRY_AFTER
from service.schemas.interactions import EXAMPLES, MOST, Interactions, Posted, Taken, posted
from service.schemas.interactions import Interaction as Given
from service.schemas.problems import BusyProblem
from training.errors import DataUnavailable
from training.ingest.base import Interaction, Key, KeyReused, NotTaken, WrongValue

KEY_HEADER = "Idempotency-Key"
LATEST_S = 86_400.0
"""How far ahead of this clock an interaction may be: clocks differ, and zones are forgotten."""
_RETRY_AFTER_S = 5
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


async def append(request: web.Request) -> web.Response:
    """POST /interactions"""
    name = _key_of(request.headers.getall(KEY_HEADER, ()))
    asked = await read_body(request, posted)
    now = time.time()
    interactions = [_read(each, asked, at, now) for at, each in enumerate(asked.interactions)]
    key = None if name is None else Key(name, asked.digest)
    try:
        taken = await request.app[INTAKE].take(interactions, key)
    except WrongValue as error:
        raise InvalidField(asked.field(error.at, error.column), error.message) from error
    except KeyReused as error:
        raise InvalidField(KEY_HEADER, f"{name} stands for another request already: send this one under a key of its own") from error
    except NotTaken as error:
        raise NotTakenHere(str(error)) from error
    except DataUnavailable as error:
        told = f"{error.message}. Nothing is lost if you send it again; under an {KEY_HEADER} it counts once."
        raise DatabaseUnavailable(told, headers={"Retry-After": str(_RETRY_AFTER_S)}, retry_after_s=_RETRY_AFTER_S) from error
    except TooManyWaiting as error:
        told = "As many requests are being appended as may."
        raise Overloaded(told, headers={"Retry-After": "1"}, retry_after_s=1) from error
    return reply({"accepted": taken.accepted, "duplicate": taken.is_duplicate}, 202)


def _key_of(given: Sequence[str]) -> str | None:
    if not given:
        return None
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        raise InvalidField(KEY_HEADER, "one key of 1 to 255 visible ASCII characters")
    return given[0]


def _read(given: Given, asked: Posted, at: int, now: float) -> Interaction:
    """As the table takes it. Raises InvalidField for a time that is still to come."""
    ts = now if given.ts is UNSET else given.ts.timestamp() if isinstance(given.ts, datetime) else given.ts
    if not 0.0 <= ts <= now + LATEST_S:
        why = "before 1970" if ts < 0 else "more than a day ahead (Unix seconds, not milliseconds)"
        raise InvalidField(asked.field(at, "ts"), f"this is {why}")
    return Interaction(given.user_id, given.item_id, given.weight, ts)


ROUTES: tuple[Route, ...] = (
    command(
        "POST",
        "/interactions",
        append,
        "Append what users did",
        tag="training",
        takes_ingest=True,
        description=(
            "Into the table of `[data]`, all of a request or nothing, durable before the answer. They count in their users' next answers at"
            f" once, without training, also of users whom no model knows. At most {MOST} at a time. Takes the admin token or that of"
            " `[data] ingest_token`."
        ),
        parameters=(
            Parameter(
                KEY_HEADER,
                "header",
                Annotated[str, Meta(pattern=f"^{_KEY.pattern}$")],
                "Of your choice, 1 to 255 visible ASCII characters: the same request under the same key is appended once within a day",
                example="basket-2026-03-04-0017",
            ),
        ),
        body=Body(Interactions | Given, EXAMPLES),
        answers={
            202: Answer("They are in the table", Taken, example={"accepted": 3, "duplicate": False}),
            409: problem("No database takes interactions here, or its table cannot; the detail says what to change"),
            429: problem(
                "As many requests are being appended as may, or too many wrong tokens came from this address",
                BusyProblem,
                headers={"Retry-After": RETRY_AFTER},
            ),
            503: problem("The database cannot be reached now", BusyProblem, headers={"Retry-After": RETRY_AFTER}),
        },
    ),
)
