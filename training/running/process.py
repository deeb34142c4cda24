"""The process of one run, as the runner sees it: a plan in, the run as it comes along, and what came of it.

Covers: the capped child (`loaders.process`) with the failures that only a run has, its time limit, its log, and the fields of a
`Run` that its frames fill. Does not cover: what happens in there (`training.running.child`), queueing, recording and publishing
(`training.running.runner`). Event loop only; imports no numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from config.schema import MIB
from loaders.errors import ChildCrashed, LoadError, LoadTimeout
from loaders.process import CappedChild
from training.errors import TRAINING_FAILURES, TrainingError, TrainingTimeout
from training.running.plan import COMMAND, Plan
from training.running.runs import PHASES, Run
from training.running.telling import Secrets

LOG_LINES = 60
"""Of a run's output, the last; with LOG_CHARACTERS each they are at most as long as the process's output that is kept."""
LOG_CHARACTERS = 400
_TOLD_CHARACTERS = 2000
_CGROUP_SLACK = 512 * MIB
"""For the files that it maps and writes, which RLIMIT_DATA does not count and a cgroup does."""

RunFailure = TrainingError | LoadError


class TrainingChild(CappedChild):
    """A capped child that trains. `peak_bytes`: of private memory, as it told last."""

    capped_by = "`memory` of this training"

    def __init__(self, plan: Plan, lock_fd: int) -> None:
        super().__init__((lock_fd,), plan.training.memory_bytes + _CGROUP_SLACK, COMMAND, role="training")
        self.peak_bytes: int | None = None

    def failure_of(self, frame: dict[str, Any]) -> Exception:
        """Also those of `training.errors`."""
        self.peak_bytes = _number(frame.get("peak_bytes"))
        type, message = frame.get("type"), frame.get("message")
        if isinstance(type, str) and type in TRAINING_FAILURES and isinstance(message, str):
            return TRAINING_FAILURES[type](message[:_TOLD_CHARACTERS])
        return self.told(frame)


@dataclass
class Progress:
    """What is known of a run's process. outcome: its "ok" frame, {} until there is one. log: the last lines of its output."""

    outcome: Mapping[str, Any] = field(default_factory=dict)
    peak_bytes: int | None = None
    log: tuple[str, ...] = ()


async def train(plan: Plan, lock_fd: int, progress: Progress, on_frame: Callable[[Mapping[str, Any]], None]) -> None:
    """Run the child to its end; every frame that is about the run goes to `on_frame`, and `progress` is filled, however it ends.

    lock_fd: of the run's lock, inherited by the child. Cancelling kills it. Raises TrainingError, LoadError.
    """
    secrets = Secrets(plan.data.url)
    child = TrainingChild(plan, lock_fd)
    try:
        async with child:

            def hear(frame: dict[str, Any]) -> None:
                progress.log = _lines(child.output, secrets)
                on_frame(frame)

            progress.outcome = await child.run(plan.to_frame(), plan.training.timeout_s, hear)
    except LoadTimeout as error:
        raise TrainingTimeout(f"the run took longer than its time limit of {plan.training.timeout_s:g} s") from error
    except ChildCrashed as error:
        raise ChildCrashed(secrets.hide(error.message), **error.detail) from error
    finally:
        progress.peak_bytes = _number(progress.outcome.get("peak_bytes")) or child.peak_bytes
        progress.log = _lines(child.output, secrets)


def told(run: Run, frame: Mapping[str, Any]) -> Run:
    """The run after a frame of its process: where it is, and how far. The same one where the frame says nothing of that."""
    kind = frame.get("kind")
    if kind == "phase" and frame.get("phase") in PHASES:
        return replace(run, phase=frame["phase"], step=None, progress=None)
    if kind == "progress" and isinstance(frame.get("step"), str):
        done, total = _number(frame.get("done")), _number(frame.get("total"))
        share = min(1.0, done / total) if done is not None and total else None
        return replace(run, step=frame["step"], progress=share)
    return run


def ended(run: Run, outcome: Mapping[str, Any]) -> Run:
    """The run with what its "ok" frame says of it, but for how it ended."""
    found: dict[str, Any] = {
        "fingerprint": outcome.get("fingerprint"),
        "verdict": outcome.get("verdict"),
        "reason": outcome.get("reason"),
        "parameters": outcome.get("parameters") or run.parameters,
        "metrics": outcome.get("metrics") or {},
    }
    return replace(run, **found)


def is_defect(error: RunFailure) -> bool:
    """Whether the process ended by a defect that it could still tell of, and did not die."""
    return "traceback" in error.detail


def _lines(output: bytes, secrets: Secrets) -> tuple[str, ...]:
    lines = secrets.hide(output.decode("utf-8", "replace")).splitlines()
    return tuple(line[:LOG_CHARACTERS] for line in lines[-LOG_LINES:])


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
