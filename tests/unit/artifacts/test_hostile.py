"""The hostile table: complete, deterministic, built without running anything, and hostile in truth.

Does not cover: what the project's own readers make of these files; here only the standard ones look, where that is safe.
"""

from __future__ import annotations

import bz2
import io
import lzma
import pickle
import zlib
from pathlib import Path

import joblib
import lz4.frame
import numpy as np
import pytest

from loaders.errors import FAILURES, Retry
from tests.artifacts.hostile import HOSTILE, hostile, names
from tests.artifacts.hostile.bombs import MIB
from tests.artifacts.hostile.containers import header, safetensors
from tests.artifacts.hostile.damage import BASES, base
from tests.artifacts.hostile.entry import Table, honest

NOT_BOMBS = [name for name in HOSTILE if not name.startswith(("bomb_", "flip_", "cut_", "npz_bomb", "safetensors_header_huge"))]


def test_every_expected_type_exists_and_is_a_verdict_on_the_artifact() -> None:
    for name, entry in HOSTILE.items():
        assert entry.name == name
        assert entry.expected
        assert entry.expected <= FAILURES.keys()
        for type in entry.expected - {"child_crashed"}:
            assert FAILURES[type].retry is Retry.NEVER, name
    assert {"code", "length", "opcode", "dtype", "wrapper", "content", "bomb", "safetensors", "npz", "cut", "flip", "stranger"} <= {
        name.split("_")[0] for name in HOSTILE
    }


def test_names_are_unique_and_found() -> None:
    table = Table()
    table.add("twice", "", b"", frozenset({"corrupt_artifact"}))
    with pytest.raises(ValueError, match="twice"):
        table.add("twice", "", b"", frozenset({"corrupt_artifact"}))
    assert names("bomb_")[0] == "bomb_lists"
    assert hostile("stranger_empty").build(Path("ran")) == b""


def test_building_is_deterministic_and_runs_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    for name in NOT_BOMBS:
        assert HOSTILE[name].build(marker) == HOSTILE[name].build(marker), name
    assert list(tmp_path.iterdir()) == []


def test_files_that_run_something_name_the_marker_they_would_make(tmp_path: Path) -> None:
    told = [name for name in names("code_") if str(tmp_path / "ran").encode() in HOSTILE[name].build(tmp_path / "ran")]
    assert len(told) > 20
    path = hostile("code_os_system").write(tmp_path)
    assert path.name == "code_os_system.pkl"
    assert b"posix" in path.read_bytes()


def test_a_real_unpickler_would_run_it(tmp_path: Path) -> None:
    called: list[tuple[str, str]] = []

    class Recorder(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> object:
            called.append((module, name))
            return lambda *_: None

    Recorder(io.BytesIO(hostile("code_os_system").build(tmp_path / "ran"))).load()
    Recorder(io.BytesIO(hostile("code_eval").build(tmp_path / "ran"))).load()
    assert called == [("posix", "system"), ("builtins", "eval")]


@pytest.mark.parametrize("how", BASES)
def test_what_is_damaged_was_whole(how: str, tmp_path: Path) -> None:
    path = tmp_path / f"whole{BASES[how][0]}"
    path.write_bytes(base(how))
    if how.startswith("pickle"):
        back = pickle.loads(path.read_bytes())
    elif how.startswith("joblib"):
        back = joblib.load(path)
    elif how == "npz":
        back = dict(np.load(path, allow_pickle=False))
    else:
        from safetensors.numpy import load_file

        back = load_file(path)
    for name in ("user_factors", "item_factors"):
        assert (back[name] == honest()[name]).all()
    assert len(names(f"cut_{how}_")) >= 10
    assert len(names(f"flip_{how}_")) >= 20


def test_flips_differ_in_one_bit() -> None:
    for how in BASES:
        whole = base(how)
        for name in names(f"flip_{how}_")[:20]:
            place, bit = map(int, name.split("_")[-2:])
            flipped = HOSTILE[name].build(Path("ran"))
            assert flipped[place] ^ whole[place] == 1 << bit
            assert flipped[:place] + flipped[place + 1 :] == whole[:place] + whole[place + 1 :]


@pytest.mark.parametrize("name", [*names("length_"), "stop_missing", "cut_pickle4_100", "large_length_tb"])
def test_pickles_that_lie_are_refused_by_the_standard_unpickler_too(name: str) -> None:
    class Nothing(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> object:
            raise AssertionError("these hold no class before the lie")

    unpickler = (Nothing if name.startswith("length_") else pickle.Unpickler)(io.BytesIO(HOSTILE[name].build(Path("ran"))))
    with pytest.raises((ValueError, pickle.UnpicklingError, EOFError, MemoryError, OverflowError, UnicodeDecodeError)):
        unpickler.load()


def test_honest_containers_are_read() -> None:
    import json

    from safetensors.numpy import load

    assert (load(safetensors(json.dumps(header())))["user_factors"] == honest()["user_factors"]).all()


def inflated(how: str, content: bytes, limit: int) -> bytes:
    """The first bytes of a decompressed bomb."""
    if how in ("zlib", "gzip"):
        return zlib.decompressobj(47).decompress(content, limit)
    stream = {"xz": lzma.open, "lzma": lzma.open, "bz2": bz2.open, "lz4": lz4.frame.open}[how](io.BytesIO(content))
    with stream:
        return bytes(stream.read(limit))


@pytest.mark.parametrize("how", ["zlib", "gzip", "xz", "lzma", "bz2", "lz4"])
def test_decompression_bombs_inflate_to_the_array_they_declare(how: str) -> None:
    content = hostile(f"bomb_{how}_array").build(Path("ran"))
    assert len(content) < 5 * MIB
    start = inflated(how, content, 2 * MIB)
    assert len(start) == 2 * MIB
    assert b"NumpyArrayWrapper" in start[:400]
    assert start[-MIB:] == bytes(MIB)


def test_zlib_and_gzip_bombs_have_right_checksums() -> None:
    from tests.artifacts.hostile.bombs import _gzip, _zlib

    for make in (_zlib, _gzip):
        back = zlib.decompress(make(b"before", 3 * MIB, b"after"), 47)
        assert back == b"before" + bytes(3 * MIB) + b"after"


def test_a_bomb_of_objects_is_a_valid_pickle_when_small() -> None:
    from tests.artifacts.hostile.bombs import beside_model, many

    assert pickle.loads(many(b"\x8f", 70_000)) == [set()] * 70_000
    assert pickle.loads(beside_model(b"]", 3))["extra"] == [[], [], []]
