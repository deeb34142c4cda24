"""A bundle as a file: what is read is what was written, any tool opens it, and what is not whole is refused."""

from __future__ import annotations

import errno
import gc
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors import safe_open

from loaders.bundle_file import open_bundle_file, open_published_scorer, write_bundle_file
from loaders.errors import CorruptArtifact, DiskFull, TooLarge
from loaders.formats.safetensors import render
from loaders.segment import ALIGN, HEADER
from models.base import Query
from models.bundle import BadBundle, Bundle
from tests.unit.models.building import factors_bundle, scorer_of

RNG = np.random.default_rng(5)
ARRAYS: dict[str, NDArray[Any]] = {
    "item_factors": RNG.random((7, 3)).astype("f4"),
    "in fortran order": np.asfortranarray(RNG.random((4, 6))),
    "every other": np.arange(40).reshape(10, 4)[::2, 1:],
    "big endian": np.arange(5, dtype=">i4"),
    "a number": np.array(3.5),
    "nothing": np.zeros((0, 3), "f4"),
    "truths": np.array([True, False, True]),
    "last byte": np.array([1], "u1"),
}
BUNDLE = Bundle("factors", ARRAYS, {"m": [1, "ä"]}, {"trained_at": "2026-01-02T03:04:05Z", "algorithm": "als"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def test_what_is_read_is_what_was_written(path: Path) -> None:
    size, sha256 = write_bundle_file(path, BUNDLE)
    assert (size, sha256) == (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = open_bundle_file(path)
    assert (found.family, found.meta, found.details, found.is_checked) == ("factors", BUNDLE.meta, BUNDLE.details, False)
    assert list(found.arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found.arrays[name], array)
        assert found.arrays[name].shape == array.shape and found.arrays[name].dtype == array.dtype.newbyteorder("<")
        assert not found.arrays[name].flags.writeable
        assert found.arrays[name].ctypes.data % ALIGN == 0


def test_a_matrix_in_fortran_order_is_kept_in_it(path: Path) -> None:
    write_bundle_file(path, BUNDLE)
    assert open_bundle_file(path).arrays["in fortran order"].flags.f_contiguous


def test_the_official_library_opens_it(path: Path) -> None:
    write_bundle_file(path, BUNDLE)
    with safe_open(path, framework="numpy") as opened:
        np.testing.assert_array_equal(opened.get_tensor("item_factors"), ARRAYS["item_factors"])
        assert json.loads(opened.metadata()["holdfast"])["family"] == "factors"
        assert {name for name in opened.keys() if not name.startswith("__pad")} == set(ARRAYS)  # noqa: SIM118


@pytest.mark.parametrize("shape", [(1 << 20, 3), (5 << 20,)], ids=["rows", "flat"])
@pytest.mark.parametrize("step", [1, 2], ids=["contiguous", "strided"])
def test_larger_than_what_is_written_at_once(path: Path, shape: tuple[int, ...], step: int) -> None:
    array = np.arange(np.prod(shape), dtype="f4").reshape(shape)[::step]
    _, sha256 = write_bundle_file(path, Bundle("factors", {"a": array}))
    np.testing.assert_array_equal(open_bundle_file(path).arrays["a"], array)
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_without_arrays(path: Path) -> None:
    size, _ = write_bundle_file(path, Bundle("hybrid", {}, {"parts": {}}, {}))
    assert size == HEADER and open_bundle_file(path).meta == {"parts": {}}


def test_what_answers_from_it_answers_the_same(path: Path) -> None:
    users, items = RNG.random((5, 4)).astype("f4"), RNG.random((30, 4)).astype("f4")
    write_bundle_file(path, factors_bundle(users, items))
    query = Query(users=[0, 3], k=8)
    wanted = scorer_of(users, items).recommend(query)
    scorer: Any = open_published_scorer(path)
    for found, one in zip(scorer.recommend(query), wanted, strict=True):
        assert list(found.items) == list(one.items)  # type: ignore[union-attr]
        np.testing.assert_array_equal(found.scores, one.scores)  # type: ignore[union-attr]
    del scorer
    gc.collect()


@pytest.mark.parametrize(
    "bundle",
    [
        Bundle("factors", {"a": np.array(["x"])}),
        Bundle("factors", {"a": np.array([object()])}),
        Bundle("factors", {}, {"a": float("nan")}),
        Bundle("factors", {}, {"a": object()}),
        Bundle("factors", {}, {"a": "x" * HEADER}),
    ],
    ids=["text", "objects", "no JSON number", "no JSON", "too long"],
)
def test_what_the_format_cannot_hold_leaves_no_file(path: Path, bundle: Bundle) -> None:
    with pytest.raises(BadBundle):
        write_bundle_file(path, bundle)
    assert not path.exists()


def test_what_is_there_is_not_overwritten(path: Path) -> None:
    path.write_bytes(b"published")
    with pytest.raises(FileExistsError):
        write_bundle_file(path, BUNDLE)
    assert path.read_bytes() == b"published"


@pytest.mark.parametrize(
    ("number", "expected"), [(errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EFBIG, TooLarge), (errno.EIO, OSError)]
)
@pytest.mark.parametrize("call", ["posix_fallocate", "write", "fsync"])
def test_a_write_that_fails_leaves_no_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, expected: type[Exception]
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(f"loaders.bundle_file.os.{call}", fail)
    with pytest.raises(expected):
        write_bundle_file(path, BUNDLE)
    assert not path.exists()


def cut(data: bytes) -> bytes:
    return data[:-1]


def lengthened(data: bytes) -> bytes:
    return data + b"\0"


def without_a_note(data: bytes) -> bytes:
    return render([], {}, HEADER)


def adopting(data: bytes) -> bytes:
    note = {"family": "factors", "meta": {}, "details": {}, "adopted": {"a": {"offset": 0, "dtype": "U8", "shape": [8]}}, "transposed": []}
    return render([], {"holdfast": json.dumps(note)}, HEADER)


def a_pickle(data: bytes) -> bytes:
    return b"\x80\x04N."


@pytest.mark.parametrize(
    "forge",
    [cut, lengthened, without_a_note, adopting, a_pickle, lambda data: b""],
    ids=["cut", "lengthened", "no note", "adopting", "a pickle", "empty"],
)
def test_what_is_not_whole_is_refused(path: Path, forge: Any) -> None:
    write_bundle_file(path, BUNDLE)
    path.write_bytes(forge(path.read_bytes()))
    with pytest.raises(CorruptArtifact, match=r"^model\.safetensors is no whole bundle file: "):
        open_bundle_file(path)


@pytest.mark.parametrize(
    "bundle",
    [BUNDLE, Bundle("unheard of", {}), Bundle("factors", {"item_factors": np.ones((2, 2), "f4")}, {"widths": None})],
    ids=["arrays missing", "family", "metadata"],
)
def test_what_cannot_answer_is_refused(path: Path, bundle: Bundle) -> None:
    write_bundle_file(path, bundle)
    with pytest.raises(CorruptArtifact, match="does not hold a"):
        open_published_scorer(path)
