"""What the supervisor needs from the outside: a loader. `loaders.loader.Loader` is the real one; tests bring fakes.

Errors of every coroutine here: `loaders.errors.LoadError` subclasses and CancelledError. Cancelling cleans up (no
process, temp file or segment stays), except a partial download, which stays for resuming.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

from config.schema import ModelSettings

from .state import Phase

OnProgress = Callable[[int, "int | None"], None]
OnPhase = Callable[[Phase, "str | None"], None]


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
