"""What to do about each answer: return it, come back later, or raise. The rules of the client, without a socket or a clock.

Covers: one call from its first try to its result or error. Every call is a generator of steps (`service.client.wire.Steps`)
that a transport carries out; time and chance come from `Rules`. Does not cover: what is asked (`service.client.calls`),
waiting for a model without asking it (`service.client.following`).

    answer                      what happens
    2xx                         the result
    202                         the server holds the next request until the model is ready (`Prefer: wait`, RFC 7240); where it
                                does not, wait Retry-After; ModelLoading at the deadline
    429, 503 with Retry-After   wait that long or a little longer, try again; the error where the deadline comes first
    503 without Retry-After     the error at once: waiting is in vain
    502, stopping, no answer    try again, first soon and then less often, for at most `unreachable_s`; only where a second
                                execution does no harm, or the first cannot have happened
    everything else             the error
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import msgspec

from service.client.errors import HoldfastError, ModelLoading, ServerUnavailable, error_of, problem_of, slug_of
from service.client.results import Progress
from service.client.wire import Lost, Pause, Request, Response, Send, Steps

T = TypeVar("T")

OnProgress = Callable[[Progress], object]
"""Called with each word about a model that is not ready yet."""

HOLD_S = 15
"""Whole seconds that a server is asked to hold a request: less than what proxies put up with (60 s is usual)."""
HOLD_WATCHED_S = 1
"""The same while somebody looks at the progress, which comes with the answers."""
LAST_TRY_S = 1.0
"""The shortest time that a try is given, even where the deadline is nearer."""
UNTOLD_S = 1.0
"""Until the next try where an answer does not say when."""
FIRST_BACKOFF_S, LAST_BACKOFF_S = 0.1, 2.0
SPREAD = 0.25
"""Who was told the same time must not come back at the same moment: up to so much later, more with each refusal."""
MOST_SPREAD = 4.0


@dataclass(frozen=True, slots=True)
class Rules:
    """How long a client waits, and by which clock.

    timeout_s: for one answer. deadline_s: for a call with all its waiting; 0 is one try without any, math.inf no end.
    unreachable_s: for a server that does not answer at all. Raises ValueError for a time that is none.
    """

    timeout_s: float = 30.0
    deadline_s: float = 300.0
    unreachable_s: float = 60.0
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        if not 0 < self.timeout_s < math.inf:
            raise ValueError(f"timeout_s is a number of seconds above 0, not {self.timeout_s}")
        if math.isnan(self.deadline_s) or math.isnan(self.unreachable_s):
            raise ValueError("deadline_s and unreachable_s are numbers of seconds, not nan")

    def until(self, deadline_s: float | None) -> Rules:
        """The same with another deadline, if one is given."""
        return self if deadline_s is None else replace(self, deadline_s=deadline_s)

    def left_until(self, deadline: float) -> Rules:
        """The same for what is left of a longer wait: a look that begins at its very end is one try, and a short one."""
        left_s = max(0.0, deadline - self.clock())
        longest_s = self.timeout_s if self.deadline_s <= 0 else max(left_s, LAST_TRY_S)
        return replace(self, deadline_s=left_s, timeout_s=min(self.timeout_s, longest_s))


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request and what its answer means.

    is_idempotent: sending it twice does what sending it once does. is_held: the server holds it until a model is ready,
    and 202 is no result. accepts: statuses that are results though they are no success.
    """

    request: Request
    decode: Callable[[Response], T]
    is_idempotent: bool = True
    is_held: bool = False
    accepts: tuple[int, ...] = ()

    def is_result(self, status: int) -> bool:
        return (200 <= status < 300 and not (status == 202 and self.is_held)) or status in self.accepts


@dataclass(slots=True)
class _Trying:
    """One call under way. Times are of the rules' clock."""

    rules: Rules
    deadline: float
    asked_at: float = 0.0
    held_s: int = 0
    losses: int = 0
    silent_since: float | None = None
    refusals: int = 0
    last: HoldfastError = field(default_factory=lambda: ServerUnavailable("the server was not asked"))

    def left_s(self) -> float:
        return self.deadline - self.rules.clock()


def answered(call: Call[T], rules: Rules, on_progress: OnProgress | None = None) -> Steps[T]:
    """The steps of one call. Raises HoldfastError."""
    trying = _Trying(rules, rules.clock() + rules.deadline_s)
    while True:
        came = yield _next_try(call, trying, is_watched=on_progress is not None)
        if isinstance(came, Response) and call.is_result(came.status):
            return call.decode(came)
        if not isinstance(came, Response):
            pause_s = _after_loss(call, came if came is not None else Lost("no answer"), trying)
        elif _is_stopping(came) and (call.is_idempotent or came.status == 503):
            pause_s = _after_silence(trying, error_of(came))
        else:
            trying.losses, trying.silent_since = 0, None
            pause_s = _after_loading(came, trying, on_progress) if came.status == 202 else _after_refusal(came, trying)
        if pause_s > 0:
            yield Pause(pause_s)


