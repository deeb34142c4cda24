"""Making, sealing, naming and mapping a segment. Does not cover: what a child writes into it (`test_segment_writer`)."""

from __future__ import annotations

import errno
import gc
import json
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import loaders.segment
from loaders.errors import SegmentInvalid
from loaders.formats.safetensors import Entry, render
from loaders.segment import HEADER, Destination, Mapping, survivors

NOTE: dict[str, Any] = {"family": "factors", "meta": {"m": 1}, "details": {"d": 2}, "adopted": {}, "transposed": []}


def segment_of(note: Any = NOTE, entries: list[Entry] | None = None, payload: bytes = b"") -> bytes:
    text = note if isinstance(note, str) else json.dumps(note)
    return render(entries or [], {"holdfast": text}, HEADER) + payload


def entry(name: str, at: int, *shape: int, dtype: str = "<f4") -> Entry:
    kind = np.dtype(dtype)
    return Entry(name, kind, shape, at, int(np.prod(shape)) * kind.itemsize)


ARRAY = np.arange(12, dtype="<f4").reshape(3, 4)
WHOLE = segment_of(NOTE, [entry("a", HEADER, 3, 4)], ARRAY.tobytes())


def write(destination: Destination, data: bytes = WHOLE) -> None:
    assert os.pwrite(destination.fd, data, 0) == len(data)


