"""An artifact read into records whose arrays lie in plain memory: they may be kept, changed and forged."""

from __future__ import annotations

import pickle
import tempfile
from typing import Any

from loaders.formats import read_artifact


class _Extent(bytearray):
    def write(self, data: bytes) -> None:
        self += data

    def finish(self) -> memoryview:
        return memoryview(self)


class _Memory:
    def take(self, stream: Any, nbytes: int) -> memoryview:
        taken = memoryview(bytearray(nbytes))
        done = 0
        while done < nbytes:
            got = stream.readinto(taken[done:])
            assert got, "the pickle ends inside an array"
            done += got
        return taken

    def open_ended(self) -> _Extent:
        return _Extent()


def records_of(artifact: Any, protocol: int = 5) -> Any:
    """The root of what is pickled."""
    with tempfile.TemporaryFile() as file:
        file.write(pickle.dumps(artifact, protocol))
        file.flush()
        return read_artifact(file.fileno(), _Memory(), _refuse, lambda nbytes: None, lambda stream: None).root


def _refuse(offset: int, nbytes: int) -> memoryview:
    raise AssertionError("a plain pickle has no arrays to adopt")
