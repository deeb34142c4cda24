"""What a training process says when it fails: a public type, words, and nobody's password."""

from __future__ import annotations

import errno
import json
from typing import Any

import pytest

from loaders.errors import CorruptArtifact
from loaders.walls import PrivateMemory
from loaders.wire import WireError
from training.errors import BadData
from training.running.child import described, report
from training.running.telling import Secrets

URL = "postgresql://ada:s3cretword@db/shop"


class Wire:
    """Keeps the last frame; `error` is raised instead where there is one."""

    def __init__(self, error: Exception | None = None) -> None:
        self.frame: dict[str, Any] = {}
        self._error = error

    def send(self, kind: str, **fields: Any) -> None:
        if self._error is not None:
            raise self._error
        self.frame = json.loads(json.dumps({"kind": kind, **fields}))


@pytest.fixture
def memory() -> PrivateMemory:
    class Fixed(PrivateMemory):
        def __init__(self) -> None:
            self.peak_bytes = 7

        def sample(self) -> int:
            return self.peak_bytes

    return Fixed()


@pytest.mark.parametrize(
    ("error", "type", "words"),
    [
        (BadData("no column user_id", query="interactions"), "bad_data", "no column user_id"),
        (CorruptArtifact("half a file"), "corrupt_artifact", "half a file"),
        (MemoryError("3 GiB"), "memory_cap_exceeded", ""),
        (OSError(errno.ENOMEM, "no"), "memory_cap_exceeded", ""),
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full", "No space left"),
        (OSError(errno.EROFS, "Read-only file system"), "disk_full", "cannot be written: [Errno 30] Read-only"),
        (PermissionError(errno.EACCES, "Permission denied"), "disk_full", "Permission denied"),
        (ModuleNotFoundError("No module named 'implicit'", name="implicit"), "missing_library", 'pip install "holdfast[train]"'),
        (ZeroDivisionError("by zero"), "child_crashed", "ZeroDivisionError: by zero"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_every_failure_has_its_public_type(error: Exception, type: str, words: str) -> None:
    found, message, detail = described(error)
    assert found == type
    assert words in message
    assert ("traceback" in detail) is (type == "child_crashed")


def test_a_failure_is_told_without_the_password(memory: PrivateMemory) -> None:
    wire = Wire()
    error = BadData(f"{URL} has no table", address=URL, rows=3)
    assert report(wire, error, memory, Secrets(URL)) == 0
    assert "s3cretword" not in str(wire.frame)
    assert wire.frame == {
        "kind": "error",
        "type": "bad_data",
        "message": "*** has no table",
        "detail": {"address": "***", "rows": 3},
        "peak_bytes": 7,
    }


@pytest.mark.parametrize("broken", [BrokenPipeError(), WireError("too long"), MemoryError()], ids=lambda error: type(error).__name__)
def test_a_failure_that_cannot_be_told_is_an_exit_code(memory: PrivateMemory, broken: Exception) -> None:
    assert report(Wire(broken), BadData("x"), memory, Secrets(URL)) == 1
