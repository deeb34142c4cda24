"""The synchronous client.

Covers: sending over urllib3. Does not cover: what is sent and what an answer leads to (`service.client.calls`,
`service.client.waiting`). urllib3, because a client of a server that restarts needs a pool that notices dead connections,
may be shared by threads, tells a refused connection from a broken one, and reads a stream as it comes; http.client has none
of these, and urllib3 is in every install (the Google Drive source brings it).
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Generator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError, SSLError

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

if TYPE_CHECKING:
    from service.client.asynchronous import AsyncHoldfast

T = TypeVar("T")

CONNECT_TIMEOUT_S = 5.0
CONNECTIONS = 128
"""Kept open between calls; what more threads open is closed again, of which urllib3 warns in the log."""
READ_BYTES = 1 << 16


class Holdfast:
    """A client of one Holdfast server. Threads may share it.

        with Holdfast("http://models:8000") as client:
            for item in client.predict("als", user_id=1, k=5).items:
                print(item.item_id, item.score)

    A model that is still loading is waited for, a server that restarts too, a refusal with a time is repeated then: a call
    returns its result or raises a HoldfastError, at the latest after `deadline_s`. `async with Holdfast(...)` gives the same
    methods as coroutines. Opens no connection before the first call; proxies of the environment are not used, redirects
    not followed.

    url: else HOLDFAST_URL, else http://127.0.0.1:8000. token: of the admin commands and of posting, else
    ADMIN_LOAD_TOKEN. timeout_s: for one answer; deadline_s: for a call with all its waiting; unreachable_s: for a server that
    does not answer at all. tls: for https with an authority of one's own. Raises ValueError for a URL, a token or a time that is none.
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
        self._server = Server(url, token)
        self._rules = Rules(timeout_s, deadline_s, unreachable_s)
        self._tls = tls
        self._calls = Calls(self._server, self._rules)
        self._pool = urllib3.PoolManager(maxsize=CONNECTIONS, retries=False, ssl_context=tls)
        self._twin: AsyncHoldfast | None = None

    def __repr__(self) -> str:
        return f"<Holdfast {self.url}>"

    @property
    def url(self) -> str:
        """Where the server is."""
        return self._server.url

    def close(self) -> None:
        """Close the connections. Calls afterwards open new ones."""
        self._pool.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def twin(self) -> AsyncHoldfast:
        """An asynchronous client with the same arguments; close it too."""
        from service.client.asynchronous import AsyncHoldfast  # synchronous programs need no aiohttp

        return AsyncHoldfast.of(self._server, self._rules, self._tls)

    async def __aenter__(self) -> AsyncHoldfast:
        self._twin = self.twin()
        return self._twin

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._twin is not None:
            await self._twin.aclose()

    # -- questions ----------------------------------------------------------------------------------------------------

    @overload
    def predict(self, model: str | None = None, **question: Unpack[ForUser]) -> Recommendations: ...
    @overload
    def predict(self, model: str | None = None, **question: Unpack[ForLiked]) -> Recommendations: ...
    @overload
    def predict(self, model: str | None = None, **question: Unpack[ForUsers]) -> BatchRecommendations: ...
    @overload
    def predict(self, model: str | None = None, **question: Unpack[ForRows]) -> Predictions: ...
    def predict(self, model: str | None = None, **question: Any) -> Answer:
        """Ask a model, by default the server's default model, with one of user_id, users, liked and instances.

        Beside user_id, users and liked: k, exclude, only, exclude_seen, categories, fields, explain, diversity. Beside all:
        deadline_s, and on_progress, which is called with a Progress about once a second while the model loads.
        Raises ModelLoading, ModelFailed, ModelUnknown, UnknownEntity, InvalidQuestion, Overloaded, ServerUnavailable ...
        """
        return self._run(self._calls.predict(model, question))

    def similar(self, model: str, item_id: Id, **question: Unpack[ForItem]) -> Recommendations:
        """Items like this one. Beside it: k, exclude, only, categories, fields, diversity, deadline_s, on_progress. Raises as `predict`."""
        return self._run(self._calls.similar(model, item_id, question))

    # -- posting: it needs a token ------------------------------------------------------------------------------------

    def post_interactions(
        self, interactions: Sequence[Mapping[str, Any]], *, key: str | None = None, deadline_s: float | None = None
    ) -> Posted:
        """Append what users did; it counts in their next answers at once. Needs the token of `[data] ingest_token`, or the admin token.

        interactions: mappings with user_id, item_id and perhaps weight and ts (a datetime with its zone, RFC 3339 or Unix seconds;
        when the server takes it where it is left out), at most 10,000: all are taken, or none. key: of your choice, 1 to 255 visible
        ASCII characters; the same interactions under the same key are appended once within a day. One is made up for each call
        without, so that what is lost or refused for now is sent again and still counts once; give your own where a call that
        raised is made again. Raises InvalidQuestion, Unauthorized, RequestRefused where no table takes any, ServerFailed while the
        database is away, Overloaded, ServerUnavailable.
        """
        return self._run(self._calls.post_interactions(interactions, key, deadline_s))

    # -- looking ------------------------------------------------------------------------------------------------------

    def models(self) -> list[ModelStatus]:
        """Every model's status."""
        return self._run(self._calls.models())

    def model(self, name: str) -> ModelStatus:
        """One model's status. Raises ModelUnknown."""
        return self._run(self._calls.model(name))

    def versions(self, name: str) -> Versions:
        """The kept versions of a model. Raises ModelUnknown."""
        return self._run(self._calls.versions(name))

    def runs(self, training: str | None = None, limit: int | None = None) -> list[TrainingRun]:
        """Training runs, newest first: of one training, or of all. `limit` is 50 unless it is given."""
        return self._run(self._calls.runs(training, limit))

    def run(self, id: str) -> TrainingRun:
        """One training run, with the end of its log. Raises RequestRefused where there is none of this id."""
        return self._run(self._calls.run(id))

    def status(self) -> ServerStatus:
        """The server: its version, memory, workers and models."""
        return self._run(self._calls.status())

    def health(self) -> Health:
        """Every model in a word. One try. Raises ServerUnavailable."""
        return self._run(self._calls.health())

    def is_ready(self) -> bool:
        """Whether every required model serves. One try. Raises ServerUnavailable."""
        return self._run(self._calls.is_ready())

    def wait_ready(self, name: str, deadline_s: float | None = None, on_progress: OnProgress | None = None) -> ModelStatus:
        """Wait until a model serves; its status then.

        A model that loads on demand is loaded if there is a token. Raises ModelLoading at the deadline, ModelFailed as soon
        as waiting is in vain, ModelUnknown.
        """
        return self._run(self._calls.wait_ready(name, deadline_s=deadline_s, on_progress=on_progress))

    def events(self) -> Generator[Event, None, None]:
        """What happens to the models: a Snapshot, then each Transition, and Progress at most five times a second a model.

        A TrainingRun whenever one comes along, as often, without its log; what ran before the Snapshot is in `runs`.
        Goes on over broken connections and restarts of the server, without losing a transition or with a new Snapshot.
        Raises ServerUnavailable when nobody answers for `unreachable_s`.
        """
        stream = EventStream(self._server, self._rules)
        while True:
            request = stream.request()
            try:
                response = self._pool.request(
                    request.method,
                    self.url + request.path,
                    headers=dict(request.headers),
                    timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=SILENCE_S),
                    redirect=False,
                    preload_content=False,
                )
            except HTTPError as error:
                time.sleep(stream.lost(_lost(error)))
                continue
            try:
                pause_s = yield from _events_of(response, stream)
            finally:
                response.close()  # its connection is in the middle of an answer: not one to use again
            time.sleep(pause_s)

    # -- commands: they need the admin token --------------------------------------------------------------------------

    def load(self, name: str, *, wait: Wait = False, on_progress: OnProgress | None = None) -> ModelStatus:
        """Bring a model to ready; joins a load that runs. Raises ModelFailed if it fails while waited for, Unauthorized."""
        return self._run(self._calls.load(name, wait, on_progress))

    def unload(self, name: str, *, wait: Wait = False, on_progress: OnProgress | None = None) -> ModelStatus:
        """Serve a model no more, until load or reload."""
        return self._run(self._calls.unload(name, wait, on_progress))

    def reload(self, name: str, *, force: bool = False, wait: Wait = False, on_progress: OnProgress | None = None) -> ModelStatus:
        """Ask the source again; an unchanged revision makes no new version unless `force`. What serves goes on until then."""
        return self._run(self._calls.reload(name, force, wait, on_progress))

    def reload_all(self, *, wait: Wait = False, on_progress: OnProgress | None = None) -> list[ModelStatus]:
        """Load every model again, changed or not, but those that nobody loaded so far or that were unloaded."""
        return self._run(self._calls.reload_all(wait, on_progress))

    def rollback(
        self, name: str, to: str | None = None, *, unpin: bool = False, wait: Wait = False, on_progress: OnProgress | None = None
    ) -> ModelStatus:
        """Go back to the version `to`, else to the one before, and pin it; `unpin` pins none, and goes only to `to`.

        Raises NoEarlierVersion.
        """
        return self._run(self._calls.rollback(name, to, unpin, wait, on_progress))

    def activate(self, name: str, version: str, *, wait: Wait = False, on_progress: OnProgress | None = None) -> ModelStatus:
        """Serve a version that is kept, and pin none. Raises NoEarlierVersion where the server trains no such model."""
        return self._run(self._calls.activate(name, version, wait, on_progress))

    def train(
        self, name: str, *, force: bool = False, by: str | None = None, wait: Wait = False, on_progress: OnProgress | None = None
    ) -> TrainingRun:
        """Train a model, or a training by its own name; the run, which has begun, or with `wait` has ended.

        A run that the gate refuses is a result: `status` is "refused", `verdict` says why, what served goes on. force: publish
        whatever the gate says. by: who asks, for the record. Raises TrainingFailed if it fails while waited for, ModelLoading at the
        deadline (the run goes on), AlreadyTraining, NotTrainedHere, ModelUnknown, Unauthorized.
        """
        return self._run(self._calls.train(name, force, by, wait, on_progress))

    def train_all(self, *, force: bool = False, by: str | None = None) -> list[TrainingRun]:
        """Begin a run of every training that does not run already, parts before hybrids. Raises AlreadyTraining where each does."""
        return self._run(self._calls.train_all(force, by))

    def cancel_run(self, id: str, *, by: str | None = None) -> TrainingRun:
        """Cancel a run: nothing is published. Raises RequestRefused for one that is over."""
        return self._run(self._calls.cancel_run(id, by))

    def clear(self, name: str | None = None) -> Cleared:
        """Delete what was fetched and nothing live needs, of one model or of all."""
        return self._run(self._calls.clear(name))

    def ask(
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
        """The JSON that any route answers; 202 of a question is waited for as in `predict`, of a command (`is_admin`) it is a result.

        is_idempotent: whether the request may be sent twice; by default a GET may.
        """
        steps = self._calls.ask(
            method, path, body, is_admin=is_admin, is_idempotent=is_idempotent, deadline_s=deadline_s, on_progress=on_progress
        )
        return self._run(steps)

    # -- the transport ------------------------------------------------------------------------------------------------

    def _run(self, steps: Steps[T]) -> T:
        came: Response | Lost | None = None
        while True:
            try:
                step = steps.send(came)
            except StopIteration as done:
                result: T = done.value
                return result
            if isinstance(step, Send):
                came = self._send(step.request, step.timeout_s)
            else:
                time.sleep(step.seconds)
                came = None

    def _send(self, request: Request, timeout_s: float) -> Response | Lost:
        deadline = time.monotonic() + timeout_s
        try:
            response = self._pool.request(
                request.method,
                self.url + request.path,
                body=request.body,
                headers=dict(request.headers),
                timeout=urllib3.Timeout(connect=min(CONNECT_TIMEOUT_S, timeout_s), read=timeout_s),
                redirect=False,
                preload_content=False,
            )
            body = _body_of(response, deadline)
        except ReadTimeoutError:
            return too_late(timeout_s)
        except HTTPError as error:
            return _lost(error)
        return too_late(timeout_s) if body is None else Response(response.status, lower_cased(response.headers), body)


def _body_of(response: urllib3.BaseHTTPResponse, deadline: float) -> bytes | None:
    """The whole body; None where it is not there by then. The timeout of a socket is not enough: it begins anew with each byte."""
    parts = []
    try:
        while part := response.read1(READ_BYTES):
            parts.append(part)
            if time.monotonic() > deadline:
                return None
    finally:
        # After the last byte the connection is in the pool again, and this closes nothing.
        response.close()
    return b"".join(parts)


def _events_of(response: urllib3.BaseHTTPResponse, stream: EventStream) -> Generator[Event, None, float]:
    """The events of one connection, to its end; returns the seconds until the next one."""
    headers = lower_cased(response.headers)
    body = b"" if response.status == 200 else response.read()
    pause_s = stream.opened(Response(response.status, headers, body))
    if pause_s is not None:
        return pause_s
    try:
        while chunk := response.read1():
            yield from stream.feed(chunk)
    except HTTPError as error:
        return stream.lost(_lost(error))
    return stream.lost(Lost("the server ended the event stream"))


def _lost(error: HTTPError) -> Lost:
    reason = " ".join(str(error).split())
    if isinstance(error, SSLError):
        return Lost(reason, was_sent=False, is_final=True)
    return Lost(reason, was_sent=not isinstance(error, NewConnectionError | ConnectTimeoutError))
