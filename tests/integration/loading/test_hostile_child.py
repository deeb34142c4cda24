"""Whatever a child does, the server survives it, names it, and nothing of it is left behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil
import pytest

import loaders.process
from loaders.errors import LoadError
from tests.artifacts.recommenders import als_dict
from tests.artifacts.writing import write
from tests.support import wait_until

from .bench_of_one import bring, left_behind, open_loader

PROGRAM = Path(__file__).with_name("hostile_child.py")
INVALID = (
    "empty_segment", "garbage_segment", "huge_header", "deep_header", "overlapping", "no_ids", "ids_out_of_range", "adopted_outside",
    "adopted_shape_overflow", "seen_out_of_range", "other_family", "grandchild_maps_segment",
)  # fmt: skip
CRASHED = (
    "no_verdict", "killed", "crashed", "wire_garbage", "wire_endless_frame", "wire_not_an_object", "wire_cut_short", "wire_unknown_error",
    "output_flood", "phase_flood", "grandchild_after_crash",
)  # fmt: skip


@pytest.mark.parametrize("segment", ["disk", "memory"])
@pytest.mark.parametrize(
    ("deed", "expected"),
    [*((deed, "segment_invalid") for deed in INVALID), *((deed, "child_crashed") for deed in CRASHED), ("hang", "load_timeout")],
)
async def test_deed(deed: str, expected: str, segment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaders.process, "CHILD", ("-I", str(PROGRAM), deed))
    path = write(als_dict("int"), tmp_path / "model", "pickle5")
    async with open_loader(tmp_path) as loader:
        with pytest.raises(LoadError) as caught:
            await bring(loader, path, segment=segment, load_timeout_s=1.0 if deed == "hang" else 60.0)
        assert caught.value.type == expected, caught.value
        loader.store.clear(None)
        assert left_behind(loader) == []


async def test_the_cancelled_load_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaders.process, "CHILD", ("-I", str(PROGRAM), "hang"))
    path = write(als_dict("int"), tmp_path / "model", "pickle5")
    async with open_loader(tmp_path) as loader:
        loading = asyncio.ensure_future(bring(loader, path))
        await wait_until(lambda: psutil.Process().children())
        loading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loading
        loader.store.clear(None)
        assert left_behind(loader) == []
