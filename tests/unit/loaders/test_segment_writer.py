"""What the child writes: payloads aligned, gaps named and given back, nothing copied twice, limits and a full disk told apart."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors import safe_open

from loaders.errors import CorruptArtifact, DiskFull, TooLarge
from loaders.formats.streams import RawStream
from loaders.segment import ALIGN, HEADER, Destination, Mapping
from loaders.segment_writer import ArtifactMap, SegmentWriter, write_bundle
from models.bundle import Bundle
from tests.support import run_python
from tests.unit.loaders.formats.reading import DripStream, file_of

LIMIT = 8 << 20


class Desk:
    """A destination on disk, its writer, and an artifact of random bytes."""

    def __init__(self, folder: Path, artifact_fd: int, limit: int = LIMIT) -> None:
        self.destination = Destination(folder)
        self.folder = folder
        self.writer = SegmentWriter(self.destination.fd, limit)
        self.artifact_fd = artifact_fd
        self.artifact = ArtifactMap(artifact_fd)

    def streamed(self, nbytes: int, at: int = 0) -> memoryview:
        stream = RawStream(self.artifact_fd)
        stream.seek(at)
        return self.writer.take(stream, nbytes)

    def finish(self, arrays: dict[str, NDArray[Any]], **details: Any) -> Mapping:
        bundle, entries, note = write_bundle(self.writer, Bundle("factors", arrays, {}, details), self.artifact)
        size = self.writer.finish(bundle, entries, note)
        # The writer's own mapping would have to go before a seal; the real one goes with its process.
        assert os.fstat(self.destination.fd).st_size == size
        return Mapping(self.destination.fd, self.artifact_fd)

    def as_file(self) -> Path:
        path = self.folder / "segment.safetensors"
        path.write_bytes(os.pread(self.destination.fd, LIMIT, 0))
        return path

    def entries(self) -> dict[str, Any]:
        head = os.pread(self.destination.fd, HEADER, 0)
        table: dict[str, Any] = json.loads(head[8:])
        return table

    @property
    def blocks_bytes(self) -> int:
        return os.fstat(self.destination.fd).st_blocks * 512


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    path = tmp_path / "artifact"
    path.write_bytes(np.random.default_rng(1).bytes(4 << 20))
    with path.open("rb") as file:
        made = Desk(tmp_path, file.fileno())
        yield made
        made.destination.close()
        vars(made).clear()  # pytest keeps what a fixture gave, and with it the mappings


def as_array(memory: memoryview, dtype: str = "<f4") -> NDArray[Any]:
    return np.frombuffer(memory, dtype)


def test_every_payload_is_aligned_and_every_gap_has_a_name(desk: Desk) -> None:
    arrays = {
        "a": as_array(desk.streamed(1003 * 4)),
        "b": np.arange(7, dtype="u1"),
        "c": np.array([1.0, 2.0]),
        "none": np.zeros((0, 3), "<i8"),
    }
    arrays["d"] = as_array(desk.streamed(8, at=8), "<f8")
    wanted = {name: array.copy() for name, array in arrays.items()}
    mapping = desk.finish(arrays)
    assert set(mapping.bundle.arrays) == set(arrays)
    for name, array in wanted.items():
        np.testing.assert_array_equal(mapping.bundle.arrays[name], array)
        assert mapping.bundle.arrays[name].dtype == array.dtype
    table = desk.entries()
    offsets = {name: HEADER + entry["data_offsets"][0] for name, entry in table.items() if name != "__metadata__"}
    assert all(offset % ALIGN == 0 for name, offset in offsets.items() if not name.startswith("__pad"))
    assert any(name.startswith("__pad") for name in offsets)


def test_the_safetensors_library_opens_it(desk: Desk) -> None:
    arrays = {"a": as_array(desk.streamed(4000)), "b": np.arange(5, dtype="<i8"), "c": np.eye(3, dtype="<f8"), "z": np.zeros((0, 2), "<f4")}
    wanted = {name: array.copy() for name, array in arrays.items()}
    desk.finish(arrays)
    with safe_open(desk.as_file(), "numpy") as file:
        for name, array in wanted.items():
            found = file.get_tensor(name)
            np.testing.assert_array_equal(found, array)
            assert (found.dtype, found.shape) == (array.dtype, array.shape)


def test_streamed_arrays_are_not_copied_again(desk: Desk) -> None:
    memory = desk.streamed(2 << 20)
    array = as_array(memory).reshape(1024, 512)
    desk.finish({"a": array})
    assert HEADER + desk.entries()["a"]["data_offsets"][0] == desk.writer.offset_of(array)
    assert desk.blocks_bytes < HEADER + (2 << 20) + 65536
    assert os.pread(desk.destination.fd, 64, HEADER) == os.pread(desk.artifact_fd, 64, 0)


@pytest.mark.parametrize("most", [0, 700_001, 64 << 20])
def test_copies_within_the_kernel_go_on_where_they_stopped(most: int, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.copy_file_range

    def some(source: int, target: int, count: int, at: int, to: int) -> int:
        if not most:
            raise OSError(errno.EXDEV, "another file system")
        return real(source, target, min(count, most), at, to)

    monkeypatch.setattr(os, "copy_file_range", some)
    desk.streamed(100)
    memory = desk.streamed(2 << 20, at=12_345)
    assert bytes(memory) == os.pread(desk.artifact_fd, 2 << 20, 12_345)


def test_what_no_array_names_is_given_back_to_the_disk(desk: Desk) -> None:
    desk.streamed(3 << 20)
    kept = as_array(desk.streamed(4096))
    wanted = kept.copy()
    mapping = desk.finish({"a": kept})
    np.testing.assert_array_equal(mapping.bundle.arrays["a"], wanted)
    assert os.fstat(desk.destination.fd).st_size > 3 << 20
    assert desk.blocks_bytes < 256 << 10
    assert mapping.allocated_bytes == desk.blocks_bytes


def test_the_tail_is_cut_off(desk: Desk) -> None:
    mapping = desk.finish({"a": np.arange(3.0)})
    assert mapping.size == HEADER + 24


def test_fortran_arrays_are_kept_as_they_lie(desk: Desk) -> None:
    array = as_array(desk.streamed(40 * 30 * 4)).reshape(30, 40).T
    small = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    wanted = array.copy()
    mapping = desk.finish({"a": array, "b": small})
    np.testing.assert_array_equal(mapping.bundle.arrays["a"], wanted)
    np.testing.assert_array_equal(mapping.bundle.arrays["b"], small)
    assert json.loads(desk.entries()["__metadata__"]["holdfast"])["transposed"] == ["a", "b"]
    assert desk.entries()["a"]["shape"] == [30, 40]


def test_strided_and_swapped_arrays_are_made_plain(desk: Desk) -> None:
    strided, swapped = np.arange(40.0).reshape(5, 8)[::2, ::-3], np.arange(6, dtype=">i4")
    found = desk.finish({"a": strided, "b": swapped}).bundle.arrays
    np.testing.assert_array_equal(found["a"], strided)
    np.testing.assert_array_equal(found["b"], swapped)
    assert found["b"].dtype == np.dtype("<i4")


def test_two_names_for_the_same_memory_do_not_overlap(desk: Desk) -> None:
    memory = desk.streamed(4000)
    arrays = {"all": as_array(memory), "again": as_array(memory), "part": as_array(memory)[10:20], "other": as_array(memory, "<i8")}
    wanted = {name: array.copy() for name, array in arrays.items()}
    mapping = desk.finish(arrays)  # the check of the format refuses any overlap
    for name, array in wanted.items():
        np.testing.assert_array_equal(mapping.bundle.arrays[name], array)


def test_what_lies_in_the_artifact_stays_there(desk: Desk) -> None:
    rows = as_array(desk.artifact.adopt(64, 4800), "<f4").reshape(30, 40)
    odd = np.frombuffer(desk.artifact.adopt(3, 9), "u1")
    unaligned = np.frombuffer(desk.artifact.adopt(66, 16), "<f8")
    wanted = unaligned.copy()
    mapping = desk.finish({"rows": rows, "turned": rows.T, "odd": odd, "unaligned": unaligned, "own": np.arange(4)})
    note = json.loads(desk.entries()["__metadata__"]["holdfast"])
    assert note["adopted"] == {
        "rows": {"offset": 64, "dtype": "F32", "shape": [30, 40]},
        "turned": {"offset": 64, "dtype": "F32", "shape": [30, 40]},
        "odd": {"offset": 3, "dtype": "U8", "shape": [9]},
    }
    np.testing.assert_array_equal(mapping.bundle.arrays["turned"], rows.T)
    np.testing.assert_array_equal(mapping.bundle.arrays["rows"], rows)
    np.testing.assert_array_equal(mapping.bundle.arrays["unaligned"], wanted)
    assert mapping.size < HEADER + 256


@pytest.mark.parametrize(("offset", "nbytes"), [(-1, 4), (4 << 20, 1), (0, (4 << 20) + 1)])
def test_an_extent_outside_the_artifact_is_refused(offset: int, nbytes: int, desk: Desk) -> None:
    with pytest.raises(CorruptArtifact):
        desk.artifact.adopt(offset, nbytes)


def test_an_empty_artifact_holds_nothing() -> None:
    with file_of(b"") as fd, pytest.raises(CorruptArtifact):
        ArtifactMap(fd).adopt(0, 1)


@pytest.mark.parametrize("is_sized", [True, False])
def test_a_stream_in_pieces(is_sized: bool, desk: Desk) -> None:
    data = bytes(range(256)) * 80
    memory = desk.writer.take(DripStream(data + b"rest", is_sized=is_sized), len(data))
    assert bytes(memory) == data
    with pytest.raises(CorruptArtifact, match="2 bytes before"):
        desk.writer.take(DripStream(data, is_sized=is_sized), len(data) + 2)


def test_bytes_of_unknown_number(desk: Desk) -> None:
    before = desk.streamed(100)
    extent = desk.writer.open_ended()
    for _ in range(3):
        extent.write(b"abcd" * 1000)
    memory = extent.finish()
    after = desk.streamed(100)
    assert bytes(memory) == b"abcd" * 3000
    assert bytes(before) == bytes(after) == os.pread(desk.artifact_fd, 100, 0)


def test_the_limit_of_the_segment(tmp_path: Path) -> None:
    with file_of(bytes(4 << 20)) as fd:
        desk = Desk(tmp_path, fd, limit=1 << 20)
        for deed in (
            lambda: desk.streamed(1 << 20),
            lambda: desk.writer.take(DripStream(bytes(2 << 20), drops=(1 << 16,)), 2 << 20),
            lambda: desk.writer.open_ended().write(bytes(1 << 20)),
            lambda: desk.writer.place(np.zeros(1 << 20, "u1")),
        ):
            with pytest.raises(TooLarge) as caught:
                deed()
            assert caught.value.detail == {"limit_bytes": 1 << 20}
        assert len(desk.streamed((1 << 20) - HEADER)) == (1 << 20) - HEADER
        desk.destination.close()


@pytest.mark.parametrize(
    ("number", "expected"), [(errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EFBIG, TooLarge), (errno.EIO, OSError)]
)
def test_what_the_file_system_says(number: int, expected: type[Exception], desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(fd: int, offset: int, length: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", refused)
    with pytest.raises(expected):
        desk.streamed(1 << 20)


ON_A_SMALL_DISK = """
import ctypes, os, sys
from pathlib import Path
from loaders.errors import DiskFull
from loaders.segment import Destination
from loaders.segment_writer import SegmentWriter

