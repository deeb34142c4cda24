"""A hosted model as the server sees it: rows checked here, predictions made in its child, one question at a time.

Covers: joining calls, deadlines, what a death means to those who wait, telling of it once. Does not cover: starting the child
(`loaders.hosting.starting`), HTTP. Event loop only.

A question that is beyond the deadline of all its callers has as long again as they had: nobody waits for the answer, but one
slow call is not to cost everybody a restart. Then the process is ended: a computation cannot be interrupted in another way.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from loaders.errors import ChildCrashed, LoadError
from loaders.hosting.batching import Call, Waiting, begin, end, joined, split
from loaders.process import CappedChild, to_the_end
from loaders.wire import WireError, decode
from models.base import AnswerFailed, InvalidQuery, Kind, Predictions
from models.forms import RowForm
from models.turn import Turn

FRAME_LIMIT = 64 << 20
"""As in `loaders.hosting.child`."""
_LONGEST_CALL = 32 << 20
_GRACE_S = 0.25
"""After the last deadline, at least: for an answer that is on its way, the callers' own deadlines come first."""
_CHECKED_INLINE = 500
"""More rows than that are checked and written in a thread."""
_READ_INLINE = 128 << 10
"""Longer answers (bytes) are read in a thread."""
_TAKES = {"texts": (str, "a string"), "objects": (dict, "an object")}
log = logging.getLogger("holdfast.hosting")


