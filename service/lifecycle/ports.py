"""What the lifecycle needs from the outside: a loader, room, and for models that are trained here an archive, a trainer, a canary.

`loaders.loader.Loader` is the real loader; tests bring fakes. Errors of every coroutine here, but those of the archive:
`loaders.errors.LoadError` subclasses and CancelledError. Cancelling cleans up (no process, temp file or segment stays), except a
partial download, which stays for resuming, and a training run, which is not its model's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from config.schema import ModelSettings
from loaders.published import PublishedVersion

from .state import Phase

OnProgress = Callable[[int, "int | None"], None]
OnPhase = Callable[[Phase, "str | None"], None]
OnTrained = Callable[["float | None", str], None]
"""Told of a training: the share of the whole that is done (0..1), and what it does, in words."""


class Artifact(Protocol):
    """A verified-enough local file of one revision."""

    revision: str
    size: int


class Loaded(Protocol):
    """A mapped version, ready to answer. Owned by the registry from the moment `load` or `restore` returns it."""

    version: str
    revision: str
    family: str
    scorer: Any
    artifact_bytes: int
    segment_bytes: int
    loaded_at: float
    """Unix time of the load that made it (kept across restarts)."""
    load: Mapping[str, Any]
    """{"seconds","peak_bytes","cap_bytes","from_segment","walls"}, and what else the loader has to tell; JSON."""
    details: Mapping[str, Any]
    parts: Mapping[str, str]
    """Role -> name of the model that plays it, for a version that answers from other models (a hybrid); else empty."""

    def on_death(self, tell: Callable[[str, str], None]) -> None:
        """Have `tell(type, message)` called on the loop, once, if the version can answer no more because its process died.

        Never from within this call; not for a process that `close` ends. `type` is a name of `loaders.errors.FAILURES`.
        """
        ...

    async def close(self) -> None:
        """Unmap, in a thread (70 ms/GB), or end its process. Called once, after the last lease closed."""
        ...


class Loader(Protocol):
    """Brings a model from its source to a mapped version."""

    async def restore(self, model: ModelSettings) -> Loaded | None:
        """Bring the last version back, if source and options are still the same; asks no source.

        A kept segment is mapped and starts no child; a hosted model starts its own over the kept artifact.
        """
        ...

    async def fetch(self, model: ModelSettings, *, known: str | None, on_progress: OnProgress) -> Artifact | None:
        """Fetch what is current into the store; None when the source says that revision `known` still is."""
        ...

    def estimate(self, model: ModelSettings, artifact: Artifact) -> int:
        """Bytes of memory that `load` will need at its peak (learned from the last load of that size, else estimated)."""
        ...

    async def load(self, model: ModelSettings, artifact: Artifact, *, on_phase: OnPhase) -> Loaded:
        """Run the capped child over the artifact; seal, check and map its segment. Reports LOADING and WARMING as they begin."""
        ...

    async def disown(self, model: ModelSettings, loaded: Loaded) -> None:
        """What `load` returned will not serve: the next start must not bring it back. The caller closes it."""
        ...

    async def let_go(self, model: ModelSettings) -> None:
        """What was fetched for this model will not be loaded: it needs no place in the store any more."""
        ...

    def watch(self, model: ModelSettings) -> AsyncIterator[None] | None:
        """Yields when the source may have changed; None where it cannot be watched."""
        ...

    async def clear(self, model: str | None) -> int:
        """Delete fetched artifacts and segments that nothing live names (of one model, or of all); bytes freed."""
        ...


class Admission(Protocol):
    """Says whether a load may start now."""

    def reserve(self, need_bytes: int) -> str | None:
        """None: reserved (give it back with `release`). Else why it must wait, in words. Raises loaders.errors.NeverFits."""
        ...

    def release(self, need_bytes: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Published:
    """What a training has published. versions: newest first. current: the one that is to serve, the pinned one where there is one.

    withdrawn: version -> why it was taken back, {"at" (Unix seconds), "type", "message"}.
    """

    versions: Sequence[PublishedVersion] = ()
    current: str | None = None
    pinned: str | None = None
    withdrawn: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class Archive(Protocol):
    """The published versions of trainings, by the name of the training. Writes nothing but which of them is to serve.

    Every command raises lifecycle.errors.UnknownVersion where the version is not kept (any more), and ArchiveUnavailable.
    """

    async def published(self, training: str) -> Published:
        """Raises ArchiveUnavailable."""
        ...

    async def roll_back(self, training: str, to: str, by: str) -> None:
        """The version `to` is current, and pinned: nothing but a command switches from it. by: who says so, in words."""
        ...

    async def activate(self, training: str, version: str, by: str) -> None:
        """The version is current, and nothing is pinned; it counts as withdrawn no longer."""
        ...

    async def unpin(self, training: str, by: str) -> None:
        """Nothing is pinned; what is current stays so."""
        ...

    async def withdraw(self, training: str, version: str, failure: Mapping[str, str], serving: str | None) -> None:
        """The version is taken back for `failure` ({"type", "message"}): never current again by itself.

        Where it was current, `serving` is, the version that serves; without one the newest that was not withdrawn.
        """
        ...


class Trainer(Protocol):
    """Trains what a model falls back to."""

    async def train(self, training: str, because: str, on_progress: OnTrained) -> None:
        """Have it trained and published; joins a run that is under way. because: why, for the run's record.

        Raises TrainingFailed, TrainingRefused.
        """
        ...


class Canary(Protocol):
    """Puts to a new version what the one that serves was asked lately."""

    def questions(self, model: str) -> int:
        """How many there are to be put; 0 for nothing to check."""
        ...

    async def check(self, model: str, challenger: Loaded) -> None:
        """Raises CanaryFailed where the challenger cannot answer as it should."""
        ...


@dataclass(frozen=True, slots=True)
class Workshop:
    """What stands behind models that are trained here."""

    archive: Archive
    trainer: Trainer
    canary: Canary