libc, folder = ctypes.CDLL(None, use_errno=True), sys.argv[1].encode()
if libc.unshare(0x20000) or libc.mount(None, b"/", None, (1 << 14) | (1 << 18), None):
    sys.exit(77)
if libc.mount(b"tmpfs", folder, b"tmpfs", 0, b"size=1m"):
    sys.exit(77)
destination = Destination(Path(sys.argv[1]))
writer = SegmentWriter(destination.fd, 1 << 30)
try:
    extent = writer.open_ended()
    for _ in range(100):
        extent.write(bytes(100_000))
except DiskFull as error:
    print(error.detail["need_bytes"])
"""


def test_a_full_disk_is_told_before_it_is_written_through_the_mapping(tmp_path: Path) -> None:
    """Such a write is SIGBUS, and the end of the process."""
    done = run_python(ON_A_SMALL_DISK, str(tmp_path))
    if done.returncode == 77:
        pytest.skip("no file system may be mounted here")
    assert done.returncode == 0, done.stderr
    assert 900_000 < int(done.stdout) < 1_200_000


@pytest.mark.parametrize("value", [float("nan"), {"x": float("inf")}, object()])
def test_details_that_are_no_json_are_refused(value: Any, desk: Desk) -> None:
    with pytest.raises((ValueError, TypeError)):
        desk.finish({"a": np.arange(3.0)}, odd=value)
