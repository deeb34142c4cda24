"""From a configured model to a version that answers: run the capped child, seal, check, map, keep; bring back what is kept.

Covers: the order of those steps and what is kept for the next start. Does not cover: when they run and what a failure leads
to (`service.lifecycle`), bringing the artifact (`loaders.fetching`). Event loop only; every blocking step is in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from config.schema import ModelSettings, Settings
from loaders.cache import FileIdentity, Kept, Store, segment_key
from loaders.errors import PartUnavailable, SegmentInvalid
from loaders.fetching import LOCAL, Fetching, StoredArtifact, disk_errors
from loaders.hosting.allowed import untrusted, untrusted_type
from loaders.hosting.scorer import HostedModel
from loaders.hosting.starting import HOSTED, start_hosted
from loaders.hosting.version import HostedVersion
from loaders.parts import HYBRID, parts_of
from loaders.plan import load_plan, need_bytes
from loaders.process import CappedChild, to_the_end
from loaders.segment import Destination, survivors
from loaders.segment import Mapping as SegmentMapping
from loaders.sources import open_source
from loaders.sources.address import scheme_of
from loaders.sources.training import version_of
from loaders.version import Version
from models.base import Scorer
from models.bundle import BadBundle
from models.opening import open_scorer_of

__all__ = ["Loader", "StoredArtifact", "Version"]

OnPhase = Callable[[Any, "str | None"], None]
_NUMPY_MAJOR = np.__version__.partition(".")[0]
V = TypeVar("V", Version, "Version | None")


class Loader:
    """The loader behind the lifecycle's port. Owns the store between `open` and `aclose`."""

    def __init__(self, settings: Settings, store: Path | None = None) -> None:
        """`store`: where it keeps what it loads, if that is not the configured store (which trainings publish into)."""
        self._settings = settings
        self.store = Store(store or settings.store.path, settings.store.max_bytes)
        self._mapped: Counter[str] = Counter()
        """Versions that are mapped now, by name."""
        self._starting = asyncio.Semaphore(settings.loading.concurrency)
        """Hosted models that come back at a start: each takes a processor and its memory at the same time."""
        self._fetching = Fetching(self.store, settings, _NUMPY_MAJOR)

    async def open(self) -> None:
        """Raises OSError, loaders.cache.StoreInUse."""
        await asyncio.to_thread(self.store.open)

    async def aclose(self) -> None:
        self.store.close()

    # -- warm restart -------------------------------------------------------------------------------------------------

    async def restore(self, model: ModelSettings) -> Version | None:
        """Bring the kept version back if source and options are unchanged; asks no source.

        Maps a segment; of a hosted model starts the child over the kept artifact. Raises LoadError where that fails.
        """
        kept = self.store.kept(model.name)
        if kept is None or kept.key != segment_key(model, _NUMPY_MAJOR):
            return None
        if kept.family == HOSTED:
            return await self._host_kept(model, kept)
        if kept.segment is None:
            return None
        try:
            return await self._with_parts(model, await asyncio.to_thread(self._map_kept, kept))
        except (SegmentInvalid, OSError):
            return None

    def _map_kept(self, kept: Kept) -> Version | None:
        if kept.segment is None or not kept.segment.holds(self.store.segments):
            return None
        if kept.adopts and (kept.artifact is None or not kept.artifact.holds(self.store.artifacts)):
            return None
        with contextlib.ExitStack() as stack:
            segment_fd = _open(stack, self.store.segments / kept.segment.name)
            artifact_fd = _open(stack, self.store.artifacts / kept.artifact.name) if kept.adopts and kept.artifact else None
            scorer = _scorer(SegmentMapping(segment_fd, artifact_fd, is_checked=True), kept.family)
        return Version(kept, scorer, {**kept.load, "from_segment": True}, self._mapped)

    async def _host_kept(self, model: ModelSettings, kept: Kept) -> Version | None:
        if kept.artifact is None or not await asyncio.to_thread(kept.artifact.holds, self.store.artifacts):
            return None
        began = time.monotonic()
        async with self._starting:
            with contextlib.ExitStack() as stack, disk_errors("loading"):
                artifact_fd = _open(stack, self.store.artifacts / kept.artifact.name)
                hosted, facts = await self._start(model, artifact_fd, kept.size, _text(kept.load.get("format")), lambda frame: None)
        load = {**kept.load, **facts, "seconds": round(time.monotonic() - began, 3)}
        return HostedVersion(kept, hosted, load, self._mapped)

    # -- fetch --------------------------------------------------------------------------------------------------------

    async def fetch(
        self, model: ModelSettings, *, known: str | None, on_progress: Callable[[int, int | None], None]
    ) -> StoredArtifact | None:
        """What is current, in the store; None when the source says that `known` still is. Raises LoadError."""
        return await self._fetching.fetch(model, known=known, on_progress=on_progress)

    # -- load ---------------------------------------------------------------------------------------------------------

    def estimate(self, model: ModelSettings, artifact: StoredArtifact) -> int:
        """Bytes of memory the load will need that the kernel cannot take back: the child's, and a segment in memory."""
        kept = self.store.kept(model.name)
        learned = kept.load.get("peak_bytes") if kept is not None and kept.size == artifact.size else None
        is_hosted = model.family == HOSTED or (kept is not None and kept.family == HOSTED)
        return need_bytes(model, artifact.size, learned, is_hosted=is_hosted)

    async def load(self, model: ModelSettings, artifact: StoredArtifact, *, on_phase: OnPhase) -> Version:
        """Run the capped child over the artifact and map what it made. Raises LoadError.

        A failed load leaves no file, but for a remote artifact whose load is worth another try.
        """
        try:
            return await self._with_parts(model, await self._load(model, artifact, _phases(on_phase)))
        except BaseException as error:
            await self._fetching.failed(model, artifact, error)
            raise

    async def _load(self, model: ModelSettings, artifact: StoredArtifact, from_phase: Callable[[Any], None]) -> Version:
        began = time.monotonic()
        with contextlib.ExitStack() as stack, disk_errors("loading"):
            artifact_fd = _open(stack, artifact.path)
            in_memory = model.segment == "memory"
            making = asyncio.ensure_future(asyncio.to_thread(Destination, None if in_memory else self.store.segments))
            stack.callback(_close_made, making)
            destination = await to_the_end(making)
            plan = load_plan(model, self._settings.loading, artifact_fd, destination.fd, artifact.size, artifact.sha256)
            async with CappedChild((artifact_fd, destination.fd), plan["cgroup_bytes"]) as child:
                verdict = await child.run(plan, model.load_timeout_s, lambda frame: from_phase(frame.get("phase")))
                walls = [*_strings(verdict.get("walls")), *child.walls]
            if child.has_survivors:
                raise SegmentInvalid("the loading process left processes behind")
            family = str(verdict.get("family"))
            is_hosted = family == HOSTED
            if not is_hosted:
                from_phase("warming")
            name = f"{model.name}-{secrets.token_hex(8)}.seg"
            target = None if in_memory or is_hosted else self.store.segments / name
            await asyncio.to_thread(self.store.hold, model.name, name)
            mapping = await to_the_end(asyncio.to_thread(_publish, destination, artifact_fd, target))
            scorer: Any = await asyncio.to_thread(_scorer, mapping, family)
            load: dict[str, Any] = {
                "peak_bytes": _number(verdict.get("peak_bytes")),
                "cap_bytes": _number(verdict.get("cap_bytes")),
                "from_segment": False,
                "walls": walls,
                "format": _text(verdict.get("format")),
                "family_reason": _text(verdict.get("reason")),
                "adopted_bytes": _number(verdict.get("adopted_bytes")),
                "streamed_bytes": _number(verdict.get("streamed_bytes")),
            }
            if is_hosted:
                self._check_trust(scorer.classes)
                destination.close()
                started = self._start(model, artifact_fd, artifact.size, load["format"], lambda frame: from_phase(frame.get("phase")))
                scorer, facts = await started
                load |= facts | {"peak_bytes": max(load["peak_bytes"], facts["peak_bytes"]), "adopted_bytes": 0, "streamed_bytes": 0}
        if not is_hosted:
            kept = await self._keep(model, artifact, verdict, target, mapping.allocated_bytes, load, began)
            return Version(kept, scorer, kept.load, self._mapped, verdict)
        try:
            kept = await self._keep(model, artifact, verdict, None, 0, load, began)
        except BaseException:
            await scorer.aclose()
            raise
        return HostedVersion(kept, scorer, kept.load, self._mapped, verdict)

    async def _start(
        self, model: ModelSettings, artifact_fd: int, size: int, format: str | None, on_frame: Callable[[dict[str, Any]], None]
    ) -> tuple[HostedModel, dict[str, Any]]:
        return await start_hosted(model, self._settings.loading, artifact_fd, size, format or "", on_frame)

    def _check_trust(self, classes: Iterable[str]) -> None:
        """Known before anything is imported. Raises UntrustedType."""
        if self._settings.loading.trust == "known" and (names := untrusted(classes)):
            raise untrusted_type(names)

    async def _keep(
        self,
        model: ModelSettings,
        artifact: StoredArtifact,
        verdict: Mapping[str, Any],
        target: Path | None,
        segment_bytes: int,
        load: Mapping[str, Any],
        began: float,
    ) -> Kept:
        """Write the record of what was loaded, for the next start. Raises DiskFull."""
        now = time.time()
        family = str(verdict.get("family"))
        adopts = bool(load["adopted_bytes"])
        # A local file is cheaply taken again; the copy of one that nothing is mapped of would only cost its size.
        is_spare = not adopts and family != HOSTED and scheme_of(model.source) in LOCAL
        kept = Kept(
            model=model.name,
            key=segment_key(model, _NUMPY_MAJOR),
            revision=artifact.revision,
            size=artifact.size,
            sha256=artifact.sha256 or _text(verdict.get("sha256")),
            artifact=None if is_spare else await asyncio.to_thread(FileIdentity.of, artifact.path),
            segment=None if target is None else await asyncio.to_thread(FileIdentity.of, target),
            adopts=adopts,
            version=version_of(artifact.revision) or _version_name(now),
            family=family,
            loaded_at=now,
            segment_bytes=segment_bytes,
            load={"seconds": round(time.monotonic() - began, 3), **load},
        )
        with disk_errors("keeping the record"):
            await asyncio.to_thread(self.store.keep, kept)
        return kept

    async def _with_parts(self, model: ModelSettings, version: V) -> V:
        """The version, with the names of its parts where it is a hybrid; else closed. Raises PartUnavailable."""
        if version is not None and version.family == HYBRID:
            try:
                version.name_parts(parts_of(model, version.scorer.parts, self._settings.models))
            except PartUnavailable:
                await version.close()
                raise
        return version

    # -- the rest -----------------------------------------------------------------------------------------------------

    async def disown(self, model: ModelSettings, version: Version) -> None:
        """What `load` returned will not serve: forget it, so that the next start does not bring it back. Raises DiskFull, AccessDenied."""
        with disk_errors("forgetting a version"):
            await asyncio.to_thread(self._forget, model.name, version.version)

    def _forget(self, model: str, version: str) -> None:
        kept = self.store.kept(model)
        if kept is not None and kept.version == version:
            self.store.forget(model)
            self.store.let_go(model)

    async def let_go(self, model: ModelSettings) -> None:
        """What was fetched for this model will not be loaded: delete it, unless a record names it."""
        await asyncio.to_thread(self.store.let_go, model.name)

    def watch(self, model: ModelSettings) -> AsyncIterator[None] | None:
        """Yields when the source may have changed; None where it cannot be watched."""
        return open_source(model, self._settings).watch()

    async def clear(self, model: str | None) -> int:
        """Delete fetched artifacts and segments, but none that is mapped: what serves keeps its warm restart. Bytes freed."""
        await self._fetching.forget(model)
        return await asyncio.to_thread(self.store.clear, model, frozenset(+self._mapped))


