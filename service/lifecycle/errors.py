"""What can be wrong between the rest of the program and a model's life. No HTTP numbers here.

Does not cover: why a model failed to load (`loaders.errors`; shown as the entry's `Failure`), `view.NotReady` (it carries a view).
"""

from __future__ import annotations

from .state import StoryLine


class LifecycleError(Exception):
    """Base of the errors of this package."""


class UnknownModel(LifecycleError):
    """No model of this name is configured."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no model is named {name!r}")
        self.name = name

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.name,))


class NoEarlierVersion(LifecycleError):
    """The model cannot be rolled back: no version before the one that serves is kept."""

    def __init__(self, model: str) -> None:
        super().__init__(f"no version of {model} before the one that serves is kept")
        self.model = model

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.model,))


class UnknownVersion(LifecycleError):
    """No version of this name is kept."""

    def __init__(self, name: str, version: str) -> None:
        super().__init__(f"no version {version!r} of {name} is kept")
        self.name = name
        self.version = version

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.name, self.version))


class ArchiveUnavailable(LifecycleError):
    """What is published cannot be read or switched now; the message says why."""


class InvalidTransition(LifecycleError):
    """An event that cannot happen in this phase: a defect of the caller. Carries how the model came here."""

    def __init__(self, model: str, phase: str, event: str, story: tuple[StoryLine, ...]) -> None:
        told = "; ".join(f"{line.event}: {line.from_} -> {line.to}" for line in story[-5:]) or "nothing"
        super().__init__(f"model {model!r}: event {event} is illegal in phase {phase} (before: {told})")
        self.model = model
        self.phase = phase
        self.event = event
        self.story = story

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.model, self.phase, self.event, self.story))


class SupervisorClosed(LifecycleError):
    """A command came before the supervisor started or after it began to stop."""