class HostedModel:
    """See models.base.HostedScorer. Owns its child from the moment it is made until `aclose`."""

    family = "hosted"
    kind: Kind = "hosted"

    def __init__(self, child: CappedChild, form: RowForm, details: Mapping[str, Any]) -> None:
        self.details = details
        self.signature = form.signature
        self.calls = 0
        """Questions that the child has answered by calling predict, as it counts them."""
        self.peak_bytes = 0
        self._form = form
        self._takes = form.takes
        self._classes = form.signature.to_meta()["classes"]
        self._child = child
        self._waiting = Waiting()
        self._running: Sequence[Call] = ()
        self._asked = 0
        self._pump: asyncio.Task[None] | None = None
        self._death: LoadError | None = None
        self._tell: Callable[[str, str], None] | None = None
        self._is_closing = False
        child.exited.add_done_callback(self._on_exit)

    def __repr__(self) -> str:
        state = "dead" if self._death else "closing" if self._is_closing else "alive"
        return f"<HostedModel {self.details.get('model')} pid={self._child.pid} {state} waiting={len(self._waiting)}>"

    @property
    def pid(self) -> int:
        """Of the child."""
        return self._child.pid

    def ids_in_words(self) -> Mapping[str, str]:
        return {}

    def form(self) -> RowForm:
        return self._form

    async def answer(self, instances: Sequence[Any], deadline_s: float, turn: Turn | None = None) -> Predictions:
        """See models.base.HostedScorer.answer. Rows of concurrent calls are predicted together."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + deadline_s
        async with asyncio.timeout_at(deadline):
            text = self._text(instances) if len(instances) <= _CHECKED_INLINE else await asyncio.to_thread(self._text, instances)
            if self._death is not None:
                raise AnswerFailed(self._death.type, self._death.message)
            call = Call(text, len(instances), deadline, deadline_s, loop.create_future(), turn or Turn())
            self._waiting.put(call)
            if self._pump is None:
                self._pump = asyncio.create_task(self._ask_all(), name=f"hosted:{self._child.pid}")
            part = await call.answer
        return Predictions(part["predictions"], part.get("probabilities"), self._classes)

    def _text(self, instances: Sequence[Any]) -> bytes:
        """The rows as JSON, without the brackets. Raises InvalidQuery."""
        if self._takes == "rows":
            rows: Sequence[Any] = self.signature.rows(instances)
        else:
            kind, words = _TAKES[self._takes]
            rows = instances
            if not isinstance(rows, list | tuple) or not rows:
                raise InvalidQuery("instances", "has no rows")
            wrong = next((at for at, row in enumerate(rows) if not isinstance(row, kind)), None)
            if wrong is not None:
                raise InvalidQuery(f"instances[{wrong}]", f"must be {words}: the model takes no columns")
        text = msgspec.json.encode(rows)[1:-1]
        if len(text) > _LONGEST_CALL:
            raise InvalidQuery("instances", f"has {len(text)} bytes, {_LONGEST_CALL} are allowed: send fewer rows at a time")
        return text

    # -- asking -------------------------------------------------------------------------------------------------------

    async def _ask_all(self) -> None:
        """Until nobody waits. One question at a time: the child has one thread."""
        try:
            while self._death is None and (calls := self._waiting.take(asyncio.get_running_loop().time())):
                self._running = calls
                await self._ask(calls)
        except Exception as error:
            log.exception("a hosted model was given up by a defect", extra={"action": "defect"})
            self._die(ChildCrashed(f"internal error ({type(error).__name__}); its traceback is in the log"))
        finally:
            self._pump = None
        if self._child.exited.done():  # after its last answer
            self._on_exit(self._child.exited)

    async def _ask(self, calls: Sequence[Call]) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        begin(calls, time.monotonic_ns())
        self._asked += 1
        try:
            async with asyncio.timeout_at(max(call.deadline + max(_GRACE_S, call.allowed_s) for call in calls)):
                text = await self._child.ask(joined(self._asked, calls))
            if text is None:
                self._die(self._child.death())
                return
            answer = decode(text) if len(text) <= _READ_INLINE else await asyncio.to_thread(decode, text)
            if answer["kind"] == "error":
                self._die(self._child.told(answer))
                return
            if answer.get("id") != self._asked:
                raise WireError("an answer to another question")
            self._count(answer)
            parts = split(answer, calls) if answer["kind"] == "answer" else []
        except TimeoutError:
            waited_s = loop.time() - began
            self._die(ChildCrashed(f"predict was far beyond its deadline (after {waited_s:.1f} s): the process was ended"))
        except WireError as error:
            self._die(ChildCrashed(f"the hosting process broke its wire: {error}"))
        else:
            self._waiting.learn(sum(call.rows for call in calls), loop.time() - began)
            end(calls, time.monotonic_ns())
            if parts:
                for call, part in zip(calls, parts, strict=True):
                    if call.is_waited_for:
                        call.answer.set_result(part)
            else:
                await self._refused(answer, calls)

    async def _refused(self, answer: dict[str, Any], calls: Sequence[Call]) -> None:
        """One bad row fails only the call it came with."""
        if len(calls) > 1:
            for call in calls:
                if call.is_waited_for and self._death is None:
                    await self._ask([call])
            return
        (call,) = calls
        message = str(answer.get("message"))[:2000]
        if call.is_waited_for:
            is_refusal = answer["kind"] == "refused"
            call.answer.set_exception(InvalidQuery("instances", message) if is_refusal else AnswerFailed("internal_error", message))

    def _count(self, answer: dict[str, Any]) -> None:
        for name in ("calls", "peak_bytes"):
            value = answer.get(name)
            if isinstance(value, int):
                setattr(self, name, max(value, getattr(self, name)))

    # -- the end ------------------------------------------------------------------------------------------------------

    def on_death(self, tell: Callable[[str, str], None]) -> None:
        """See service.lifecycle.ports.Loaded.on_death."""
        self._tell = tell
        if self._death is not None:
            self._tell_soon()

    def _on_exit(self, exited: asyncio.Future[None]) -> None:
        # While a question is out, its last word is still to be read: whoever asks will find out.
        if self._pump is None and not self._is_closing:
            self._die(self._child.death())

    def _die(self, error: LoadError) -> None:
        """Nobody is answered any more; told once."""
        self._child.kill()
        if self._death is None:
            self._death = error
            self._tell_soon()
        for call in (*self._running, *self._waiting.drop()):
            if call.is_waited_for:
                call.answer.set_exception(AnswerFailed(error.type, error.message))

    def _tell_soon(self) -> None:
        if self._tell is not None and self._death is not None and not self._is_closing:
            tell, self._tell = self._tell, None
            asyncio.get_running_loop().call_soon(tell, self._death.type, self._death.message)

    async def aclose(self) -> None:
        """End the child and reap it; calls that still wait fail."""
        self._is_closing = True
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait((self._pump,))
        self._die(ChildCrashed("the model was unloaded"))
        await to_the_end(self._child.__aexit__(None, None, None))