def _publish(destination: Destination, artifact_fd: int, target: Path | None) -> SegmentMapping:
    """Seal, check, name. What is left of a hostile child is killed here. Raises SegmentInvalid, DiskFull."""
    try:
        destination.seal()
    except SegmentInvalid:
        for pid in survivors(destination.fd):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        raise
    mapping = SegmentMapping(destination.fd, artifact_fd)
    if target is not None:
        destination.link(target)
    return mapping


def _close_made(making: asyncio.Future[Destination]) -> None:
    """Close a destination, also where the load was cancelled while a thread made it."""
    if making.done() and not making.cancelled() and making.exception() is None:
        making.result().close()


def _scorer(mapping: SegmentMapping, family: str) -> Scorer:
    """Raises SegmentInvalid where the arrays contradict each other or are of a family that is not known."""
    if mapping.bundle.family != family:
        raise SegmentInvalid(f"the segment is of family {mapping.bundle.family[:40]!r}")
    try:
        return open_scorer_of(mapping.bundle)
    except BadBundle as error:
        raise SegmentInvalid(f"the segment does not hold a {family} model: {error}") from error


def _phases(on_phase: OnPhase) -> Callable[[Any], None]:
    """Report each phase once, in order, whatever a child sends."""
    from_child = ["loading", "warming"]

    def report(phase: Any) -> None:
        if phase in from_child:
            del from_child[: from_child.index(phase) + 1]
            on_phase(phase, None)

    return report


def _open(stack: contextlib.ExitStack, path: Path) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    stack.callback(os.close, fd)
    return fd


def _version_name(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def _strings(value: Any) -> list[str]:
    return [text[:40] for text in value if isinstance(text, str)][:16] if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return value[:500] if isinstance(value, str) else None


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
