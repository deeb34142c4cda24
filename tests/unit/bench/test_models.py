"""Streamed files are the files that pickle, joblib, safetensors and numpy write."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from bench.models import FORMATS, Column, array_bytes, big_model, main, size_of, write_model

EXTRA = {"is_trained": True, "trained_at": "2026-01-01T00:00:00Z"}


def real(model: dict[str, Any]) -> dict[str, Any]:
    """The model with arrays in the place of columns."""
    made = {}
    for name, value in model.items():
        is_column = isinstance(value, Column)
        made[name] = np.frombuffer(bytearray(b"".join(value.pieces())), "<f4").reshape(value.shape) if is_column else value
    return made


@pytest.fixture(scope="module")
def model() -> dict[str, Any]:
    # Larger than a piece, so that a seam between pieces is within each array.
    return big_model(10 << 20, factors=64, ids="int")


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_pickles_are_pickles_own(tmp_path: Path, model: dict[str, Any], protocol: int) -> None:
    write_model(tmp_path / "x", model, f"pickle{protocol}")
    assert (tmp_path / "x").read_bytes() == pickle.dumps(real(model) | EXTRA, protocol)


def test_joblib_is_joblibs_own(tmp_path: Path, model: dict[str, Any]) -> None:
    write_model(tmp_path / "x", model, "joblib")
    file = io.BytesIO()
    joblib.dump(real(model) | EXTRA, file)
    assert (tmp_path / "x").read_bytes() == file.getvalue()


@pytest.mark.parametrize("format", [format for format in FORMATS if not format.startswith("pickle") and format != "joblib"])
def test_other_formats_are_read_by_their_libraries(tmp_path: Path, format: str) -> None:
    small = big_model(1 << 20, factors=64, ids="int")
    write_model(tmp_path / "x", small, format)
    if format.startswith("joblib"):
        back = joblib.load(tmp_path / "x")
    elif format == "safetensors":
        from safetensors.numpy import load_file

        back = load_file(tmp_path / "x")
    else:
        with np.load(tmp_path / "x", allow_pickle=False) as arrays:
            back = dict(arrays)
    for name, value in real(small).items():
        if name.endswith("factors"):
            assert (back[name] == value).all()
        elif format.startswith("joblib"):
            assert back[name] == value
        else:
            assert back[name.replace("_id_map", "_ids")].tolist() == list(value)


def test_size_is_that_of_the_arrays() -> None:
    assert [size_of(text) for text in ("1GiB", "1.5MB", "7")] == [1 << 30, 1_500_000, 7]
    for size in (1 << 20, (1 << 20) + 5_000):
        assert 0 <= size - array_bytes(big_model(size, factors=64)) < 64 * 4


def test_program_tells_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--bytes", "100KB", "--ids", "str", "--fill", "coarse", "--out", str(tmp_path / "x")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["file_bytes"] == (tmp_path / "x").stat().st_size > told["array_bytes"]
    assert list(pickle.loads((tmp_path / "x").read_bytes())["user_id_map"])[:2] == ["id-1", "id-2"]