@pytest.fixture(params=["disk", "memory"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Destination]:
    made = Destination(tmp_path if request.param == "disk" else None)
    yield made
    made.close()


def map_of(data: bytes, artifact: bytes | None = None) -> Mapping:
    fds = [os.memfd_create("segment"), os.memfd_create("artifact")]
    try:
        for fd, content in zip(fds, (data, artifact or b""), strict=True):
            os.pwrite(fd, content, 0)
        return Mapping(fds[0], fds[1] if artifact is not None else None)
    finally:
        for fd in fds:
            os.close(fd)


# -- the seal -----------------------------------------------------------------------------------------------------------


def test_a_sealed_segment_maps_read_only(destination: Destination) -> None:
    write(destination)
    destination.seal()
    mapping = Mapping(destination.fd, None)
    found = mapping.bundle.arrays["a"]
    np.testing.assert_array_equal(found, ARRAY)
    with pytest.raises(ValueError, match="read-only"):
        found[0, 0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        found.flags.writeable = True
    with pytest.raises(OSError):
        os.pwrite(destination.fd, b"x", 0)
    with pytest.raises(PermissionError):
        mmap.mmap(destination.fd, 0, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    assert (mapping.bundle.family, mapping.bundle.meta, mapping.bundle.details) == ("factors", {"m": 1}, {"d": 2})
    assert mapping.size == len(WHOLE) and mapping.allocated_bytes >= len(WHOLE) // 4096 * 4096


def test_sealed_memory_changes_by_no_descriptor(tmp_path: Path) -> None:
    destination = Destination(None)
    write(destination)
    again = os.open(f"/proc/self/fd/{destination.fd}", os.O_RDWR)
    destination.seal()
    for change in (lambda: os.pwrite(again, b"x", 0), lambda: os.ftruncate(again, 10), lambda: os.ftruncate(again, 1 << 20)):
        with pytest.raises(PermissionError):
            change()
    os.close(again)
    destination.close()


def test_a_writable_mapping_that_survives_is_refused(destination: Destination) -> None:
    write(destination)
    kept = mmap.mmap(destination.fd, len(WHOLE))
    with pytest.raises(SegmentInvalid, match="writ"):
        destination.seal()
    kept.close()


def test_a_writable_descriptor_of_a_file_that_survives_is_refused(tmp_path: Path) -> None:
    destination = Destination(tmp_path)
    write(destination)
    kept = os.dup(destination.fd)
    with pytest.raises(SegmentInvalid, match="open for writing"):
        destination.seal()
    os.close(kept)
    destination.close()


def test_a_child_that_is_just_being_started_is_no_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    destination = Destination(tmp_path)
    write(destination)
    copy = os.dup(destination.fd)  # as a child has it between fork and exec

    @contextmanager
    def started() -> Iterator[None]:
        os.close(copy)
        yield

    monkeypatch.setattr(loaders.segment, "SPAWNING", started())
    destination.seal()
    destination.close()


def test_a_reader_is_no_obstacle(destination: Destination) -> None:
    write(destination)
    reader = os.open(f"/proc/self/fd/{destination.fd}", os.O_RDONLY)
    destination.seal()
    os.close(reader)


@pytest.mark.parametrize(("others", "is_refused"), [([], False), ([4711], True)])
def test_without_leases_the_processes_are_looked_at(
    others: list[int], is_refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_leases(fd: int, command: int, argument: int = 0) -> int:
        raise OSError(errno.EINVAL, "no leases here")

    destination = Destination(tmp_path)
    write(destination)
    monkeypatch.setattr("loaders.segment.fcntl.fcntl", no_leases)
    monkeypatch.setattr(loaders.segment, "survivors", lambda fd: others)
    if is_refused:
        with pytest.raises(SegmentInvalid):
            destination.seal()
    else:
        destination.seal()
    destination.close()


def test_survivors_are_other_processes_that_hold_it(tmp_path: Path) -> None:
    import subprocess

    destination = Destination(tmp_path)
    write(destination)
    assert survivors(destination.fd) == []
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[destination.fd]) as holder:
        assert survivors(destination.fd) == [holder.pid]
        holder.communicate()
    destination.close()


# -- the name -----------------------------------------------------------------------------------------------------------


def test_link_replaces_an_older_file_in_one_step(tmp_path: Path) -> None:
    target = tmp_path / "m.seg"
    target.write_bytes(b"older")
    older = target.open("rb")
    destination = Destination(tmp_path)
    write(destination)
    destination.seal()
    assert list(tmp_path.iterdir()) == [target], "nothing has a name before"
    destination.link(target)
    destination.close()
    assert target.read_bytes() == WHOLE
    assert older.read() == b"older"
    older.close()
    assert list(tmp_path.iterdir()) == [target]
    assert target.stat().st_mode & 0o777 == 0o600


def test_where_a_file_cannot_be_nameless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def no_tmpfile(path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "no O_TMPFILE here")
        return real(path, flags, mode, **more)

    monkeypatch.setattr(os, "open", no_tmpfile)
    first = Destination(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1 and next(tmp_path.iterdir()).stat().st_mode & 0o777 == 0o600
    first.close()
    assert not list(tmp_path.iterdir())
    second = Destination(tmp_path)
    write(second)
    second.seal()
    second.link(tmp_path / "m.seg")
    second.close()
    second.close()
    assert [path.name for path in tmp_path.iterdir()] == ["m.seg"]
    assert (tmp_path / "m.seg").read_bytes() == WHOLE


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Destination(tmp_path / "absent")


# -- the mapping --------------------------------------------------------------------------------------------------------


def test_a_mapping_goes_with_its_last_array() -> None:
    def mapped() -> int:
        return Path("/proc/self/maps").read_text().count("/memfd:segment") + len(
            [name for name in os.listdir("/proc/self/fd") if "memfd:segment" in _target(name)]
        )

    mapping: Mapping | None = map_of(WHOLE)
    assert mapping is not None
    array = mapping.bundle.arrays["a"][1:]
    mapping = None
    gc.collect()
    assert mapped() == 2, "one mapping, and the descriptor that mmap keeps of it"
    assert array.tolist() == ARRAY[1:].tolist()
    del array
    gc.collect()
    assert mapped() == 0


def _target(name: str) -> str:
    try:
        return str(Path(f"/proc/self/fd/{name}").readlink())
    except FileNotFoundError:
        return ""


def test_transposed_arrays_and_pads() -> None:
    note = {**NOTE, "transposed": ["a"]}
    data = segment_of(note, [entry("a", HEADER, 3, 4), entry("__pad1", HEADER + 48, 16, dtype="|u1")], ARRAY.tobytes() + bytes(16))
    arrays = map_of(data).bundle.arrays
    assert set(arrays) == {"a"}
    np.testing.assert_array_equal(arrays["a"], ARRAY.T)


def test_text_that_is_no_utf8_is_mended_where_it_enters() -> None:
    """Else one model's details would keep the status of all models from being written."""
    details = {"trained_at": "20\ud800", "\udfff": ["\ud800", {"a": "\U0001f30a"}]}
    assert map_of(segment_of({**NOTE, "details": details})).bundle.details == {
        "trained_at": "20\ufffd",
        "\ufffd": ["\ufffd", {"a": "\U0001f30a"}],
    }


def test_adopted_arrays_lie_in_the_artifact() -> None:
    note = {**NOTE, "adopted": {"b": {"offset": 16, "dtype": "F32", "shape": [3, 4]}}}
    mapping = map_of(segment_of(note, [entry("a", HEADER, 3, 4)], ARRAY.tobytes()), bytes(16) + (ARRAY + 1).tobytes())
    np.testing.assert_array_equal(mapping.bundle.arrays["b"], ARRAY + 1)
    assert not mapping.bundle.arrays["b"].flags.writeable


def adopted(**changes: Any) -> dict[str, Any]:
    return {**NOTE, "adopted": {"b": {"offset": 16, "dtype": "F32", "shape": [3, 4], **changes}}}


FORGED: dict[str, Any] = {
    "empty": b"",
    "short": b"1234567",
    "no_note": render([], {}, HEADER),
    "note_no_json": segment_of("{"),
    "note_a_list": segment_of([]),
    "note_deep": segment_of("[" * 40_000),
    "note_huge_number": segment_of('{"family": ' + "9" * 5000 + "}"),
    "family_a_number": segment_of({**NOTE, "family": 7}),
    "meta_a_list": segment_of({**NOTE, "meta": []}),
    "details_missing": segment_of({key: value for key, value in NOTE.items() if key != "details"}),
    "transposed_unknown": segment_of({**NOTE, "transposed": ["x"]}),
    "transposed_a_list": segment_of({**NOTE, "transposed": [["a"]]}),
    "transposed_a_map": segment_of({**NOTE, "transposed": {}}),
    "unaligned": segment_of(NOTE, [entry("p", HEADER, 2, dtype="|u1"), entry("a", HEADER + 2, 1)], bytes(6)),
    "header_longer_than_the_writer_s": render([], {"holdfast": json.dumps(NOTE)}, HEADER + 8),
    "adopted_nothing_there": segment_of(adopted()),
    "trailing": WHOLE + b"\0",
    "cut": WHOLE[:-1],
}
OUTSIDE: dict[str, dict[str, Any]] = {
    "offset": {"offset": 17 + 48},
    "offset_negative": {"offset": -16},
    "offset_text": {"offset": "16"},
    "offset_fraction": {"offset": 16.0},
    "offset_huge": {"offset": 1 << 70},
    "shape_too_large": {"shape": [3, 5]},
    "shape_negative": {"shape": [-3, -4]},
    "shape_wraps": {"shape": [1 << 62, 4]},
    "shape_wraps_to_nothing": {"shape": [1 << 33, 1 << 33, 0]},
    "shape_many": {"shape": [1] * 100},
    "shape_of_bools": {"shape": [True, 4]},
    "shape_text": {"shape": "34"},
    "dtype_unknown": {"dtype": "O"},
    "dtype_list": {"dtype": ["F32"]},
    "dtype_none": {"dtype": None},
}


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_segment_is_refused(what: str) -> None:
    with pytest.raises(SegmentInvalid):
        map_of(FORGED[what])


@pytest.mark.parametrize("what", OUTSIDE)
def test_a_forged_adoption_is_refused(what: str) -> None:
    with pytest.raises(SegmentInvalid):
        map_of(segment_of(adopted(**OUTSIDE[what])), bytes(16) + ARRAY.tobytes())


def test_an_unaligned_adoption_is_refused() -> None:
    artifact = bytes(256)
    assert map_of(segment_of(adopted(offset=20)), artifact).bundle.arrays["b"].shape == (3, 4)
    with pytest.raises(SegmentInvalid):
        map_of(segment_of(adopted(offset=18)), artifact)


def test_an_adoption_of_an_empty_artifact_is_refused() -> None:
    with pytest.raises(SegmentInvalid):
        map_of(segment_of(adopted(shape=[0], offset=0)), b"")
