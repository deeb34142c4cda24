"""From a model's address to a whole artifact in the store: what is current, unless it is there already.

Covers: asking the source, what is held and let go in the store meanwhile, artifacts that wait for another try. Does not
cover: what each source does (`loaders.sources`), loading (`loaders.loader`). Event loop only.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from config.schema import ModelSettings, Settings
from loaders.cache import Store, segment_key
from loaders.errors import AccessDenied, DigestMismatch, DiskFull, LoadError, Retry
from loaders.sources import Revision, limits_of, open_source
from loaders.sources.address import scheme_of

LOCAL = ("file", "training")
"""Schemes whose artifacts are cheaply taken again."""
_TRIED_AGAIN = (Retry.BACKOFF, Retry.LIMITED, Retry.ONCE)


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    """A whole artifact in the store. `sha256` is None where it was not computed on the way."""

    path: Path
    revision: str
    size: int
    sha256: str | None


class Fetching:
    """Brings artifacts into the store, for one loader."""

    def __init__(self, store: Store, settings: Settings, numpy_major: str) -> None:
        self._store = store
        self._settings = settings
        self._numpy_major = numpy_major
        self._unloaded: dict[str, StoredArtifact] = {}
        """Artifacts whose load failed in a way that is tried again: gigabytes that need not come twice."""

    async def fetch(
        self, model: ModelSettings, *, known: str | None, on_progress: Callable[[int, int | None], None]
    ) -> StoredArtifact | None:
        """What is current, in the store; None when the source says that `known` still is. Raises LoadError."""
        into = self._store.partial_path(model)
        there = self._unloaded.pop(model.name, None)
        try:
            await asyncio.to_thread(self._store.hold, model.name, into.name)
            if there is None and known is None:
                there = await asyncio.to_thread(self._kept_artifact, model)
            fetched = await self._fetch(model, into, known, there, on_progress)
        except BaseException:
            await asyncio.to_thread(self._store.let_go, model.name)
            raise
        if fetched is None:
            await asyncio.to_thread(self._store.let_go, model.name)
        return fetched

    async def _fetch(
        self,
        model: ModelSettings,
        into: Path,
        known: str | None,
        there: StoredArtifact | None,
        on_progress: Callable[[int, int | None], None],
    ) -> StoredArtifact | None:
        source = open_source(model, self._settings)
        # What lies here unloaded is asked about before what serves: it is the newer one.
        asked = there.revision if there is not None else known
        known_revision = Revision(asked) if asked is not None else None
        with disk_errors("fetching"):
            fetched = await source.fetch(into, limits=limits_of(model), on_progress=on_progress, known=known_revision)
            if fetched is None:
                if there is not None:
                    on_progress(there.size, there.size)
                return there
            if model.sha256 and fetched.sha256 is not None and fetched.sha256 != model.sha256.lower():
                await asyncio.to_thread(fetched.path.unlink, missing_ok=True)
                raise DigestMismatch(
                    f"the artifact's SHA-256 is {fetched.sha256}, configured is {model.sha256.lower()}", revision=fetched.revision.token
                )
            path = await asyncio.to_thread(self._store.take, model.name, fetched.path, secrets.token_hex(8))
        return StoredArtifact(path, fetched.revision.token, fetched.size, fetched.sha256)

    def _kept_artifact(self, model: ModelSettings) -> StoredArtifact | None:
        """The artifact of the kept record, where it came from this source and is still there; then it is held. Blocking."""
        kept = self._store.kept(model.name)
        if kept is None or kept.artifact is None:
            return None
        self._store.hold(model.name, kept.artifact.name)  # before looking: the source is asked meanwhile
        if not kept.artifact.holds(self._store.artifacts):
            return None
        if kept.key != segment_key(model, self._numpy_major) and kept.key != segment_key(
            replace(model, family="auto", id_column=""), self._numpy_major
        ):
            return None
        return StoredArtifact(self._store.artifacts / kept.artifact.name, kept.revision, kept.size, kept.sha256)

    async def failed(self, model: ModelSettings, artifact: StoredArtifact, error: BaseException) -> None:
        """Its load failed: delete it, unless it came over the network and is worth another try."""
        is_kept = isinstance(error, LoadError) and error.retry in _TRIED_AGAIN and scheme_of(model.source) not in LOCAL
        await asyncio.to_thread(self._store.let_go, model.name, artifact.path.name if is_kept else None)
        if is_kept:
            self._unloaded[model.name] = artifact

    async def forget(self, model: str | None) -> None:
        """Delete what waits for another try, of one model or of all."""
        for name in [name for name in self._unloaded if model in (None, name)]:
            del self._unloaded[name]
            await asyncio.to_thread(self._store.let_go, name)


@contextlib.contextmanager
def disk_errors(doing: str) -> Iterator[None]:
    """Failures of the store in the words of failures. Raises DiskFull, AccessDenied."""
    try:
        yield
    except LoadError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no room in the store while {doing}") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise AccessDenied(f"the store may not be written while {doing}: {error.strerror}") from error
        raise
