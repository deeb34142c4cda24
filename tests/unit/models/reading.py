"""An artifact read as the child reads it: from a file into records, its arrays in a segment."""

from __future__ import annotations

import gc
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loaders.formats import read_artifact
from loaders.segment import Destination
from loaders.segment_writer import ArtifactMap, SegmentWriter


@contextmanager
def records_of(artifact: Any, folder: Path) -> Iterator[Any]:
    """The root of what is pickled, or of a file. Nothing of it may be kept beyond the block."""
    path = artifact if isinstance(artifact, Path) else folder / "artifact"
    if path is not artifact:
        path.write_bytes(pickle.dumps(artifact, 5))
    fd = os.open(path, os.O_RDONLY)
    destination = Destination(folder)
    try:
        writer, adopted = SegmentWriter(destination.fd, 64 << 20), ArtifactMap(fd)
        yield read_artifact(fd, writer, adopted.adopt, lambda nbytes: None, lambda stream: None).root
    finally:
        destination.close()
        os.close(fd)
        gc.collect(1)  # a full one takes longer than most tests; where it is needed, the census of leaks does it
