"""Random damage to honest files of every format ends in a failure that says so, or does no harm: nothing else escapes."""

from __future__ import annotations

import io
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loaders.errors import LoadError
from tests.artifacts.writing import ARRAY_WAYS, PICKLES, write

from .reading import read_file

ROUNDS = 150


def content(way: str) -> dict[str, Any]:
    arrays = {"factors": np.arange(60.0).reshape(20, 3), "ids": np.arange(20)}
    if way == "safetensors":
        return arrays
    return {**arrays, "names": np.array(["a", "b\u0142"]), "objects": np.array(["x", 1, None, (1, 2)], object)}


def damaged(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(changed))
        how = rng.randrange(4)
        if how < 2:
            changed[at] ^= 1 << rng.randrange(8)
        elif how == 2:
            del changed[at : at + rng.choice((1, 2, 8, 100))]
        else:
            changed[at:at] = rng.randbytes(rng.choice((1, 4)))
    return bytes(changed)


@pytest.mark.parametrize("way", [*ARRAY_WAYS, *PICKLES, "joblib", "joblib_lz4", "joblib_bz2"])
def test_damage(way: str, tmp_path: Path) -> None:
    data = write(content(way), tmp_path / "model", way).read_bytes()
    read_file(data)
    types = set()
    for seed in range(ROUNDS):
        try:
            read_file(damaged(data, random.Random(seed)))
        except LoadError as error:
            types.add(error.type)
        except MemoryError:
            types.add("memory")
    assert types <= {"corrupt_artifact", "unknown_format", "memory"}
    assert "corrupt_artifact" in types


@pytest.mark.parametrize("how", ["lzma", "bz2"])
def test_damaged_members_of_other_compressions(how: str, tmp_path: Path) -> None:
    npy, packed = io.BytesIO(), io.BytesIO()
    np.save(npy, np.arange(5000.0))
    with zipfile.ZipFile(packed, "w", {"lzma": zipfile.ZIP_LZMA, "bz2": zipfile.ZIP_BZIP2}[how]) as archive:
        archive.writestr("a.npy", npy.getvalue())
    data = packed.getvalue()
    assert read_file(data).root["a"].values.tolist() == list(range(5000))
    for at in range(45, min(len(data) - 100, 300)):
        changed = bytearray(data)
        changed[at] ^= 0x55
        with pytest.raises(LoadError) as caught:
            read_file(bytes(changed))
        assert caught.value.type == "corrupt_artifact"
