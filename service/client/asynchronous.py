"""The asynchronous client: the methods of `service.client.Holdfast` as coroutines.

Covers: sending over aiohttp. Does not cover: what is sent and what an answer leads to (`service.client.calls`,
`service.client.waiting`). Event loop only.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import AsyncGenerator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, overload

import aiohttp
from yarl import URL

from service.client.calls import Calls, ForItem, ForLiked, ForRows, ForUser, ForUsers, Wait
from service.client.events import SILENCE_S, Event, EventStream
from service.client.results import (
    Answer,
    BatchRecommendations,
    Cleared,
    Health,
    Id,
    ModelStatus,
    Posted,
    Predictions,
    Recommendations,
    ServerStatus,
    TrainingRun,
    Versions,
)
from service.client.waiting import OnProgress, Rules
from service.client.wire import Lost, Request, Response, Send, Server, Steps, lower_cased, too_late

T = TypeVar("T")

CONNECT_TIMEOUT_S = 5.0


class AsyncHoldfast:
    """A client of one Holdfast server, for one event loop; any number of calls may run at the same time.

        async with AsyncHoldfast("http://models:8000") as client:
            answer = await client.predict("als", user_id=1, k=5)

    Arguments, waiting and errors are those of `service.client.Holdfast`. Close it by `async with` or `aclose`.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout_s: float = 30.0,
        deadline_s: float = 300.0,
        unreachable_s: float = 60.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._set_up(Server(url, token), Rules(timeout_s, deadline_s, unreachable_s), tls)

    @classmethod
    def of(cls, server: Server, rules: Rules, tls: ssl.SSLContext | None) -> Self:
        """The twin of a synchronous client."""
        client = cls.__new__(cls)
        client._set_up(server, rules, tls)
        return client

    def _set_up(self, server: Server, rules: Rules, tls: ssl.SSLContext | None) -> None:
        self._server = server
        self._rules = rules
        self._tls = tls
        self._calls = Calls(server, rules)
        self._opened: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"<AsyncHoldfast {self.url}>"

    @property
    def url(self) -> str:
        """Where the server is."""
        return self._server.url

    async def aclose(self) -> None:
        """Close the connections. Calls afterwards open new ones."""
        session, self._opened = self._opened, None
        if session is not None:
            await session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    # -- questions ----------------------------------------------------------------------------------------------------

    @overload
    async def predict(self, model: str | None = None, **question: Unpack[ForUser]) -> Recommendations: ...
    @overload
    async def predict(self, model: str | None = None, **question: Unpack[ForLiked]) -> Recommendations: ...
    @overload
    async def predict(self, model: str | None = None, **question: Unpack[ForUsers]) -> BatchRecommendations: ...
    @overload
    async def predict(self, model: str | None = None, **question: Unpack[ForRows]) -> Predictions: ...
    async def predict(self, model: str | None = None, **question: Any) -> Answer:
        """See `Holdfast.predict`."""
        return await self._run(self._calls.predict(model, question))

    async def similar(self, model: str, item_id: Id, **question: Unpack[ForItem]) -> Recommendations:
        """See `Holdfast.similar`."""
        return await self._run(self._calls.similar(model, item_id, question))

    # -- posting: it needs a token ------------------------------------------------------------------------------------

    async def post_interactions(
        self, interactions: Sequence[Mapping[str, Any]], *, key: str | None = None, deadline_s: float | None = None
    ) -> Posted:
        """See `Holdfast.post_interactions`."""
        return await self._run(self._calls.post_interactions(interactions, key, deadline_s))

    # -- looking ------------------------------------------------------------------------------------------------------

    async def models(self) -> list[ModelStatus]:
        """See `Holdfast.models`."""
        return await self._run(self._calls.models())

    async def model(self, name: str) -> ModelStatus:
        """See `Holdfast.model`."""
        return await self._run(self._calls.model(name))

    async def versions(self, name: str) -> Versions:
        """See `Holdfast.versions`."""
        return await self._run(self._calls.versions(name))

    async def runs(self, training: str | None = None, limit: int | None = None) -> list[TrainingRun]:
        """See `Holdfast.runs`."""
        return await self._run(self._calls.runs(training, limit))

    async def run(self, id: str) -> TrainingRun:
        """See `Holdfast.run`."""
        return await self._run(self._calls.run(id))

    async def status(self) -> ServerStatus:
        """See `Holdfast.status`."""
        return await self._run(self._calls.status())

    async def health(self) -> Health:
        """See `Holdfast.health`."""
        return await self._run(self._calls.health())

    async def is_ready(self) -> bool:
        """See `Holdfast.is_ready`."""
        return await self._run(self._calls.is_ready())

    async def wait_ready(self, name: str, deadline_s: float | None = None, on_progress: OnProgress | None = None) -> ModelStatus:
        """See `Holdfast.wait_ready`."""
        return await self._run(self._calls.wait_ready(name, deadline_s=deadline_s, on_progress=on_progress))

    async def events(self) -> AsyncGenerator[Event, None]:
        """See `Holdfast.events`. Close it (`contextlib.aclosing`) where it is left before its end."""
        stream = EventStream(self._server, self._rules)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=SILENCE_S)
        while True:
            request = stream.request()
            try:
                async with self._session().request(
                    request.method,
                    self._address(request),
                    headers=request.headers,
                    timeout=timeout,
                    allow_redirects=False,
                    ssl=self._tls_of(),
                ) as response:
                    body = b"" if response.status == 200 else await response.read()
                    pause_s = stream.opened(Response(response.status, lower_cased(response.headers), body))
                    if pause_s is None:
                        async for chunk in response.content.iter_any():
                            for event in stream.feed(chunk):
                                yield event
                        pause_s = stream.lost(Lost("the server ended the event stream"))
            except (aiohttp.ClientError, TimeoutError) as error:
                pause_s = stream.lost(_lost(error))
            await asyncio.sleep(pause_s)

    # -- commands: they need the admin token --------------------------------------------------------------------------

    async def load(self, name: str, *, wait: Wait = False, on_progress: OnProgress | None = None) -> ModelStatus:
        """See `Holdfast.load`."""
        return await self._run(self._calls.load(name, wait, on_progress))

    async def unload(self, name: str, *, wait: Wait = False, on_progress: OnProgress | None = None) -> ModelStatus:
        """See `Holdfast.unload`."""
        return await self._run(self._calls.unload(name, wait, on_progress))

    async def reload(self, name: str, *, force: bool = False, wait: Wait = False, on_progress: OnProgress | None = None) -> ModelStatus:
        """See `Holdfast.reload`."""
        return await self._run(self._calls.reload(name, force, wait, on_progress))

    async def reload_all(self, *, wait: Wait = False, on_progress: OnProgress | None = None) -> list[ModelStatus]:
        """See `Holdfast.reload_all`."""
        return await self._run(self._calls.reload_all(wait, on_progress))

    async def rollback(
        self, name: str, to: str | None = None, *, unpin: bool = False, wait: Wait = False, on_progress: OnProgress | None = None
    ) -> ModelStatus:
        """See `Holdfast.rollback`."""
        return await self._run(self._calls.rollback(name, to, unpin, wait, on_progress))

    async def activate(self, name: str, version: str, *, wait: Wait = False, on_progress: OnProgress | None = None) -> ModelStatus:
        """See `Holdfast.activate`."""
        return await self._run(self._calls.activate(name, version, wait, on_progress))

    async def train(
        self, name: str, *, force: bool = False, by: str | None = None, wait: Wait = False, on_progress: OnProgress | None = None
    ) -> TrainingRun:
        """See `Holdfast.train`."""
        return await self._run(self._calls.train(name, force, by, wait, on_progress))

    async def train_all(self, *, force: bool = False, by: str | None = None) -> list[TrainingRun]:
        """See `Holdfast.train_all`."""
        return await self._run(self._calls.train_all(force, by))

    async def cancel_run(self, id: str, *, by: str | None = None) -> TrainingRun:
        """See `Holdfast.cancel_run`."""
        return await self._run(self._calls.cancel_run(id, by))

    async def clear(self, name: str | None = None) -> Cleared:
        """See `Holdfast.clear`."""
        return await self._run(self._calls.clear(name))

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        is_admin: bool = False,
        is_idempotent: bool | None = None,
        deadline_s: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> Any:
        """See `Holdfast.ask`."""
        steps = self._calls.ask(
            method, path, body, is_admin=is_admin, is_idempotent=is_idempotent, deadline_s=deadline_s, on_progress=on_progress
        )
        return await self._run(steps)

    # -- the transport ------------------------------------------------------------------------------------------------

    async def _run(self, steps: Steps[T]) -> T:
        came: Response | Lost | None = None
        while True:
            try:
                step = steps.send(came)
            except StopIteration as done:
                result: T = done.value
                return result
            if isinstance(step, Send):
                came = await self._send(step.request, step.timeout_s)
            else:
                await asyncio.sleep(step.seconds)
                came = None

    async def _send(self, request: Request, timeout_s: float) -> Response | Lost:
        # Exact: aiohttp rounds timeouts of more than 5 s up to whole seconds.
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(CONNECT_TIMEOUT_S, timeout_s), ceil_threshold=math.inf)
        try:
            async with self._session().request(
                request.method,
                self._address(request),
                data=request.body,
                headers=request.headers,
                timeout=timeout,
                allow_redirects=False,
                ssl=self._tls_of(),
            ) as response:
                return Response(response.status, lower_cased(response.headers), await response.read())
        except aiohttp.ClientError as error:
            return _lost(error)
        except TimeoutError:
            return too_late(timeout_s)

    def _address(self, request: Request) -> URL:
        return URL(self.url + request.path, encoded=True)

    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            # No limit on connections: calls that wait for a model must not stand in the way of others.
            self._opened = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar())
        return self._opened

    def _tls_of(self) -> ssl.SSLContext | bool:
        return True if self._tls is None else self._tls


def _lost(error: aiohttp.ClientError | TimeoutError) -> Lost:
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, aiohttp.ClientSSLError):
        return Lost(reason, was_sent=False, is_final=True)
    not_sent = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    return Lost(reason, was_sent=not not_sent)
