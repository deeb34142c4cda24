"""What a training process tells while it runs: phases, progress, warnings, and lines of the run's log.

Covers: the frames to the runner, thinned, and the log on stdout, both without the password of the data. Does not cover: the
wire (`loaders.wire`), the last frame (`training.running.steps`, `training.running.child`). Standard library only.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

from training.addresses import HIDDEN, secrets_of
from training.running.runs import PHASES

PROGRESS_S = 0.2
log = logging.getLogger("holdfast.training")


class Wire(Protocol):
    """See loaders.wire.ChildEnd."""

    def send(self, kind: str, **fields: Any) -> None: ...


class Telling:
    """The child's words. `total` 0 of a step is one whose length is not known."""

    def __init__(self, wire: Wire, clock: Callable[[], float] = time.monotonic) -> None:
        self._wire = wire
        self._clock = clock
        self._step = ""
        self._next_at = 0.0

    def phase(self, phase: str) -> None:
        """Another of `training.running.runs.PHASES` begins."""
        if phase not in PHASES:
            raise ValueError(f"{phase!r} is none of {', '.join(PHASES)}")
        self._step = ""
        self._wire.send("phase", phase=phase)

    def progress(self, step: str, done: int, total: int) -> None:
        """How far a step is: told when it begins, when it ends, and between that a few times a second."""
        now = self._clock()
        if step != self._step:
            log.info("%s", step)
        elif now < self._next_at and not 0 < total <= done:
            return
        self._step, self._next_at = step, now + PROGRESS_S
        self._wire.send("progress", step=step[:200], done=int(done), total=int(total))

    def warn(self, message: str) -> None:
        """Something that does not end the run, but that somebody should know."""
        log.warning("%s", message)
        self._wire.send("warning", message=message[:2000])


class Secrets:
    """Texts that are shown nowhere: the address of the data and what is secret in it."""

    def __init__(self, url: str) -> None:
        secrets = secrets_of(url)
        self._hidden = (url, *secrets) if secrets else ()

    def hide(self, text: str) -> str:
        """The text without them."""
        for secret in self._hidden:
            text = text.replace(secret, HIDDEN)
        return text


def log_to_stdout(secrets: Secrets) -> None:
    """Send what is logged to stdout, a line each, which the runner keeps as the run's log."""

    class Hiding(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return secrets.hide(super().format(record))

    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(Hiding("%(asctime)s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
