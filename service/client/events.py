"""The server's events, typed: transitions and progress of models, training runs as they come along, resumed where a connection broke.

Covers: the event stream format (WHATWG HTML, 9.2), the events of `GET /events`, and when to connect again with which
Last-Event-ID. Does not cover: connecting and reading (`service.client.blocking`, `service.client.asynchronous`).
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
from msgspec import Struct, field

from service.client.errors import HoldfastError, InvalidAnswer, ServerUnavailable, error_of
from service.client.results import ModelStatus, Progress, TrainingRun
from service.client.waiting import FIRST_BACKOFF_S, LAST_BACKOFF_S, Rules
from service.client.wire import Lost, Request, Response, Server

SILENCE_S = 45.0
"""The server says something every 15 s: after three of them the connection is dead."""
CONTENT_TYPE = "text/event-stream"


class Snapshot(Struct, frozen=True):
    """Where every model is: the first event of a stream, and again where events were missed."""

    models: Sequence[ModelStatus]


class Transition(Struct, frozen=True):
    """One transition of one model, and the model after it."""

    model: str
    at: str
    event: str
    from_: str = field(name="from")
    to: str
    cause: str
    status: ModelStatus


Event = Snapshot | Transition | Progress | TrainingRun

_TYPES: dict[str, type[Event]] = {"snapshot": Snapshot, "transition": Transition, "progress": Progress, "run": TrainingRun}
KINDS: dict[type[Event], str] = {type: name for name, type in _TYPES.items()}
"""What the stream calls each kind of event."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of an event stream."""

    name: str
    data: str
    id: str


class Messages:
    """Cuts a stream of bytes into messages. `last_id` and `retry_s` are as the stream said last; kept over connections."""

    def __init__(self) -> None:
        self.last_id = ""
        self.retry_s: float | None = None
        self.begin()

    def begin(self) -> None:
        """A new connection: what was half said on the old one counts for nothing."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._is_first = True
        self._name, self._data, self._id = "", list[str](), self.last_id

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """The messages that these bytes complete."""
        text = self._rest + self._decoder.decode(chunk)
        if self._is_first and text:
            text, self._is_first = text.removeprefix("\ufeff"), False
        # A carriage return at the end may be half of a line end.
        whole = text[:-1] if text.endswith("\r") else text
        lines = whole.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._rest = lines.pop() + text[len(whole) :]
        for line in lines:
            if message := self._line(line):
                yield message

    def _line(self, line: str) -> Message | None:
        if not line:
            return self._message()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._name = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_s = int(value) / 1000
        return None

    def _message(self) -> Message | None:
        self.last_id = self._id
        name, data = self._name or "message", "\n".join(self._data)
        has_data = bool(self._data)
        self._name, self._data = "", []
        return Message(name, data, self.last_id) if has_data else None


class EventStream:
    """One subscription over all its connections. For each: send `request`, say `opened` or `lost`, `feed` what comes, at its end `lost`."""

    def __init__(self, server: Server, rules: Rules) -> None:
        self._server = server
        self._rules = rules
        self._messages = Messages()
        self._losses = 0
        self._silent_since: float | None = None

    @property
    def last_event_id(self) -> str:
        """Of the last event that was read; "" before the first."""
        return self._messages.last_id

    def request(self) -> Request:
        """The request of the next connection."""
        resume = {"Last-Event-ID": self.last_event_id} if self.last_event_id else {}
        return self._server.request("GET", "/events", headers={"Accept": CONTENT_TYPE, "Cache-Control": "no-store", **resume})

    def opened(self, response: Response) -> float | None:
        """None if this is the stream; else seconds until the next try. Raises the error that the answer is."""
        if response.status == 200 and response.headers.get("content-type", "").partition(";")[0].strip() == CONTENT_TYPE:
            self._messages.begin()
            self._losses, self._silent_since = 0, None
            return None
        if response.status == 200:
            raise InvalidAnswer("GET /events is no event stream here")
        error = error_of(response)
        if response.status in (429, 502, 503):
            return self._again(error, response.retry_after_s)
        raise error

    def lost(self, lost: Lost) -> float:
        """Seconds until the next try after a connection failed or ended. Raises ServerUnavailable where that has lasted too long."""
        error = ServerUnavailable(lost.reason)
        if lost.is_final:
            raise error
        return self._again(error, self._messages.retry_s if not self._losses else None)

    def _again(self, error: HoldfastError, told_s: float | None) -> float:
        now = self._rules.clock()
        if self._silent_since is None:
            self._silent_since = now
        backoff_s = min(FIRST_BACKOFF_S * 2.0**self._losses, LAST_BACKOFF_S)
        pause_s = max(told_s or 0.0, backoff_s) * (1.0 + self._rules.chance() / 4)
        self._losses += 1
        if now + pause_s > self._silent_since + self._rules.unreachable_s:
            raise error
        return pause_s

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that these bytes complete; kinds that this client does not know are passed over. Raises InvalidAnswer."""
        for message in self._messages.feed(chunk):
            type = _TYPES.get(message.name)
            if type is None:
                continue
            try:
                yield msgspec.json.decode(message.data, type=type)
            except msgspec.DecodeError as error:
                raise InvalidAnswer(f"an event of kind {message.name} cannot be understood: {error}") from error
