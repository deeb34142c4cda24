"""The child's work: verify, read, pack, place, warm. Child only; everything heavy is imported before the files are closed."""

from __future__ import annotations

import hashlib
import os
import time
from importlib import import_module
from typing import Any

import numpy as np

from loaders import walls
from loaders.errors import CorruptArtifact, DigestMismatch
from loaders.formats import read_artifact, sniff
from loaders.formats.safetensors import BadHeader
from loaders.formats.streams import Stream
from loaders.segment_writer import ArtifactMap, SegmentWriter, write_bundle
from loaders.wire import ChildEnd
from models import FAMILIES
from models.bundle import BadBundle, Bundle
from models.opening import open_scorer_of, warm_scorer
from models.packing import Options, pack
from models.passing import is_bundle
from models.records import summarise

_PROGRESS_S = 0.2
_SAMPLE_S = 0.005


class _Progress:
    """Tells the parent how far the reading is, a few times a second, and lets the cap follow the non-array bytes."""

    def __init__(self, wire: ChildEnd, total: int, plan: dict[str, Any], memory: walls.PrivateMemory) -> None:
        self._wire = wire
        self._memory = memory
        self._total = total
        self._base = plan["data_bytes"]
        self._per_byte = plan["data_per_plain_byte"]
        self._stream: Stream | None = None
        self._next = time.monotonic() + _PROGRESS_S
        self._sample_at = 0.0
        self.cap_bytes = self._base

    def follow(self, stream: Stream) -> None:
        self._stream = stream

    def on_plain(self, nbytes: int) -> None:
        if self._per_byte:
            self.cap_bytes = walls.raise_data(self._base + self._per_byte * nbytes)
        now = time.monotonic()
        if now >= self._sample_at:
            self._sample_at = now + _SAMPLE_S
            self._memory.sample()
        if now >= self._next and self._stream is not None:
            self._next = now + _PROGRESS_S
            self._wire.send("progress", done=self._stream.consumed(), total=self._total)


def run(wire: ChildEnd, plan: dict[str, Any], stand: list[str], memory: walls.PrivateMemory) -> None:
    """Carry out a plan and send the "ok" frame. Raises LoadError, PackError, MemoryError, OSError."""
    artifact_fd, segment_fd = plan["artifact_fd"], plan["segment_fd"]
    size = os.fstat(artifact_fd).st_size
    digest = plan["digest"]
    sniff(os.pread(artifact_fd, 4096, 0), size)
    for module in FAMILIES.values():
        import_module(f"{module}.pack")
        import_module(f"{module}.score")
    _import_decompressor(os.pread(artifact_fd, 4, 0))
    stand = [*stand, *walls.close_files(), *walls.close_processes()]
    if plan["verify_sha256"] and digest is None:
        digest = _sha256(artifact_fd, size)
        if digest != plan["verify_sha256"]:
            raise DigestMismatch(f"the artifact's SHA-256 is {digest}, configured is {plan['verify_sha256']}")
    wire.send("phase", phase="loading")
    progress = _Progress(wire, size, plan, memory)
    writer = SegmentWriter(segment_fd, plan["segment_limit"])
    artifact = ArtifactMap(artifact_fd)
    tree = read_artifact(artifact_fd, writer, artifact.adopt, progress.on_plain, progress.follow)
    progress.on_plain(tree.plain_bytes)
    memory.sample()
    components = summarise(tree.root)
    try:
        bundle, reason = pack(tree.root, plan["family"], Options(**plan["options"], new_array=writer.new_array))
    except ValueError as error:
        if hasattr(error, "detail"):
            error.detail.setdefault("components", components[:50])
        raise
    memory.sample()
    bundle, entries, note = write_bundle(writer, bundle, artifact)
    wire.send("phase", phase="warming")
    bundle = _warm(bundle, is_passed_through=is_bundle(tree.root))
    try:
        segment_bytes = writer.finish(bundle, entries, note)
    except (BadHeader, ValueError) as error:
        raise CorruptArtifact(f"the model cannot be described: {error}") from error
    wire.send(
        "ok",
        family=bundle.family,
        reason=reason,
        format=tree.format,
        segment_bytes=segment_bytes,
        streamed_bytes=writer.streamed_bytes,
        adopted_bytes=_adopted_bytes(note.adopted),
        plain_bytes=tree.plain_bytes,
        cap_bytes=progress.cap_bytes,
        peak_bytes=memory.sample(),
        walls=stand,
        sha256=digest,
        components=components,
    )


def _warm(bundle: Bundle, *, is_passed_through: bool) -> Bundle:
    """Score a sample, so that a model that cannot answer fails here and not in the server.

    Of what our own pack made, anything but BadBundle is a defect, and told with its traceback.
    """
    try:
        with np.errstate(all="ignore"):
            if is_passed_through:
                learned = warm_scorer(bundle.family, open_scorer_of(bundle))
            else:
                module = import_module(f"{FAMILIES[bundle.family]}.score")
                learned = module.warm(module.open_scorer(bundle))
    except BadBundle as error:
        raise CorruptArtifact(f"the model cannot answer: {error}") from error
    return Bundle(bundle.family, bundle.arrays, bundle.meta, {**bundle.details, **learned})


def _adopted_bytes(adopted: dict[str, dict[str, Any]]) -> int:
    from math import prod

    from loaders.formats.safetensors import DTYPES

    return sum(prod(place["shape"]) * np.dtype(DTYPES[place["dtype"]]).itemsize for place in adopted.values())


def _import_decompressor(magic: bytes) -> None:
    if magic == b"\x04\x22\x4d\x18":
        import lz4.frame  # noqa: F401  not importable once the files are closed
    if magic == b"PK\x03\x04":
        import loaders.formats.npz
    import loaders.formats.feed
    import loaders.formats.pickle  # noqa: F401


def _sha256(fd: int, size: int) -> str:
    digest = hashlib.sha256()
    for offset in range(0, size, 1 << 20):
        digest.update(os.pread(fd, 1 << 20, offset))
    return digest.hexdigest()
