"""GET /events: transitions and progress of the models as server-sent events.

Covers: one stream, from where the client was to the end of the server. Does not cover: what is told (`service.telemetry.events`).
Source: server-sent events, HTML Living Standard, 9.2. A stream holds no more of the events than the kernel takes from it: it
knows where it is in the log, and one that falls behind so far that the log forgot its place gets a new snapshot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from service.errors import NotServing, Problem
from service.keys import EVENTS, REGISTRY
from service.routes.declared import Answer, Parameter, Route, get, problem
from service.routes.implied import RETRY_AFTER_IF_ANY
from service.schemas.problems import UnavailableProblem
from service.schemas.telemetry import Progress, Snapshot, Transition
from service.schemas.training import RunChanged
from service.telemetry.events import EventLog, Told, TooManyReaders

MEDIA_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-store", "Server": "holdfast", "X-Accel-Buffering": "no", "Content-Type": MEDIA_TYPE}
HEARTBEAT_S = 10.0
STALLED_S = 30.0
"""How long a client may take nothing of what was sent to it."""


class TooManyStreams(Problem):
    """As many clients listen as may."""

    status, slug, title = 503, "too-many-streams", "Too many streams of events"


_GREETING = b"retry: 1000\n\n"
_HEARTBEAT = b":\n\n"


async def events(request: web.Request) -> web.StreamResponse:
    """GET /events"""
    log, registry = request.app[EVENTS], request.app[REGISTRY]
    if log.is_closed:
        raise NotServing("The server is stopping.")
    number = log.number_of(request.headers.get("Last-Event-ID", ""))

    def snapshot() -> Told:
        return log.snapshot(registry.snapshot())

    first = snapshot() if number is None else Told(number, b"")
    stream = _Stream(request)
    try:
        with log.reading(stream.end):
            return await stream.run(log, first, snapshot)
    except TooManyReaders as error:
        detail = f"{log.readers} streams of events are open, as many as may be."
        raise TooManyStreams(detail, headers={"Retry-After": "10"}, retry_after_s=10) from error


class _Stream:
    """One client of the log."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._response = web.StreamResponse(headers=HEADERS)
        self._writing: asyncio.Timeout | None = None
        self._has_ended = False

    async def run(self, log: EventLog, first: Told, snapshot: Callable[[], Told]) -> web.StreamResponse:
        """Send until the log ends. What was sent last is `first`, or that itself where it has a message."""
        await self._response.prepare(self._request)
        if self._request.method == "HEAD":
            return self._response
        try:
            await self._write(_GREETING + first.message)
            await self._follow(log, first.number, snapshot)
        except TimeoutError:
            # It takes nothing: saying goodbye would wait for it too.
            if self._request.transport is not None:
                self._request.transport.abort()
        return self._response

    def end(self) -> None:
        """The server stops: a client that takes nothing is not waited for."""
        self._has_ended = True
        if self._writing is not None:
            self._writing.reschedule(asyncio.get_running_loop().time())

    async def _follow(self, log: EventLog, number: int, snapshot: Callable[[], Told]) -> None:
        while not self._has_ended:
            told = log.after(number)
            for each in [snapshot()] if told is None else told:
                if not self._has_ended:
                    await self._write(each.message)
                    number = each.number
            if told == [] and not await log.wait(HEARTBEAT_S):
                await self._write(_HEARTBEAT)

    async def _write(self, message: bytes) -> None:
        """Raises TimeoutError where the client takes nothing, ConnectionError where it is gone."""
        async with asyncio.timeout(STALLED_S) as self._writing:
            await self._response.write(message)
        self._writing = None


ROUTES: tuple[Route, ...] = (
    get(
        "/events",
        events,
        "What happens to the models, as it happens",
        tag="events",
        description=(
            "Server-sent events, for EventSource. First `snapshot`, with the status of every model; then `transition`, one for each "
            "line of a model's story, and `progress`, at most five a second a model; and `run`, whenever a training run comes along. A "
            "client that comes back with the id of an event that is still kept goes on after it, without a snapshot. A comment is sent "
            "where nothing else is to be said."
        ),
        parameters=(Parameter("Last-Event-ID", "header", str, "The id of the last event that was received; EventSource sends it itself"),),
        answers={
            200: Answer(
                "A stream that ends with the server; the data of each event is one of these",
                Snapshot | Transition | Progress | RunChanged,
                MEDIA_TYPE,
            ),
            503: problem(
                "Too many streams are open, or the server is stopping", UnavailableProblem, headers={"Retry-After": RETRY_AFTER_IF_ANY}
            ),
        },
    ),
)
