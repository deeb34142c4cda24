"""One structured log line a transition, from this one place.

Does not cover: how lines are written (`service.logs`), defects (logged where they are caught).
"""

from __future__ import annotations

import logging

from .events import Died, Failed, SourceFailed, Withdrawn
from .fallback import NOT_PUBLISHED
from .state import Attempt, Entry, Phase, StoryLine

_log = logging.getLogger("holdfast.lifecycle")


def log_transitions(before: Entry, after: Entry) -> None:
    """Log the story lines that `after` has and `before` has not."""
    told = after.transitions - before.transitions
    for line in after.story[len(after.story) - told :] if told else ():
        _log_line(line, after, after.attempt or before.attempt)


def _log_line(line: StoryLine, entry: Entry, attempt: Attempt | None) -> None:
    level = logging.INFO
    if line.event == SourceFailed.kind:
        level = logging.INFO if _is_first_training(entry) else logging.WARNING
    elif line.event == Died.kind:
        level = logging.WARNING
    elif line.event == Withdrawn.kind:
        level = logging.ERROR
    elif line.to == Phase.FAILED and line.event == Failed.kind:  # a poll that finds what was rejected before is no news
        level = logging.WARNING if entry.failure is not None and entry.failure.retryable else logging.ERROR
    revision = attempt.revision if attempt is not None and attempt.revision else entry.live.revision if entry.live is not None else None
    fields = {
        "action": line.event,
        "model": entry.name,
        "attempt": attempt.id if attempt is not None else None,
        "revision": revision,
        "phase": str(line.to),
        "from_phase": str(line.from_),
        "cause": line.cause,
    }
    _log.log(level, "%s: %s -> %s, %s (%s)", entry.name, line.from_, line.to, line.event, line.cause, extra=fields)


def _is_first_training(entry: Entry) -> bool:
    """Whether a model that is trained here goes on to its training only because that has published nothing so far."""
    attempt = entry.attempt
    because = attempt.because if attempt is not None and attempt.fallback is None else None
    return because is not None and because.type == NOT_PUBLISHED
