"""Why something that was asked of trainings is not done. No HTTP numbers here, and no exit codes.

Does not cover: why a run failed (`training.errors`), what cannot be switched (`training.versions.publish`).
"""

from __future__ import annotations

from training.running.runs import Run


class UnknownTraining(LookupError):
    """No training of this name is configured."""

    def __init__(self, training: str) -> None:
        super().__init__(f"no [training.{training}] is configured")
        self.training = training

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.training,))


class UnknownRun(LookupError):
    """No run of this id is known (any more)."""

    def __init__(self, id: str) -> None:
        super().__init__(f"no training run has the id {id!r}")
        self.id = id

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.id,))


class RunRefused(Exception):
    """What was asked of a run cannot be done with `run` as it is; None where another process has begun it just now."""

    def __init__(self, message: str, run: Run | None) -> None:
        super().__init__(message)
        self.run = run

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (str(self), self.run))


class AlreadyRunning(RunRefused):
    """A run of this training waits or runs already, here or in another process."""


class RunOver(RunRefused):
    """The run has ended, or what it made is being published."""


class RunElsewhere(RunRefused):
    """The run is another process's."""


class TrainingUnavailable(Exception):
    """The store or its journal cannot be used now, or the process stops."""