def _next_try(call: Call[Any], trying: _Trying, *, is_watched: bool) -> Send:
    rules, left_s = trying.rules, trying.left_s()
    trying.asked_at = rules.clock()
    trying.held_s = int(min(HOLD_WATCHED_S if is_watched else HOLD_S, left_s)) if call.is_held else 0
    request = call.request
    if trying.held_s > 0:
        request = replace(request, headers={**request.headers, "Prefer": f"wait={trying.held_s}"})
    timeout_s = rules.timeout_s + trying.held_s
    return Send(request, min(timeout_s, max(left_s, LAST_TRY_S)) if rules.deadline_s > 0 else timeout_s)


def _is_stopping(response: Response) -> bool:
    """Whether a server on its way down answered, or a gateway that finds none behind it."""
    if response.status == 503 and "retry-after" not in response.headers:
        return slug_of(problem_of(response)) == "not-ready"
    return response.status == 502


def _after_loss(call: Call[Any], lost: Lost, trying: _Trying) -> float:
    """Seconds until the next try. Raises ServerUnavailable."""
    if lost.is_final:
        raise ServerUnavailable(lost.reason)
    if lost.was_sent and not call.is_idempotent:
        raise ServerUnavailable(f"{lost.reason}; whether it was done is not known: look at the status before asking again")
    return _after_silence(trying, ServerUnavailable(lost.reason))


def _after_silence(trying: _Trying, error: HoldfastError) -> float:
    """Seconds until a server that does not answer is tried again. Raises `error` when it was silent for too long."""
    rules = trying.rules
    if trying.silent_since is None:
        trying.silent_since = rules.clock()
    pause_s = min(FIRST_BACKOFF_S * 2.0**trying.losses, LAST_BACKOFF_S) * (0.5 + rules.chance() / 2)
    trying.losses += 1
    if rules.clock() + pause_s > min(trying.deadline, trying.silent_since + rules.unreachable_s):
        raise error
    return pause_s


def _after_loading(response: Response, trying: _Trying, on_progress: OnProgress | None) -> float:
    """Seconds until the model is asked again. Raises ModelLoading at the deadline."""
    progress = progress_in(response)
    if on_progress is not None:
        on_progress(progress)
    left_s = trying.left_s()
    if left_s <= 0 or trying.rules.deadline_s <= 0:
        raise ModelLoading(loading_message(progress), progress, status=response.status)
    told_s = UNTOLD_S if response.retry_after_s is None else response.retry_after_s
    was_held = trying.held_s > 0 and "preference-applied" in response.headers
    if was_held and trying.rules.clock() - trying.asked_at >= 0.9 * trying.held_s:
        return 0.0  # it was waited, on the other side
    return min(spread(told_s, SPREAD, trying.rules), left_s)


def _after_refusal(response: Response, trying: _Trying) -> float:
    """Seconds until the next try after a 429 or 503 that says when to come back. Raises the error of any other answer."""
    error = error_of(response)
    told_s = response.retry_after_s
    if response.status not in (429, 503) or told_s is None or told_s > trying.left_s() or trying.rules.deadline_s <= 0:
        raise error
    trying.refusals += 1
    return min(spread(told_s, min(SPREAD * 2**trying.refusals, MOST_SPREAD), trying.rules), trying.left_s())


def spread(seconds: float, share: float, rules: Rules) -> float:
    """A little later than that, and never at once."""
    return max(seconds, FIRST_BACKOFF_S) * (1.0 + share * rules.chance())


def progress_in(response: Response) -> Progress:
    """The progress that a 202 tells; nothing but the model's name where it tells it in another way."""
    told = problem_of(response)
    try:
        return msgspec.convert({**told, "model": told.get("model", "")}, Progress)
    except msgspec.ValidationError:
        return Progress(str(told.get("model", "")))


def loading_message(progress: Progress) -> str:
    """One line about a model that is not ready yet."""
    words = [f"{progress.model or 'the model'} is not ready yet"]
    if progress.phase:
        words.append(progress.phase + (f" {progress.progress:.0%}" if progress.progress is not None else ""))
    if progress.reason:
        words.append(progress.reason)
    return ": ".join(words)
