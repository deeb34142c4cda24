"""Carries out the steps of a call against a script of answers and a clock that only pauses and answers move."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from service.client.waiting import Rules
from service.client.wire import Lost, Pause, Request, Response, Send, Steps

T = TypeVar("T")
Outcome = Response | Lost
Scripted = Outcome | Callable[[Send], Outcome]


@dataclass
class World:
    """answers: one a request; the last one for ever. takes_s: how long each takes. What was done is in `sent` and `pauses`."""

    answers: Sequence[Scripted]
    takes_s: float = 0.0
    now: float = 1000.0
    chance: float = 0.0
    sent: list[Send] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def rules(self, **changes: float) -> Rules:
        """Rules by this world's clock."""
        return Rules(clock=lambda: self.now, chance=lambda: self.chance, **changes)

    def carry_out(self, steps: Steps[T]) -> T:
        """The result of a call. Raises what it raises."""
        came: Outcome | None = None
        while True:
            try:
                step = steps.send(came)
            except StopIteration as done:
                result: T = done.value
                return result
            if isinstance(step, Pause):
                self.pauses.append(step.seconds)
                self.now += step.seconds
                came = None
            else:
                came = self._answer(step)

    def _answer(self, send: Send) -> Outcome:
        scripted = self.answers[min(len(self.sent), len(self.answers) - 1)]
        self.sent.append(send)
        self.now += self.takes_s
        return scripted(send) if callable(scripted) else scripted

    def held(self, response: Response) -> Callable[[Send], Outcome]:
        """The response of a server that held the request as long as it was asked to."""

        def answer(send: Send) -> Outcome:
            wait = send.request.headers.get("Prefer", "wait=0").removeprefix("wait=")
            self.now += int(wait)
            return Response(response.status, {**response.headers, "preference-applied": f"wait={wait}"}, response.body)

        return answer


def told(status: int, body: object = None, **headers: str) -> Response:
    """A response with a JSON body; header names with _ for -."""
    return Response(status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body).encode())


def problem(status: int, slug: str, *, retry_after: int | None = None, **members: Any) -> Response:
    """A problem document."""
    document = {"type": f"urn:holdfast:problem:{slug}", "title": slug, "status": status, "detail": f"{slug} it is", **members}
    return told(status, document, **({} if retry_after is None else {"retry_after": str(retry_after)}))


def loading(retry_after: int = 2, **members: Any) -> Response:
    """The 202 of a model on its way."""
    body = {"status": "loading", "model": "als", "phase": "downloading", "progress": 0.25, "bytes_done": 25, "bytes_total": 100}
    return told(202, {**body, "eta_s": 3.0, "reason": None, "retry_after_s": retry_after, **members}, retry_after=str(retry_after))


def model(status: str = "ready", phase: str | None = None, **members: Any) -> Mapping[str, Any]:
    """A status object, as short as one may be."""
    return {"name": "als", "status": status, "phase": phase, **members}


RECOMMENDED = told(200, {"model": "als", "version": "v1", "user_id": 1, "items": [{"item_id": 101, "score": 0.5}]})
REFUSED_CONNECTION = Lost("connection refused", was_sent=False)
RESET = Lost("connection reset")


def paths(sent: Sequence[Send]) -> list[str]:
    """Method and path of each request."""
    return [f"{each.request.method} {each.request.path}" for each in sent]


def prefers(requests: Sequence[Request]) -> list[str | None]:
    """The Prefer header of each request."""
    return [each.headers.get("Prefer") for each in requests]
